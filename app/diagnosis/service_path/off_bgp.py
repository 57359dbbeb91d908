"""CS501 of a service of policy Local that is served only where BGP does not announce it.

Only a node with a ready endpoint of its own announces such a service; where these nodes have no
peer that is told of it, nobody does, though every session is up and every endpoint ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.diagnosis.rules.bgp_config_facts import selector_words
from app.diagnosis.service_path.announcing import (
    address_seen,
    endpoints_command,
    endpoints_seen,
    named,
    service_ref,
    verb,
)
from app.model.case import Case
from app.model.desired_peerings import selects_node
from app.model.desired_routes import Kept, announcers
from app.model.finding import Evidence, Finding, Ref, Severity
from app.model.lbipam import LoadBalancer
from app.model.route_coverage import Scene
from app.model.service_endpoints import Serving
from app.state.kinds import CILIUM_NODES, CLUSTER_CONFIGS, PEERING_POLICIES, SERVICES, Kind
from collectors.cilium.records import ClusterConfig, PeeringPolicy


def off_bgp(
    scene: Scene, balancer: LoadBalancer, kept: tuple[Kept, ...], serving: Serving
) -> Finding:
    """CS501: policy Local, and every ready endpoint is on a node that is not to announce it."""
    case, service = scene.case, balancer.service
    kind, configs = _configs(scene)
    peered = frozenset(node for group in scene.config.groups for node in group.nodes)
    without = tuple(node for node in serving.nodes if node not in peered)
    with_peers = tuple(node for node in serving.nodes if node in peered)
    places = (
        _without_bgp(case, kind, configs, without) if without else "",
        _without_peer(scene, with_peers) if with_peers else "",
    )
    endpoints = "ready endpoint is" if serving.ready == 1 else "ready endpoints are"
    addresses = named(str(entry.address) for entry in kept)
    return Finding(
        code="CS501",
        severity=Severity.FAIL,
        subject=service_ref(service),
        detail="local",
        summary=f"{service.key} ({addresses}) is announced by no node: it has "
        f"externalTrafficPolicy Local, and its only {endpoints} "
        f"on {', and on '.join(filter(None, places))}",
        evidence=(
            address_seen(case, service, (entry.address for entry in kept)),
            case.saw(SERVICES, f"Service {service.key}", "spec.externalTrafficPolicy", "Local"),
            endpoints_seen(case, service, serving),
            *_selectors_seen(case, kind, configs),
        ),
        remedy=_remedy(scene, balancer, kept, kind, without),
        command=endpoints_command(service),
        blames=(
            *(Ref(kind.object_kind, name) for name in sorted(configs)),
            *(ref for g in scene.config.groups if {*with_peers} & {*g.nodes} for ref in g.refs),
        ),
    )


def _configs(scene: Scene) -> tuple[Kind[object], Mapping[str, ClusterConfig | PeeringPolicy]]:
    """The kind of the objects that select the nodes, and all there are."""
    snapshot = scene.case.snapshot
    if any(group.plane == "v1" for group in scene.config.groups):
        return PEERING_POLICIES, snapshot.records[PEERING_POLICIES]
    return CLUSTER_CONFIGS, snapshot.records[CLUSTER_CONFIGS]


def _without_bgp(
    case: Case,
    kind: Kind[object],
    configs: Mapping[str, ClusterConfig | PeeringPolicy],
    nodes: tuple[str, ...],
) -> str:
    known = [case.snapshot.records[CILIUM_NODES].get(node) for node in nodes]
    selected = any(
        node is None or selects_node(config.spec.node_selector, node)
        for node in known
        for config in configs.values()
    )
    runs = verb(nodes, "run")
    if selected:
        return f"{named(nodes)}, which {runs} without BGP (no peer is configured there)"
    return f"{named(nodes)}, which no {kind.object_kind} selects ({runs} without BGP)"


def _without_peer(scene: Scene, nodes: tuple[str, ...]) -> str:
    here = [group for group in scene.config.groups if not {*nodes}.isdisjoint(group.nodes)]
    problems = named(group.problem for group in here if group.problem)
    why = f" ({problems})" if problems else ""
    return f"{named(nodes)}, where no peer is to be told of it{why}"


def _remedy(
    scene: Scene,
    balancer: LoadBalancer,
    kept: tuple[Kept, ...],
    kind: Kind[object],
    without: tuple[str, ...],
) -> str:
    config, service = scene.config, balancer.service
    able = named(sorted(announcers(config, service, kept[0].address)))
    owners = dict.fromkeys(
        str(ref) for g in config.groups for ref in g.owners if ref.kind == kind.object_kind
    )
    where = f"spec.nodeSelector of {' or '.join(owners) or kind.object_kind}"
    first = (
        f"Select {named(without)} in {where}"
        if without
        else "Let the peers of these nodes carry the advertisement that selects it"
    )
    return (
        f"{first}, or schedule the pods onto a node that may announce it ({able}), or set "
        "externalTrafficPolicy: Cluster"
    )


def _selectors_seen(
    case: Case, kind: Kind[object], configs: Mapping[str, ClusterConfig | PeeringPolicy]
) -> Iterator[Evidence]:
    for name, config in sorted(configs.items()):
        words = selector_words(config.spec.node_selector)
        yield case.saw(kind, f"{kind.object_kind} {name}", "spec.nodeSelector", words)
