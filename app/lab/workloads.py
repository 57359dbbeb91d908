"""Nodes, pods, the workloads that own them and what lists them, as the controllers keep them.

Only what a troubleshooter looks at: phases, readiness, restarts, reasons, images, events,
EndpointSlices, CiliumEndpoints. Shapes are those of the recordings.

A CiliumEndpoint is a pod as the agent of its node has it, for as long as the pod is there. An agent
that does not run writes none; those that it wrote stay. Which labels of a pod make its identity:
Cilium `pkg/labelsfilter/filter.go`. Numbers follow from names and labels, so that nothing else in
the cluster changes its own because of them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from app.lab import kinds
from app.lab.fields import (
    data,
    integer,
    key_of,
    labels_of,
    made,
    mapping,
    moment,
    name_of,
    objects,
    selects,
    text,
    texts,
    truth,
    with_status,
)
from app.lab.plane import NAMESPACE, Plane, owner_reference
from app.lab.store import ContainerLog, JsonObject, stamp

HELM_RELEASE = {
    "meta.helm.sh/release-name": "cilium",
    "meta.helm.sh/release-namespace": NAMESPACE,
}
"""The annotations of what Helm installed."""

CRASHED = 137
"""Exit code of a killed container."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes name suffixes of."""


class Component(msgspec.Struct, frozen=True):
    """One workload of kube-system."""

    name: str
    kind: str
    """DaemonSet or Deployment."""
    containers: dict[str, str]
    """Images by name."""
    labels: dict[str, str]
    selector: dict[str, str]
    replicas: int = 1
    host_network: bool = False


