"""Cilium itself: its pods, its components, its version, as the API tells them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.model.finding import Health
from app.state.derived import Key
from app.state.kinds import DAEMON_SETS, DEPLOYMENTS, LEASES, PODS, VERSION, Kind
from app.state.snapshot import Snapshot, State
from collectors.kubernetes.records import Condition, ContainerStatus, Lease, Node, Pod
from collectors.logs.targets import leader_pod

Version = tuple[int, int]

BGPV1_REMOVED: Version = (1, 19)
"""The first Cilium without CiliumBGPPeeringPolicy (b74e51b715, 2025-10-24)."""

LEASE = "cilium-operator-resource-lock"
"""The lease whose holder is the operator that leads (Cilium operator/cmd/root.go)."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_LABELS = (
    # component, label, value: how Cilium's chart labels its workloads (`docs/cilium.md`, "Pods")
    ("agent", "k8s-app", "cilium"),
    ("envoy", "k8s-app", "cilium-envoy"),
    ("operator", "io.cilium/app", "operator"),
    ("operator", "name", "cilium-operator"),
    ("hubble-relay", "k8s-app", "hubble-relay"),
    ("hubble-ui", "k8s-app", "hubble-ui"),
    ("clustermesh", "k8s-app", "clustermesh-apiserver"),
)
COMPONENTS = ("agent", "operator", "envoy", "hubble-relay", "hubble-ui", "clustermesh")
"""The parts of Cilium, in the order in which they are listed."""


@dataclass(frozen=True, slots=True)
class LastExit:
    """How a container last ended."""

    container: str
    code: int
    reason: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class CiliumPod:
    """A pod of Cilium."""

    pod: Pod
    component: str
    """`agent`, `operator`, `envoy`, `hubble-relay`, `hubble-ui` or `clustermesh`."""
    ready_containers: int
    containers: int
    status: str
    """As kubectl prints it: the phase, or why a container waits or ended."""
    restarts: int
    last_exit: LastExit | None
    version: str
    """Tag of the main container's image."""
    leader: bool
    """Whether it is the operator that leads."""

    @property
    def ready(self) -> bool:
        """Whether the kubelet calls it Ready."""
        return pod_ready(self.pod)


@dataclass(frozen=True, slots=True)
class Component:
    """A part of Cilium and how many of its pods are ready."""

    name: str
    health: Health
    ready: int | None
    desired: int | None
    note: str


def pod_ready(pod: Pod) -> bool:
    """Whether the pod's Ready condition is True and it is not being deleted."""
    ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)
    return ready and pod.metadata.deletion_timestamp is None


def node_unready(node: Node) -> Condition | None:
    """What a node's Ready condition says, where it is not True; None: it is, or there is none."""
    ready = next((each for each in node.status.conditions if each.type == "Ready"), None)
    return ready if ready and ready.status != "True" else None


def starts(pod: Pod | None) -> tuple[datetime, ...]:
    """When the containers of a pod that run now started, as far as the kubelet says."""
    running = (status.state.running for status in (pod.status.container_statuses if pod else ()))
    return tuple(state.started_at for state in running if state and state.started_at)


def pod_health(found: CiliumPod) -> Health:
    """Whether a pod of Cilium serves: ready, on its way, or not."""
    if found.ready:
        return "ok"
    return "fail" if found.status not in ("Pending", "ContainerCreating", "Running") else "warn"


def api_trouble(snapshot: Snapshot) -> str:
    """Why the API server does not answer, not yet, or was never asked; "" while it answers.

    Its version is read every few seconds, so that its source is the server's heartbeat.
    """
    health = snapshot.health_of(VERSION)
    if health.state is State.LOADING:
        return "Waiting for the API server …"
    if health.state not in (State.FAILING, State.STALE, State.FORBIDDEN):
        return ""
    error = health.error  # that of a server begins with its URL
    server, refused, why = error.partition(" does not accept our credentials: ")
    if refused:
        return f"The API server refuses our credentials ({server}: {why})"
    if error.startswith(("The ", "There ")):
        means = ("credential plugin", "token file", "auth-provider", "client-key")
        return f"No {'credentials' if any(m in error for m in means) else 'cluster'}: {error}"
    if "(HTTP " in error:
        return f"The API server does not answer as it should ({error})"
    return f"The API server does not answer ({error or 'silent'})"


def cilium_release(snapshot: Snapshot) -> str:
    """The agents' version as their image's tag says it (`v1.19.1`), "" when it cannot be told.

    The running image decides, not a chart or a HelmRelease: those may not be what runs.
    """
    agent = snapshot.records[DAEMON_SETS].get(f"{snapshot.cilium_namespace}/cilium")
    containers = agent.spec.template.spec.containers if agent else ()
    images = [c.image for c in containers if c.name == "cilium-agent"] or [
        _main_image(pod) for pod in snapshot.agents_by_node.values()
    ]
    return next((tag for tag in map(_tag, images) if tag), "")


def cilium_version(snapshot: Snapshot) -> Version:
    """Major and minor of the agents' version; (0, 0) when it cannot be told."""
    found = _VERSION.match(cilium_release(snapshot))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def cilium_pods(snapshot: Snapshot) -> tuple[CiliumPod, ...]:
    """Every pod of Cilium, by component and node."""
    memo, pods, lease = snapshot.memo, snapshot.records[PODS], operator_lease(snapshot)
    holder = lease.spec.holder_identity if lease else ""
    holder = memo.of(_HOLDER, (holder,), lambda: holder)
    leader = memo.of(_LEADER, (pods, holder), lambda: leader_pod(lease, pods.values()))
    leads = leader.key if leader else ""
    leads = memo.of(_LEADS, (leads,), lambda: leads)

    def of_pod(key: str) -> tuple[CiliumPod, ...]:
        component = component_of(pods[key])
        return (_cilium_pod(pods[key], component, key == leads),) if component else ()

    found = memo.by_key(_PODS, (pods,), (leads,), of_pod).values
    return memo.of(_PODS_IN_ORDER, (found,), lambda: tuple(sorted(found, key=_place)))


