"""Whether a prefix is announced where it should be: what is expected against what is read.

Three answers a node: it announces the prefix, it lacks it, or that cannot be told, because its
agent did not answer, its session is too young, or nobody knows whether the session lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network
from itertools import chain
from typing import TypeAlias

from app.model.case import Case
from app.model.desired_routes import (
    UNDECIDED,
    Configuration,
    Expectation,
    Kept,
    Serving,
    Wanted,
    configuration,
    expectation,
    serving,
)
from app.model.health import starts
from app.model.lbipam import Address, balancers_by_service, by_address
from app.model.routes import SETTLED, Announced, Link, LinkState, announced, links, links_with
from app.state.derived import Key, Parts
from app.state.kinds import (
    ADVERTISEMENTS,
    CLUSTER_CONFIGS,
    ENDPOINT_SLICES,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    SERVICES,
)
from collectors.kubernetes.records import EndpointSlice, Object, Service

_MISSING = LinkState("missing")
"""A session that is configured and that nobody has: neither witness has ever told of it."""


_Compared: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Nodes that are missing, unknown and extra."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The sessions that should carry a prefix, by how they are."""

    up: tuple[Link, ...]
    down: tuple[Link, ...]
    unknown: tuple[Link, ...]
    peers: frozenset[str]
    """Addresses of the peers."""
    speaking: frozenset[str]
    """Nodes with a session that is up."""
    dead: frozenset[str]
    """Nodes of which every session is known to be down."""
    young: frozenset[str]
    """Nodes whose sessions came up, or whose agents started, a moment ago."""
    silent: Mapping[str, frozenset[str]]
    """By family, the nodes whose sessions advertise nothing of it, by their counts."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A wanted prefix, and by whom it is announced."""

    wanted: Wanted
    actual: tuple[str, ...] | None
    """Nodes that announce it; None: the routes were not read."""
    missing: tuple[str, ...]
    """Nodes that should and certainly do not."""
    unknown: tuple[str, ...]
    """Nodes that should, and of which it is not known."""
    extra: tuple[str, ...]
    """Nodes that do and should not."""

    @property
    def nowhere(self) -> bool:
        """Whether it is certain that no node announces it."""
        return not self.actual and not self.unknown


@dataclass(frozen=True, eq=False, slots=True)
class Expected:
    """What should be announced for a service, and what that was worked out from."""

    service: Service
    slices: tuple[EndpointSlice, ...]
    serving: Serving | None
    """None: endpoint slices are not known."""
    expectation: Expectation

    @property
    def changed_at(self) -> datetime | None:
        """When the service or its endpoints last changed."""
        moments = [
            moment for found in (self.service, *self.slices) if (moment := changed_at(found))
        ]
        return max(moments, default=None)