class Workloads:
    """Creates pods and changes their status and that of their owners."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    def suffix(self, length: int = 5) -> str:
        """A random name suffix."""
        return "".join(self.plane.random.choices(_ALPHABET, k=length))

    def generated(self, parent: str, namespace: str, labels: JsonObject) -> JsonObject:
        """The metadata of an object whose name is generated from its parent's."""
        return {
            "name": f"{parent}-{self.suffix()}",
            "generateName": f"{parent}-",
            "namespace": namespace,
            "labels": labels,
        }

    def create_namespace(self, name: str, labels: JsonObject, manager: str = "") -> None:
        """Create a namespace with its own label and others."""
        own = {**labels, "kubernetes.io/metadata.name": name}
        self.plane.put(kinds.NAMESPACES, made("Namespace", name=name, labels=own), manager)

    def deploy(self, component: Component, nodes: Sequence[str], helm: bool) -> None:
        """Create a workload and its pods on the given nodes, all up since now."""
        daemon = component.kind == "DaemonSet"
        labels = component.labels
        metadata: JsonObject = {"name": component.name, "namespace": NAMESPACE, "labels": labels}
        if helm:
            metadata["labels"] = {"app.kubernetes.io/managed-by": "Helm", **labels}
            metadata["annotations"] = HELM_RELEASE
        owner = made(
            "Workload",
            kind=component.kind,
            replicas=None if daemon else component.replicas,
            metadata=metadata,
            selector=component.selector,
            labels=labels,
            containers=_containers(component.containers),
        )
        resource = kinds.DAEMON_SETS if daemon else kinds.DEPLOYMENTS
        owner = self.plane.put(resource, owner, "helm" if helm else "talos")
        template = self.suffix(10)
        places = nodes if daemon else [nodes[i % len(nodes)] for i in range(component.replicas)]
        for node in places:
            self._create(component, text(owner, "metadata", "uid"), template, node)
        self.refresh()

    def _create(self, component: Component, owner: str, template: str, node: str) -> None:
        daemon = component.kind == "DaemonSet"
        parent = component.name if daemon else f"{component.name}-{template}"
        kind = "DaemonSet" if daemon else "ReplicaSet"
        hash_label = "controller-revision-hash" if daemon else "pod-template-hash"
        labels: JsonObject = {**component.labels, hash_label: template}
        reference = owner_reference(kind, parent, owner, api="apps/v1", controller=True)
        metadata = self.generated(parent, NAMESPACE, labels) | {"ownerReferences": [reference]}
        self.create_pod(metadata, component.containers, node, host_network=component.host_network)

    def create_pod(
        self,
        metadata: JsonObject,
        containers: Mapping[str, str],
        node: str,
        *,
        host_network: bool = False,
        address: str = "",
    ) -> JsonObject:
        """Create a pod that runs and is ready since now; `containers` are images by name."""
        now = stamp(self.plane.time)
        host = self._host_addresses(node)
        own = host if host_network else [address] if address else []
        pod = made(
            "Pod",
            host_network=host_network or None,
            metadata=metadata,
            containers=_containers(containers),
            node=node,
            conditions=_pod_conditions(now, ready=True),
            host=next(iter(host), ""),
            address=next(iter(own), ""),
            addresses=[{"ip": ip} for ip in own],
            now=now,
            statuses=[
                made("ContainerStatus", name=name, now=now, image=image, digest=_digest(image))
                for name, image in containers.items()
            ],
        )
        return self.plane.put(kinds.PODS, pod, "kubelet")

    def _host_addresses(self, node: str) -> list[str]:
        entries = objects(self.plane.get(kinds.NODES, node), "status", "addresses")
        return [text(e, "address") for e in entries if text(e, "type") == "InternalIP"]

    # Changes

    def pods(self, label: str, value: str) -> list[JsonObject]:
        """The kube-system pods with this label."""
        pods = self.plane.store.all(kinds.PODS, NAMESPACE)
        return [pod for pod in pods if labels_of(pod).get(label) == value]

    def crash(self, pod: JsonObject, exit_code: int = CRASHED, back_off: str = "10s") -> None:
        """The first container died and is held back for a while before the next start."""
        status = first_status(pod)
        started = text(status, "state", "running", "startedAt") or stamp(self.plane.time)
        uid = text(pod, "metadata", "uid")
        name = text(status, "name")
        where = f"container={name} pod={name_of(pod)}_{NAMESPACE}({uid})"
        message = f"back-off {back_off} restarting failed {where}"
        log = self.plane.logs.of(NAMESPACE, name_of(pod), name)
        if log is not None:
            # While a container is held back, its last log is both the present and the previous.
            kept = ContainerLog(log.lines, list(log.lines))
            self.plane.logs.load(NAMESPACE, name_of(pod), name, kept)
        changed = made(
            "Crashed",
            message=message,
            last=self._terminated(exit_code, started),
            restarts=integer(status, "restartCount") + 1,
        )
        self.set_container(pod, {**status, **changed}, ready=False)
        self.event(pod, "BackOff", message.capitalize(), "Warning")

    def recover(self, pod: JsonObject) -> None:
        """The first container runs again and is ready."""
        status = first_status(pod)
        self._restarted(pod, {**status, "state": self._running(), "ready": True, "started": True})
        self.event(pod, "Started", f"Started container {text(status, 'name')}")

    def restart(self, pod: JsonObject) -> None:
        """The first container ends and a new one takes its place at once."""
        status = first_status(pod)
        changed: JsonObject = {
            **status,
            "state": self._running(),
            "lastState": self._terminated(1, text(status, "state", "running", "startedAt")),
            "restartCount": integer(status, "restartCount") + 1,
        }
        self._restarted(pod, changed)
        name, image = text(status, "name"), text(status, "image")
        self.event(pod, "Pulled", f'Container image "{image}" already present on machine')
        self.event(pod, "Created", f"Created container: {name}")
        self.event(pod, "Started", f"Started container {name}")

    def _restarted(self, pod: JsonObject, status: JsonObject) -> None:
        self.plane.logs.restarted(NAMESPACE, name_of(pod), text(status, "name"))
        self.set_container(pod, status, ready=True)

    def _running(self) -> JsonObject:
        return {"running": {"startedAt": stamp(self.plane.time)}}

    def _terminated(self, exit_code: int, started: str) -> JsonObject:
        return made("Terminated", code=exit_code, started=started, now=stamp(self.plane.time))

    def replace(self, pod: JsonObject) -> JsonObject:
        """The pod is deleted and its owner makes a new one on the same node."""
        kept = ("generateName", "namespace", "labels", "ownerReferences")
        metadata = {key: v for key, v in mapping(pod, "metadata").items() if key in kept}
        metadata["name"] = f"{text(pod, 'metadata', 'generateName')}{self.suffix()}"
        listed = objects(pod, "spec", "containers")
        containers = {text(each, "name"): text(each, "image") for each in listed}
        self.plane.store.delete(kinds.PODS, text(pod, "metadata", "namespace"), name_of(pod))
        new = self.create_pod(
            metadata,
            containers,
            text(pod, "spec", "nodeName"),
            host_network=on_host_network(pod),
            address=text(pod, "status", "podIP"),
        )
        self.event(new, "Started", f"Started container {next(iter(containers))}")
        self.refresh()
        return new

    def node_ready(self, name: str, ready: bool) -> None:
        """The node's heartbeat comes, or has stopped coming."""
        now = stamp(self.plane.time)

        def changed(condition: JsonObject) -> JsonObject:
            verdict = node_verdict(text(condition, "type"), ready)
            return {**condition, **verdict, "lastTransitionTime": now}

        self._set_node(name, changed, "kube-controller-manager")
        for pod in self.plane.store.all(kinds.PODS):
            if text(pod, "spec", "nodeName") == name:
                fresh = with_status(pod, conditions=_pod_conditions(now, ready))
                self.plane.put(kinds.PODS, fresh, "kube-controller-manager")
        self.refresh()

    def node_seen(self, name: str) -> None:
        """The node's kubelet reports that nothing changed."""
        now = stamp(self.plane.time)

        def seen(condition: JsonObject) -> JsonObject:
            kubelets = text(condition, "type") != "NetworkUnavailable"
            return {**condition, "lastHeartbeatTime": now} if kubelets else condition

        self._set_node(name, seen, "kubelet")

    def _set_node(
        self, name: str, change: Callable[[JsonObject], JsonObject], manager: str
    ) -> None:
        node = self.plane.get(kinds.NODES, name)
        if node is not None:
            conditions = [change(each) for each in objects(node, "status", "conditions")]
            self.plane.put(kinds.NODES, with_status(node, conditions=conditions), manager)

    def refresh(self) -> None:
        """Recount the workloads of kube-system from their pods."""
        pods = self.plane.store.all(kinds.PODS, NAMESPACE)
        for resource in (kinds.DAEMON_SETS, kinds.DEPLOYMENTS):
            for owner in self.plane.store.all(resource, NAMESPACE):
                selector = mapping(owner, "spec", "selector")
                own = [pod for pod in pods if selects(selector, labels_of(pod))]
                ready = sum(is_ready(pod) for pod in own)
                desired = integer(owner, "spec", "replicas", default=len(own))
                if resource == kinds.DAEMON_SETS:
                    desired = len(self.plane.all(kinds.NODES))
                status = _counts(owner, desired, len(own), ready, stamp(self.plane.time))
                if _numbers(mapping(owner, "status")) != _numbers(status):
                    new = {**owner, "status": status}
                    self.plane.put(resource, new, "kube-controller-manager")

    def event(self, pod: JsonObject, reason: str, message: str, kind: str = "Normal") -> None:
        """Record a Kubernetes event about a pod."""
        now = self.plane.time
        name = f"{name_of(pod)}.{int(now.timestamp() * 1e9):x}"
        namespace, node = text(pod, "metadata", "namespace"), text(pod, "spec", "nodeName")
        event = made(
            "Event",
            name=f"{name}{self.suffix(3)}",
            namespace=namespace,
            pod=name_of(pod),
            uid=text(pod, "metadata", "uid"),
            reason=reason,
            message=message,
            type=kind,
            node=node,
            now=stamp(now),
        )
        self.plane.put(kinds.EVENTS, event, "kubelet")

    def set_container(self, pod: JsonObject, first: JsonObject, *, ready: bool) -> None:
        """The pod's first container is in this state, and the pod is ready or not."""
        others = objects(pod, "status", "containerStatuses")[1:]
        conditions = _pod_conditions(stamp(self.plane.time), ready)
        changed = with_status(pod, conditions=conditions, containerStatuses=[first, *others])
        self.plane.put(kinds.PODS, changed, "kubelet")
        self.refresh()


