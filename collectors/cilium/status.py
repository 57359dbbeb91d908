"""The state of Cilium as a whole and of each agent: `cilium status -o json`.

One record. Its upper half is the command's own judgement per component (errors, warnings, pods),
its lower half each agent's own status, by exec: the part that is shown or diagnosed. An agent's
keys differ per version and every one is optional, so an absent key is "" or None and never an
error. The command exits with 0 when components are broken and with 1 when it could not collect
something, with JSON or without, so the exit code only says whether there is more on stderr.

Source: cilium/cilium, cilium-cli/status/status.go (Status, MarshalJSON), 0.16 to 0.19;
api/v1/models/status_response.go and its parts, 1.16 to 1.21; `docs/cilium.md`, "The `cilium`
command".
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeAlias, TypeVar

import msgspec

from collectors.cilium.answer import (
    CiliumCommand,
    Count,
    Reading,
    read_map,
    read_value,
    refusal,
    shortened,
    unreadable,
)
from collectors.kubernetes.decode import Undecodable
from collectors.kubernetes.records import RecordPart
from collectors.process import Completed
from collectors.sanitize import JsonValue, one_line


class FailingController(RecordPart, frozen=True):
    """A controller of the agent whose last runs failed."""

    name: str
    failures: int
    """How many times in a row."""
    message: str = ""
    """What the last failure said."""
    last_failure: datetime | None = None


class StaleProbe(RecordPart, frozen=True):
    """A part of the agent's status that no longer refreshes: its probe hangs."""

    name: str
    since: datetime | None = None


class AgentStatus(RecordPart, frozen=True):
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
    consecutive_failure_count: Count = 0
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
    except (Undecodable, msgspec.ValidationError) as problem:
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


_LABEL = "cilium status"

AGENT_COMPONENT = "cilium"
"""The component whose pods are the agents."""

NO_TEXT = "text not given by this version of cilium-cli (0.16.17 and later give it)"
"""Stands for a Go error that was printed as `{}`."""

_Shape = TypeVar("_Shape")


class ComponentMessage(RecordPart, frozen=True):
    """One error or warning of the command about a component or one of its pods."""

    subject: str
    """The component's own name, or a pod."""
    severity: str
    """`error` or `warning`."""
    text: str


class ComponentStatus(RecordPart, frozen=True):
    """One part of Cilium: `cilium` (the agents), `cilium-operator`, `cilium-envoy` and so on."""

    name: str
    type: str = ""
    """`DaemonSet` or `Deployment`; "" when it was not found or not looked at."""
    desired: int | None = None
    """Pods wanted; None, as the next three, when there is no workload."""
    ready: int | None = None
    available: int | None = None
    unavailable: int | None = None
    disabled: bool = False
    """Not installed, and meant to be so."""
    phases: dict[str, int] = msgspec.field(default_factory=dict)
    """How many pods are in which phase."""
    images: dict[str, int] = msgspec.field(default_factory=dict)
    """How many pods run which image."""
    messages: tuple[ComponentMessage, ...] = ()


class CiliumStatus(RecordPart, frozen=True):
    """What `cilium status` says; there is one record of this kind."""

    components: tuple[ComponentStatus, ...] = ()
    agents: tuple[AgentStatus, ...] = ()
    """By pod name. Empty when no agent pod was found."""
    pods_all: int | None = None
    """Pods in the cluster that Cilium should manage."""
    pods_managed: int | None = None
    """Those it manages."""
    helm_chart_version: str = ""
    """"" also when the release's secret cannot be read."""
    config_errors: tuple[str, ...] = ()
    collection_errors: tuple[str, ...] = ()
    """What the command could not collect."""

    @property
    def key(self) -> str:
        """Always `status`."""
        return "status"


