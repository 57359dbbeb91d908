"""The hops of a service's way, each judged by itself: what it is, and what is wrong there.

That a hop lies behind a broken one is added by `app.diagnosis.service_path.paths`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from app.diagnosis.catalog import code
from app.diagnosis.rules.lbipam_words import pools_unread
from app.diagnosis.service_path import announcing as say
from app.diagnosis.service_path.path import Hop, HopName, HopState
from app.diagnosis.service_path.serving import no_endpoint, off_bgp
from app.model.case import Case
from app.model.desired_peerings import unserved
from app.model.desired_routes import Expectation, Kept, Obstacle, by_proxy, is_local
from app.model.finding import Evidence, Finding, Severity
from app.model.lb_class import BGP_CLASS
from app.model.lbipam import LoadBalancer
from app.model.route_coverage import Reach, Scene, wanted_by_others
from app.model.routes import Link
from app.model.service_endpoints import Serving
from app.model.wording import count, named, verb
from app.state.kinds import ENDPOINT_SLICES, POOLS, SERVICES

_UNJUDGED = frozenset({Obstacle.UNUSED, Obstacle.CLASS})
"""What keeps an address out of BGP because somebody else is to announce it."""


@dataclass(frozen=True, eq=False, slots=True)
class Way:
    """All that the hops of one service are judged by."""

    scene: Scene
    balancer: LoadBalancer
    serving: Serving | None
    """None: endpoint slices are not known."""
    expectation: Expectation
    changed_at: datetime | None
    """When the service or its endpoints last changed."""
    reaches: tuple[Reach, ...]
    strays: tuple[Reach, ...]
    """Addresses that no node should announce, or nobody knows which, and that are announced."""
    lacking: tuple[Finding, ...]
    """What LB-IPAM's rules say of the service, the decisive reason first."""

    @property
    def counts_on_bgp(self) -> bool:
        """Whether nobody else is to announce its address: LB-IPAM gave it, and L2 does not take it.

        Another make's service (MetalLB, a cloud) has neither a verdict of LB-IPAM nor an address
        of a pool.
        """
        wanted = self.balancer.service.spec.load_balancer_class
        if wanted is not None:
            return wanted == BGP_CLASS
        served = self.balancer.condition is not None or any(self.balancer.pools)
        return served and not self.expectation.l2

    @property
    def links(self) -> tuple[Link, ...]:
        """The sessions that should carry any of its prefixes."""
        distinct = {id(wanted.links): wanted.links for wanted in self.expectation.wanted}
        if len(distinct) == 1:
            return next(iter(distinct.values()))
        return tuple(dict.fromkeys(link for links in distinct.values() for link in links))

    @property
    def doubtful(self) -> frozenset[str]:
        """Nodes that should announce it, and of which it is not known whether they do."""
        return frozenset(
            node
            for reach in self.reaches
            for node in (reach.wanted.nodes if reach.actual is None else reach.unknown)
        )

    @property
    def lasting(self) -> bool:
        """Whether time alone changes nothing: it has its addresses, and all agents followed."""
        given = self.balancer.satisfied is not False and bool(self.balancer.addresses)
        return given and self.settled(4) and self.settled(6)

    def settled(self, version: int) -> bool:
        """Whether the agents had the time to follow what last changed."""
        return self.scene.settled(version, self.changed_at)


def address_hops(way: Way) -> tuple[Hop, Hop, Hop]:
    """Class, pool and address."""
    balancer, service = way.balancer, way.balancer.service
    wanted = service.spec.load_balancer_class
    addresses = named([*map(str, balancer.addresses), *balancer.hostnames])
    pools = named(filter(None, balancer.pools))
    by_hop: dict[str, list[Finding]] = {"class": [], "pool": [], "address": []}
    for finding in way.lacking:
        by_hop[code(finding.code).hop or "address"].append(finding)
    said = {
        "class": f"loadBalancerClass {wanted}" if wanted else "no loadBalancerClass",
        "pool": f"pool {pools}" if pools else "its address lies in no pool of LB-IPAM",
        "address": addresses or "no address",
    }
    seen = way.scene.case.saw(
        SERVICES, f"Service {service.key}", "status.loadBalancer.ingress", addresses or "none"
    )
    first = _found("class", said["class"], by_hop["class"])
    pool = _found("pool", said["pool"], by_hop["pool"])
    unread = "" if pools else pools_unread(way.scene.case) or _pools_unserved(way.scene.case)
    if unread and not by_hop["pool"]:
        pool = Hop("pool", HopState.UNKNOWN, f"which pool it is of cannot be told: {unread}")
    address = _found("address", said["address"], by_hop["address"])
    if not addresses:
        pool = (
            pool
            if by_hop["pool"] or unread
            else Hop("pool", HopState.UNKNOWN, "no pool gave an address")
        )
        if not by_hop["address"]:
            address = Hop("address", HopState.UNKNOWN, "LB-IPAM has given no address (yet)")
    return first, pool, Hop(address.name, address.state, address.reason, (seen,), address.findings)