def _containers(images: Mapping[str, str]) -> list[object]:
    return [{"name": name, "image": image} for name, image in images.items()]


def _digest(image: str) -> str:
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def is_ready(obj: JsonObject) -> bool:
    """Whether the Ready condition of a pod or a node is True."""
    conditions = objects(obj, "status", "conditions")
    return any(text(c, "type") == "Ready" and text(c, "status") == "True" for c in conditions)


def on_host_network(pod: JsonObject) -> bool:
    """Whether a pod has the network of its node."""
    return truth(pod, "spec", "hostNetwork")


def container_runs(pod: JsonObject) -> bool:
    """Whether the pod's first container is running."""
    return bool(mapping(first_status(pod), "state", "running"))


def container_started(pod: JsonObject) -> datetime:
    """When the pod's first container was started; the epoch when it does not run."""
    return moment(text(first_status(pod), "state", "running", "startedAt"))


def first_status(pod: JsonObject) -> JsonObject:
    """The status of the pod's first container."""
    return next(iter(objects(pod, "status", "containerStatuses")), {})


def node_verdict(kind: str, ready: bool) -> JsonObject:
    """Status, reason and message of a node condition, heartbeats coming or not."""
    verdicts = data("cluster", "node_conditions", dict[str, JsonObject])
    return verdicts[kind if ready or kind == "NetworkUnavailable" else "silent"]


