"""What a lab cluster has before a user applies a manifest: nodes, namespaces, Cilium, settings.

Also the default fields that the API server adds to an applied object. Labels, containers and
selectors of the workloads are those of the chart (`docs/cilium.md`, Pods); the nodes run Talos.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from app.lab.fields import mapping, merged, objects, text, texts
from app.lab.plane import (
    CILIUM_NODES,
    CONFIG_MAPS,
    NAMESPACE,
    NODES,
    SERVICES,
    Plane,
    owner_reference,
)
from app.lab.scenario import Node, Scenario
from app.lab.store import JsonObject, stamp
from app.lab.workloads import HELM_RELEASE, Component, Workloads, node_verdict

_SERVICE_NETWORKS = ("10.96.0.0/12", "fd47:25e1:2f96:96::/112")

GENERATED_POOL = "bgp-generated"
"""The pool, and the label value, of generated services."""

_CONFIG = {
    "agent-not-ready-taint-key": "node.cilium.io/agent-not-ready",
    "auto-direct-node-routes": "true",
    "bgp-router-id-allocation-ip-pool": "",
    "bgp-router-id-allocation-mode": "default",
    "bgp-secrets-namespace": NAMESPACE,
    "bpf-lb-acceleration": "disabled",
    "bpf-lb-algorithm": "maglev",
    "bpf-lb-map-max": "65536",
    "bpf-lb-mode": "snat",
    "bpf-lb-sock": "false",
    "bpf-map-dynamic-size-ratio": "0.0025",
    "cgroup-root": "/sys/fs/cgroup",
    "cluster-id": "0",
    "cluster-name": "home-ops",
    "cluster-pool-ipv4-cidr": "10.244.0.0/16",
    "cluster-pool-ipv4-mask-size": "24",
    "cluster-pool-ipv6-cidr": "fd47:25e1:2f96:a00::/56",
    "cluster-pool-ipv6-mask-size": "64",
    "custom-cni-conf": "false",
    "datapath-mode": "veth",
    "debug": "false",
    "default-lb-service-ipam": "lbipam",
    "enable-bgp-control-plane": "true",
    "enable-bgp-control-plane-status-report": "true",
    "enable-bgp-legacy-origin-attribute": "false",
    "enable-endpoint-health-checking": "true",
    "enable-health-checking": "true",
    "enable-hubble": "true",
    "enable-ipv4": "true",
    "enable-ipv4-masquerade": "true",
    "enable-ipv6": "true",
    "enable-ipv6-masquerade": "true",
    "enable-k8s-networkpolicy": "true",
    "enable-l7-proxy": "true",
    "enable-lb-ipam": "true",
    "enable-metrics": "true",
    "enable-no-service-endpoints-routable": "true",
    "enable-policy": "default",
    "enable-tcx": "true",
    "external-envoy-proxy": "true",
    "hubble-listen-address": ":4244",
    "identity-allocation-mode": "crd",
    "ipam": "cluster-pool",
    "ipv4-native-routing-cidr": "10.244.0.0/16",
    "ipv6-native-routing-cidr": "fd47:25e1:2f96:a00::/56",
    "kube-proxy-replacement": "true",
    "monitor-aggregation": "medium",
    "operator-prometheus-serve-addr": ":9963",
    "policy-audit-mode": "false",
    "policy-cidr-match-mode": "",
    "proxy-prometheus-port": "9964",
    "routing-mode": "native",
    "tunnel-protocol": "vxlan",
}
"""The keys of `cilium-config` as the chart of 1.19 writes them, with the values of the lab."""

_SINCE = {
    "bgp-router-id-allocation-ip-pool": (1, 18),
    "bgp-router-id-allocation-mode": (1, 18),
    "enable-bgp-legacy-origin-attribute": (1, 18),
    "enable-no-service-endpoints-routable": (1, 19),
}
"""Keys that older charts do not write."""

_Labels = tuple[tuple[str, str], ...]


def nodes_of(scenario: Scenario) -> list[Node]:
    """The scenario's nodes and the generated ones."""
    made = [
        Node(
            name=f"talos-wk-{number:03}",
            addresses=(f"172.29.{48 + number // 250}.{number % 250 + 1}",),
            pod_cidrs=(f"10.{245 + number // 256}.{number % 256}.0/24",),
        )
        for number in range(scenario.generate.nodes)
    ]
    return [*scenario.nodes, *made]


