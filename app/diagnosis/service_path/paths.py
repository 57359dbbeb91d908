"""The path of every service, hop by hop (`ServicePath`): what each hop is, and what is wrong there.

A path that is clean is kept for the next diagnosis, and used again while nothing it was judged by
has changed: the service, its endpoints, the BGP configuration, the sessions and the announcements.
One that cannot be followed to its end, though all was read, has a finding `unknown`: mostly
something changed a moment ago and the agents are given time to follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import TypeAlias, get_args

from app.diagnosis.catalog import code
from app.diagnosis.rules.lbipam_pools import pools_unread
from app.diagnosis.rules.lbipam_services import address_findings
from app.diagnosis.service_path import announcing as say
from app.diagnosis.service_path.path import Hop, HopName, HopState, PrefixPath, ServicePath
from app.diagnosis.service_path.serving import no_endpoint, off_bgp
from app.model.case import Case
from app.model.desired_peerings import unserved
from app.model.desired_routes import Expectation, Kept, Obstacle, Serving, by_proxy, is_local
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, service_ref
from app.model.lbipam import LoadBalancer, balancers_by_service, by_address
from app.model.route_coverage import Reach, Scene, reach, scene, strays, wanted_by_others
from app.model.routes import SETTLED, Link
from app.model.service_requests import BGP_CLASS
from app.model.wording import count, named, verb
from app.state.derived import Key, Parts
from app.state.kinds import BGP_PEERS, ENDPOINT_SLICES, POOLS, SERVICES
from app.state.snapshot import State

_NOTES = {Severity.INFO}
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
    seen = way.scene.case.saw(SERVICES, service, "status.loadBalancer.ingress", addresses or "none")
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
    if findings and not way.expectation.wanted and {f.severity for f in findings} == _NOTES:
        return Hop("advertised", HopState.NOT_REACHED, reason, (), tuple(findings))
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
    findings += [
        say.unsent(scene, balancer, reach, unsent)
        for reach in way.reaches
        if (unsent := scene.unsent(reach.wanted))
    ]
    announced = tuple(r for r in way.reaches if r.actual) + tuple(r for r in way.strays if r.extra)
    serving, service = way.serving, balancer.service
    if serving is None or by_proxy(service):
        return findings
    if not is_local(service, scene.config.version):
        if announced and not serving.ready:
            findings.append(say.unserved(scene, balancer, announced))
        return findings
    for each in announced:
        harmless = {*serving.nodes, *serving.leaving}
        nodes = tuple(node for node in each.actual or () if node not in harmless)
        if nodes and not serving.homeless:
            findings.append(say.without_endpoint(scene, balancer, each, nodes, serving))
    return findings


def _pools_unserved(case: Case) -> str:
    return "the API server does not serve pools" if unserved(case, [POOLS]) else ""


def _cover(scene: Scene, reach: Reach) -> str:
    """The wider prefix that carries an address whose own prefix nobody announces, or ""."""
    return "" if reach.actual else scene.covering(reach.wanted.address) or ""


def _odd(way: Way, reach: Reach) -> bool:
    """Whether nodes lack a prefix that nothing covers, or have it for no reason there is."""
    if way.scene.unsent(reach.wanted):
        return True
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


_JUDGED = ("endpoints", "advertised", "sessions", "routes")
"""The hops before these are LB-IPAM's, whose rules tell it themselves; the router never tells."""


def with_doubt(way: Way, hops: Sequence[Hop]) -> tuple[Hop, ...]:
    """The hops; the first that is not ok has a finding where it is unknown, and nothing says so."""
    first = next((hop for hop in hops[:-1] if hop.state is not HopState.OK), None)
    if first is None or first.state is not HopState.UNKNOWN or first.findings:
        return tuple(hops)
    if first.name not in _JUDGED or not _all_read(way, first):
        return tuple(hops)
    unknown = replace(first, findings=(_unknown(way, first),))
    return tuple(unknown if hop is first else hop for hop in hops)