class _PodState(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    type: str = ""
    desired: Count = 0
    ready: Count = 0
    available: Count = 0
    unavailable: Count = 0


class _PodsCount(msgspec.Struct, frozen=True, gc=False):
    all: Count = 0
    by_cilium: Count = 0


class _ApiStatus(msgspec.Struct, frozen=True, gc=False):
    message: str = ""


class _GoError(msgspec.Struct, frozen=True, gc=False):
    """A Go error as JSON: nothing of it, but for errors of the API server."""

    status: _ApiStatus = msgspec.field(default=_ApiStatus(), name="ErrStatus")


_Text: TypeAlias = str | _GoError


class _Messages(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    errors: tuple[_Text, ...] = ()
    warnings: tuple[_Text, ...] = ()
    disabled: bool = False


_Counts: TypeAlias = dict[str, dict[str, Count]]
_MessageMap: TypeAlias = dict[str, dict[str, _Messages]]


class _Top(msgspec.Struct, frozen=True, gc=False):
    """CiliumStatus on the wire, without the agents and the endpoints."""

    image_count: _Counts = {}
    phase_count: _Counts = {}
    pod_state: dict[str, _PodState] = {}
    pods_count: _PodsCount | None = None
    errors: _MessageMap = {}
    collection_errors: tuple[_Text, ...] = ()
    config_errors: tuple[_Text, ...] = ()
    helm_chart_version: str = ""


_NULL = b"null"
_COLLECTED = ("image_count", "phase_count", "pod_state", "cilium_status")
_FAILED = re.compile(r"^(?:Error: )?(?:Unable to determine status: )?(?:status check failed: )?")


def parse_status(completed: Completed) -> Reading:
    """Read what `cilium status -o json` printed and how it ended. Raises ReadError.

    JSON that came with exit code 1 is a reading with problems, unless nothing at all could be
    collected: then the command's own words say why, and there is no status.
    """
    try:
        parts = read_map(completed.out)
    except Undecodable as problem:
        raise unreadable(completed, _LABEL, problem) from None
    if completed.code and not any(name in parts for name in _COLLECTED):
        raise refusal(completed, _LABEL)
    top, problems = _read_top(parts)
    agents, unread = _read_agents(parts)
    status = CiliumStatus(
        components=_components(top),
        agents=_agents(agents, top.errors.get(AGENT_COMPONENT, {})),
        pods_all=top.pods_count.all if top.pods_count else None,
        pods_managed=top.pods_count.by_cilium if top.pods_count else None,
        helm_chart_version=top.helm_chart_version,
        config_errors=tuple(map(_text, top.config_errors)),
        collection_errors=_collection_errors(completed, top),
    )
    silent = (f"agent {agent.pod}: {agent.error}" for agent in status.agents if not agent.answered)
    return Reading((status,), (*status.collection_errors, *problems, *unread, *silent))


STATUS = CiliumCommand(
    "cilium_status", ("status", "-o", "json"), parse_status, deadline=60.0, interval=30.0
)


def _read_top(parts: dict[str, msgspec.Raw]) -> tuple[_Top, tuple[str, ...]]:
    """The upper half, and what of it cannot be read: a key that does not fit costs itself alone."""
    fitting: dict[str, JsonValue] = {}
    problems: list[str] = []
    for name in _Top.__struct_fields__:
        try:
            value = read_value(bytes(parts.get(name, _NULL)))
            if value is not None:
                msgspec.convert({name: value}, _Top)
                fitting[name] = value
        except (Undecodable, msgspec.ValidationError) as problem:
            problems.append(f"{_LABEL}: {name} cannot be read: {one_line(str(problem))}")
    return msgspec.convert(fitting, _Top), tuple(problems)


def _read_agents(parts: dict[str, msgspec.Raw]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """What each agent pod said, as bytes, and why there is nothing of it."""
    try:
        agents = read_map(bytes(parts.get("cilium_status", _NULL)))
    except Undecodable as problem:
        return {}, (f"{_LABEL}: cilium_status cannot be read: {problem}",)
    return {one_line(pod): bytes(raw) for pod, raw in agents.items()}, ()


def _components(top: _Top) -> tuple[ComponentStatus, ...]:
    names = {*top.pod_state, *top.image_count, *top.phase_count, *top.errors}
    return tuple(_component(top, name) for name in sorted(names))


def _component(top: _Top, name: str) -> ComponentStatus:
    state = top.pod_state.get(name)
    about = top.errors.get(name, {})
    return ComponentStatus(
        name,
        type=state.type if state else "",
        desired=state.desired if state else None,
        ready=state.ready if state else None,
        available=state.available if state else None,
        unavailable=state.unavailable if state else None,
        disabled=name in about and about[name].disabled,
        phases=top.phase_count.get(name, {}),
        images=top.image_count.get(name, {}),
        messages=tuple(
            ComponentMessage(subject, severity, _text(text))
            for subject, said in sorted(about.items())
            for severity, texts in (("error", said.errors), ("warning", said.warnings))
            for text in texts
        ),
    )


def _agents(asked: dict[str, bytes], about: dict[str, _Messages]) -> tuple[AgentStatus, ...]:
    said = {
        pod: "; ".join(_text(text) for text in (*messages.errors, *messages.warnings))
        for pod, messages in about.items()
        if pod != AGENT_COMPONENT
    }
    # A pod that was not running was not asked, and is known by what is said of it.
    pods = sorted({*asked, *(pod for pod, text in said.items() if text)})
    return tuple(read_agent(pod, asked.get(pod, b"null"), said.get(pod, "")) for pod in pods)


def _collection_errors(completed: Completed, top: _Top) -> tuple[str, ...]:
    said = shortened(_FAILED.sub("", completed.err.strip()))
    if said:
        return (said.removeprefix("[").removesuffix("]"),)
    return tuple(dict.fromkeys(map(_text, top.collection_errors)))


def _text(said: _Text) -> str:
    return one_line(said if isinstance(said, str) else said.status.message) or NO_TEXT