def generated(scenario: Scenario) -> Iterator[JsonObject]:
    """The generated services, a hundred a minute."""
    for number in range(scenario.generate.services):
        name = f"app-{number:05}"
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": f"team-{number % 20:02}",
                "labels": {"app": name, "io.cilium/lb-ipam-pool": GENERATED_POOL},
                "creationTimestamp": f"-{scenario.generate.services * 60 - number // 100 * 60}s",
            },
            "spec": {
                "type": "LoadBalancer",
                "selector": {"app": name},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
            },
        }


def create_cluster(workloads: Workloads, scenario: Scenario) -> None:
    """Create namespaces and nodes."""
    spaces = {"default", NAMESPACE, "kube-public", "kube-node-lease"}
    for manifest in (*scenario.manifests, *generated(scenario)):
        spaces.add(text(manifest, "metadata", "namespace") or "default")
    for space in sorted(spaces):
        workloads.create_namespace(space, {})
    now = stamp(workloads.plane.time)
    for node in nodes_of(scenario):
        workloads.plane.put(NODES, _node(node, now, scenario.kubernetes), "kubelet")


def install_cilium(workloads: Workloads, scenario: Scenario) -> None:
    """Install Cilium as Helm does: settings, CiliumNodes, workloads."""
    plane, chosen = workloads.plane, scenario.config
    config = {k: v for k, v in _CONFIG.items() if plane.version >= _SINCE.get(k, (0, 0))} | chosen
    plane.put(
        CONFIG_MAPS,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "cilium-config",
                "namespace": NAMESPACE,
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": HELM_RELEASE,
            },
            "data": {k: v for k, v in sorted(config.items()) if chosen.get(k) != ""},
        },
        "helm",
    )
    nodes = nodes_of(scenario)
    for node in nodes:
        plane.put(CILIUM_NODES, _cilium_node(plane, node), "cilium-agent")
    names = [node.name for node in nodes]
    for component in components(scenario.cilium):
        workloads.deploy(component, names, helm=component.name != "coredns")


