"""CiliumEndpoints: a pod as the agent of its node has it, for as long as the pod is there.

An agent that does not run writes none; those that it wrote stay. Which labels of a pod make its
identity: Cilium `pkg/labelsfilter/filter.go`; the shape is that of the recordings. Numbers follow
from names and labels, so that nothing else in the cluster changes its own by them.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Collection, Iterator

from app.lab.fields import address_of, labels_of, mapping, name_of, objects, text
from app.lab.plane import CILIUM_ENDPOINTS, PODS, Plane
from app.lab.store import JsonObject

_NAMES = uuid.UUID("b5f2b8f0-6d0e-4d2e-9f0e-0c1e6a7b9d11")
_LEFT_OUT = ("pod-template-hash", "pod-template-generation", "controller-revision-hash")
_LEFT_OUT_DOMAINS = ("io.kubernetes", "kubernetes.io", "k8s.io")


class Endpoints:
    """Keeps the endpoints as the pods are."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def follow(self, nodes: Collection[str]) -> None:
        """Make those of new pods on nodes where an agent runs, remove those whose pod is gone."""
        plane = self._plane
        if CILIUM_ENDPOINTS not in plane.store.resources:
            return
        pods = {address_of(pod): pod for pod in plane.all(PODS) if _has_endpoint(pod)}
        known = {address_of(each) for each in plane.all(CILIUM_ENDPOINTS)}
        for namespace, name in sorted(known - pods.keys()):
            plane.store.delete(CILIUM_ENDPOINTS, namespace, name)
        for place in sorted(pods.keys() - known):
            if text(pods[place], "spec", "nodeName") in nodes:
                plane.put(CILIUM_ENDPOINTS, self._endpoint(pods[place]), "cilium-agent")

    def _endpoint(self, pod: JsonObject) -> JsonObject:
        namespace, name = address_of(pod)
        uid = text(pod, "metadata", "uid")
        labels = sorted(self._identity(pod))
        return {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumEndpoint",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": str(uuid.uuid5(_NAMES, uid)),
                "labels": dict[str, object](labels_of(pod)),
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid}
                ],
            },
            "status": {
                "id": _number(uid, 4000),
                "identity": {"id": 256 + _number(",".join(labels), 65_000), "labels": labels},
                "networking": {
                    "addressing": [_pair(pod)],
                    "node": text(pod, "status", "hostIP"),
                },
                "state": "ready",
            },
        }

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
    on_host = mapping(pod, "spec").get("hostNetwork") is True
    return not on_host and bool(text(pod, "status", "podIP"))


def _pair(pod: JsonObject) -> JsonObject:
    addresses = [text(each, "ip") for each in objects(pod, "status", "podIPs")]
    return {"ipv6" if ":" in address else "ipv4": address for address in addresses}


def _number(words: str, below: int) -> int:
    return 1 + zlib.crc32(words.encode()) % below
