"""The part of each API object that ciliscope reads, as frozen structs: the wire schema is the type.

Field names follow Kubernetes in snake_case. Only fields that something uses are here; what is
absent on the wire takes the default, so a record can be built by hand with what matters. Outside
input becomes a record through `collectors.kubernetes.answers`, which lets no unsafe text in.

Source: the Kubernetes API reference, 1.31 to 1.36.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class RecordPart(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A piece of an object."""


class OwnerReference(RecordPart, frozen=True):
    """Who an object belongs to."""

    kind: str = ""
    name: str = ""


class ManagedField(RecordPart, frozen=True):
    """Who last wrote which part of an object, and when."""

    manager: str = ""
    subresource: str = ""
    time: datetime | None = None


class Metadata(RecordPart, frozen=True):
    """`metadata` of any object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    """0 where the API server does not keep one for the kind."""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    managed_fields: tuple[ManagedField, ...] = ()


class Object(RecordPart, frozen=True):
    """What every API object has."""

    metadata: Metadata

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` for a cluster-scoped object."""
        metadata = self.metadata
        return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """`metadata.namespace`, "" for a cluster-scoped object."""
        return self.metadata.namespace


class Condition(RecordPart, frozen=True):
    """One entry of `status.conditions`. Decide on type and status, never on the reason."""

    type: str
    status: str = "Unknown"
    """`True`, `False` or `Unknown`."""
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: datetime | None = None


class Requirement(RecordPart, frozen=True):
    """One entry of `matchExpressions`."""

    key: str = ""
    operator: str = ""
    """`In`, `NotIn`, `Exists` or `DoesNotExist`."""
    values: tuple[str, ...] = ()


class LabelSelector(RecordPart, frozen=True):
    """A label selector. An absent one (None) and an empty one mean different things per field."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()


class NamedReference(RecordPart, frozen=True):
    """A reference by name."""

    name: str = ""


class ObjectReference(RecordPart, frozen=True):
    """A reference to any object."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


# --- nodes and namespaces


class NodeSpec(RecordPart, frozen=True):
    """`spec` of a Node."""

    unschedulable: bool = False
    pod_cidrs: tuple[str, ...] = msgspec.field(default=(), name="podCIDRs")


class NodeAddress(RecordPart, frozen=True):
    """One address of a node."""

    type: str = ""
    address: str = ""


class NodeInfo(RecordPart, frozen=True):
    """Versions a kubelet reports."""

    kubelet_version: str = ""
    os_image: str = ""


class NodeStatus(RecordPart, frozen=True):
    """`status` of a Node."""

    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    node_info: NodeInfo = NodeInfo()


class Node(Object, frozen=True):
    """A node."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Namespace(Object, frozen=True):
    """A namespace."""


# --- pods and what runs them


class ContainerRunning(RecordPart, frozen=True):
    """A container runs."""

    started_at: datetime | None = None


class ContainerWaiting(RecordPart, frozen=True):
    """A container does not run yet, or not again."""

    reason: str = ""
    message: str = ""


class ContainerTerminated(RecordPart, frozen=True):
    """A container has ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(RecordPart, frozen=True):
    """At most one of the three is set."""

    running: ContainerRunning | None = None
    waiting: ContainerWaiting | None = None
    terminated: ContainerTerminated | None = None


class ContainerStatus(RecordPart, frozen=True):
    """What the kubelet says of one container."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Container(RecordPart, frozen=True):
    """A container of a pod's spec."""

    name: str = ""
    image: str = ""


class PodSpec(RecordPart, frozen=True):
    """`spec` of a Pod."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()


class PodStatus(RecordPart, frozen=True):
    """`status` of a Pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True):
    """A pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplate(RecordPart, frozen=True):
    """The template a workload makes pods from."""

    spec: PodSpec = PodSpec()


class DaemonSetSpec(RecordPart, frozen=True):
    """`spec` of a DaemonSet."""

    template: PodTemplate = PodTemplate()


class DaemonSetStatus(RecordPart, frozen=True):
    """`status` of a DaemonSet."""

    desired_number_scheduled: int = 0
    number_ready: int = 0
    updated_number_scheduled: int = 0
    observed_generation: int = 0


class DaemonSet(Object, frozen=True):
    """A DaemonSet."""

    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class DeploymentSpec(RecordPart, frozen=True):
    """`spec` of a Deployment."""

    replicas: int = 1
    template: PodTemplate = PodTemplate()


class DeploymentStatus(RecordPart, frozen=True):
    """`status` of a Deployment."""

    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    observed_generation: int = 0


class Deployment(Object, frozen=True):
    """A Deployment."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class LeaseSpec(RecordPart, frozen=True):
    """`spec` of a Lease."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None


class Lease(Object, frozen=True):
    """A lease; the operator's tells who leads."""

    spec: LeaseSpec = LeaseSpec()


