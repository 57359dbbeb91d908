"""Nodes, pods and the workloads that own them, as the kubelet and the controllers keep them.

Only what a troubleshooter looks at: phases, readiness, restarts, reasons, images, events. Shapes
are those of the recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from app.lab.components import Component, node_verdict
from app.lab.fields import (
    labels_of,
    mapping,
    moment,
    name_of,
    objects,
    selects,
    text,
)
from app.lab.plane import DAEMON_SETS, DEPLOYMENTS, EVENTS, NAMESPACE, NODES, PODS, Plane
from app.lab.store import ContainerLog, JsonObject, stamp

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes name suffixes of."""

CRASHED = 137
"""Exit code of a killed container."""


class Workloads:
    """Creates pods and changes what they and their owners say."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def suffix(self, length: int = 5) -> str:
        """A random name suffix."""
        return "".join(self._plane.random.choices(_ALPHABET, k=length))

    def deploy(self, component: Component, nodes: Sequence[str], helm: bool) -> None:
        """Create a workload and its pods on the given nodes, all up since now."""
        daemon = component.kind == "DaemonSet"
        resource = DAEMON_SETS if daemon else DEPLOYMENTS
        metadata: JsonObject = {
            "name": component.name,
            "namespace": NAMESPACE,
            "labels": dict(component.labels),
        }
        if helm:
            metadata["labels"] = {"app.kubernetes.io/managed-by": "Helm", **dict(component.labels)}
            metadata["annotations"] = {
                "meta.helm.sh/release-name": "cilium",
                "meta.helm.sh/release-namespace": NAMESPACE,
            }
        spec: JsonObject = {
            "selector": {"matchLabels": dict(component.selector)},
            "template": {
                "metadata": {"labels": dict(component.labels)},
                "spec": {
                    "containers": [
                        {"name": name, "image": image} for name, image in component.containers
                    ]
                },
            },
        }
        if not daemon:
            spec = {"replicas": component.replicas, **spec}
        owner = self._plane.put(
            resource,
            {
                "apiVersion": "apps/v1",
                "kind": component.kind,
                "metadata": metadata,
                "spec": spec,
            },
            "helm" if helm else "talos",
        )
        template = self.suffix(10)
        places = nodes if daemon else [nodes[i % len(nodes)] for i in range(component.replicas)]
        for node in places:
            self._create(component, owner, template, node)
        self.refresh()

    def _create(self, component: Component, owner: JsonObject, template: str, node: str) -> None:
        daemon = component.kind == "DaemonSet"
        middle = "" if daemon else f"{template}-"
        labels = {**dict(component.labels)}
        labels["controller-revision-hash" if daemon else "pod-template-hash"] = template
        parent = component.name if daemon else f"{component.name}-{template}"
        metadata: JsonObject = {
            "name": f"{component.name}-{middle}{self.suffix()}",
            "generateName": f"{component.name}-{middle}",
            "namespace": NAMESPACE,
            "labels": labels,
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet" if daemon else "ReplicaSet",
                    "name": parent,
                    "uid": text(owner, "metadata", "uid"),
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        self.create_pod(metadata, component.containers, node, host_network=component.host_network)

    def create_pod(
        self,
        metadata: JsonObject,
        containers: Iterable[tuple[str, str]],
        node: str,
        *,
        host_network: bool = False,
        address: str = "",
    ) -> JsonObject:
        """Create a pod that runs and is ready since now."""
        now = stamp(self._plane.time)
        host = self._host_addresses(node)
        own = host if host_network else [address] if address else []
        listed = list(containers)
        pod: JsonObject = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "containers": [{"name": name, "image": image} for name, image in listed],
                "restartPolicy": "Always",
                "nodeName": node,
                **({"hostNetwork": True} if host_network else {}),
            },
            "status": {
                "phase": "Running",
                "conditions": _pod_conditions(now, ready=True),
                "hostIP": next(iter(host), ""),
                "podIP": next(iter(own), ""),
                "podIPs": [{"ip": ip} for ip in own],
                "startTime": now,
                "containerStatuses": [
                    {
                        "name": name,
                        "state": {"running": {"startedAt": now}},
                        "lastState": {},
                        "ready": True,
                        "restartCount": 0,
                        "image": image,
                        "imageID": f"sha256:{hashlib.sha256(image.encode()).hexdigest()}",
                        "started": True,
                    }
                    for name, image in listed
                ],
            },
        }
        return self._plane.put(PODS, pod, "kubelet")

    def _host_addresses(self, node: str) -> list[str]:
        entries = objects(self._plane.get(NODES, node), "status", "addresses")
        return [text(e, "address") for e in entries if text(e, "type") == "InternalIP"]

    # Changes

    def pods(self, label: str, value: str) -> list[JsonObject]:
        """The kube-system pods with this label."""
        pods = self._plane.store.all(PODS, NAMESPACE)
        return [pod for pod in pods if labels_of(pod).get(label) == value]

    def crash(self, pod: JsonObject, exit_code: int = CRASHED, back_off: str = "10s") -> None:
        """The first container died and is held back for a while before the next start."""
        status = first_status(pod)
        started = text(status, "state", "running", "startedAt") or stamp(self._plane.time)
        uid = text(pod, "metadata", "uid")
        name = text(status, "name")
        message = (
            f"back-off {back_off} restarting failed container={name} "
            f"pod={name_of(pod)}_{NAMESPACE}({uid})"
        )
        changed: JsonObject = {
            **status,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
            "lastState": {"terminated": self._terminated(exit_code, "Error", started)},
            "ready": False,
            "restartCount": _count(status) + 1,
            "started": False,
        }
        log = self._plane.logs.of(NAMESPACE, name_of(pod), name)
        if log is not None:
            # While a container is held back, its last log is both the present and the previous.
            kept = ContainerLog(log.lines, list(log.lines))
            self._plane.logs.load(NAMESPACE, name_of(pod), name, kept)
        self.set_container(pod, changed, ready=False)
        self.event(pod, "BackOff", message.capitalize(), "Warning")

    def recover(self, pod: JsonObject) -> None:
        """The first container runs again and is ready."""
        status = first_status(pod)
        changed: JsonObject = {
            **status,
            "state": {"running": {"startedAt": stamp(self._plane.time)}},
            "ready": True,
            "started": True,
        }
        self._plane.logs.restarted(NAMESPACE, name_of(pod), text(status, "name"))
        self.set_container(pod, changed, ready=True)
        self.event(pod, "Started", f"Started container {text(status, 'name')}")

    def restart(self, pod: JsonObject) -> None:
        """The first container ends and a new one takes its place at once."""
        status = first_status(pod)
        started = text(status, "state", "running", "startedAt")
        changed: JsonObject = {
            **status,
            "state": {"running": {"startedAt": stamp(self._plane.time)}},
            "lastState": {"terminated": self._terminated(1, "Error", started)},
            "restartCount": _count(status) + 1,
        }
        name = text(status, "name")
        self._plane.logs.restarted(NAMESPACE, name_of(pod), name)
        self.set_container(pod, changed, ready=True)
        image = text(status, "image")
        self.event(pod, "Pulled", f'Container image "{image}" already present on machine')
        self.event(pod, "Created", f"Created container: {name}")
        self.event(pod, "Started", f"Started container {name}")

    def replace(self, pod: JsonObject) -> JsonObject:
        """The pod is deleted and its owner makes a new one on the same node."""
        metadata = {
            key: value
            for key, value in mapping(pod, "metadata").items()
            if key in ("generateName", "namespace", "labels", "ownerReferences")
        }
        metadata["name"] = f"{text(pod, 'metadata', 'generateName')}{self.suffix()}"
        containers = [
            (text(each, "name"), text(each, "image")) for each in objects(pod, "spec", "containers")
        ]
        self._plane.store.delete(PODS, text(pod, "metadata", "namespace"), name_of(pod))
        new = self.create_pod(
            metadata,
            containers,
            text(pod, "spec", "nodeName"),
            host_network=mapping(pod, "spec").get("hostNetwork") is True,
            address=text(pod, "status", "podIP"),
        )
        self.event(new, "Started", f"Started container {containers[0][0]}")
        self.refresh()
        return new

    def node_ready(self, name: str, ready: bool) -> None:
        """The node's heartbeat comes, or has stopped coming."""
        node = self._plane.get(NODES, name)
        if node is None:
            return
        now = stamp(self._plane.time)
        conditions = [
            {**each, **node_verdict(text(each, "type"), ready), "lastTransitionTime": now}
            for each in objects(node, "status", "conditions")
        ]
        status: JsonObject = {**mapping(node, "status"), "conditions": list[object](conditions)}
        self._plane.put(NODES, {**node, "status": status}, "kube-controller-manager")
        for pod in self._plane.store.all(PODS):
            if text(pod, "spec", "nodeName") == name:
                fresh = {**mapping(pod, "status"), "conditions": _pod_conditions(now, ready)}
                self._plane.put(PODS, {**pod, "status": fresh}, "kube-controller-manager")
        self.refresh()

    def node_seen(self, name: str) -> None:
        """The node's kubelet reports that nothing changed."""
        node = self._plane.get(NODES, name)
        if node is None:
            return
        now = stamp(self._plane.time)
        conditions = [
            {**each, "lastHeartbeatTime": now}
            if text(each, "type") != "NetworkUnavailable"
            else each
            for each in objects(node, "status", "conditions")
        ]
        status: JsonObject = {**mapping(node, "status"), "conditions": list[object](conditions)}
        self._plane.put(NODES, {**node, "status": status}, "kubelet")

    def refresh(self) -> None:
        """Recount the workloads of kube-system from their pods."""
        pods = self._plane.store.all(PODS, NAMESPACE)
        for resource in (DAEMON_SETS, DEPLOYMENTS):
            for owner in self._plane.store.all(resource, NAMESPACE):
                owner_spec = mapping(owner, "spec")
                selector = mapping(owner_spec, "selector")
                own = [pod for pod in pods if selects(selector, labels_of(pod))]
                ready = sum(is_ready(pod) for pod in own)
                wanted = owner_spec.get("replicas")
                if resource == DAEMON_SETS:
                    wanted = len(self._plane.all(NODES))
                desired = wanted if isinstance(wanted, int) else len(own)
                status = _counts(owner, desired, len(own), ready, stamp(self._plane.time))
                if {k: v for k, v in mapping(owner, "status").items() if k != "conditions"} != {
                    k: v for k, v in status.items() if k != "conditions"
                }:
                    manager = "kube-controller-manager"
                    self._plane.put(resource, {**owner, "status": status}, manager)

    def event(self, pod: JsonObject, reason: str, message: str, kind: str = "Normal") -> None:
        """Record a Kubernetes event about a pod."""
        now = self._plane.time
        name = f"{name_of(pod)}.{int(now.timestamp() * 1e9):x}"
        namespace = text(pod, "metadata", "namespace")
        self._plane.put(
            EVENTS,
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{name}{self.suffix(3)}", "namespace": namespace},
                "involvedObject": {
                    "kind": "Pod",
                    "namespace": namespace,
                    "name": name_of(pod),
                    "uid": text(pod, "metadata", "uid"),
                    "apiVersion": "v1",
                },
                "reason": reason,
                "message": message,
                "source": {"component": "kubelet", "host": text(pod, "spec", "nodeName")},
                "firstTimestamp": stamp(now),
                "lastTimestamp": stamp(now),
                "count": 1,
                "type": kind,
                "eventTime": None,
                "reportingComponent": "kubelet",
                "reportingInstance": text(pod, "spec", "nodeName"),
            },
            "kubelet",
        )

    def _terminated(self, exit_code: int, reason: str, started: str) -> JsonObject:
        return {
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": started,
            "finishedAt": stamp(self._plane.time),
        }

    def set_container(self, pod: JsonObject, first: JsonObject, *, ready: bool) -> None:
        """The pod's first container is in this state, and the pod is ready or not."""
        others = objects(pod, "status", "containerStatuses")[1:]
        status: JsonObject = {
            **mapping(pod, "status"),
            "conditions": _pod_conditions(stamp(self._plane.time), ready),
            "containerStatuses": [first, *others],
        }
        self._plane.put(PODS, {**pod, "status": status}, "kubelet")
        self.refresh()


