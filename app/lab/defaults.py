"""What a lab cluster has before anybody applies a manifest: nodes, namespaces, Cilium, settings.

Also what the API server and the controllers add to an applied object: defaults, cluster IPs,
EndpointSlices and the pods behind them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from app.lab.components import components, node_labels, node_object
from app.lab.fields import address_of, labels_of, mapping, merged, name_of, objects, text, texts
from app.lab.operator import with_types
from app.lab.plane import (
    CILIUM_NODES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NAMESPACE,
    NAMESPACES,
    NODES,
    SERVICES,
    Plane,
)
from app.lab.scenario import Node, Scenario
from app.lab.store import JsonObject, stamp
from app.lab.workloads import Workloads

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


def found(plane: Plane, scenario: Scenario) -> None:
    """The cluster is founded: namespaces and nodes."""
    spaces = {"default", NAMESPACE, "kube-public", "kube-node-lease"}
    for manifest in (*scenario.manifests, *generated(scenario)):
        spaces.add(text(manifest, "metadata", "namespace") or "default")
    for space in sorted(spaces):
        plane.put(
            NAMESPACES,
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": space, "labels": {"kubernetes.io/metadata.name": space}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            },
        )
    for node in nodes_of(scenario):
        now = stamp(plane.time)
        plane.put(
            NODES,
            node_object(node.name, node.addresses, node.pod_cidrs, now, scenario.kubernetes),
            "kubelet",
        )


def install(plane: Plane, workloads: Workloads, scenario: Scenario) -> None:
    """Cilium is installed with Helm: settings, CiliumNodes, workloads."""
    config = {k: v for k, v in _CONFIG.items() if plane.version >= _SINCE.get(k, (0, 0))}
    config = {
        k: v for k, v in {**config, **scenario.config}.items() if scenario.config.get(k) != ""
    }
    plane.put(
        CONFIG_MAPS,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "cilium-config",
                "namespace": NAMESPACE,
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {
                    "meta.helm.sh/release-name": "cilium",
                    "meta.helm.sh/release-namespace": NAMESPACE,
                },
            },
            "data": dict(sorted(config.items())),
        },
        "helm",
    )
    for node in nodes_of(scenario):
        plane.put(CILIUM_NODES, _cilium_node(plane, node), "cilium-agent")
    names = [node.name for node in nodes_of(scenario)]
    for component in components(scenario.cilium):
        workloads.deploy(component, names, helm=component.name != "coredns")


def _cilium_node(plane: Plane, node: Node) -> JsonObject:
    owner = plane.get(NODES, node.name)
    addresses = [{"ip": ip, "type": "InternalIP"} for ip in node.addresses]
    addresses += [{"ip": ip, "type": "CiliumInternalIP"} for ip in node.internal]
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {
            "name": node.name,
            "labels": dict(node_labels(node.name)),
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "name": node.name,
                    "uid": text(owner, "metadata", "uid"),
                }
            ],
        },
        "spec": {
            "addresses": list[object](addresses),
            "health": {},
            "ingress": {},
            "ipam": {"podCIDRs": list(node.pod_cidrs), "pools": {}},
        },
    }


# What is added to an applied object

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
        obj = with_types(obj)
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


def back(plane: Plane, workloads: Workloads, service: JsonObject, nodes: Sequence[str]) -> None:
    """Give a service ready pods on the nodes, and the EndpointSlice that lists them."""
    namespace, name = address_of(service)
    labels = mapping(service, "spec", "selector")
    template = workloads.suffix(10)
    endpoints: list[object] = []
    for number, node in enumerate(nodes):
        address = _pod_address(plane, node, number)
        pod = workloads.create_pod(
            {
                "name": f"{name}-{template}-{workloads.suffix()}",
                "generateName": f"{name}-{template}-",
                "namespace": namespace,
                "labels": {**labels, "pod-template-hash": template},
            },
            [(name, f"ghcr.io/home-operations/{name}:rolling")],
            node,
            address=address,
        )
        endpoints.append(_endpoint(node, address, pod))
    _slice(plane, workloads, service, endpoints)


def back_generated(plane: Plane, workloads: Workloads, service: JsonObject, node: str) -> None:
    """Give a generated service one ready endpoint; its pod is not made."""
    endpoint = _endpoint(node, _pod_address(plane, node, 0), {})
    _slice(plane, workloads, service, [endpoint])


def _pod_address(plane: Plane, node: str, number: int) -> str:
    cidrs = texts(plane.get(NODES, node), "spec", "podCIDRs")
    index = 20 + (len(plane.all(SERVICES)) * 7 + number) % 200
    return str(ipaddress.ip_network(cidrs[0])[index]) if cidrs else ""


def _slice(
    plane: Plane, workloads: Workloads, service: JsonObject, endpoints: list[object]
) -> None:
    namespace, name = address_of(service)
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
    plane.put(
        ENDPOINT_SLICES,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{workloads.suffix()}",
                "generateName": f"{name}-",
                "namespace": namespace,
                "labels": labels,
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "name": name,
                        "uid": text(service, "metadata", "uid"),
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": list[object](ports),
        },
        "kube-controller-manager",
    )


def _endpoint(node: str, address: str, pod: JsonObject) -> JsonObject:
    target: JsonObject = {
        "kind": "Pod",
        "namespace": text(pod, "metadata", "namespace"),
        "name": name_of(pod),
        "uid": text(pod, "metadata", "uid"),
    }
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        **({"targetRef": target} if pod else {}),
        "nodeName": node,
    }
