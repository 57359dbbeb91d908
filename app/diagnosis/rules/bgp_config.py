"""CS301, CS302, CS318: whether BGP is on, and whether anything configures it.

The rules on what the configuration says are in the modules beside this one; `RULES` has them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.diagnosis.rules import (
    bgp_config_adverts,
    bgp_config_nodes,
    bgp_config_peers,
    bgp_config_v1,
)
from app.diagnosis.rules.bgp_config_facts import (
    CLUSTER,
    counted,
    keys,
    named,
    node_refs,
    services_seen,
    waiting,
)
from app.model.bgp_crds import unserved
from app.model.case import Case
from app.model.configuration import CONFIG_MAP
from app.model.desired_peerings import BGP_CLASS, agents_say, bgp_enabled, peerings, reads_policies
from app.model.finding import Evidence, Finding, Ref, Severity
from app.model.lb_class import enabled
from app.state.kinds import (
    ADVERTISEMENTS,
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    NODE_CONFIGS,
    NODES,
    OF_OBJECT,
    PEER_CONFIGS,
    PEERING_POLICIES,
    POOLS,
    Kind,
)
from app.state.snapshot import State

_LISTED: Mapping[Kind[object], Sequence[Kind[object]]] = {
    CLUSTER_CONFIGS: (CLUSTER_CONFIGS, PEER_CONFIGS, ADVERTISEMENTS),
    PEERING_POLICIES: (PEERING_POLICIES,),
}
_SETTING = "enable-bgp-control-plane"
_SHOWN = 3


def control_plane_off(case: Case) -> Iterator[Finding]:
    """CS301: objects ask for BGP, and the control plane is off, everywhere or on some nodes."""
    wanted = _asking(case)
    if bgp_enabled(case) is False and wanted:
        yield _off_everywhere(case, wanted)
    elif bgp_enabled(case) and case.snapshot.health_of(BGP_PEERS).state is State.FRESH:
        yield from _off_on_nodes(case)


def _asking(case: Case) -> tuple[Ref, ...]:
    """The objects that configure sessions, as far as this Cilium reads them."""
    configs = [
        Ref("CiliumBGPClusterConfig", name) for name in case.snapshot.records[CLUSTER_CONFIGS]
    ]
    policies = [
        Ref("CiliumBGPPeeringPolicy", name) for name in case.snapshot.records[PEERING_POLICIES]
    ]
    return tuple(sorted([*configs, *(policies if reads_policies(case) else [])]))


def _off_everywhere(case: Case, wanted: tuple[Ref, ...]) -> Finding:
    setting = case.setting(_SETTING, "false")
    silent = sorted(node for node, on in agents_say(case).items() if not on)
    if enabled(case, _SETTING, "false"):
        why = f"the agents of {counted(silent, 'node')} say that it is disabled"
        remedy = (
            f"{_SETTING} is true, but the agents run without it: they were started before the "
            "change, or a CiliumNodeConfig overrides it. Restart the cilium DaemonSet's pods"
        )
    else:
        why = f"{_SETTING} is {setting or 'not known'} in {CONFIG_MAP}"
        remedy = (
            "Set `bgpControlPlane.enabled: true` in the values of the cilium chart and restart "
            "operator and agents, or delete the BGP objects if BGP is not wanted any more"
        )
    return Finding(
        code="CS301",
        severity=Severity.FAIL,
        subject=CLUSTER,
        summary=f"The BGP control plane is off ({why}), though {named([*map(str, wanted)])} "
        f"{'asks' if len(wanted) == 1 else 'ask'} for it",
        evidence=(
            _setting_seen(case),
            *(_disabled(case, node) for node in silent[:_SHOWN]),
            *(case.saw(OF_OBJECT[ref.kind], str(ref), "metadata.name", ref.name) for ref in wanted),
        ),
        remedy=remedy,
        command=f"kubectl -n {case.snapshot.cilium_namespace} get configmap {CONFIG_MAP} "
        f"-o jsonpath='{{.data.{_SETTING}}}'",
        about=(*wanted, *node_refs(case.snapshot.records[CILIUM_NODES])),
        blames=() if enabled(case, _SETTING, "false") else (Ref("Setting", _SETTING),),
    )


def _off_on_nodes(case: Case) -> Iterator[Finding]:
    asked = {peering.node for peering in peerings(case)}
    # Else a CiliumNodeConfig has it switched on for some nodes, and may well mean only those.
    everywhere = bool(enabled(case, _SETTING, "false"))
    for node, on in sorted(agents_say(case).items()):
        if on or node not in asked:
            continue
        yield Finding(
            code="CS301",
            severity=Severity.FAIL if everywhere else Severity.WARN,
            subject=Ref("Node", node) if node in case.snapshot.records[NODES] else CLUSTER,
            detail="" if node in case.snapshot.records[NODES] else node,
            summary=f"The agent of {node} runs without the BGP control plane, though it is on "
            f"elsewhere and {node} is to peer",
            evidence=(_disabled(case, node), _setting_seen(case)),
            remedy="Restart this node's agent if it was started before BGP was switched on; look "
            "for a CiliumNodeConfig that switches it off for this node",
            command=f"kubectl -n {case.snapshot.cilium_namespace} get pods -l k8s-app=cilium "
            f"-o wide --field-selector spec.nodeName={node}",
        )


def _setting_seen(case: Case) -> Evidence:
    config = case.config
    value = "(config map not known)" if config is None else config.get(_SETTING, "(not set: false)")
    name = f"ConfigMap {case.snapshot.cilium_namespace}/{CONFIG_MAP}"
    return case.saw(CONFIG_MAPS, name, f"data.{_SETTING}", value)


def _disabled(case: Case, node: str) -> Evidence:
    return case.saw(BGP_PEERS, f"agent of {node}", "answer", "BGP Control Plane is disabled")


def not_configured(case: Case) -> Iterator[Finding]:
    """CS302: the control plane is on, and there is no object that gives it a session.

    On a Cilium that merely has the switch on and is asked for nothing that is only worth knowing.
    """
    snapshot = case.snapshot
    policies = (PEERING_POLICIES,) if reads_policies(case) else ()
    if not bgp_enabled(case) or not case.known(CLUSTER_CONFIGS, NODE_CONFIGS, *policies):
        return
    if _lacks_v2(case) or any(
        snapshot.records[kind] for kind in (CLUSTER_CONFIGS, NODE_CONFIGS, PEERING_POLICIES)
    ):
        return
    services = waiting(case)
    parts = [
        *(f"CiliumBGPPeerConfig {name}" for name in sorted(snapshot.records[PEER_CONFIGS])),
        *(f"CiliumBGPAdvertisement {name}" for name in sorted(snapshot.records[ADVERTISEMENTS])),
    ]
    wait = f"{counted(keys(services), 'LoadBalancer service')} count on it" if services else ""
    exist = f"{named(parts)} exist" if parts else ""
    told = " and ".join(filter(None, (wait, exist)))
    kinds: list[Kind[object]] = [
        *([CLUSTER_CONFIGS] if _reads_v2(case) else []),
        *([PEERING_POLICIES] if policies else []),
    ]
    yield Finding(
        code="CS302",
        severity=Severity.FAIL if told else Severity.INFO,
        subject=CLUSTER,
        summary="The BGP control plane is on and there is no "
        f"{' or '.join(kind.object_kind for kind in kinds)}: no node peers with anybody"
        + (f", while {told}" if told else ""),
        evidence=(
            _setting_seen(case),
            *(case.saw(kind, kind.object_kind, "items", "none") for kind in kinds),
            *services_seen(case, services),
        ),
        remedy=_configure(case, kinds)
        if told
        else "Nothing, if BGP is not used; `bgpControlPlane.enabled: false` then says so",
        command="kubectl get " + ",".join(each.plural for kind in kinds for each in _LISTED[kind]),
        about=node_refs(snapshot.records[CILIUM_NODES]),
    )


def _reads_v2(case: Case) -> bool:
    """Whether this Cilium reads CiliumBGPClusterConfig: from 1.16 on.

    Where its version is not known: whether the kind is served, or policies are not.
    """
    if case.version > (0, 0):
        return case.version >= (1, 16)
    return not _absent(case, CLUSTER_CONFIGS) or _absent(case, PEERING_POLICIES)


def _lacks_v2(case: Case) -> bool:
    """Whether it reads CiliumBGPClusterConfig, and the kind is not served: CS318 says so."""
    return _reads_v2(case) and _absent(case, CLUSTER_CONFIGS)


def _absent(case: Case, kind: Kind[object]) -> bool:
    return case.snapshot.health_of(kind).state is State.ABSENT


def _configure(case: Case, kinds: Sequence[Kind[object]]) -> str:
    """What to apply, by what this version reads."""
    v2 = (
        "Apply a CiliumBGPClusterConfig with the routers as peers (spec.bgpInstances[].peers[]), "
        "each with a peerConfigRef to a CiliumBGPPeerConfig whose families select a "
        "CiliumBGPAdvertisement"
    )
    v1 = (
        "a CiliumBGPPeeringPolicy with the routers as neighbours "
        "(spec.virtualRouters[].neighbors[]) and a serviceSelector"
    )
    if list(kinds) == [PEERING_POLICIES]:
        advice = f"Apply {v1}"
    elif len(kinds) == 1:
        advice = v2
    else:
        which = "this Cilium" if case.version > (0, 0) else "Cilium up to 1.18"
        advice = f"{v2}; or, where BGPv1 is in use ({which} reads both, 1.19 no more), {v1}"
    return f"{advice}; if one was there, look who deleted it"


def definitions_missing(case: Case) -> Iterator[Finding]:
    """CS318: BGP is on, and the API server does not know the kinds it is configured with."""
    if not bgp_enabled(case) or any(p.plane == "v1" for p in peerings(case)):
        return
    missing = list(unserved(case)) if _reads_v2(case) else []
    if _absent(case, POOLS) and _asks_for_pool(case):
        missing.append(POOLS)
    if not missing:
        return
    yield Finding(
        code="CS318",
        severity=Severity.FAIL,
        subject=CLUSTER,
        summary="The BGP control plane is on and the API server serves no "
        + named([kind.plural for kind in missing]),
        evidence=(
            _setting_seen(case),
            *(
                case.saw(kind, f"{kind.plural}.cilium.io", "CustomResourceDefinition", "not served")
                for kind in missing
            ),
        ),
        remedy="The operator installs these definitions when it starts: look at its log and its "
        "right to create customresourcedefinitions, and at `skip-crd-creation`",
        command="kubectl get crd -o name | grep cilium.io",
        about=node_refs(case.snapshot.records[CILIUM_NODES]),
    )


def _asks_for_pool(case: Case) -> bool:
    """Whether a service waits for an address that only LB-IPAM would give."""
    if not enabled(case, "enable-lb-ipam", "true"):
        return False
    return any(
        not balancer.addresses and not balancer.hostnames
        for balancer in case.balancers
        if balancer.service.spec.load_balancer_class in (None, BGP_CLASS)
    )


RULES = (
    control_plane_off,
    not_configured,
    definitions_missing,
    *bgp_config_nodes.RULES,
    *bgp_config_peers.RULES,
    *bgp_config_v1.RULES,
    *bgp_config_adverts.RULES,
)
