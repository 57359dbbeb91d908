"""Who announces what, as the agents' tables tell: only on a session that is up, only where read.

The adj-rib-out is listed also while its session is down and then reaches nobody (`docs/cilium.md`,
"Routes"). A node whose agent did not answer announces we do not know what: it is neither among the
announcers nor among those that lack a prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from ipaddress import ip_network

from app.model.case import Case
from app.model.health import Version
from app.model.sessions import ESTABLISHED, UNKNOWN, Session
from app.state.derived import Memo
from app.state.kinds import ADVERTISED, BGP_PEERS, ROUTES_ADVERTISED_IPV4, ROUTES_ADVERTISED_IPV6
from app.state.snapshot import Snapshot, State
from collectors.cilium.bgp import NodeRoutes, Route

SETTLED = 30.0
"""Seconds after which agents and routers have followed a change, or not at all."""
COUNTS_PREFIXES: Version = (1, 18)
"""The first Cilium whose count of advertised prefixes counts nothing else."""

Link = tuple[str, str]
"""A session: its node and its peer's address."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """A session as far as announcing goes."""

    state: str
    young: bool = False
    """Whether it was established so lately that not all may have been sent."""
    silent: tuple[str, ...] = ()
    """Families of which, by its counts, it advertises nothing."""

    @property
    def up(self) -> bool:
        """Whether it is established, by a living witness."""
        return self.state == ESTABLISHED

    @property
    def unknown(self) -> bool:
        """Whether no living witness tells."""
        return self.state == UNKNOWN


@dataclass(frozen=True, eq=False)
class Announced:
    """The announcements of one address family."""

    version: int
    nodes: Mapping[str, tuple[str, ...]]
    """By prefix, as `canonical` writes it: the nodes that announce it to an established peer."""
    held_back: Mapping[str, tuple[str, ...]]
    """The nodes that have it in an adj-rib-out whose session is not established."""
    youngest: Mapping[str, float]
    """Seconds for which it is announced, by the newest announcer."""
    answered: frozenset[str]
    """Nodes whose table is known, an empty one included."""
    read_at: datetime | None
    """When the tables were read; None: they were not, or too long ago to be believed."""

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of its prefixes, the longest first, without the default route."""
        found = {int(prefix.rpartition("/")[2]) for prefix in self.nodes}
        return tuple(sorted(found - {0}, reverse=True))


def links(case: Case) -> Mapping[Link, LinkState]:
    """Every session by node and peer address; the best one where two instances share a peer."""
    snapshot = case.snapshot
    fresh = snapshot.health_of(BGP_PEERS).state is State.FRESH
    counts = case.version >= COUNTS_PREFIXES
    inputs = (case.sessions, snapshot.records[BGP_PEERS], fresh, counts)
    found = case.memo.of("links", inputs, lambda: _links(case))
    if case.memo.of("any young", (found,), lambda: any(s.young for s in found.values())):
        case.memo.forget("links")  # it grows older with every snapshot
    return case.memo.equal("equal links", found)


def announced(case: Case, version: int) -> Announced:
    """The announcements of IPv4 (4) or IPv6 (6)."""
    snapshot = case.snapshot
    readings = (
        snapshot.records[ROUTES_ADVERTISED_IPV4]
        if version == 4
        else snapshot.records[ROUTES_ADVERTISED_IPV6]
    )
    health = snapshot.health_of(ADVERTISED[version])
    fresh = health.state is State.FRESH
    name = f"announced {version}"
    inputs = (readings, links(case), snapshot.agents_by_node, fresh)
    found = case.memo.of(name, inputs, lambda: _announced(case, version, readings))
    if not fresh or found.read_at == health.read_at:
        return found
    again = (found, health.read_at)
    return case.memo.of(f"{name} again", again, lambda: replace(found, read_at=health.read_at))


@lru_cache(maxsize=65_536)
def canonical(text: str) -> str:
    """A prefix as everybody writes it, so that equal ones are equal texts; "" for what is none."""
    try:
        return str(ip_network(text))
    except ValueError:
        return ""


def _links(case: Case) -> Mapping[Link, LinkState]:
    # Up to 1.17 the End-of-RIB marker of graceful restart is counted as a prefix (measured).
    nothing = 0 if case.version >= COUNTS_PREFIXES else 1
    found: dict[Link, LinkState] = {}
    for session in case.sessions:
        link = (session.node, session.peer_address)
        known = found.get(link)
        if known is None or (session.established and not known.up):
            counts = session.families if session.established else ()
            uptime = session.uptime(case.now) if session.established else None
            found[link] = LinkState(
                _state(case.snapshot, session),
                uptime is not None and uptime < SETTLED,
                tuple(sorted(count.afi for count in counts if count.advertised <= nothing)),
            )
    return found


def _state(snapshot: Snapshot, session: Session) -> str:
    """A session's state; one that its agent does not have is certainly not established."""
    reading = snapshot.records[BGP_PEERS].get(session.node)
    fresh = snapshot.health_of(BGP_PEERS).state is State.FRESH
    if session.state != UNKNOWN or reading is None or not fresh:
        return session.state
    if reading.bgp_disabled:
        return "off"
    return session.state if reading.error else "missing"


def _announced(case: Case, version: int, readings: Mapping[str, NodeRoutes]) -> Announced:
    health = case.snapshot.health_of(ADVERTISED[version])
    if health.state is not State.FRESH:
        return Announced(version, {}, {}, {}, frozenset(), None)
    states = links(case)
    nodes: dict[str, set[str]] = {}
    held: dict[str, set[str]] = {}
    youngest: dict[str, float] = {}
    for reading in readings.values():
        for prefix, route in _routes(reading):
            state = states.get((reading.node, route.neighbor))
            if state is None or not state.up:
                held.setdefault(prefix, set()).add(reading.node)
                continue
            nodes.setdefault(prefix, set()).add(reading.node)
            age = min((path.age for path in route.paths), default=0.0)
            youngest[prefix] = min(age, youngest.get(prefix, age))
    return Announced(
        version=version,
        nodes=_sorted(case.memo, f"announcers {version}", nodes),
        held_back=_sorted(case.memo, f"held back {version}", held),
        youngest=youngest,
        answered=frozenset(_answered(case.snapshot, readings, states)),
        read_at=health.read_at,
    )


def _routes(reading: NodeRoutes) -> Iterator[tuple[str, Route]]:
    for route in reading.routes:
        prefix = canonical(route.prefix)
        if prefix:
            yield prefix, route


def _sorted(memo: Memo, name: str, nodes: Mapping[str, set[str]]) -> Mapping[str, tuple[str, ...]]:
    """Sorted; equal ones, also of the reading before, are one object and compared by identity."""
    known: dict[tuple[str, ...], tuple[str, ...]] = memo.shelf(name, dict)
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for prefix, names in nodes.items():
        ordered = tuple(sorted(names))
        found[prefix] = shared.setdefault(ordered, known.get(ordered, ordered))
    known.clear()
    known.update(shared)
    return found


def _answered(
    snapshot: Snapshot, readings: Mapping[str, NodeRoutes], states: Mapping[Link, LinkState]
) -> Iterator[str]:
    """Nodes that told their whole table, unless no session of theirs is known to be up or down."""
    told = {link[0] for link, state in states.items() if not state.unknown}
    asked = {link[0] for link in states}
    by_pod = {pod.name: node for node, pod in snapshot.agents_by_node.items()}
    for reading in readings.values():
        node = reading.node or by_pod.get(reading.pod, "")
        if reading.bgp_disabled or (not reading.error and (node in told or node not in asked)):
            yield node
