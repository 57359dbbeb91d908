"""The way of every service, hop by hop (`app.diagnosis.path`), and what is wrong on it.

A way that is clean is kept for the next diagnosis, and used again while nothing it was judged by
has changed: the service, its endpoints, the BGP configuration, the sessions and the announcements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network

from app.diagnosis.announced import Announced
from app.diagnosis.case import Case
from app.diagnosis.doubt import with_doubt
from app.diagnosis.finding import Finding
from app.diagnosis.hops import (
    Way,
    address_hops,
    advertised_hop,
    endpoints_hop,
    router_hop,
    routes_hop,
    sessions_hop,
)
from app.diagnosis.lbipam import LoadBalancer
from app.diagnosis.path import Hop, HopName, HopState, PrefixPath, ServicePath
from app.diagnosis.reach import Scene, reach, scene, strays
from app.diagnosis.rules.lbipam import address_findings
from collectors.records import EndpointSlice

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
class _Kept:
    """A way that was clean, and all that it was judged by."""

    balancer: LoadBalancer
    slices: tuple[EndpointSlice, ...]
    tables: tuple[Announced, ...]
    watched: tuple[str, ...]
    """Its prefixes, and those of addresses that nobody should announce."""
    announcing: tuple[tuple[str, ...] | None, ...]
    """Who announces each of these."""
    path: ServicePath


@dataclass(frozen=True, slots=True, eq=False)
class _Paths:
    """The ways of all services."""

    paths: Mapping[str, ServicePath]
    odd: tuple[ServicePath, ...]
    """Those on which something was found, or that may look otherwise in a moment."""


def service_paths(case: Case) -> Mapping[str, ServicePath]:
    """The way of every service of type LoadBalancer, by its key; none when services are not known.

    The ages of the evidence on a way that was kept are of when it was judged: `path_of` has them
    as of now.
    """
    return _all(case).paths


def path_of(case: Case, service: str) -> ServicePath | None:
    """The way of one service by its key, judged now; None when there is no such load balancer."""
    balancer = next((b for b in case.balancers if b.service.key == service), None)
    return None if balancer is None else _judge(scene(case), balancer)[0]


def path_findings(case: Case, block: str) -> Iterator[Finding]:
    """Everything on the ways of all services whose code begins so (`CS5`)."""
    for path in _all(case).odd:
        for hop in path.hops:
            for finding in hop.findings:
                if finding.code.startswith(block):
                    yield finding


def _all(case: Case) -> _Paths:
    return case.memo.of("paths", (case.snapshot,), lambda: _judged(case))


def _judged(case: Case) -> _Paths:
    if not case.known("services"):
        return _Paths({}, ())
    now = scene(case)
    told = tuple(now.tables[version].answered for version in (4, 6))
    read = tuple(now.tables[version].read_at is not None for version in (4, 6))
    ground = case.memo.equal("ground", (told, read, now.endpoints_known, now.restarted))
    common = (now.config, now.links, ground, case.snapshot.config_maps)
    kept: dict[str, _Kept] = case.memo.of("ways", common, dict)
    tables = tuple(now.tables.values())
    found: dict[str, ServicePath] = {}
    clean: dict[str, _Kept] = {}
    odd: list[ServicePath] = []
    for balancer in case.balancers:
        key = balancer.service.key
        known = kept.get(key)
        slices = now.slices.get(key, ())
        if known is None or not _same(known, balancer, slices, now, tables):
            path, lasting = _judge(now, balancer)
            watched = _watched(now, balancer, path)
            known = _Kept(balancer, slices, tables, watched, _announcing(now, watched), path)
            if not lasting:
                found[key] = path
                odd.append(path)
                continue
        elif known.tables != tables:
            known = replace(known, tables=tables)
        clean[key] = known
        found[key] = known.path
    kept.clear()
    kept.update(clean)
    now.keep_only(found)
    return _Paths(found, tuple(odd))


def _same(
    known: _Kept,
    balancer: LoadBalancer,
    slices: tuple[EndpointSlice, ...],
    now: Scene,
    tables: tuple[Announced, ...],
) -> bool:
    """Whether a kept way would be judged alike."""
    if known.balancer is not balancer or known.slices != slices:
        return False
    return known.tables == tables or _announcing(now, known.watched) == known.announcing


def _watched(now: Scene, balancer: LoadBalancer, path: ServicePath) -> tuple[str, ...]:
    kept = now.expected(balancer.service).expectation.kept
    return (
        *(entry.prefix for entry in path.prefixes),
        *(str(ip_network(entry.address)) for entry in kept),
    )


def _announcing(now: Scene, watched: tuple[str, ...]) -> tuple[tuple[str, ...] | None, ...]:
    return tuple(now.tables[6 if ":" in prefix else 4].nodes.get(prefix) for prefix in watched)


def _judge(now: Scene, balancer: LoadBalancer) -> tuple[ServicePath, bool]:
    """The way of a service, and whether it may be kept: nothing is wrong, nothing is for now."""
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
        return ServicePath(key, _leaving(), (), {}), False
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
    return path, not any(hop.findings for hop in hops) and (fine or way.lasting)


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
