"""What `cilium connectivity test` makes in a lab cluster: namespaces with its pods, and their end.

Names, labels and containers are those of cilium-cli 0.19 (cilium-cli/connectivity/check/
deployment.go); pods and namespaces alone are made, which is what a troubleshooter sees of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from app.lab.fields import labels_of, mapping, name_of, text, texts
from app.lab.plane import EVENTS, NAMESPACES, NODES, PODS, Plane
from app.lab.store import JsonObject
from app.lab.workloads import Workloads, is_ready

POLICY_NAMESPACES = ("cilium-test-ccnp1", "cilium-test-ccnp2")
"""Made whatever the namespace of the test is called."""

CREATE_NAMESPACES = "create /api/v1/namespaces"
DELETE_NAMESPACES = "delete /api/v1/namespaces"
"""What `Cluster.forbidden` holds where the user may not do this."""

_CURL = "quay.io/cilium/alpine-curl:v1.10.0"
_ECHO = "gcr.io/k8s-staging-gateway-api/echo-advanced:v20251204-v1.4.1"
_CLIENTS = ("client", "client2", "client3")


def exists(plane: Plane, name: str) -> bool:
    """Whether there is a namespace."""
    return plane.get(NAMESPACES, name) is not None


def usable_nodes(plane: Plane) -> list[str]:
    """The nodes that pods are put on: those that are ready."""
    return [name_of(node) for node in plane.all(NODES) if is_ready(node)]


def deploy(plane: Plane, workloads: Workloads, namespace: str, nodes: Sequence[str]) -> None:
    """Make one namespace and the pods that are in it."""
    plane.put(
        NAMESPACES,
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": {
                    "app.kubernetes.io/name": "cilium-cli",
                    "kubernetes.io/metadata.name": namespace,
                },
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        },
        "cilium",
    )
    for name, node in _places(namespace, nodes):
        _pod(plane, workloads, namespace, name, node)


def remove(plane: Plane, namespace: str) -> None:
    """Delete a namespace with what is in it; nothing where there is none."""
    for resource in (PODS, EVENTS):
        for obj in plane.store.all(resource, namespace):
            plane.store.delete(resource, namespace, name_of(obj))
    plane.store.delete(NAMESPACES, "", namespace)


def pods_of(plane: Plane, namespace: str, name: str) -> list[JsonObject]:
    """The pods of one of the test's deployments."""
    return [p for p in plane.store.all(PODS, namespace) if labels_of(p).get("name") == name]


def _places(namespace: str, nodes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pods of a namespace by deployment, and where each runs."""
    if not nodes:
        return
    if namespace in POLICY_NAMESPACES:
        yield "client-ccnp", nodes[0]
        return
    for number, client in enumerate(_CLIENTS[: 2 if len(nodes) == 1 else 3]):
        yield client, nodes[1 if number == 2 else 0]
    yield "echo-same-node", nodes[0]
    if len(nodes) > 1:
        yield "echo-other-node", nodes[1]
    for node in nodes:
        yield "host-netns", node


def _pod(plane: Plane, workloads: Workloads, namespace: str, name: str, node: str) -> None:
    template, kind = workloads.suffix(10), name.partition("-")[0].rstrip("23")
    workloads.create_pod(
        {
            "name": f"{name}-{template}-{workloads.suffix()}",
            "generateName": f"{name}-{template}-",
            "namespace": namespace,
            "labels": {"kind": kind, "name": name, "pod-template-hash": template},
        },
        [(name, _ECHO if kind == "echo" else _CURL)],
        node,
        host_network=name == "host-netns",
        address=_address(plane, node),
    )


def _address(plane: Plane, node: str) -> str:
    """An address of the node's range that no pod has."""
    cidrs = texts(plane.get(NODES, node), "spec", "podCIDRs")
    taken = {text(mapping(pod, "status"), "podIP") for pod in plane.all(PODS)}
    hosts = ipaddress.ip_network(cidrs[0]).hosts() if cidrs else ()
    return next((str(ip) for ip in hosts if str(ip) not in taken), "")
