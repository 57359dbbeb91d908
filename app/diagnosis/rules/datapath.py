"""Announced, and not served by the datapath: CS512 and CS708.

Facts: Cilium Documentation/network/kubernetes/kubeproxy-free.rst and
Documentation/network/bgp-control-plane (Advertising ClusterIP), pkg/loadbalancer/config.go,
1.17 to 1.21; `docs/cilium.md`, "Configuration keys".
"""

from __future__ import annotations

from collections.abc import Iterator

from app.diagnosis.rules.bgp_config_adverts import used_advertisements
from app.model.case import Case
from app.model.desired_peerings import bgp_enabled, peerings, selects_service
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.service_requests import setting_seen
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import ADVERTISEMENTS, CONFIG_MAPS, NODES, PEERING_POLICIES, PODS, SERVICES
from collectors.kubernetes.records import Node, Pod

REPLACEMENT = "kube-proxy-replacement"
EXTERNAL_CLUSTER_IP = "bpf-lb-external-clusterip"
_SYSTEM = "kube-system"
_ON = ("true", "strict", "partial", "probe")
"""Values that make Cilium serve services; the last three up to 1.13."""
_PROXIES = ("kube-proxy", "kube-router", "antrea-agent", "ovnkube-node")
"""What serves services in place of Cilium, by the beginning of its pods' names."""
_BUILT_IN = ("+k3s", "microk8s.io/cluster")
"""Distributions whose kube-proxy is no pod: in the kubelet's version, or a label of the node."""

_PROXY_PODS: Key[str] = Key()


def nothing_serves(case: Case) -> Iterator[Finding]:
    """CS708: neither Cilium nor kube-proxy serves services.

    Only where Cilium is in kube-system: of no other namespace pods are read.
    """
    if not case.known(CONFIG_MAPS, PODS, NODES) or case.config is None or replaces(case):
        return
    if case.namespace != _SYSTEM:
        return
    by_node = any(map(_built_in, case.records[NODES].values()))
    if by_node or case.enabled("enable-node-port", "false"):
        return
    proxies = case.memo.by_key(
        _PROXY_PODS, (case.records[PODS],), (), lambda key: _proxy(case, key)
    )
    if proxies.values:
        return
    yield Topic("CS708", Severity.FAIL, case.config_ref, REPLACEMENT).finding(
        summary="Nothing serves services: kube-proxy replacement is off in Cilium, and no"
        f" kube-proxy runs in {_SYSTEM}",
        evidence=(
            setting_seen(case, REPLACEMENT, "false"),
            case.saw(PODS, f"pods of {_SYSTEM}", "metadata.name", f"no {named(_PROXIES)}"),
        ),
        remedy="Set the Helm value kubeProxyReplacement: true, with k8sServiceHost and"
        " k8sServicePort, and restart the agents; or install kube-proxy",
        command="kubectl get pods -A -l k8s-app=kube-proxy",
        about=(Ref("Setting", REPLACEMENT),),
    )


def cluster_ips_not_served(case: Case) -> Iterator[Finding]:
    """CS512: ClusterIPs are announced, and nodes do not serve them to who is outside."""
    if not bgp_enabled(case) or not case.known(CONFIG_MAPS, SERVICES) or not replaces(case):
        return
    if case.enabled(EXTERNAL_CLUSTER_IP, "false") is not False:
        return
    services = case.records[SERVICES].values()
    for selected in used_advertisements(peerings(case)):
        if "ClusterIP" not in selected.addresses:
            continue
        chosen = [s for s in services if s.spec.cluster_ips and selects_service(selected, s)]
        if not chosen:
            continue
        v1 = selected.advertisement in case.records[PEERING_POLICIES]
        kind = "CiliumBGPPeeringPolicy" if v1 else "CiliumBGPAdvertisement"
        ref = Ref(kind, selected.advertisement)
        yield Topic("CS512", Severity.FAIL, ref, f"ClusterIP {selected.index}").finding(
            summary=f"{ref} announces ClusterIPs of {named(s.key for s in chosen)}, and no node"
            f" serves them from outside ({EXTERNAL_CLUSTER_IP} is off)",
            evidence=(
                _addresses_seen(case, ref, selected.index, selected.addresses),
                setting_seen(case, EXTERNAL_CLUSTER_IP, "false"),
            ),
            remedy="Set the Helm value bpf.lbExternalClusterIP: true and restart the agents, or"
            f" take ClusterIP out of {ref}",
            command=f"kubectl get {kind.lower()} {selected.advertisement} -o yaml",
        )


def replaces(case: Case) -> bool:
    """Whether Cilium replaces kube-proxy, as its configuration says."""
    return (case.setting(REPLACEMENT, "false") or "").strip().lower() in _ON


def _addresses_seen(case: Case, ref: Ref, index: int, addresses: tuple[str, ...]) -> Evidence:
    v1 = ref.kind == "CiliumBGPPeeringPolicy"
    field = (
        f"spec.virtualRouters[{index}].serviceAdvertisements"
        if v1
        else f"spec.advertisements[{index}].service.addresses"
    )
    return case.saw(PEERING_POLICIES if v1 else ADVERTISEMENTS, ref, field, ", ".join(addresses))


def _built_in(node: Node) -> bool:
    """Whether a node may have a kube-proxy that is no pod."""
    version = node.status.node_info.kubelet_version
    return any(sign in version or sign in node.metadata.labels for sign in _BUILT_IN)


def _proxy(case: Case, key: str) -> tuple[str, ...]:
    pod: Pod = case.records[PODS][key]
    return (pod.name,) if pod.name.startswith(_PROXIES) else ()


RULES = (nothing_serves, cluster_ips_not_served)