def endpoints_hop(way: Way) -> Hop:
    """The endpoints: whether anything can answer, and on which nodes."""
    case, serving, service = way.scene.case, way.serving, way.balancer.service
    if serving is None:
        label = case.snapshot.health_of(ENDPOINT_SLICES).label
        return Hop("endpoints", HopState.UNKNOWN, f"{label} could not be read")
    if by_proxy(service):
        reason = "served by Cilium's own Ingress or Gateway on every node"
        return Hop("endpoints", HopState.OK, reason)
    seen = (say.endpoints_seen(case, service, serving),)
    reason = f"{serving.ready} of {serving.total} ready, on {named(serving.nodes) or 'no node'}"
    if not way.settled(4):
        state = HopState.OK if serving.ready else HopState.UNKNOWN
        return Hop("endpoints", state, reason + ("" if serving.ready else ", as of now"), seen)
    findings: list[Finding] = [] if serving.ready else [no_endpoint(case, way.balancer, serving)]
    local = is_local(service, way.scene.config.version)
    used = any(kept.obstacle is Obstacle.LOCAL for kept in way.expectation.kept)
    if local and used and not serving.nodes:
        findings.append(say.local_without_endpoint(way.scene, way.balancer, serving))
    return _found("endpoints", reason, findings, seen)


def advertised_hop(way: Way) -> Hop:
    """The configuration: whether BGP is told to announce each address, and to whom."""
    kept = way.expectation.kept
    if not way.balancer.addresses:
        return Hop("advertised", HopState.UNKNOWN, "there is no address to announce")
    if kept and kept[0].obstacle is Obstacle.UNKNOWN:
        return Hop("advertised", HopState.UNKNOWN, kept[0].reason)
    if kept and kept[0].obstacle in _UNJUDGED:
        used = kept[0].obstacle is Obstacle.CLASS
        foreign = (say.foreign_class(way.scene.case, way.balancer),) if used else ()
        return Hop("advertised", HopState.NOT_REACHED, kept[0].reason, (), foreign)
    findings = [finding for group in _alike(kept) if (finding := _kept_out(way, group))]
    names = named(name for wanted in way.expectation.wanted for name in wanted.advertisements)
    reason = f"by {names}, from {_counted(way)}" if names else "by nothing"
    if kept:
        reason = "; ".join([*dict.fromkeys(entry.reason for entry in kept)])
    if not findings and kept and kept[0].obstacle is Obstacle.UNDEFINED:
        return Hop("advertised", HopState.UNKNOWN, reason)
    off = any(entry.obstacle is Obstacle.OFF_BGP for entry in kept)
    if off and not findings and way.counts_on_bgp and not way.settled(kept[0].address.version):
        return Hop("advertised", HopState.UNKNOWN, reason)
    if not findings and not way.expectation.wanted:
        other = f"; {way.expectation.l2} announces it" if way.expectation.l2 else ""
        return Hop("advertised", HopState.NOT_REACHED, reason + other)
    if not findings and not way.expectation.certain:
        reason = "several objects compete for the nodes: what the agents run cannot be told"
        return Hop("advertised", HopState.UNKNOWN, reason)
    return _found("advertised", reason, findings)


