"""The path of every service, hop by hop (`ServicePath`), and the findings on it.

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
from typing import TypeAlias

from app.diagnosis.rules.lbipam import address_findings
from app.diagnosis.service_path import announcing as say
from app.diagnosis.service_path.hops import (
    Way,
    address_hops,
    advertised_hop,
    endpoints_hop,
    is_announced,
    is_odd,
    router_hop,
    routes_hop,
    sessions_hop,
)
from app.diagnosis.service_path.path import Hop, HopName, HopState, PrefixPath, ServicePath
from app.model.case import Case
from app.model.desired_routes import Expectation, Obstacle
from app.model.finding import Finding, Ref, Severity
from app.model.lbipam import LoadBalancer, balancers_by_service, by_address
from app.model.route_coverage import Scene, reach, scene, strays
from app.model.routes import SETTLED
from app.model.wording import named
from app.state.derived import Key, Parts
from app.state.kinds import BGP_PEERS, SERVICES
from app.state.snapshot import State

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
    return Finding(
        code=code,
        severity=Severity.UNKNOWN,
        subject=say.service_ref(service),
        detail="unknown",
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

_NAMES: tuple[HopName, ...] = (
    "class",
    "pool",
    "address",
    "endpoints",
    "advertised",
    "sessions",
    "routes",
    "router",
)


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
        again=_passing,
    )


def _passing(judged: _Judged) -> bool:
    return not judged.lasting


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
