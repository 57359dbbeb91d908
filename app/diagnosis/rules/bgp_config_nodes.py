"""CS303, CS304, CS307: which nodes the BGP configuration reaches, and which dispute them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from app.diagnosis.rules.bgp_config_facts import (
    CLUSTER,
    counted,
    labels_seen,
    named,
    nearest_by_labels,
    node_refs,
    selector_words,
)
from app.model.case import Case
from app.model.desired_peerings import (
    bgp_enabled,
    cluster_configs_of,
    owner_of,
    peerings,
    peerings_known,
    reads_policies,
    selects_node,
)
from app.model.finding import Evidence, Finding, Ref, Severity
from app.model.lbipam import condition_of
from app.model.selectors import selects
from app.state.kinds import (
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    NODE_CONFIGS,
    NODES,
    PEERING_POLICIES,
    Kind,
)
from collectors.cilium.records import ClusterConfig, PeeringPolicy
from collectors.kubernetes.records import LabelSelector, Object

NO_MATCHING_NODE = "cilium.io/NoMatchingNode"
CONFLICTING = "cilium.io/ConflictingClusterConfig"

_SHOWN = 3
_NODE_LABELS = "kubectl get ciliumnodes --show-labels"
_Selecting: TypeAlias = tuple[Kind[object], Ref, ClusterConfig | PeeringPolicy]
"""Snapshot kind, reference and record of what selects nodes."""


def _selecting(case: Case) -> tuple[_Selecting, ...]:
    """Every object that selects nodes, as far as this Cilium reads it."""
    configs: list[_Selecting] = [
        (CLUSTER_CONFIGS, Ref("CiliumBGPClusterConfig", name), config)
        for name, config in sorted(case.snapshot.records[CLUSTER_CONFIGS].items())
    ]
    if reads_policies(case):
        configs += [
            (PEERING_POLICIES, Ref("CiliumBGPPeeringPolicy", name), policy)
            for name, policy in sorted(case.snapshot.records[PEERING_POLICIES].items())
        ]
    return tuple(configs)


def no_node_selected(case: Case) -> Iterator[Finding]:
    """CS303: a `nodeSelector` that matches no CiliumNode, of a ClusterConfig or a live policy."""
    if not bgp_enabled(case):
        return
    nodes = case.snapshot.records[CILIUM_NODES]
    for kind, ref, config in _selecting(case):
        selector = config.spec.node_selector
        if nodes and case.known(CILIUM_NODES):
            if selector and not any(selects_node(selector, node) for node in nodes.values()):
                yield _selects_nobody(case, kind, ref, selector)
        elif isinstance(config, ClusterConfig) and _true(config, NO_MATCHING_NODE):
            yield _said_to_select_nobody(case, ref)


def _selects_nobody(case: Case, kind: Kind[object], ref: Ref, selector: LabelSelector) -> Finding:
    nodes = case.snapshot.records[CILIUM_NODES]
    nearest = nearest_by_labels(selector, nodes.values())
    reasons = f": it {nearest[1]}" if nearest else ""
    labelled = sorted(
        node.key
        for node in case.snapshot.records[NODES].values()
        if selects(selector, node.metadata.labels)
    )
    note = f"; Node {named(labelled)} has that, its CiliumNode does not" if labelled else ""
    idle = set(nodes) - {peering.node for peering in peerings(case)}
    return Finding(
        code="CS303",
        severity=Severity.FAIL if idle else Severity.WARN,
        subject=ref,
        summary=f"{ref} selects none of {counted(sorted(nodes), 'node')}{reasons}{note}",
        evidence=(
            case.saw(kind, str(ref), "spec.nodeSelector", selector_words(selector)),
            *labels_seen(case, nodes),
        ),
        remedy=f"Correct spec.nodeSelector of {ref}, or label the nodes that it is meant for; the "
        "agent copies the labels of its Node to its CiliumNode, which is what counts",
        command=_NODE_LABELS,
        about=node_refs(idle),
    )


def _said_to_select_nobody(case: Case, ref: Ref) -> Finding:
    field = f"status.conditions[{NO_MATCHING_NODE}]"
    return Finding(
        code="CS303",
        severity=Severity.FAIL,
        subject=ref,
        summary=f"The operator says that {ref} selects no node",
        evidence=(case.saw(CLUSTER_CONFIGS, str(ref), field, "True"),),
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
    if case.snapshot.records[CILIUM_NODES]:
        for (loser, rivals), nodes in sorted(_disputes(case).items()):
            yield _conflict(case, loser, rivals, sorted(nodes))
        return
    for name, config in sorted(case.snapshot.records[CLUSTER_CONFIGS].items()):
        if _true(config, CONFLICTING):
            yield _conflict(case, name, (), [])


def _disputes(case: Case) -> Mapping[tuple[str, tuple[str, ...]], list[str]]:
    """The nodes that a ClusterConfig selects in vain, by it and by those it disputes them with."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, node in case.snapshot.records[CILIUM_NODES].items():
        selecting = cluster_configs_of(case.snapshot.records[CLUSTER_CONFIGS].values(), node)
        if len(selecting) < 2:
            continue
        names = [config.key for config in selecting]
        rendered = case.snapshot.records[NODE_CONFIGS].get(name)
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
    return Finding(
        code="CS304",
        severity=Severity.FAIL,
        subject=ref,
        detail=",".join(rivals),
        summary=f"{ref} selects {where} that {others} selects too, and has no effect there: a "
        "node keeps the configuration that it got first",
        evidence=tuple(_conflict_seen(case, (name, *rivals), nodes)),
        remedy=f"Let each node be selected by one ClusterConfig: narrow spec.nodeSelector of "
        f"{name} or {others}, or put all instances into one and delete the other",
        command="kubectl get ciliumbgpclusterconfigs -o yaml",
        about=tuple(Ref("CiliumBGPClusterConfig", rival) for rival in rivals),
    )