_HOLDER: Key[str] = Key()
_LEADER: Key[Pod | None] = Key()
_LEADS: Key[str] = Key()
_PODS: Key[CiliumPod] = Key()
_PODS_IN_ORDER: Key[tuple[CiliumPod, ...]] = Key()


def _place(found: CiliumPod) -> tuple[int, str, str]:
    return COMPONENTS.index(found.component), found.pod.spec.node_name, found.pod.name


def component_of(pod: Pod) -> str:
    """Which part of Cilium a pod is, or "" when it is none."""
    labels = pod.metadata.labels
    return next((name for name, key, value in _LABELS if labels.get(key) == value), "")


def components(snapshot: Snapshot) -> tuple[Component, ...]:
    """Agents, operator, Envoy and Hubble: how many of each are ready."""
    return (
        _daemon_set(snapshot, "agents", "cilium"),
        _operator(snapshot),
        _daemon_set(snapshot, "envoy", "cilium-envoy"),
        _hubble_relay(snapshot),
    )


def operator_lease(snapshot: Snapshot) -> Lease | None:
    """The lease whose holder leads, or None when it is not known or not there."""
    return snapshot.records[LEASES].get(f"{snapshot.cilium_namespace}/{LEASE}")


def lease_lost(lease: Lease, now: datetime) -> bool:
    """Whether the holder of a lease has let it expire."""
    renewed = lease.spec.renew_time
    limit = timedelta(seconds=lease.spec.lease_duration_seconds or 15)
    return renewed is None or now - renewed > limit


def _cilium_pod(pod: Pod, component: str, leader: bool) -> CiliumPod:
    statuses = pod.status.container_statuses
    exits = [e for e in map(_last_exit, statuses) if e is not None]
    return CiliumPod(
        pod=pod,
        component=component,
        ready_containers=sum(status.ready for status in statuses),
        containers=max(len(pod.spec.containers), len(statuses)),
        status=_status(pod),
        restarts=sum(status.restart_count for status in statuses),
        last_exit=max(exits, key=lambda e: e.at.timestamp() if e.at else 0.0, default=None),
        version=_tag(_main_image(pod)),
        leader=leader,
    )


def _status(pod: Pod) -> str:
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating"
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waiting, ended = status.state.waiting, status.state.terminated
        if waiting is not None and waiting.reason not in ("", "PodInitializing"):
            return waiting.reason
        if ended is not None and (ended.exit_code or ended.signal):
            return ended.reason or f"ExitCode:{ended.exit_code}"
    return pod.status.reason or pod.status.phase or "Unknown"


def _last_exit(status: ContainerStatus) -> LastExit | None:
    ended = status.state.terminated or status.last_state.terminated
    if ended is None:
        return None
    return LastExit(status.name, ended.exit_code, ended.reason, ended.finished_at)


def _tag(image: str) -> str:
    """The tag of an image reference, "" where it has none (a digest alone)."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]


def _main_image(pod: Pod) -> str:
    return pod.spec.containers[0].image if pod.spec.containers else ""


def _daemon_set(snapshot: Snapshot, name: str, workload: str) -> Component:
    found = snapshot.records[DAEMON_SETS].get(f"{snapshot.cilium_namespace}/{workload}")
    if found is None:
        return _missing(snapshot, name, DAEMON_SETS, required=workload == "cilium")
    status = found.status
    return _counted(name, status.number_ready, status.desired_number_scheduled)


def _hubble_relay(snapshot: Snapshot) -> Component:
    found = snapshot.records[DEPLOYMENTS].get(f"{snapshot.cilium_namespace}/hubble-relay")
    if found is None:
        return _missing(snapshot, "hubble-relay", DEPLOYMENTS, required=False)
    return _counted("hubble-relay", found.status.ready_replicas, found.spec.replicas)


def _operator(snapshot: Snapshot) -> Component:
    found = snapshot.records[DEPLOYMENTS].get(f"{snapshot.cilium_namespace}/cilium-operator")
    if found is None:
        return _missing(snapshot, "operator", DEPLOYMENTS, required=True)
    ready, desired = found.status.ready_replicas, found.spec.replicas
    lease = operator_lease(snapshot)
    if lease is None:
        leads = "no lease" if snapshot.health_of(LEASES).known else "leader unknown"
        health: Health = (
            "fail" if ready == 0 else "unknown" if leads == "leader unknown" else "warn"
        )
        return Component("operator", health, ready, desired, leads)
    source = snapshot.health_of(LEASES)
    # A lease that was last read during an outage says nothing of renewals since.
    as_of = snapshot.taken_at if source.state is State.FRESH else source.read_at
    if lease_lost(lease, as_of or snapshot.taken_at):
        return Component("operator", "fail", ready, desired, "no leader")
    return _counted("operator", ready, desired, "leader")


def _counted(name: str, ready: int, desired: int, note: str = "") -> Component:
    health: Health = "ok" if ready >= desired else "fail" if ready == 0 else "warn"
    return Component(name, health if desired else "none", ready, desired, note)


def _missing(snapshot: Snapshot, name: str, kind: Kind[object], *, required: bool) -> Component:
    source = snapshot.health_of(kind)
    if not source.known:
        return Component(name, "unknown", None, None, str(source.state))
    return Component(name, "fail" if required else "none", None, None, "not installed")