def _all_read(way: Way, hop: Hop) -> bool:
    """Whether it is not for want of a source, nor somebody else's service."""
    if hop.name == "endpoints":
        return way.serving is not None
    # Objects that compete for a node, and a PeerConfig that was not read, are told as such.
    undefined = way.scene.config.obstacle is Obstacle.UNDEFINED
    if not way.counts_on_bgp or not (way.scene.config.certain or undefined):
        return False
    if hop.name == "advertised":
        kept = way.expectation.kept
        return bool(way.balancer.addresses) and not (kept and kept[0].obstacle is Obstacle.UNKNOWN)
    if way.doubtful and is_announced(way) and not is_odd(way):
        return False  # some agents did not tell, or not yet, and that is told of them
    if hop.name == "sessions":
        return way.scene.case.snapshot.health_of(BGP_PEERS).state is State.FRESH
    return all(reach.actual is not None for reach in way.reaches)


def _unknown(way: Way, hop: Hop) -> Finding:
    service, addresses = way.balancer.service, way.balancer.addresses
    announced = way.reaches and all(reach.actual for reach in way.reaches)
    if hop.name == "endpoints":
        code, question = "CS601", f"anything answers for {service.key}"
        command = say.endpoints_command(service)
    else:
        code = "CS502" if announced else "CS501"
        listed = named(map(str, addresses))
        question = f"{service.key} ({listed}) is announced as it should be"
        command = say.show_routes(addresses[0].version)
    until = None if way.settled(4) and way.settled(6) else _definite_at(way)
    return Topic(code, Severity.UNKNOWN, service_ref(service.key), "unknown").finding(
        summary=f"whether {question} cannot be told: {hop.reason}",
        evidence=hop.evidence or (say.address_seen(way.scene.case, service, addresses),),
        remedy="Look again in half a minute: it, its endpoints or the BGP configuration changed "
        "just now, and the agents may not have followed yet"
        if until
        else "Repair what explains it, if anything does; else compare by hand what the nodes "
        "announce",
        command=command,
        blames=(
            Ref("Cluster"),
            *(ref for group in way.scene.config.groups for ref in group.refs),
            *say.blamed(way.scene, way.links, way.reaches),
        ),
        definite_at=until,
    )


def _definite_at(way: Way) -> datetime:
    moments = (way.changed_at, way.scene.changed_at)
    return max(moment for moment in moments if moment is not None) + timedelta(seconds=SETTLED)


_Announcing: TypeAlias = tuple[tuple[str, ...] | str | None, ...]
"""The nodes that announce each prefix of a service, or the wider prefix that covers it."""

