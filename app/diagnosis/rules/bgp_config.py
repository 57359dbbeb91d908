"""CS301 to CS304, CS307, CS318: whether BGP is on, what configures it, and on which nodes.

The rules on what the configuration says are in the modules beside this one; `RULES` has them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from app.diagnosis.rules import bgp_config_adverts, bgp_config_peers, bgp_config_v1
from app.diagnosis.rules.bgp_config_adverts import (
    CLUSTER,
    config_ref,
    keys,
    labels_seen,
    nearest_by_labels,
    node_refs,
    node_selector_seen,
    services_seen,
    waiting,
)
from app.model.case import Case
from app.model.configuration import CONFIG_MAP
from app.model.desired_peerings import (
    agents_say,
    bgp_enabled,
    cluster_configs_of,
    owner_of,
    peerings,
    peerings_known,
    reads_policies,
    selects_node,
    unserved,
)
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.lbipam import condition_of
from app.model.selectors import selects
from app.model.service_requests import BGP_CLASS
from app.model.wording import counted, named
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
from collectors.cilium.records import ClusterConfig, PeeringPolicy
from collectors.kubernetes.records import LabelSelector, Object

NO_MATCHING_NODE = "cilium.io/NoMatchingNode"
CONFLICTING = "cilium.io/ConflictingClusterConfig"

_NODES_SHOWN = 3
_NODE_LABELS = "kubectl get ciliumnodes --show-labels"


def _selecting(case: Case) -> tuple[ClusterConfig | PeeringPolicy, ...]:
    """Every object that selects nodes, as far as this Cilium reads it."""
    policies = case.records[PEERING_POLICIES] if reads_policies(case) else {}
    configs = (config for _, config in sorted(case.records[CLUSTER_CONFIGS].items()))
    return (*configs, *(policy for _, policy in sorted(policies.items())))


def no_node_selected(case: Case) -> Iterator[Finding]:
    """CS303: a `nodeSelector` that matches no CiliumNode, of a ClusterConfig or a live policy."""
    if not bgp_enabled(case):
        return
    nodes = case.records[CILIUM_NODES]
    for config in _selecting(case):
        selector = config.spec.node_selector
        if nodes and case.known(CILIUM_NODES):
            if selector and not any(selects_node(selector, node) for node in nodes.values()):
                yield _selects_nobody(case, config, selector)
        elif isinstance(config, ClusterConfig) and _true(config, NO_MATCHING_NODE):
            yield _said_to_select_nobody(case, config_ref(config))


def _selects_nobody(
    case: Case, config: ClusterConfig | PeeringPolicy, selector: LabelSelector
) -> Finding:
    nodes, ref = case.records[CILIUM_NODES], config_ref(config)
    nearest = nearest_by_labels(selector, nodes.values())
    reasons = f": it {nearest[1]}" if nearest else ""
    labelled = sorted(
        node.key for node in case.records[NODES].values() if selects(selector, node.metadata.labels)
    )
    note = f"; Node {named(labelled)} has that, its CiliumNode does not" if labelled else ""
    idle = set(nodes) - {peering.node for peering in peerings(case)}
    severity = Severity.FAIL if idle else Severity.WARN
    return Topic("CS303", severity, ref).finding(
        summary=f"{ref} selects none of {counted(sorted(nodes), 'node')}{reasons}{note}",
        evidence=(node_selector_seen(case, config), *labels_seen(case, nodes)),
        remedy=f"Correct spec.nodeSelector of {ref}, or label the nodes that it is meant for; the "
        "agent copies the labels of its Node to its CiliumNode, which is what counts",
        command=_NODE_LABELS,
        about=node_refs(idle),
    )


def _said_to_select_nobody(case: Case, ref: Ref) -> Finding:
    field = f"status.conditions[{NO_MATCHING_NODE}]"
    return Topic("CS303", Severity.FAIL, ref).finding(
        summary=f"The operator says that {ref} selects no node",
        evidence=(case.saw(CLUSTER_CONFIGS, ref, field, "True"),),
        remedy="Compare its spec.nodeSelector with the labels of the CiliumNodes",
        command=_NODE_LABELS,
    )


def _true(config: ClusterConfig, type_: str) -> bool:
    condition = condition_of(config.status.conditions, type_)
    return condition is not None and condition.status == "True"


def conflicting_configs(case: Case) -> Iterator[Finding]:
    """CS304: a node that two ClusterConfigs select keeps the configuration of the first.

    Computed where the CiliumNodes are known: a condition may be older than the correction.
    """
    if not bgp_enabled(case):
        return
    if case.records[CILIUM_NODES]:
        for (loser, rivals), nodes in sorted(_disputes(case).items()):
            yield _conflict(case, loser, rivals, sorted(nodes))
        return
    for name, config in sorted(case.records[CLUSTER_CONFIGS].items()):
        if _true(config, CONFLICTING):
            yield _conflict(case, name, (), [])


def _disputes(case: Case) -> Mapping[tuple[str, tuple[str, ...]], list[str]]:
    """The nodes that a ClusterConfig selects in vain, by it and by those it disputes them with."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, node in case.records[CILIUM_NODES].items():
        selecting = cluster_configs_of(case.records[CLUSTER_CONFIGS].values(), node)
        if len(selecting) < 2:
            continue
        names = [config.key for config in selecting]
        rendered = case.records[NODE_CONFIGS].get(name)
        keeper = owner_of(rendered).name if rendered else ""
        if keeper not in names:
            keeper = min(selecting, key=_age).name
        for loser in names:
            if loser != keeper:
                rivals = tuple(other for other in names if other != loser)
                found.setdefault((loser, rivals), []).append(name)
    return found