def _pod_conditions(now: str, ready: bool) -> list[object]:
    return data("cluster", "pod_conditions", list[object], ready=str(ready), now=now)


def _numbers(status: JsonObject) -> JsonObject:
    return {key: value for key, value in status.items() if key != "conditions"}


def _counts(owner: JsonObject, desired: int, pods: int, ready: int, now: str) -> JsonObject:
    lacking = desired - ready if ready < desired else None
    if text(owner, "kind") == "DaemonSet":
        return made("DaemonSetStatus", pods=pods, desired=desired, ready=ready, lacking=lacking)
    full = lacking is None
    return made(
        "DeploymentStatus",
        pods=pods,
        some=ready or None,
        lacking=lacking,
        full=str(full),
        now=now,
        reason=f"MinimumReplicas{'Available' if full else 'Unavailable'}",
        has="has" if full else "does not have",
    )


_NAMES = uuid.UUID("b5f2b8f0-6d0e-4d2e-9f0e-0c1e6a7b9d11")
_LEFT_OUT = ("pod-template-hash", "pod-template-generation", "controller-revision-hash")
_LEFT_OUT_DOMAINS = ("io.kubernetes", "kubernetes.io", "k8s.io")


def back(workloads: Workloads, service: JsonObject, nodes: Sequence[str]) -> None:
    """Give a service ready pods on the nodes, and the EndpointSlice that lists them."""
    namespace, name = key_of(service)
    template = workloads.suffix(10)
    labels = {**mapping(service, "spec", "selector"), "pod-template-hash": template}
    endpoints: list[object] = []
    for number, node in enumerate(nodes):
        address = _pod_address(workloads.plane, node, number)
        pod = workloads.create_pod(
            workloads.generated(f"{name}-{template}", namespace, labels),
            {name: f"ghcr.io/home-operations/{name}:rolling"},
            node,
            address=address,
        )
        endpoints.append(_endpoint(node, address, pod))
    _put_slice(workloads, service, endpoints)


def back_generated(workloads: Workloads, service: JsonObject, node: str) -> None:
    """Give a generated service one ready endpoint; its pod is not made."""
    endpoint = _endpoint(node, _pod_address(workloads.plane, node, 0), {})
    _put_slice(workloads, service, [endpoint])


def _pod_address(plane: Plane, node: str, number: int) -> str:
    cidrs = texts(plane.get(kinds.NODES, node), "spec", "podCIDRs")
    index = 20 + (len(plane.all(kinds.SERVICES)) * 7 + number) % 200
    return str(ipaddress.ip_network(cidrs[0])[index]) if cidrs else ""


