"""What a lab cluster has before a user applies a manifest: nodes, namespaces, Cilium, settings.

Also the default fields that the API server adds to an applied object. Labels, containers and
selectors of the workloads are those of the chart (`docs/cilium.md`, Pods); the nodes run Talos.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from app.lab.fields import data, made, mapping, merged, objects, text, texts
from app.lab.kinds import CILIUM_NODES, CONFIG_MAPS, NODES, SERVICES
from app.lab.plane import NAMESPACE, Plane, owner_reference
from app.lab.scenario import Node, Scenario
from app.lab.store import JsonObject, stamp
from app.lab.workloads import HELM_RELEASE, Component, Workloads, node_verdict

_SERVICE_NETWORKS = ("10.96.0.0/12", "fd47:25e1:2f96:96::/112")

GENERATED_POOL = "bgp-generated"
"""The pool, and the label value, of generated services."""


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
        created = f"-{scenario.generate.services * 60 - number // 100 * 60}s"
        namespace = f"team-{number % 20:02}"
        yield made("Service", name=name, namespace=namespace, pool=GENERATED_POOL, created=created)


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
    since = data("cluster", "config_since", dict[str, tuple[int, int]])
    config = data("cluster", "config", dict[str, str])
    config = {k: v for k, v in config.items() if plane.version >= since.get(k, (0, 0))} | chosen
    kept = {k: v for k, v in sorted(config.items()) if chosen.get(k) != ""}
    plane.put(CONFIG_MAPS, made("ConfigMap", annotations=HELM_RELEASE, data=kept), "helm")
    nodes = nodes_of(scenario)
    for node in nodes:
        plane.put(CILIUM_NODES, _cilium_node(plane, node), "cilium-agent")
    names = [node.name for node in nodes]
    for component in components(scenario.cilium):
        workloads.deploy(component, names, helm=component.name != "coredns")


def _node(node: Node, now: str, kubernetes: str) -> JsonObject:
    """A Talos node that is ready since `now`."""
    addresses = [{"type": "InternalIP", "address": address} for address in node.addresses]
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    kinds = ("NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    return made(
        "Node",
        name=node.name,
        labels=_node_labels(node.name),
        cidr=next(iter(node.pod_cidrs), ""),
        cidrs=list(node.pod_cidrs),
        conditions=[{"type": kind, **node_verdict(kind, True), **times} for kind in kinds],
        addresses=[*addresses, {"type": "Hostname", "address": node.name}],
        release=kubernetes,
    )


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
    return made(
        "CiliumNode",
        name=node.name,
        labels=_node_labels(node.name),
        owners=[owner_reference("Node", node.name, text(owner, "metadata", "uid"))],
        addresses=addresses,
        cidrs=list(node.pod_cidrs),
    )


def components(version: str) -> tuple[Component, ...]:
    """The workloads of a Cilium installation of this version, and the cluster's DNS."""
    return data("cluster", "components", tuple[Component, ...], version=version)


def admitted(plane: Plane, manifest: JsonObject) -> JsonObject:
    """A manifest with the defaults that the API server fills in."""
    metadata = {k: v for k, v in mapping(manifest, "metadata").items() if k != "creationTimestamp"}
    obj: JsonObject = {**manifest, "metadata": metadata}
    defaults = data("cluster", "defaults", dict[str, JsonObject]).get(text(obj, "kind"))
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
    defaults = made(
        "ServiceDefaults",
        address=cluster_ips[0],
        addresses=cluster_ips,
        families=families,
        policy="Cluster" if balanced else None,
        node_ports=balanced or None,
    )
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