def _age(found: Object) -> tuple[datetime, str]:
    created = found.metadata.creation_timestamp
    return (created or datetime.max.replace(tzinfo=UTC), found.key)


def _conflict(case: Case, name: str, rivals: tuple[str, ...], nodes: list[str]) -> Finding:
    ref = Ref("CiliumBGPClusterConfig", name)
    others = named(rivals) or "another one"
    where = counted(nodes, "node") if nodes else "nodes"
    return Topic("CS304", Severity.FAIL, ref, ",".join(rivals)).finding(
        summary=f"{ref} selects {where} that {others} selects too, and has no effect there: a "
        "node keeps the configuration that it got first",
        evidence=tuple(_conflict_seen(case, (name, *rivals), nodes)),
        remedy=f"Let each node be selected by one ClusterConfig: narrow spec.nodeSelector of "
        f"{name} or {others}, or put all instances into one and delete the other",
        command="kubectl get ciliumbgpclusterconfigs -o yaml",
        about=(
            *(Ref("CiliumBGPClusterConfig", rival) for rival in rivals),
            *(Ref("Dispute", node) for node in nodes),
        ),
    )


def _conflict_seen(case: Case, names: Iterable[str], nodes: list[str]) -> Iterator[Evidence]:
    for name in names:
        config = case.records[CLUSTER_CONFIGS][name]
        yield node_selector_seen(case, config)
        condition = condition_of(config.status.conditions, CONFLICTING)
        if condition is not None:
            said = f"{condition.status} {condition.message}".strip()
            yield case.saw(CLUSTER_CONFIGS, config, f"status.conditions[{CONFLICTING}]", said)
    for node in nodes[:_NODES_SHOWN]:
        if rendered := case.records[NODE_CONFIGS].get(node):
            owner = owner_of(rendered)
            yield case.saw(NODE_CONFIGS, rendered, "metadata.ownerReferences", owner)
    yield from labels_seen(case, nodes)


def nodes_without_bgp(case: Case) -> Iterator[Finding]:
    """CS307: nodes that nothing selects, where others run BGP; one finding for all of them."""
    if not bgp_enabled(case) or not peerings_known(case) or not peerings(case):
        return
    nodes = case.records[CILIUM_NODES]
    selecting = _selecting(case)
    selectors = [config.spec.node_selector for config in selecting]
    without = [
        name
        for name, node in sorted(nodes.items())
        if name not in case.records[NODE_CONFIGS]
        and not any(selects_node(selector, node) for selector in selectors)
    ]
    if not without:
        return
    yield Topic("CS307", Severity.INFO, CLUSTER).finding(
        summary=f"{counted(without, 'node')} of {len(nodes)} run without BGP: no configuration "
        "selects them",
        evidence=(
            *(node_selector_seen(case, config) for config in selecting),
            *labels_seen(case, without),
        ),
        remedy="Nothing, if these nodes are not to announce anything; otherwise label them, or "
        "widen spec.nodeSelector",
        command=f"kubectl get ciliumbgpnodeconfigs; {_NODE_LABELS}",
        about=node_refs(without),
    )


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
    configs = [Ref("CiliumBGPClusterConfig", name) for name in case.records[CLUSTER_CONFIGS]]
    policies = [Ref("CiliumBGPPeeringPolicy", name) for name in case.records[PEERING_POLICIES]]
    return tuple(sorted([*configs, *(policies if reads_policies(case) else [])]))


