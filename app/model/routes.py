"""What BGP really announces: routes by node and peer, and who announces what, where that was read.

A route in adj-rib-out reaches no router while its session is down: Cilium lists it all the same
(`docs/cilium.md`, "Routes"). So an announcer is a node with the route and an established session.
A node whose agent did not answer is neither among the announcers nor among those that lack a
prefix: what it announces is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from app.model.case import Case
from app.model.health import Version
from app.model.lbipam import Address
from app.model.sessions import ESTABLISHED, UNKNOWN, Session, sessions
from app.state.derived import Key, Memo
from app.state.kinds import ADVERTISED, AVAILABLE, BGP_PEERS
from app.state.snapshot import Snapshot, State
from collectors.cilium.command_records import NodePeers, NodeRoutes, Route

Prefix = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class NodeRoute:
    """A route of one node."""

    node: str
    table: str
    """`available` (loc-rib) or `advertised` (adj-rib-out)."""
    prefix: Prefix | None
    """None when the text is no prefix."""
    route: Route
    established: bool | None
    """Advertised: whether the session to the neighbour is up. None for `available`."""


def routes(snapshot: Snapshot) -> tuple[NodeRoute, ...]:
    """Every route that was read, advertised ones first, by prefix, node and neighbour."""
    up = _established(snapshot)
    found = [
        NodeRoute(
            node=reading.node,
            table=table,
            prefix=_prefix(route.prefix),
            route=route,
            established=(reading.node, route.neighbor) in up if table == "advertised" else None,
        )
        for table, reading in _readings(snapshot)
        for route in reading.routes
    ]
    return tuple(sorted(found, key=_order))


def announcers(snapshot: Snapshot) -> Mapping[Prefix, tuple[str, ...]]:
    """The nodes that announce each prefix to at least one established peer."""
    up = _established(snapshot)
    nodes: dict[Prefix, set[str]] = {}
    for table, reading in _readings(snapshot):
        if table != "advertised":
            continue
        for route in reading.routes:
            prefix = _prefix(route.prefix)
            if prefix is not None and (reading.node, route.neighbor) in up:
                nodes.setdefault(prefix, set()).add(reading.node)
    return {prefix: tuple(sorted(by)) for prefix, by in nodes.items()}


def announcers_of(address: Address, announced: Mapping[Prefix, tuple[str, ...]]) -> tuple[str, ...]:
    """The nodes that announce the longest prefix which holds the address."""
    lengths = range(address.max_prefixlen, -1, -1)
    candidates = (ip_network((address, length), strict=False) for length in lengths)
    return next((announced[prefix] for prefix in candidates if prefix in announced), ())


def routes_known(snapshot: Snapshot, version: int) -> bool:
    """Whether the advertised routes of a family (4 or 6) have been read at all."""
    return snapshot.health_of(ADVERTISED[version]).known


def _established(snapshot: Snapshot) -> frozenset[tuple[str, str]]:
    """Node and peer address of each session that is up."""
    return frozenset((s.node, s.peer_address) for s in sessions(snapshot) if s.established)


def _readings(snapshot: Snapshot) -> Iterator[tuple[str, NodeRoutes]]:
    for table, kinds in (("advertised", ADVERTISED), ("available", AVAILABLE)):
        for kind in kinds.values():
            yield from ((table, reading) for reading in snapshot.records[kind].values())


@lru_cache(maxsize=65_536)
def _prefix(text: str) -> Prefix | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _order(found: NodeRoute) -> tuple[str, int, int, int, str, str]:
    prefix = found.prefix
    where = (prefix.version, int(prefix.network_address), prefix.prefixlen) if prefix else (0, 0, 0)
    return (found.table, *where, found.node, found.route.neighbor)


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
    made = case.memo.of(_MADE, inputs, lambda: _links(case))
    young = frozenset(link for link, settled in made.young.items() if case.now < settled)
    young = case.memo.of(_YOUNG, (young,), lambda: young)
    return case.memo.of(
        _LINKS,
        (made, young),
        lambda: {
            link: replace(state, young=True) if link in young else state
            for link, state in made.states.items()
        },
    )


def announced(case: Case, version: int) -> Announced:
    """The announcements of IPv4 (4) or IPv6 (6)."""
    snapshot = case.snapshot
    readings = snapshot.records[ADVERTISED[version]]
    health = snapshot.health_of(ADVERTISED[version])
    fresh = health.state is State.FRESH
    inputs = (readings, links(case), snapshot.agents_by_node, fresh)
    found = case.memo.of(_READ[version], inputs, lambda: _announced(case, version, readings))
    if not fresh or found.read_at == health.read_at:
        return found
    again = (found, health.read_at)
    return case.memo.of(_READ_AGAIN[version], again, lambda: replace(found, read_at=health.read_at))


def links_with(case: Case, version: int) -> Mapping[str, frozenset[Link]]:
    """By prefix, as `canonical` writes it: the sessions whose adj-rib-out has it, up or not.

    Equal sets are one object.
    """
    readings = case.records[ADVERTISED[version]]
    return case.memo.of(_SENT[version], (readings,), lambda: _links_with(readings))


def _links_with(readings: Mapping[str, NodeRoutes]) -> Mapping[str, frozenset[Link]]:
    found: dict[str, set[Link]] = {}
    for reading in readings.values():
        for prefix, route in _routes(reading):
            found.setdefault(prefix, set()).add((reading.node, route.neighbor))
    groups: dict[frozenset[Link], frozenset[Link]] = {}
    frozen = ((prefix, frozenset(sent)) for prefix, sent in found.items())
    return {prefix: groups.setdefault(sent, sent) for prefix, sent in frozen}


_SENT: Mapping[int, Key[Mapping[str, frozenset[Link]]]] = {4: Key(), 6: Key()}
_MADE: Key[_Links] = Key()
_YOUNG: Key[frozenset[Link]] = Key()
_LINKS: Key[Mapping[Link, LinkState]] = Key()
_READ: Mapping[int, Key[Announced]] = {4: Key(), 6: Key()}
_READ_AGAIN: Mapping[int, Key[Announced]] = {4: Key(), 6: Key()}
_GROUPS: Mapping[int, Key[tuple[str, ...]]] = {4: Key(), 6: Key()}
_HELD_GROUPS: Mapping[int, Key[tuple[str, ...]]] = {4: Key(), 6: Key()}


@lru_cache(maxsize=65_536)
def canonical(text: str) -> str:
    """A prefix as everybody writes it, so that equal ones are equal texts; "" for what is none."""
    prefix = _prefix(text)
    return "" if prefix is None else str(prefix)


@dataclass(frozen=True, slots=True)
class _Links:
    """The sessions as if none was young."""

    states: Mapping[Link, LinkState]
    young: Mapping[Link, datetime]
    """Those that are young, and until when."""


def _links(case: Case) -> _Links:
    # Up to 1.17 the End-of-RIB marker of graceful restart is counted as a prefix (measured).
    nothing = 0 if case.version >= COUNTS_PREFIXES else 1
    fresh = case.snapshot.health_of(BGP_PEERS).state is State.FRESH
    readings = case.records[BGP_PEERS] if fresh else {}
    found: dict[Link, LinkState] = {}
    young: dict[Link, datetime] = {}
    for session in case.sessions:
        link, established = (session.node, session.peer_address), session.established
        known = found.get(link)
        if known is not None and not (established and not known.up):
            continue
        counts = session.families if established else ()
        silent = tuple(sorted(count.afi for count in counts if count.advertised <= nothing))
        found[link] = LinkState(_state(session, readings.get(session.node)), silent=silent)
        if established and (until := _young_until(case.now, session)) is not None:
            young[link] = until
    return _Links(found, young)


def _young_until(now: datetime, session: Session) -> datetime | None:
    """The moment from which on an established session is young no more; None: it is not."""
    up = session.current_witness.up if session.current_witness else None
    if up is None or (left := SETTLED - up.by(now)) <= 0:
        return None
    # Where its source is not read any more, the session grows no older.
    return now + timedelta(seconds=left) if up.until is None else datetime.max.replace(tzinfo=UTC)


def _state(session: Session, reading: NodePeers | None) -> str:
    """A session's state; one that its agent does not have is certainly not established."""
    if session.state != UNKNOWN or reading is None:
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
        nodes=_sorted(case.memo, _GROUPS[version], nodes),
        held_back=_sorted(case.memo, _HELD_GROUPS[version], held),
        youngest=youngest,
        answered=frozenset(_answered(case.snapshot, readings, states)),
        read_at=health.read_at,
    )


