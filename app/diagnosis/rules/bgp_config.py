"""CS301, CS302, CS318: whether BGP is on, and whether anything configures it.

The rules on what the configuration says are in the modules beside this one; `RULES` has them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from app.model.bgp_crds import BGP_KINDS, unserved
from app.model.case import Case
from app.model.configuration import CONFIG_MAP
from app.model.desired_peerings import BGP_CLASS, agents_say, bgp_enabled, peerings, reads_policies
from app.model.finding import Evidence, Finding, Ref, Severity
from app.model.lb_class import enabled
from app.state.snapshot import State

_POOLS = {"pools": "ciliumloadbalancerippools"}
_KINDS = {
    "CiliumBGPClusterConfig": "cluster_configs",
    "CiliumBGPPeeringPolicy": "peering_policies",
}
_LISTED = {
    "CiliumBGPClusterConfig": "ciliumbgpclusterconfigs,ciliumbgppeerconfigs,"
    "ciliumbgpadvertisements",
    "CiliumBGPPeeringPolicy": "ciliumbgppeeringpolicies",
}
_SETTING = "enable-bgp-control-plane"
_SHOWN = 3


def control_plane_off(case: Case) -> Iterator[Finding]:
    """CS301: objects ask for BGP, and the control plane is off, everywhere or on some nodes."""
    wanted = _asking(case)
    if bgp_enabled(case) is False and wanted:
        yield _off_everywhere(case, wanted)
    elif bgp_enabled(case) and case.snapshot.health_of("bgp_peers").state is State.FRESH:
        yield from _off_on_nodes(case)


def _asking(case: Case) -> tuple[Ref, ...]:
    """The objects that configure sessions, as far as this Cilium reads them."""
    configs = [Ref("CiliumBGPClusterConfig", name) for name in case.snapshot.cluster_configs]
    policies = [Ref("CiliumBGPPeeringPolicy", name) for name in case.snapshot.peering_policies]
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
            *(case.saw(_KINDS[ref.kind], str(ref), "metadata.name", ref.name) for ref in wanted),
        ),
        remedy=remedy,
        command=f"kubectl -n {case.snapshot.cilium_namespace} get configmap {CONFIG_MAP} "
        f"-o jsonpath='{{.data.{_SETTING}}}'",
        about=(*wanted, *node_refs(case.snapshot.cilium_nodes)),
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
            subject=Ref("Node", node) if node in case.snapshot.nodes else CLUSTER,
            detail="" if node in case.snapshot.nodes else node,
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
    return case.saw("config_maps", name, f"data.{_SETTING}", value)


def _disabled(case: Case, node: str) -> Evidence:
    return case.saw("bgp_peers", f"agent of {node}", "answer", "BGP Control Plane is disabled")


def not_configured(case: Case) -> Iterator[Finding]:
    """CS302: the control plane is on, and there is no object that gives it a session.

    On a Cilium that merely has the switch on and is asked for nothing that is only worth knowing.
    """
    snapshot = case.snapshot
    policies = ("peering_policies",) if reads_policies(case) else ()
    if not bgp_enabled(case) or not case.known("cluster_configs", "node_configs", *policies):
        return
    if (
        _lacks_v2(case)
        or snapshot.cluster_configs
        or snapshot.node_configs
        or snapshot.peering_policies
    ):
        return
    services = waiting(case)
    parts = [
        *(f"CiliumBGPPeerConfig {name}" for name in sorted(snapshot.peer_configs)),
        *(f"CiliumBGPAdvertisement {name}" for name in sorted(snapshot.advertisements)),
    ]
    wait = f"{counted(keys(services), 'LoadBalancer service')} count on it" if services else ""
    exist = f"{named(parts)} exist" if parts else ""
    told = " and ".join(filter(None, (wait, exist)))
    kinds = [
        *(["CiliumBGPClusterConfig"] if _reads_v2(case) else []),
        *(["CiliumBGPPeeringPolicy"] if policies else []),
    ]
    yield Finding(
        code="CS302",
        severity=Severity.FAIL if told else Severity.INFO,
        subject=CLUSTER,
        summary=f"The BGP control plane is on and there is no {' or '.join(kinds)}: no node peers "
        "with anybody" + (f", while {told}" if told else ""),
        evidence=(
            _setting_seen(case),
            *(case.saw(_KINDS[kind], kind, "items", "none") for kind in kinds),
            *services_seen(case, services),
        ),
        remedy=_configure(case, kinds)
        if told
        else "Nothing, if BGP is not used; `bgpControlPlane.enabled: false` then says so",
        command="kubectl get " + ",".join(_LISTED[kind] for kind in kinds),
        about=node_refs(snapshot.cilium_nodes),
    )


def _reads_v2(case: Case) -> bool:
    """Whether this Cilium reads CiliumBGPClusterConfig: from 1.16 on.

    Where its version is not known: whether the kind is served, or policies are not.
    """
    if case.version > (0, 0):
        return case.version >= (1, 16)
    return not _absent(case, "cluster_configs") or _absent(case, "peering_policies")


def _lacks_v2(case: Case) -> bool:
    """Whether it reads CiliumBGPClusterConfig, and the kind is not served: CS318 says so."""
    return _reads_v2(case) and _absent(case, "cluster_configs")


def _absent(case: Case, kind: str) -> bool:
    return case.snapshot.health_of(kind).state is State.ABSENT


def _configure(case: Case, kinds: Sequence[str]) -> str:
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
    if kinds == ["CiliumBGPPeeringPolicy"]:
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
    missing = [BGP_KINDS[kind] for kind in unserved(case)] if _reads_v2(case) else []
    if _absent(case, "pools") and _asks_for_pool(case):
        missing.extend(_POOLS.values())
    if not missing:
        return
    yield Finding(
        code="CS318",
        severity=Severity.FAIL,
        subject=CLUSTER,
        summary=f"The BGP control plane is on and the API server serves no {named(missing)}",
        evidence=(
            _setting_seen(case),
            *(
                case.saw(kind, f"{plural}.cilium.io", "CustomResourceDefinition", "not served")
                for kind, plural in {**BGP_KINDS, **_POOLS}.items()
                if plural in missing
            ),
        ),
        remedy="The operator installs these definitions when it starts: look at its log and its "
        "right to create customresourcedefinitions, and at `skip-crd-creation`",
        command="kubectl get crd -o name | grep cilium.io",
        about=node_refs(case.snapshot.cilium_nodes),
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
