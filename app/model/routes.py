"""What BGP really announces: routes by node and peer, and who announces an address.

A route in adj-rib-out reaches nobody while its session is down: Cilium lists it all the same
(`docs/cilium.md`, "Routes"). So an announcer is a node with the route and an established session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

from app.model.sessions import sessions
from app.state.kinds import (
    ADVERTISED,
    ROUTES_ADVERTISED_IPV4,
    ROUTES_ADVERTISED_IPV6,
    ROUTES_AVAILABLE_IPV4,
    ROUTES_AVAILABLE_IPV6,
)

if TYPE_CHECKING:
    from app.model.lbipam import Address
    from app.state.snapshot import Snapshot
    from collectors.cilium.bgp import NodeRoutes, Route

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
    for table, readings in (
        ("advertised", snapshot.records[ROUTES_ADVERTISED_IPV4]),
        ("advertised", snapshot.records[ROUTES_ADVERTISED_IPV6]),
        ("available", snapshot.records[ROUTES_AVAILABLE_IPV4]),
        ("available", snapshot.records[ROUTES_AVAILABLE_IPV6]),
    ):
        for reading in readings.values():
            yield table, reading


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