def _routes(reading: NodeRoutes) -> Iterator[tuple[str, Route]]:
    for route in reading.routes:
        prefix = canonical(route.prefix)
        if prefix:
            yield prefix, route


def _sorted(
    memo: Memo, key: Key[tuple[str, ...]], nodes: Mapping[str, set[str]]
) -> Mapping[str, tuple[str, ...]]:
    """Sorted; equal ones, also of the reading before, are one object and compared by identity."""
    groups: dict[tuple[str, ...], tuple[str, ...]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for prefix, names in nodes.items():
        ordered = tuple(sorted(names))
        found[prefix] = groups.setdefault(ordered, ordered)
    texts = {" ".join(group): group for group in groups}
    kept = memo.by_key(key, (texts,), (), lambda text: (texts[text],)).values
    shared = {id(texts[text]): each for text, each in zip(sorted(texts), kept, strict=True)}
    return {prefix: shared[id(group)] for prefix, group in found.items()}


def _answered(
    snapshot: Snapshot, readings: Mapping[str, NodeRoutes], states: Mapping[Link, LinkState]
) -> Iterator[str]:
    """Nodes that told their whole table, unless no session of theirs is known to be up or down."""
    shown = {link[0] for link, state in states.items() if not state.unknown}
    asked = {link[0] for link in states}
    by_pod = {pod.name: node for node, pod in snapshot.agents_by_node.items()}
    for reading in readings.values():
        node = reading.node or by_pod.get(reading.pod, "")
        if reading.bgp_disabled or (not reading.error and (node in shown or node not in asked)):
            yield node