class ConfigMap(Object, frozen=True):
    """A ConfigMap."""

    data: dict[str, str] = {}


class EventSeries(RecordPart, frozen=True):
    """How often an event came, in the newer form."""

    count: int = 0
    last_observed_time: datetime | None = None


class EventSource(RecordPart, frozen=True):
    """Who reports an event, in the older form."""

    component: str = ""
    host: str = ""


class Event(Object, frozen=True):
    """An event (core/v1)."""

    involved_object: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 0
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None
    source: EventSource = EventSource()
    reporting_component: str = ""

    @property
    def last_seen(self) -> datetime | None:
        """When it was last observed, whichever of the four fields says so."""
        series = self.series.last_observed_time if self.series else None
        return series or self.last_timestamp or self.event_time or self.metadata.creation_timestamp


# --- services


class ServicePort(RecordPart, frozen=True):
    """A port of a service."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    node_port: int = 0


class ServiceSpec(RecordPart, frozen=True):
    """`spec` of a Service."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_class: str | None = None
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    external_traffic_policy: str = ""
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()


class Ingress(RecordPart, frozen=True):
    """One entry of `status.loadBalancer.ingress`."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str = ""


class LoadBalancerStatus(RecordPart, frozen=True):
    """`status.loadBalancer` of a Service."""

    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(RecordPart, frozen=True):
    """`status` of a Service."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: tuple[Condition, ...] = ()


class Service(Object, frozen=True):
    """A service."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(RecordPart, frozen=True):
    """State of an endpoint. None means the controller did not say, which counts as ready."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(RecordPart, frozen=True):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    node_name: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(RecordPart, frozen=True):
    """A port of a slice."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0


class EndpointSlice(Object, frozen=True):
    """Some of the endpoints of a service."""

    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def service_key(self) -> str:
        """Key of the service it belongs to (label `kubernetes.io/service-name`), "" if none."""
        service = self.metadata.labels.get("kubernetes.io/service-name", "")
        return f"{self.metadata.namespace}/{service}" if service else ""


class Opaque(RecordPart, frozen=True):
    """Something of which only that it is there is read."""


class NetworkPeer(RecordPart, frozen=True):
    """One entry of `from`: pods by labels, or an address range."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: Opaque | None = None


class NetworkIngress(RecordPart, frozen=True):
    """One entry of `spec.ingress`. Without any `from` it lets everybody in."""

    from_: tuple[NetworkPeer, ...] = msgspec.field(default=(), name="from")
    ports: tuple[Opaque, ...] = ()


class NetworkPolicySpec(RecordPart, frozen=True):
    """`spec` of a NetworkPolicy."""

    pod_selector: LabelSelector = LabelSelector()
    """An empty one selects every pod of the namespace."""
    policy_types: tuple[str, ...] = ()
    """`Ingress`, `Egress`; without any it is about ingress, and egress where it has such rules."""
    ingress: tuple[NetworkIngress, ...] = ()
    egress: tuple[Opaque, ...] = ()


class NetworkPolicy(Object, frozen=True):
    """A policy of Kubernetes; it has no status, so that nobody says whether it is valid."""

    spec: NetworkPolicySpec = NetworkPolicySpec()


# --- the server


class ClusterVersion(msgspec.Struct, frozen=True):
    """What the API server says of itself."""

    git_version: str
    """`v1.36.2`."""
    clock_skew: float | None
    """Seconds its clock is ahead of ours, give or take half a second and half the time the request
    took; None when it did not tell the time."""

    @property
    def key(self) -> str:
        """`version`: there is one."""
        return "version"