_NAMES: tuple[HopName, ...] = get_args(HopName)


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A path, and whether it stays as it is."""

    path: ServicePath
    lasting: bool
    """Whether it is clean and time alone does not change that."""


_PATHS: Key[_Judged] = Key()
_ALL: Key[Parts[_Judged]] = Key()
_BY_SERVICE: Key[Mapping[str, ServicePath]] = Key()
_ANNOUNCING: Key[_Announcing] = Key()
_GROUND: Key[tuple[object, ...]] = Key()


def service_paths(case: Case) -> Mapping[str, ServicePath]:
    """The path of every service of type LoadBalancer, by its key; none when services are not known.

    The ages of the evidence on a path that was kept are of when it was judged: `path_of` has them
    as of now.
    """
    found = _all(case).values
    return case.memo.of(
        _BY_SERVICE, (found,), lambda: {judged.path.service: judged.path for judged in found}
    )


def path_of(case: Case, service: str) -> ServicePath | None:
    """The path of one service by its key, judged now; None when there is no such load balancer."""
    found = balancers_by_service(case.snapshot).get(service, ())
    return next((_judge(scene(case), balancer).path for balancer in found), None)


def path_findings(case: Case, block: str) -> Iterator[Finding]:
    """Everything on the paths of all services whose code begins so (`CS5`)."""
    for judged in _all(case).passing:
        for hop in judged.path.hops:
            for finding in hop.findings:
                if finding.code.startswith(block):
                    yield finding


def _all(case: Case) -> Parts[_Judged]:
    return case.memo.of(_ALL, (case.snapshot,), lambda: _judged(case))


def _judged(case: Case) -> Parts[_Judged]:
    if not case.known(SERVICES):
        return Parts({}, ())
    now = scene(case)
    answered = tuple(now.tables[version].answered for version in (4, 6))
    read = tuple(now.tables[version].read_at is not None for version in (4, 6))
    ground: tuple[object, ...] = (answered, read, now.endpoints_known, now.restarted)
    ground = case.memo.of(_GROUND, (ground,), lambda: ground)
    balancers, expected = balancers_by_service(case.snapshot), now.expectations.by_key

    def announced(key: str) -> tuple[_Announcing, ...]:
        return tuple(_announcing(now, each.expectation) for each in expected[key])

    announcing = case.memo.by_key(
        _ANNOUNCING, (expected,), tuple(now.tables.values()), announced
    ).by_key

    def judge(key: str) -> tuple[_Judged, ...]:
        return tuple(_judge(now, balancer) for balancer in balancers[key])

    return case.memo.by_key(
        _PATHS,
        (balancers, expected, announcing),
        (now.config, now.links, ground, case.config),
        judge,
        again=lambda judged: not judged.lasting,
    )


def _announcing(now: Scene, expectation: Expectation) -> _Announcing:
    """Who announces what a service asks for and its other addresses; else what covers them."""
    return tuple(
        now.tables[address.version].nodes.get(prefix) or now.covering(address)
        for address, prefix in (
            *((wanted.address, wanted.prefix) for wanted in expectation.wanted),
            *((kept.address, str(ip_network(kept.address))) for kept in expectation.kept),
        )
    )


def _judge(now: Scene, balancer: LoadBalancer) -> _Judged:
    """The path of a service, and whether it may be kept: nothing is wrong, nothing is for now."""
    case, key = now.case, balancer.service.key
    expected = now.expected(balancer.service)
    satisfied = balancer.satisfied and balancer.addresses
    way = Way(
        scene=now,
        balancer=balancer,
        serving=expected.serving,
        expectation=expected.expectation,
        changed_at=expected.changed_at,
        reaches=tuple(reach(now, wanted) for wanted in expected.expectation.wanted),
        strays=tuple(strays(now, balancer.service, expected.expectation.kept)),
        lacking=() if satisfied else address_findings(case, balancer),
    )
    if balancer.service.metadata.deletion_timestamp is not None:
        return _Judged(ServicePath(key, _leaving(), (), {}), lasting=False)
    judged = (
        *address_hops(way),
        endpoints_hop(way),
        advertised_hop(way),
        sessions_hop(way),
        routes_hop(way),
        router_hop(way),
    )
    hops = with_doubt(way, judged)
    path = ServicePath(
        service=key,
        hops=tuple(_in_order(hops)),
        prefixes=(
            *(
                PrefixPath(r.wanted.prefix, r.wanted.nodes, r.actual, r.unknown)
                for r in way.reaches
            ),
            *(PrefixPath(s.wanted.prefix, () if s.extra else None, s.actual) for s in way.strays),
        ),
        router=_router(way),
    )
    fine = all(hop.state is HopState.OK for hop in hops[:-1])
    clean = not any(hop.findings for hop in hops) and (fine or way.lasting)
    # What another service that shares an address asks for may excuse who announces it.
    holders = by_address(case.snapshot) if expected.expectation.kept else {}
    kept = expected.expectation.kept
    alone = all(len(holders.get(entry.address, ())) < 2 for entry in kept)
    return _Judged(path, clean and alone)


def _in_order(hops: tuple[Hop, ...]) -> Iterator[Hop]:
    """The hops; those behind the first broken one are not reached, and say what they would be."""
    broken = False
    for hop in hops:
        if broken and hop.state is not HopState.NOT_REACHED:
            yield replace(hop, state=HopState.NOT_REACHED, reason=f"not reached ({hop.reason})")
        else:
            yield hop
        broken = broken or hop.state is HopState.BROKEN


def _leaving() -> tuple[Hop, ...]:
    return tuple(Hop(name, HopState.UNKNOWN, "the service is being deleted") for name in _NAMES)


def _router(way: Way) -> Mapping[str, tuple[str, ...]]:
    """What to look at on each router that should have the prefixes."""
    shown: dict[str, dict[str, None]] = {}
    for wanted in way.expectation.wanted:
        command = f"show bgp ipv{wanted.address.version} unicast {wanted.prefix}"
        for address in way.scene.carried(wanted.links).peers:
            shown.setdefault(address, {})[command] = None
    return {address: tuple(shown[address]) for address in sorted(shown)}
