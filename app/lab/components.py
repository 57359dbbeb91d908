"""The workloads and nodes of a Cilium installation on Talos, as tables.

Labels, containers and selectors are those of the chart (`docs/cilium.md`, Pods).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.lab.store import JsonObject


@dataclass(frozen=True, slots=True)
class Component:
    """One workload of kube-system."""

    name: str
    kind: str
    """DaemonSet or Deployment."""
    containers: tuple[tuple[str, str], ...]
    """Names and images."""
    labels: tuple[tuple[str, str], ...]
    selector: tuple[tuple[str, str], ...]
    replicas: int = 1
    host_network: bool = False


def components(cilium: str) -> tuple[Component, ...]:
    """The workloads of a Cilium installation of this version, and the cluster's DNS."""
    part = ("app.kubernetes.io/part-of", "cilium")
    chart = ("helm.sh/chart", f"cilium-{cilium}")

    def labels(name: str, *others: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return (("app.kubernetes.io/name", name), part, chart, *others)

    agent = ("k8s-app", "cilium")
    envoy = ("k8s-app", "cilium-envoy")
    relay = ("k8s-app", "hubble-relay")
    interface = ("k8s-app", "hubble-ui")
    operator = (("io.cilium/app", "operator"), ("name", "cilium-operator"))
    dns = ("k8s-app", "kube-dns")
    image = "quay.io/cilium/"
    return (
        Component(
            "cilium",
            "DaemonSet",
            (("cilium-agent", f"{image}cilium:v{cilium}"),),
            labels("cilium-agent", agent),
            (agent,),
            host_network=True,
        ),
        Component(
            "cilium-envoy",
            "DaemonSet",
            (("cilium-envoy", f"{image}cilium-envoy:v1.35.9-1770979049"),),
            labels("cilium-envoy", envoy, ("name", "cilium-envoy")),
            (envoy,),
            host_network=True,
        ),
        Component(
            "cilium-operator",
            "Deployment",
            (("cilium-operator", f"{image}operator-generic:v{cilium}"),),
            labels("cilium-operator", *operator),
            operator,
            host_network=True,
        ),
        Component(
            "hubble-relay",
            "Deployment",
            (("hubble-relay", f"{image}hubble-relay:v{cilium}"),),
            labels("hubble-relay", relay),
            (relay,),
        ),
        Component(
            "hubble-ui",
            "Deployment",
            (
                ("frontend", f"{image}hubble-ui:v0.13.3"),
                ("backend", f"{image}hubble-ui-backend:v0.13.3"),
            ),
            labels("hubble-ui", interface),
            (interface,),
        ),
        Component(
            "coredns",
            "Deployment",
            (("coredns", "registry.k8s.io/coredns/coredns:v1.13.1"),),
            (dns, ("kubernetes.io/name", "CoreDNS")),
            (dns,),
            replicas=2,
        ),
    )


def node_object(
    name: str, addresses: Sequence[str], cidrs: Sequence[str], now: str, kubernetes: str
) -> JsonObject:
    """A Talos control-plane node that is ready since `now`."""
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    kinds = ("NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    size: JsonObject = {"cpu": "4", "memory": "16220432Ki", "pods": "110"}
    usable: JsonObject = {**size, "cpu": "3950m"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": node_labels(name)},
        "spec": {"podCIDR": next(iter(cidrs), ""), "podCIDRs": list(cidrs)},
        "status": {
            "capacity": size,
            "allocatable": usable,
            "conditions": [
                {
                    "type": kind,
                    **node_verdict(kind, True),
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                }
                for kind in kinds
            ],
            "addresses": [*listed, {"type": "Hostname", "address": name}],
            "nodeInfo": {
                "kernelVersion": "6.12.57-talos",
                "osImage": "Talos (v1.11.5)",
                "containerRuntimeVersion": "containerd://2.1.5",
                "kubeletVersion": kubernetes,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def node_labels(name: str) -> dict[str, str]:
    """The labels of a node, which its CiliumNode copies; a name with `-wk-` is a worker's."""
    role = "worker" if "-wk-" in name else "control-plane"
    return {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        f"node-role.kubernetes.io/{role}": "",
    }


def node_verdict(kind: str, ready: bool) -> JsonObject:
    """Status, reason and message of a node condition, heartbeats coming or not."""
    if kind == "NetworkUnavailable":
        message = "Cilium is running on this node"
        return {"status": "False", "reason": "CiliumIsUp", "message": message}
    if not ready:
        message = "Kubelet stopped posting node status."
        return {"status": "Unknown", "reason": "NodeStatusUnknown", "message": message}
    if kind == "Ready":
        message = "kubelet is posting ready status"
        return {"status": "True", "reason": "KubeletReady", "message": message}
    what = {"MemoryPressure": "sufficient memory available", "DiskPressure": "no disk pressure"}
    reason = {"MemoryPressure": "SufficientMemory", "DiskPressure": "NoDiskPressure"}
    return {
        "status": "False",
        "reason": f"KubeletHas{reason.get(kind, 'SufficientPID')}",
        "message": f"kubelet has {what.get(kind, 'sufficient PID available')}",
    }
