"""The pods behind services, and what lists them: EndpointSlices and CiliumEndpoints.

A CiliumEndpoint is a pod as the agent of its node has it, for as long as the pod is there. An agent
that does not run writes none; those that it wrote stay. Which labels of a pod make its identity:
Cilium `pkg/labelsfilter/filter.go`; the shape is that of the recordings. Numbers follow from names
and labels, so that nothing else in the cluster changes its own because of them.
"""

from __future__ import annotations

import ipaddress
import uuid
import zlib
from collections.abc import Collection, Iterator, Sequence

from app.lab.fields import key_of, labels_of, made, mapping, objects, text, texts
from app.lab.plane import (
    CILIUM_ENDPOINTS,
    ENDPOINT_SLICES,
    NODES,
    PODS,
    SERVICES,
    Plane,
    owner_reference,
)
from app.lab.store import JsonObject
from app.lab.workloads import Workloads, on_host_network

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
    cidrs = texts(plane.get(NODES, node), "spec", "podCIDRs")
    index = 20 + (len(plane.all(SERVICES)) * 7 + number) % 200
    return str(ipaddress.ip_network(cidrs[0])[index]) if cidrs else ""


def _put_slice(workloads: Workloads, service: JsonObject, endpoints: list[object]) -> None:
    namespace, name = key_of(service)
    uid = text(service, "metadata", "uid")
    ports = [
        {
            "name": text(port, "name"),
            "protocol": text(port, "protocol"),
            "port": port.get("targetPort"),
        }
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
    workloads.plane.put(ENDPOINT_SLICES, made_slice, "kube-controller-manager")


def _endpoint(node: str, address: str, pod: JsonObject) -> JsonObject:
    namespace, name = key_of(pod)
    uid = text(pod, "metadata", "uid")
    target: JsonObject = {"kind": "Pod", "namespace": namespace, "name": name, "uid": uid}
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        **({"targetRef": target} if pod else {}),
        "nodeName": node,
    }


class CiliumEndpoints:
    """Keeps the CiliumEndpoints in line with the pods."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def follow(self, nodes: Collection[str]) -> None:
        """Make those of new pods on nodes where an agent runs, remove those whose pod is gone."""
        plane = self._plane
        if CILIUM_ENDPOINTS not in plane.store.resources:
            return
        pods = {key_of(pod): pod for pod in plane.all(PODS) if _has_endpoint(pod)}
        known = {key_of(each) for each in plane.all(CILIUM_ENDPOINTS)}
        for namespace, name in sorted(known - pods.keys()):
            plane.store.delete(CILIUM_ENDPOINTS, namespace, name)
        for place in sorted(pods.keys() - known):
            if text(pods[place], "spec", "nodeName") in nodes:
                plane.put(CILIUM_ENDPOINTS, self._endpoint(pods[place]), "cilium-agent")

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