def is_ready(pod: JsonObject) -> bool:
    """Whether the pod's Ready condition is True."""
    conditions = objects(pod, "status", "conditions")
    return any(text(c, "type") == "Ready" and text(c, "status") == "True" for c in conditions)


def container_runs(pod: JsonObject) -> bool:
    """Whether the pod's first container is running."""
    return bool(mapping(first_status(pod), "state", "running"))


def container_started(pod: JsonObject) -> datetime:
    """When the pod's first container was started; the epoch when it does not run."""
    return moment(text(first_status(pod), "state", "running", "startedAt"))


def _pod_conditions(now: str, ready: bool) -> list[object]:
    word = "True" if ready else "False"
    states = {"Initialized": "True", "PodScheduled": "True", "ContainersReady": word, "Ready": word}
    return [
        {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now}
        for kind, status in states.items()
    ]


def first_status(pod: JsonObject) -> JsonObject:
    """The status of the pod's first container."""
    return next(iter(objects(pod, "status", "containerStatuses")), {})


def _count(status: JsonObject) -> int:
    count = status.get("restartCount")
    return count if isinstance(count, int) else 0


def _counts(owner: JsonObject, desired: int, pods: int, ready: int, now: str) -> JsonObject:
    if text(owner, "kind") == "DaemonSet":
        lacking: JsonObject = {"numberUnavailable": desired - ready} if ready < desired else {}
        return {
            "currentNumberScheduled": pods,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": desired,
            "numberReady": ready,
            "observedGeneration": 1,
            "updatedNumberScheduled": pods,
            "numberAvailable": ready,
            **lacking,
        }
    full = ready >= desired
    available: JsonObject = {
        "type": "Available",
        "status": "True" if full else "False",
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": "MinimumReplicasAvailable" if full else "MinimumReplicasUnavailable",
        "message": f"Deployment {'has' if full else 'does not have'} minimum availability.",
    }
    shown: JsonObject = {"readyReplicas": ready, "availableReplicas": ready} if ready else {}
    lacking = {"unavailableReplicas": desired - ready} if not full else {}
    return {
        "observedGeneration": 1,
        "replicas": pods,
        "updatedReplicas": pods,
        **shown,
        **lacking,
        "conditions": [available],
    }