def _off_everywhere(case: Case, wanted: tuple[Ref, ...]) -> Finding:
    setting = case.setting(_SETTING, "false")
    silent = sorted(node for node, on in agents_say(case).items() if not on)
    if case.enabled(_SETTING, "false"):
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
    return Topic("CS301", Severity.FAIL, CLUSTER).finding(
        summary=f"The BGP control plane is off ({why}), though {named([*map(str, wanted)])} "
        f"{'asks' if len(wanted) == 1 else 'ask'} for it",
        evidence=(
            _setting_seen(case),
            *(_disabled(case, node) for node in silent[:_SHOWN]),
            *(case.saw(OF_OBJECT[ref.kind], ref, "metadata.name", ref.name) for ref in wanted),
        ),
        remedy=remedy,
        command=f"kubectl -n {case.namespace} get configmap {CONFIG_MAP} "
        f"-o jsonpath='{{.data.{_SETTING}}}'",
        about=(*wanted, *node_refs(case.records[CILIUM_NODES])),
        blames=() if case.enabled(_SETTING, "false") else (Ref("Setting", _SETTING),),
    )


def _off_on_nodes(case: Case) -> Iterator[Finding]:
    asked = {peering.node for peering in peerings(case)}
    # Else a CiliumNodeConfig has it switched on for some nodes, and may well mean only those.
    everywhere = bool(case.enabled(_SETTING, "false"))
    for node, on in sorted(agents_say(case).items()):
        if on or node not in asked:
            continue
        severity = Severity.FAIL if everywhere else Severity.WARN
        detail = "" if node in case.records[NODES] else node
        subject = Ref("Node", node) if node in case.records[NODES] else CLUSTER
        yield Topic("CS301", severity, subject, detail).finding(
            summary=f"The agent of {node} runs without the BGP control plane, though it is on "
            f"elsewhere and {node} is to peer",
            evidence=(_disabled(case, node), _setting_seen(case)),
            remedy="Restart this node's agent if it was started before BGP was switched on; look "
            "for a CiliumNodeConfig that switches it off for this node",
            command=f"kubectl -n {case.namespace} get pods -l k8s-app=cilium "
            f"-o wide --field-selector spec.nodeName={node}",
        )


def _setting_seen(case: Case) -> Evidence:
    config = case.config
    value = "(config map not known)" if config is None else config.get(_SETTING, "(not set: false)")
    return case.saw(CONFIG_MAPS, case.config_ref, f"data.{_SETTING}", value)


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
    # Where Cilium reads ClusterConfigs and they are not served, CS318 says so.
    if (_reads_v2(case) and _absent(case, CLUSTER_CONFIGS)) or any(
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
    text = " and ".join(filter(None, (wait, exist)))
    kinds: list[Kind[object]] = [
        *([CLUSTER_CONFIGS] if _reads_v2(case) else []),
        *([PEERING_POLICIES] if policies else []),
    ]
    severity = Severity.FAIL if text else Severity.INFO
    yield Topic("CS302", severity, CLUSTER).finding(
        summary="The BGP control plane is on and there is no "
        f"{' or '.join(kind.object_kind for kind in kinds)}: no node peers with anybody"
        + (f", while {text}" if text else ""),
        evidence=(
            _setting_seen(case),
            *(case.saw(kind, kind.object_kind, "items", "none") for kind in kinds),
            *services_seen(case, services),
        ),
        remedy=_configure(case, kinds)
        if text
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
    yield Topic("CS318", Severity.FAIL, CLUSTER).finding(
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
        about=node_refs(case.records[CILIUM_NODES]),
    )


def _asks_for_pool(case: Case) -> bool:
    """Whether a service waits for an address that only LB-IPAM would give."""
    if not case.enabled("enable-lb-ipam", "true"):
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
    no_node_selected,
    conflicting_configs,
    nodes_without_bgp,
    *bgp_config_peers.RULES,
    *bgp_config_v1.RULES,
    *bgp_config_adverts.RULES,
)