def _conflict_seen(case: Case, names: Iterable[str], nodes: list[str]) -> Iterator[Evidence]:
    for name in names:
        config = case.snapshot.records[CLUSTER_CONFIGS][name]
        what = f"CiliumBGPClusterConfig {name}"
        words = selector_words(config.spec.node_selector)
        yield case.saw(CLUSTER_CONFIGS, what, "spec.nodeSelector", words)
        condition = condition_of(config.status.conditions, CONFLICTING)
        if condition is not None:
            said = f"{condition.status} {condition.message}".strip()
            yield case.saw(CLUSTER_CONFIGS, what, f"status.conditions[{CONFLICTING}]", said)
    for node in nodes[:_SHOWN]:
        if rendered := case.snapshot.records[NODE_CONFIGS].get(node):
            what, owner = f"CiliumBGPNodeConfig {node}", str(owner_of(rendered))
            yield case.saw(NODE_CONFIGS, what, "metadata.ownerReferences", owner)
    yield from labels_seen(case, nodes)


def nodes_without_bgp(case: Case) -> Iterator[Finding]:
    """CS307: nodes that nothing selects, where others run BGP; one finding for all of them."""
    if not bgp_enabled(case) or not peerings_known(case) or not peerings(case):
        return
    nodes = case.snapshot.records[CILIUM_NODES]
    selecting = _selecting(case)
    selectors = [config.spec.node_selector for _, _, config in selecting]
    without = [
        name
        for name, node in sorted(nodes.items())
        if name not in case.snapshot.records[NODE_CONFIGS]
        and not any(selects_node(selector, node) for selector in selectors)
    ]
    if not without:
        return
    yield Finding(
        code="CS307",
        severity=Severity.INFO,
        subject=CLUSTER,
        summary=f"{counted(without, 'node')} of {len(nodes)} run without BGP: no configuration "
        "selects them",
        evidence=(
            *(
                case.saw(
                    kind, str(ref), "spec.nodeSelector", selector_words(config.spec.node_selector)
                )
                for kind, ref, config in selecting
            ),
            *labels_seen(case, without),
        ),
        remedy="Nothing, if these nodes are not to announce anything; otherwise label them, or "
        "widen spec.nodeSelector",
        command=f"kubectl get ciliumbgpnodeconfigs; {_NODE_LABELS}",
        about=node_refs(without),
    )


RULES = (no_node_selected, conflicting_configs, nodes_without_bgp)