@dataclass(frozen=True, eq=False)
class Scene:
    """What every service of one diagnosis is held against."""

    case: Case
    config: Configuration
    links: Mapping[Link, LinkState]
    tables: Mapping[int, Announced]
    """Announcements by IP version."""
    endpoints_known: bool
    restarted: frozenset[str]
    """Nodes whose agent started a moment ago."""
    changed_at: datetime | None
    """When the BGP configuration was last changed."""
    expectations: Parts[Expected]
    """What should be announced for each service of type LoadBalancer, by its key."""
    _carried: dict[int, tuple[tuple[Link, ...], Carried]] = field(default_factory=dict)
    _compared: dict[tuple[int, int, int], tuple[tuple[Link, ...], tuple[str, ...], _Compared]] = (
        field(default_factory=dict)
    )

    _unsent: dict[tuple[int, int], tuple[tuple[Link, ...], frozenset[Link], tuple[Link, ...]]] = (
        field(default_factory=dict)
    )

    def unsent(self, wanted: Wanted) -> tuple[Link, ...]:
        """Sessions that are up and lack a prefix, of nodes that announce it to another peer.

        None where nodes have one peer each, or where the routes were not read.
        """
        table = self.tables[wanted.address.version]
        if table.read_at is None or len(wanted.links) == len({node for node, _ in wanted.links}):
            return ()
        sent = links_with(self.case, table.version).get(wanted.prefix, frozenset())
        key = (id(wanted.links), id(sent))
        kept = self._unsent.get(key)
        if kept is None or kept[0] is not wanted.links or kept[1] is not sent:
            kept = (wanted.links, sent, tuple(_unsent(self, wanted.links, sent)))
            self._unsent[key] = kept
        return kept[2]

    def carried(self, wanted: tuple[Link, ...]) -> Carried:
        """How these sessions are; the same links are looked at once."""
        kept = self._carried.get(id(wanted))
        if kept is None or kept[0] is not wanted:
            kept = (wanted, _carried(self, wanted))
            self._carried[id(wanted)] = kept
        return kept[1]

    def compared(self, wanted: Wanted, actual: tuple[str, ...]) -> _Compared:
        """Nodes that lack a prefix, of which it is not known, and that should not have it.

        Most services share both their nodes and their announcers, so that is looked up.
        """
        key = (id(wanted.links), id(actual), wanted.address.version)
        kept = self._compared.get(key)
        if kept is None or kept[0] is not wanted.links or kept[1] is not actual:
            kept = (wanted.links, actual, _compared(self, wanted, actual))
            self._compared[key] = kept
        return kept[2]

    def settled(self, version: int, last: datetime | None) -> bool:
        """Whether what was read of a family came long enough after a change and the last one."""
        read_at = self.tables[version].read_at or self.case.now
        moments = [moment for moment in (last, self.changed_at) if moment is not None]
        return all((read_at - moment).total_seconds() >= SETTLED for moment in moments)

    def wholly_known(self, version: int) -> bool:
        """Whether every node with an agent told all that it announces of a family."""
        table = self.tables[version]
        return table.read_at is not None and self.case.snapshot.agents_by_node.keys() <= (
            table.answered
        )

    def covering(self, address: Address) -> str | None:
        """The longest announced prefix that holds an address, except a default route."""
        table = self.tables[address.version]
        for length in table.lengths:
            prefix = str(ip_network((address, length), strict=False))
            if prefix in table.nodes:
                return prefix
        return None

    def expected(self, service: Service) -> Expected:
        """What should be announced for a service of type LoadBalancer."""
        return self.expectations.by_key[service.key][0]

    def asked(self) -> frozenset[str]:
        """Every prefix that any service asks for."""
        found = self.expectations.values
        return self.case.memo.of(
            _ASKED,
            (found,),
            lambda: frozenset(chain.from_iterable(each.expectation.asked for each in found)),
        )


def scene(case: Case) -> Scene:
    """The scene of a diagnosis."""
    return case.memo.of(_SCENE, (case,), lambda: _scene(case))


_SCENE: Key[Scene] = Key()
_RESTARTED: Key[frozenset[str]] = Key()
_STARTS: Key[tuple[str, datetime]] = Key()
_CONFIGURED_AT: Key[datetime | None] = Key()
_EXPECTED: Key[Expected] = Key()
_ASKED: Key[frozenset[str]] = Key()


def _scene(case: Case) -> Scene:
    restarted = frozenset(_restarted(case))
    config, known = configuration(case), case.known(ENDPOINT_SLICES)
    balancers, slices = balancers_by_service(case.snapshot), case.snapshot.slices_by_service

    def expected(key: str) -> tuple[Expected, ...]:
        found = slices.get(key, ())
        return tuple(_expected(config, each.service, found, known=known) for each in balancers[key])

    return Scene(
        case=case,
        config=config,
        links=links(case),
        tables={version: announced(case, version) for version in (4, 6)},
        endpoints_known=known,
        restarted=case.memo.of(_RESTARTED, (restarted,), lambda: restarted),
        changed_at=_configured_at(case),
        expectations=case.memo.by_key(_EXPECTED, (balancers, slices), (config, known), expected),
    )


def _expected(
    config: Configuration, service: Service, slices: tuple[EndpointSlice, ...], *, known: bool
) -> Expected:
    behind = serving(slices) if known else None
    return Expected(service, slices, behind, expectation(config, service, behind))


def reach(scene: Scene, wanted: Wanted) -> Reach:
    """Who announces a wanted prefix, who does not, and of whom it is not known."""
    table = scene.tables[wanted.address.version]
    actual = table.nodes.get(wanted.prefix, ())
    if actual is wanted.nodes or actual == wanted.nodes:
        return Reach(wanted, actual, (), (), ())
    missing, unknown, extra = scene.compared(wanted, actual)
    return Reach(wanted, actual if table.read_at is not None else None, missing, unknown, extra)


def strays(scene: Scene, service: Service, kept: Iterable[Kept]) -> Iterator[Reach]:
    """Addresses that no node should announce, or of which it is not known, and that some do.

    A node that announces it for another service, which shares the address, is none of these.
    """
    for entry in kept:
        asked = Wanted(entry.address, str(ip_network(entry.address)), (), (), ())
        announcing = scene.tables[entry.address.version].nodes.get(asked.prefix, ())
        others = wanted_by_others(scene, service.key, asked) if announcing else ()
        nodes = tuple(node for node in announcing if node not in others)
        if nodes:
            yield Reach(asked, nodes, (), (), () if entry.obstacle in UNDECIDED else nodes)