def _put_slice(workloads: Workloads, service: JsonObject, endpoints: list[object]) -> None:
    namespace, name = key_of(service)
    uid = text(service, "metadata", "uid")
    ports = [
        {**{key: text(port, key) for key in ("name", "protocol")}, "port": port.get("targetPort")}
        for port in objects(service, "spec", "ports")
    ]
    labels: JsonObject = {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        **labels_of(service),
        "kubernetes.io/service-name": name,
    }
    owners = [owner_reference("Service", name, uid, controller=True)]
    metadata = {**workloads.generated(name, namespace, labels), "ownerReferences": owners}
    made_slice = made("EndpointSlice", metadata=metadata, endpoints=endpoints, ports=ports)
    workloads.plane.put(kinds.ENDPOINT_SLICES, made_slice, "kube-controller-manager")


def _endpoint(node: str, address: str, pod: JsonObject) -> JsonObject:
    namespace, name = key_of(pod)
    uid = text(pod, "metadata", "uid")
    target: JsonObject = {"kind": "Pod", "namespace": namespace, "name": name, "uid": uid}
    return made("Endpoint", addresses=[address], target=target if pod else None, node=node)


class CiliumEndpoints:
    """Keeps the CiliumEndpoints in line with the pods."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def follow(self, nodes: Collection[str]) -> None:
        """Make those of new pods on nodes where an agent runs, remove those whose pod is gone."""
        plane = self._plane
        if kinds.CILIUM_ENDPOINTS not in plane.store.resources:
            return
        pods = {key_of(pod): pod for pod in plane.all(kinds.PODS) if _has_endpoint(pod)}
        known = {key_of(each) for each in plane.all(kinds.CILIUM_ENDPOINTS)}
        for namespace, name in sorted(known - pods.keys()):
            plane.store.delete(kinds.CILIUM_ENDPOINTS, namespace, name)
        for place in sorted(pods.keys() - known):
            if text(pods[place], "spec", "nodeName") in nodes:
                plane.put(kinds.CILIUM_ENDPOINTS, self._endpoint(pods[place]), "cilium-agent")

    def _endpoint(self, pod: JsonObject) -> JsonObject:
        namespace, name = key_of(pod)
        uid = text(pod, "metadata", "uid")
        labels = sorted(self._identity(pod))
        return made(
            "CiliumEndpoint",
            name=name,
            namespace=namespace,
            uid=str(uuid.uuid5(_NAMES, uid)),
            labels=labels_of(pod),
            owners=[owner_reference("Pod", name, uid)],
            id=_number(uid, 4000),
            identity=256 + _number(",".join(labels), 65_000),
            identity_labels=labels,
            addressing=[_pair(pod)],
            node=text(pod, "status", "hostIP"),
        )

    def _identity(self, pod: JsonObject) -> Iterator[str]:
        namespace = text(pod, "metadata", "namespace")
        cluster = text(self._plane.configuration(), "cluster-name") or "default"
        for key, value in labels_of(pod).items():
            if key not in _LEFT_OUT and not key.startswith(_LEFT_OUT_DOMAINS):
                yield f"k8s:{key}={value}"
        yield f"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name={namespace}"
        yield f"k8s:io.cilium.k8s.policy.cluster={cluster}"
        yield "k8s:io.cilium.k8s.policy.serviceaccount=default"
        yield f"k8s:io.kubernetes.pod.namespace={namespace}"


def _has_endpoint(pod: JsonObject) -> bool:
    """Whether a pod is Cilium's to connect: not on the host's network, and with an address."""
    return not on_host_network(pod) and bool(text(pod, "status", "podIP"))


def _pair(pod: JsonObject) -> JsonObject:
    addresses = [text(each, "ip") for each in objects(pod, "status", "podIPs")]
    return {"ipv6" if ":" in address else "ipv4": address for address in addresses}


def _number(words: str, below: int) -> int:
    return 1 + zlib.crc32(words.encode()) % below
