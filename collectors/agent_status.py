"""What one Cilium agent says of itself: the part of its status that is shown or diagnosed.

`cilium status -o json` carries it per agent pod. The keys differ per version and every one is
optional, so a key that is absent is "" or None and never an error.

Source: Cilium, api/v1/models/status_response.go and its parts, 1.16 to 1.21;
`docs/cilium.md`, "The `cilium` command".
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from collectors.cilium_answer import NotJson, read_value
from collectors.records import Part
from collectors.sanitize import one_line

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class FailingController(Part, frozen=True):
    """A controller of the agent whose last runs failed."""

    name: str
    failures: int
    """How many times in a row."""
    message: str = ""
    """What the last failure said."""
    last_failure: datetime | None = None


class StaleProbe(Part, frozen=True):
    """A part of the agent's status that no longer refreshes: its probe hangs."""

    name: str
    since: datetime | None = None


class AgentStatus(Part, frozen=True):
    """One agent's own account, or why there is none. States are `Ok`, `Warning`, `Failure`,
    `Disabled`; "" is not said."""

    pod: str
    answered: bool = False
    """Whether the command could exec in the pod and read what it said."""
    error: str = ""
    """Why not, in the words of the command; "" when it answered."""
    node: str = ""
    """The node it runs on, as it says itself."""
    state: str = ""
    message: str = ""
    """The version when all is well: `1.21.0 (v1.21.0-17766dc3)`."""
    kubernetes_state: str = ""
    kubernetes_message: str = ""
    kvstore_state: str = ""
    cni_state: str = ""
    cni_message: str = ""
    hubble_state: str = ""
    hubble_message: str = ""
    cluster_health_state: str = ""
    cluster_health_message: str = ""
    ipam: str = ""
    """Pod addresses in use, in the agent's words."""
    kube_proxy_replacement: str = ""
    """`True` or `False`; older agents `Strict`, `Partial`, `Disabled`."""
    devices: tuple[str, ...] = ()
    """Network devices on which the agent serves load-balancer addresses."""
    direct_routing_device: str = ""
    lb_mode: str = ""
    """`SNAT`, `DSR` or `Hybrid`."""
    lb_algorithm: str = ""
    lb_acceleration: str = ""
    """XDP acceleration: `Disabled`, `Native`, `Best-Effort`."""
    routing: str = ""
    """How packets travel between nodes."""
    masquerading: str = ""
    datapath_mode: str = ""
    encryption: str = ""
    host_firewall: str = ""
    envoy: str = ""
    """Where Envoy runs: `embedded` or `external`."""
    controllers: int = 0
    """How many controllers the agent runs."""
    failing_controllers: tuple[FailingController, ...] = ()
    stale_probes: tuple[StaleProbe, ...] = ()


class _State(msgspec.Struct, frozen=True, gc=False):
    state: str = ""
    msg: str = ""


class _Mode(msgspec.Struct, frozen=True, gc=False):
    mode: str = ""


class _Cluster(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    cilium_health: _State = _State()
    self: str = ""


class _Ipam(msgspec.Struct, frozen=True, gc=False):
    status: str = ""


class _NodePort(msgspec.Struct, frozen=True, gc=False):
    mode: str = ""
    algorithm: str = ""
    acceleration: str = ""


class _Features(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_port: _NodePort = _NodePort()


class _KubeProxyReplacement(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    mode: str = ""
    devices: tuple[str, ...] = ()
    direct_routing_device: str = ""
    features: _Features = _Features()


class _Routing(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    inter_host_routing_mode: str = ""


class _Proxy(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    envoy_deployment_mode: str = ""


class _ControllerState(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    consecutive_failure_count: _Count = 0
    last_failure_msg: str = ""
    last_failure_timestamp: str = ""


class _Controller(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    status: _ControllerState = _ControllerState()


class _Agent(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """AgentStatus on the wire (StatusResponse)."""

    cilium: _State = _State()
    kubernetes: _State = _State()
    kvstore: _State = _State()
    cni_file: _State = _State()
    hubble: _State = _State()
    cluster: _Cluster = _Cluster()
    ipam: _Ipam = _Ipam()
    kube_proxy_replacement: _KubeProxyReplacement = _KubeProxyReplacement()
    routing: _Routing = _Routing()
    masquerading: _Mode = _Mode()
    datapath_mode: str = ""
    encryption: _Mode = _Mode()
    host_firewall: _Mode = _Mode()
    proxy: _Proxy = _Proxy()
    controllers: tuple[_Controller, ...] = ()
    stale: dict[str, str] = {}


def read_agent(pod: str, raw: bytes, error: str) -> AgentStatus:
    """One agent's status from its JSON; `null` is an agent that could not be asked. Never raises.

    `error` is what the command says of the pod, and the reason when there is no status.
    """
    try:
        value = read_value(raw)
        if value is None:
            return AgentStatus(pod, error=error or "the command could not exec in the pod")
        return _status(pod, msgspec.convert(value, _Agent))
    except (NotJson, msgspec.ValidationError) as problem:
        return AgentStatus(
            pod, error=f"what the agent said cannot be read: {one_line(str(problem))}"
        )


def _status(pod: str, wire: _Agent) -> AgentStatus:
    replacement, node_port = (
        wire.kube_proxy_replacement,
        wire.kube_proxy_replacement.features.node_port,
    )
    return AgentStatus(
        pod,
        answered=True,
        node=wire.cluster.self.rpartition("/")[2],  # `cluster/node`
        state=wire.cilium.state,
        message=wire.cilium.msg,
        kubernetes_state=wire.kubernetes.state,
        kubernetes_message=wire.kubernetes.msg,
        kvstore_state=wire.kvstore.state,
        cni_state=wire.cni_file.state,
        cni_message=wire.cni_file.msg,
        hubble_state=wire.hubble.state,
        hubble_message=wire.hubble.msg,
        cluster_health_state=wire.cluster.cilium_health.state,
        cluster_health_message=wire.cluster.cilium_health.msg,
        ipam=wire.ipam.status,
        kube_proxy_replacement=replacement.mode,
        devices=replacement.devices,
        direct_routing_device=replacement.direct_routing_device,
        lb_mode=node_port.mode,
        lb_algorithm=node_port.algorithm,
        lb_acceleration=node_port.acceleration,
        routing=wire.routing.inter_host_routing_mode,
        masquerading=wire.masquerading.mode,
        datapath_mode=wire.datapath_mode,
        encryption=wire.encryption.mode,
        host_firewall=wire.host_firewall.mode,
        envoy=wire.proxy.envoy_deployment_mode,
        controllers=len(wire.controllers),
        failing_controllers=tuple(
            FailingController(
                each.name,
                each.status.consecutive_failure_count,
                each.status.last_failure_msg,
                _time(each.status.last_failure_timestamp),
            )
            for each in wire.controllers
            if each.status.consecutive_failure_count
        ),
        stale_probes=tuple(StaleProbe(name, _time(since)) for name, since in wire.stale.items()),
    )


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo and moment.year > 1 else None  # year 1 is Go's "never"