def sessions_hop(way: Way) -> Hop:
    """The sessions that should carry it."""
    links = way.links
    if not links:
        up = sum(state.up for state in way.scene.links.values())
        reason = f"{up}/{len(way.scene.links)} established"
        return Hop("sessions", HopState.UNKNOWN, reason)
    carried = way.scene.carried(links)
    doubt = f", {len(carried.unknown)} unknown" if carried.unknown else ""
    reason = f"{len(carried.up)}/{len(links)} established{doubt}"
    seen = tuple(say.links_seen(way.scene, carried.down or links))
    if not carried.up and not carried.unknown:
        lost = tuple(reach for reach in way.reaches if reach.nowhere)
        findings = (say.nowhere(way.scene, way.balancer, lost),) if lost else ()
        return Hop("sessions", HopState.BROKEN, reason, seen, findings)
    # One that is not known says nothing of a node that announces all the same, by another session.
    doubtful = any(node in way.doubtful for node, _ in carried.unknown)
    state = HopState.OK if carried.up and not doubtful else HopState.UNKNOWN
    return Hop("sessions", state, reason, seen)


def routes_hop(way: Way) -> Hop:
    """The routes: who really announces the prefixes."""
    found = (*way.reaches, *way.strays)
    if not found:
        return Hop("routes", HopState.UNKNOWN, "no prefix is expected, and none is announced")
    reason = "; ".join([*map(_announced_by, way.reaches), *map(_unexpected_by, way.strays)])
    seen = tuple(say.table_seen(way.scene, reach) for reach in found)
    settled = way.settled(found[0].wanted.address.version)
    findings = _routes_findings(way) if settled and way.expectation.certain else []
    if findings:
        return _found("routes", reason, findings, seen)
    covered = [cover for reach in way.reaches if (cover := _cover(way.scene, reach))]
    odd = is_odd(way)
    if covered:
        reason += f"; covered by {named(covered)}"
    if not settled and odd:
        reason += "; changed too recently to tell"
    elif not way.expectation.certain and odd:
        reason += "; it cannot be told which nodes should"
    known = is_announced(way) and not (odd or way.doubtful)
    return Hop("routes", HopState.OK if known else HopState.UNKNOWN, reason, seen)


def is_announced(way: Way) -> bool:
    """Whether some node announces each of its prefixes, or a wider one that covers it."""
    return bool(way.reaches) and all(r.actual or _cover(way.scene, r) for r in way.reaches)


def is_odd(way: Way) -> bool:
    """Whether nodes lack a prefix that nothing covers, or have one for no reason there is."""
    return any(_odd(way, reach) for reach in (*way.reaches, *way.strays))


def router_hop(way: Way) -> Hop:
    """The router: never visible from here, so never ok and never broken."""
    expected = named(str(reach.wanted.prefix) for reach in (*way.reaches, *way.strays))
    if not expected:
        return Hop("router", HopState.UNKNOWN, "nothing to compare on the router")
    return Hop("router", HopState.UNKNOWN, f"not visible from here: compare {expected} there")


def _routes_findings(way: Way) -> list[Finding]:
    scene, balancer = way.scene, way.balancer
    findings: list[Finding] = []
    lost = tuple(
        reach
        for reach in way.reaches
        if reach.nowhere and reach.missing and not _cover(scene, reach)
    )
    carried = any(scene.carried(reach.wanted.links).up for reach in lost)
    if lost and carried:
        findings.append(say.nowhere(scene, balancer, lost))
    fewer = tuple(reach for reach in way.reaches if reach.missing and reach.actual)
    if fewer:
        findings.append(say.fewer(scene, balancer, fewer))
    announced = tuple(r for r in way.reaches if r.actual) + tuple(r for r in way.strays if r.extra)
    serving, service = way.serving, balancer.service
    if serving is None or by_proxy(service):
        return findings
    if not is_local(service, scene.config.version):
        if announced and not serving.ready:
            findings.append(say.unserved(scene, balancer, announced))
        return findings
    for reach in announced:
        harmless = {*serving.nodes, *serving.leaving}
        nodes = tuple(node for node in reach.actual or () if node not in harmless)
        if nodes and not serving.homeless:
            findings.append(say.without_endpoint(scene, balancer, reach, nodes, serving))
    return findings


def _pools_unserved(case: Case) -> str:
    return "the API server does not serve pools" if unserved(case, [POOLS]) else ""