def wanted_by_others(scene: Scene, key: str, asked: Wanted) -> frozenset[str]:
    """Nodes that should announce this very prefix for other services, which share its address."""
    services = scene.case.records[SERVICES]
    return frozenset(
        node
        for other in by_address(scene.case.snapshot).get(asked.address, ())
        if other != key
        for wanted in scene.expected(services[other]).expectation.wanted
        if wanted.prefix == asked.prefix
        for node in wanted.nodes
    )


def changed_at(found: Object) -> datetime | None:
    """When anybody last changed an object or its status, as far as its metadata tells."""
    metadata = found.metadata
    times = [entry.time for entry in metadata.managed_fields]
    known = [time for time in (metadata.creation_timestamp, *times) if time is not None]
    return max(known, default=None)


def _compared(scene: Scene, wanted: Wanted, actual: tuple[str, ...]) -> _Compared:
    known = _known_to_lack(scene.tables[wanted.address.version], scene.carried(wanted.links))
    announcing, expected = frozenset(actual), frozenset(wanted.nodes)
    lacking = [node for node in wanted.nodes if node not in announcing]
    return (
        tuple(node for node in lacking if node in known),
        tuple(node for node in lacking if node not in known),
        tuple(node for node in actual if node not in expected),
    )


def _unsent(scene: Scene, wanted: tuple[Link, ...], sent: frozenset[Link]) -> Iterator[Link]:
    states = [(link, scene.links.get(link, _MISSING)) for link in wanted]
    announcing = {link[0] for link, state in states if state.up and link in sent}
    for link, state in states:
        if state.up and not state.young and link[0] in announcing and link not in sent:
            yield link


def _known_to_lack(table: Announced, carried: Carried) -> frozenset[str]:
    """Nodes that certainly do not announce what is not among their announcements."""
    if table.read_at is None:
        silent = carried.silent.get(f"ipv{table.version}", frozenset())
        return carried.dead | (silent - carried.young)
    return carried.dead | ((table.answered & carried.speaking) - carried.young)


def _carried(scene: Scene, wanted: tuple[Link, ...]) -> Carried:
    states = [(link, scene.links.get(link, _MISSING)) for link in wanted]
    up = tuple(link for link, state in states if state.up)
    unknown = tuple(link for link, state in states if state.unknown)
    speaking = frozenset(node for node, _ in up)
    doubtful = frozenset(node for node, _ in unknown)
    young = frozenset(link[0] for link, state in states if state.young)
    loud: dict[str, set[str]] = {"ipv4": set(), "ipv6": set()}
    for link, state in states:
        for afi in loud.keys() - set(state.silent) if state.up else ():
            loud[afi].add(link[0])
    return Carried(
        up=up,
        down=tuple(link for link, state in states if not state.up and not state.unknown),
        unknown=unknown,
        peers=frozenset(address for _, address in wanted),
        speaking=speaking,
        dead=frozenset(node for node, _ in wanted) - speaking - doubtful,
        young=young | scene.restarted,
        silent={afi: speaking - frozenset(nodes) - doubtful for afi, nodes in loud.items()},
    )


def _restarted(case: Case) -> list[str]:
    agents = case.snapshot.agents_by_node

    def started(node: str) -> tuple[tuple[str, datetime], ...]:
        found = starts(agents[node])
        return ((node, max(found)),) if found else ()

    latest = case.memo.by_key(_STARTS, (agents,), (), started).values
    since = case.now - timedelta(seconds=SETTLED)
    return [node for node, start in latest if start > since]


def _configured_at(case: Case) -> datetime | None:
    """When somebody last changed what BGP is to do. An agent's own report of it does not count."""
    snapshot = case.snapshot
    kinds: tuple[Mapping[str, Object], ...] = (
        snapshot.records[CLUSTER_CONFIGS],
        snapshot.records[PEER_CONFIGS],
        snapshot.records[ADVERTISEMENTS],
        snapshot.records[NODE_CONFIGS],
        snapshot.records[PEERING_POLICIES],
    )
    inputs: tuple[object, ...] = kinds
    return case.memo.of(_CONFIGURED_AT, inputs, lambda: _last_change(kinds))


def _last_change(kinds: tuple[Mapping[str, Object], ...]) -> datetime | None:
    times = [
        time
        for objects in kinds
        for found in objects.values()
        for time in (
            found.metadata.creation_timestamp,
            *(f.time for f in found.metadata.managed_fields if f.subresource != "status"),
        )
        if time is not None
    ]
    return max(times, default=None)