def _node(node: Node, now: str, kubernetes: str) -> JsonObject:
    """A Talos node that is ready since `now`."""
    addresses = [{"type": "InternalIP", "address": address} for address in node.addresses]
    kinds = ("NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    size: JsonObject = {"cpu": "4", "memory": "16220432Ki", "pods": "110"}
    usable: JsonObject = {**size, "cpu": "3950m"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": _node_labels(node.name)},
        "spec": {"podCIDR": next(iter(node.pod_cidrs), ""), "podCIDRs": list(node.pod_cidrs)},
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
            "addresses": [*addresses, {"type": "Hostname", "address": node.name}],
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


def _node_labels(name: str) -> JsonObject:
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


def _cilium_node(plane: Plane, node: Node) -> JsonObject:
    owner = plane.get(NODES, node.name)
    addresses = [{"ip": ip, "type": "InternalIP"} for ip in node.addresses]
    addresses += [{"ip": ip, "type": "CiliumInternalIP"} for ip in node.internal]
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {
            "name": node.name,
            "labels": _node_labels(node.name),
            "ownerReferences": [owner_reference("Node", node.name, text(owner, "metadata", "uid"))],
        },
        "spec": {
            "addresses": addresses,
            "health": {},
            "ingress": {},
            "ipam": {"podCIDRs": list(node.pod_cidrs), "pools": {}},
        },
    }


def components(version: str) -> tuple[Component, ...]:
    """The workloads of a Cilium installation of this version, and the cluster's DNS."""

    def cilium(
        name: str,
        kind: str,
        selector: _Labels,
        *containers: tuple[str, str],
        labels: _Labels = (),
        app: str = "",
        host_network: bool = False,
    ) -> Component:
        standard = (
            ("app.kubernetes.io/name", app or name),
            ("app.kubernetes.io/part-of", "cilium"),
            ("helm.sh/chart", f"cilium-{version}"),
        )
        images = tuple((container, f"quay.io/cilium/{image}") for container, image in containers)
        every = (*standard, *selector, *labels)
        return Component(name, kind, images, every, selector, host_network=host_network)

    dns = ("k8s-app", "kube-dns")
    return (
        cilium(
            "cilium",
            "DaemonSet",
            (("k8s-app", "cilium"),),
            ("cilium-agent", f"cilium:v{version}"),
            app="cilium-agent",
            host_network=True,
        ),
        cilium(
            "cilium-envoy",
            "DaemonSet",
            (("k8s-app", "cilium-envoy"),),
            ("cilium-envoy", "cilium-envoy:v1.35.9-1770979049"),
            labels=(("name", "cilium-envoy"),),
            host_network=True,
        ),
        cilium(
            "cilium-operator",
            "Deployment",
            (("io.cilium/app", "operator"), ("name", "cilium-operator")),
            ("cilium-operator", f"operator-generic:v{version}"),
            host_network=True,
        ),
        cilium(
            "hubble-relay",
            "Deployment",
            (("k8s-app", "hubble-relay"),),
            ("hubble-relay", f"hubble-relay:v{version}"),
        ),
        cilium(
            "hubble-ui",
            "Deployment",
            (("k8s-app", "hubble-ui"),),
            ("frontend", "hubble-ui:v0.13.3"),
            ("backend", "hubble-ui-backend:v0.13.3"),
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


_DEFAULTS: dict[str, JsonObject] = {
    "CiliumLoadBalancerIPPool": {"disabled": False},
    "CiliumBGPPeerConfig": {
        "ebgpMultihop": 1,
        "timers": {
            "connectRetryTimeSeconds": 120,
            "holdTimeSeconds": 90,
            "keepAliveTimeSeconds": 30,
        },
    },
}


def admitted(plane: Plane, manifest: JsonObject) -> JsonObject:
    """A manifest with the defaults that the API server fills in."""
    metadata = {k: v for k, v in mapping(manifest, "metadata").items() if k != "creationTimestamp"}
    obj: JsonObject = {**manifest, "metadata": metadata}
    defaults = _DEFAULTS.get(text(obj, "kind"))
    if defaults is not None:
        obj["spec"] = merged(defaults, mapping(obj, "spec"))
    if text(obj, "kind") == "Service":
        obj = _admitted_service(plane, obj)
    if text(obj, "kind") == "NetworkPolicy":
        obj = _with_types(obj)
    return obj


def _admitted_service(plane: Plane, service: JsonObject) -> JsonObject:
    spec = mapping(service, "spec")
    balanced = text(spec, "type") == "LoadBalancer"
    dual = text(spec, "ipFamilyPolicy") in ("RequireDualStack", "PreferDualStack")
    families = texts(spec, "ipFamilies") or (["IPv4", "IPv6"] if dual else ["IPv4"])
    number = len(plane.all(SERVICES)) + 10
    cluster_ips = [
        str(ipaddress.ip_network(_SERVICE_NETWORKS[family == "IPv6"])[number])
        for family in families
    ]
    ports: list[object] = []
    for offset, port in enumerate(objects(spec, "ports")):
        node_port: JsonObject = {"nodePort": 30000 + (number * 4 + offset) % 2768}
        target = {"targetPort": port.get("port"), "protocol": "TCP"}
        ports.append({**target, **port, **(node_port if balanced else {})})
    defaults: JsonObject = {
        "clusterIP": cluster_ips[0],
        "clusterIPs": list[object](cluster_ips),
        "sessionAffinity": "None",
        "ipFamilies": list[object](families),
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    if balanced:
        defaults |= {"externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": True}
    namespace = text(service, "metadata", "namespace") or "default"
    metadata = {**mapping(service, "metadata"), "namespace": namespace}
    return {
        **service,
        "metadata": metadata,
        "spec": {**defaults, **spec, "ports": ports},
        "status": {"loadBalancer": {}},
    }


def _with_types(policy: JsonObject) -> JsonObject:
    """A NetworkPolicy with the `policyTypes` that the API server fills in."""
    spec = mapping(policy, "spec")
    if spec.get("policyTypes"):
        return policy
    types = ["Ingress", *(["Egress"] if objects(spec, "egress") else [])]
    return {**policy, "spec": {**spec, "policyTypes": types}}
