"""What is said of the endpoints of a service: nothing answers (CS601), or only where BGP does not
announce it (CS501, policy Local).

Pods outside Cilium's namespace are not read: what is known of them is what the EndpointSlices say,
and which pods the selector selects is left to a command. Of policy Local only a node with a ready
endpoint of its own announces a service; where these nodes have no peer for it, no node does, though
every session is up and every endpoint ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.diagnosis.rules.bgp_config_adverts import node_selector_seen
from app.diagnosis.service_path.announcing import address_seen, endpoints_command, endpoints_seen
from app.model.case import Case
from app.model.desired_peerings import selects_node
from app.model.desired_routes import Kept, Serving, announcers
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, service_ref
from app.model.lbipam import LoadBalancer
from app.model.route_coverage import Scene
from app.model.wording import SHOWN, named, verb
from app.state import kinds
from app.state.kinds import Kind
from collectors.cilium.records import ClusterConfig, PeeringPolicy
from collectors.kubernetes.records import Endpoint, EndpointConditions, EndpointSlice


def no_endpoint(case: Case, balancer: LoadBalancer, serving: Serving) -> Finding:
    """CS601: no endpoint is ready: there is no slice, none in it, or none of them is ready."""
    service = balancer.service
    slices = case.snapshot.slices_by_service.get(service.key, ())
    selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
    if serving.total:
        why, remedy = _unready(slices, serving), _unready_remedy(slices, selector)
    elif selector:
        why, remedy = f"{_empty(slices)} (spec.selector {selector})", _empty_remedy(slices)
    else:
        why = f"it has no selector, and {_empty(slices)}"
        remedy = "Write an EndpointSlice for it, or give it a selector"
    severity = Severity.FAIL if selector or serving.total else Severity.WARN
    return Topic("CS601", severity, service_ref(service.key)).finding(
        summary=f"{service.key} has no ready endpoint: {why}",
        evidence=(
            endpoints_seen(case, service, serving),
            *_slices_seen(case, slices),
            case.saw(kinds.SERVICES, service, "spec.selector", selector or "(none)"),
        ),
        remedy=remedy,
        command=f"kubectl get pods -n {service.namespace} -l {selector} -o wide --show-labels"
        if selector
        else endpoints_command(service),
        blames=tuple(Ref("Node", node) for node in serving.alive),
    )


def _empty(slices: Sequence[EndpointSlice]) -> str:
    if not slices:
        return "there is no EndpointSlice for it"
    names = tuple(each.name for each in slices)
    return f"EndpointSlice {named(names)} {verb(names, 'list')} no endpoint"


def _empty_remedy(slices: Sequence[EndpointSlice]) -> str:
    remedy = (
        "See which pods the selector selects (the command lists them). If none: compare "
        "spec.selector with the labels of the pods, and see whether the workload is scaled to 0. "
        "If some: they have no address yet, look at why they are Pending"
    )
    if slices:
        return remedy
    return f"{remedy}, and whether the kube-controller-manager runs, which writes EndpointSlices"


def _unready(slices: Sequence[EndpointSlice], serving: Serving) -> str:
    words = named(f"{name} {_where(each)}{_state(each)}" for name, each in _endpoints(slices))
    if serving.total == 1:
        return f"its only endpoint is not ready: {words}"
    return f"none of its {serving.total} endpoints is ready: {words}"


def _unready_remedy(slices: Sequence[EndpointSlice], selector: str) -> str:
    if all(each.conditions.terminating for _, each in _endpoints(slices)):
        return (
            "All of them are being ended: see whether the workload was scaled to 0 or is being "
            "rolled out, and why no new pod is there"
        )
    if not selector:
        return "See why who writes its endpoints calls them not ready"
    return "Look at the pods' events and readiness probe"


def _endpoints(slices: Sequence[EndpointSlice]) -> Sequence[tuple[str, Endpoint]]:
    """Each endpoint once, by what it refers to: a dual-stack service has a slice a family."""
    found: dict[str, Endpoint] = {}
    for endpoint in (endpoint for each in slices for endpoint in each.endpoints):
        target = endpoint.target_ref
        name = f"{target.kind} {target.namespace}/{target.name}" if target else ""
        found.setdefault(name.strip() or ", ".join(endpoint.addresses), endpoint)
    return sorted(found.items())


def _where(endpoint: Endpoint) -> str:
    return f"on {endpoint.node_name} " if endpoint.node_name else ""


def _state(endpoint: Endpoint) -> str:
    conditions = endpoint.conditions
    if conditions.terminating:
        return "(terminating)"
    return "(not ready)" if conditions.ready is False else "(ready)"


def _slices_seen(case: Case, slices: Sequence[EndpointSlice]) -> Iterator[Evidence]:
    for each in slices[:SHOWN]:
        name = f"EndpointSlice {each.key}"
        if not each.endpoints:
            yield case.saw(kinds.ENDPOINT_SLICES, name, "endpoints", "none")
        for place, endpoint in enumerate(each.endpoints[:SHOWN]):
            field = f"endpoints[{place}].conditions"
            yield case.saw(kinds.ENDPOINT_SLICES, name, field, _conditions(endpoint.conditions))


def _conditions(conditions: EndpointConditions) -> str:
    known = (
        ("ready", conditions.ready),
        ("serving", conditions.serving),
        ("terminating", conditions.terminating),
    )
    return ", ".join(f"{name}={str(value).lower()}" for name, value in known if value is not None)


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
    return Topic("CS501", Severity.FAIL, service_ref(service.key), "local").finding(
        summary=f"{service.key} ({addresses}) is announced by no node: it has "
        f"externalTrafficPolicy Local, and its only {endpoints} "
        f"on {', and on '.join(filter(None, places))}",
        evidence=(
            address_seen(case, service, (entry.address for entry in kept)),
            case.saw(kinds.SERVICES, service, "spec.externalTrafficPolicy", "Local"),
            endpoints_seen(case, service, serving),
            *(node_selector_seen(case, config) for _, config in sorted(configs.items())),
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
        return kinds.PEERING_POLICIES, snapshot.records[kinds.PEERING_POLICIES]
    return kinds.CLUSTER_CONFIGS, snapshot.records[kinds.CLUSTER_CONFIGS]


def _without_bgp(
    case: Case,
    kind: Kind[object],
    configs: Mapping[str, ClusterConfig | PeeringPolicy],
    nodes: tuple[str, ...],
) -> str:
    known = [case.records[kinds.CILIUM_NODES].get(node) for node in nodes]
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