def _cover(scene: Scene, reach: Reach) -> str:
    """The wider prefix that carries an address whose own prefix nobody announces, or ""."""
    return "" if reach.actual else scene.covering(reach.wanted.address) or ""


def _odd(way: Way, reach: Reach) -> bool:
    """Whether nodes lack a prefix that nothing covers, or have it for no reason there is."""
    if reach.missing and not _cover(way.scene, reach):
        return True
    if not reach.extra:
        return False
    others = wanted_by_others(way.scene, way.balancer.service.key, reach.wanted)
    reasons = others | frozenset(way.serving.leaving if way.serving else ())
    return any(node not in reasons for node in reach.extra)


def _alike(kept: tuple[Kept, ...]) -> Iterator[tuple[Kept, ...]]:
    """The addresses that the same thing keeps out; families apart where that matters."""
    groups: dict[tuple[Obstacle, int], list[Kept]] = {}
    for entry in kept:
        whole = entry.obstacle in say.OBSTACLES_OF_ALL or entry.obstacle is Obstacle.OFF_BGP
        version = 0 if whole else entry.address.version
        groups.setdefault((entry.obstacle, version), []).append(entry)
    yield from map(tuple, groups.values())


def _kept_out(way: Way, kept: tuple[Kept, ...]) -> Finding | None:
    """What is wrong with addresses that nothing is to announce."""
    scene, balancer, obstacle = way.scene, way.balancer, kept[0].obstacle
    undefined = obstacle is Obstacle.UNDEFINED
    if not way.counts_on_bgp or not (way.expectation.certain or undefined):
        return None
    # An aggregate, or another service that shares the address, may carry it all the same.
    lost = tuple(entry for entry in kept if scene.covering(entry.address) is None)
    if undefined:  # then only what was read tells
        lost = tuple(entry for entry in lost if scene.wholly_known(entry.address.version))
    if lost and obstacle in say.OBSTACLES_OF_ALL:
        return say.not_configured(scene, balancer, lost)
    if lost and obstacle is Obstacle.FAMILY:
        return say.no_family(scene, balancer, lost)
    if lost and obstacle is Obstacle.SELECTION:
        return say.unselected(scene, balancer, lost)
    if lost and obstacle is Obstacle.OFF_BGP and way.serving is not None:
        # Pods that are moving may be on such a node for a moment.
        settled = way.settled(lost[0].address.version)
        return off_bgp(scene, balancer, lost, way.serving) if settled else None
    return None


def _announced_by(reach: Reach) -> str:
    prefix, expected = reach.wanted.prefix, len(reach.wanted.nodes)
    if reach.actual is None:
        lacks = f", nothing of its family from {named(reach.missing)}" if reach.missing else ""
        return f"{prefix} expected from {expected} nodes, routes were not read{lacks}"
    text = f"{prefix} by {len(reach.actual)} of {expected} nodes"
    if reach.extra:
        text = f"{prefix} by {len(reach.actual)} nodes where {expected} should"
    parts = (
        f"{named(reach.missing)} {verb(reach.missing, 'lack')} it" if reach.missing else "",
        f"{named(reach.unknown)} not known" if reach.unknown else "",
        f"{named(reach.extra)} should not" if reach.extra else "",
    )
    return ", ".join([text, *filter(None, parts)])


def _unexpected_by(stray: Reach) -> str:
    text = f"{stray.wanted.prefix} by {named(stray.actual or ())}"
    return text + (", where no node should" if stray.extra else "; which should is not known")


def _counted(way: Way) -> str:
    distinct = {id(wanted.nodes): wanted.nodes for wanted in way.expectation.wanted}
    sets = tuple(distinct.values())
    number = len(sets[0]) if len(sets) == 1 else len(frozenset().union(*sets))
    return count(number, "node")


def _found(
    name: HopName, reason: str, findings: list[Finding], seen: tuple[Evidence, ...] = ()
) -> Hop:
    """A hop with what was found: broken by a fail, unknown by an unknown, ok otherwise."""
    worst = {finding.severity for finding in findings}
    state = HopState.OK
    if Severity.FAIL in worst:
        state = HopState.BROKEN
    elif Severity.UNKNOWN in worst:
        state = HopState.UNKNOWN
    text = findings[0].summary if state is not HopState.OK else reason
    return Hop(name, state, text, seen, tuple(findings))
