"""Addresses that nothing announces, though others may reach them: CS511 and CS513.

Facts: Cilium pkg/bgp/manager/reconciler/service.go and pkg/l2announcer, 1.17 to 1.21;
`docs/cilium.md`, "Selectors".
"""

from __future__ import annotations

from collections.abc import Iterator

from app.diagnosis.rules.bgp_config_adverts import CLUSTER, used_advertisements
from app.diagnosis.rules.lbipam_pools import show_service
from app.model.case import Case
from app.model.desired_peerings import bgp_enabled, peerings, peerings_known, selects_service
from app.model.finding import Finding, Severity, Topic, service_ref
from app.model.lbipam import parse_address
from app.model.service_requests import BGP_CLASS, responsible, setting_seen
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import CLUSTER_CONFIGS, CONFIG_MAPS, NODES, PEERING_POLICIES, PODS, SERVICES
from collectors.kubernetes.records import Pod, Service

EXTERNAL_IP = "ExternalIP"
_SPEAKERS = ("speaker-", "metallb-speaker", "kube-vip", "svclb-", "kube-router", "bird", "frr")
"""What announces addresses in place of Cilium, by the beginning of its pods' names."""
_BGP, _L2 = "enable-bgp-control-plane", "enable-l2-announcements"
_SHOWN = 3

_OTHERS: Key[str] = Key()
_EXTERNAL: Key[Service] = Key()


def nothing_announces(case: Case) -> Iterator[Finding]:
    """CS511: LB-IPAM gives addresses, and neither BGP nor L2 announcements are switched on."""
    if not case.known(SERVICES, PODS, CONFIG_MAPS) or _others(case):
        return
    switches = [case.enabled(key, "false") for key in (_BGP, _L2)]
    if bgp_enabled(case) is not False or switches != [False, False]:
        return
    if any(case.records[kind] for kind in (CLUSTER_CONFIGS, PEERING_POLICIES)):
        return  # CS301 says it
    given = [
        balancer
        for balancer in case.balancers
        if any(balancer.pools) and responsible(case, balancer).responsible
    ]
    if not given:
        return
    services = [balancer.service for balancer in given]
    yield Topic("CS511", Severity.FAIL, CLUSTER).finding(
        summary="Cilium announces nothing of what LB-IPAM gave"
        f" {named(service.key for service in services)}: BGP and L2 announcements are both off",
        evidence=(
            setting_seen(case, _BGP, "false"),
            setting_seen(case, _L2, "false"),
            *(
                case.saw(
                    SERVICES,
                    f"Service {balancer.service.key}",
                    "status.loadBalancer.ingress",
                    ", ".join(map(str, balancer.addresses)),
                )
                for balancer in given[:_SHOWN]
            ),
        ),
        remedy="Set the Helm value bgpControlPlane.enabled: true and say with whom to peer, or set"
        " l2announcements.enabled: true with a CiliumL2AnnouncementPolicy where the addresses are"
        " of the nodes' own network; a router with static routes to the nodes needs neither",
        command="cilium config view",
        about=tuple(service_ref(service.key) for service in services),
    )


def external_ips_not_announced(case: Case) -> Iterator[Finding]:
    """CS513: a service asks for external IPs, and BGP announces other addresses alone."""
    if not bgp_enabled(case) or not peerings_known(case) or not case.known(SERVICES, NODES):
        return
    used = used_advertisements(peerings(case))
    if not any(selected.type == "Service" for selected in used):
        return
    asking = case.memo.by_key(
        _EXTERNAL, (case.records[SERVICES],), (), lambda key: _asking(case, key)
    )
    for service in asking.values:
        wanted = [text for text in service.spec.external_ips if text not in _of_nodes(case)]
        announced = any(
            EXTERNAL_IP in selected.addresses and selects_service(selected, service)
            for selected in used
        )
        others = service.spec.load_balancer_class not in (None, BGP_CLASS)
        if wanted and not announced and not others and not _others(case):
            yield _external(case, service, wanted)


def _external(case: Case, service: Service, wanted: list[str]) -> Finding:
    ref = service_ref(service.key)
    advertisements = sorted({s.advertisement for s in used_advertisements(peerings(case))})
    return Topic("CS513", Severity.WARN, ref).finding(
        summary=f"{service.key} has spec.externalIPs {named(wanted)}, and BGP does not announce"
        f" {'it' if len(wanted) == 1 else 'them'}: no advertisement that selects it has ExternalIP",
        evidence=(
            case.saw(SERVICES, ref, "spec.externalIPs", ", ".join(service.spec.external_ips)),
        ),
        remedy=f"Add ExternalIP to service.addresses of an advertisement that selects {service.key}"
        f" ({named(advertisements)}), or remove spec.externalIPs if nobody uses"
        f" {'it' if len(wanted) == 1 else 'them'}",
        command=show_service(service),
    )


def _asking(case: Case, key: str) -> tuple[Service, ...]:
    service = case.records[SERVICES][key]
    return (service,) if any(map(parse_address, service.spec.external_ips)) else ()


def _of_nodes(case: Case) -> frozenset[str]:
    """The addresses of nodes: who sends to them reaches a node without any route."""
    nodes = case.records[NODES].values()
    return frozenset(found.address for node in nodes for found in node.status.addresses)


def _others(case: Case) -> tuple[str, ...]:
    """Pods in Cilium's namespace, where alone pods are read, that announce in its place."""

    def speaker(key: str) -> tuple[str, ...]:
        pod: Pod = case.records[PODS][key]
        return (pod.key,) if pod.name.startswith(_SPEAKERS) else ()

    return case.memo.by_key(_OTHERS, (case.records[PODS],), (), speaker).values


RULES = (nothing_announces, external_ips_not_announced)
