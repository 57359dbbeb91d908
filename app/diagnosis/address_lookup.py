"""From an address or a prefix to what is known by it: services, pool, the announcement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from app.diagnosis.service_path.path import PrefixPath
from app.diagnosis.service_path.paths import service_paths
from app.model.case import Case
from app.model.lbipam import Address, AddressRange, by_address
from app.model.route_coverage import scene
from app.model.routes import Prefix, canonical
from app.state.kinds import ROUTES_ADVERTISED_IPV4, ROUTES_ADVERTISED_IPV6


@dataclass(frozen=True, slots=True)
class Known:
    """What is known by an address or a prefix. Nothing of it need be there."""

    services: tuple[str, ...]
    """Keys of the services of type LoadBalancer, sorted; several may share an address."""
    pools: tuple[str, ...]
    """Names of the pools that it lies in, or that lie in it."""
    prefix: str
    """The longest prefix that is announced and holds it, "" when none does."""
    announcers: tuple[str, ...]
    """The nodes that announce that prefix."""
    asked_by: tuple[str, ...] = ()
    """Keys of the services that ask for that prefix to be announced."""
    reach: PrefixPath | None = None
    """Who should announce it and who does; None where no service asks for it."""
    peers: tuple[str, ...] = ()
    """Addresses of the peers that are told that prefix."""
    within: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The longer prefixes inside that are announced, and the nodes that do."""


def look_up_address(case: Case, address: Address) -> Known:
    """What is known by an address."""
    prefix = scene(case).covering(address) or ""
    return Known(
        services=by_address(case.snapshot).get(address, ()),
        pools=tuple(
            usage.pool.name
            for usage in case.usages
            if any(address in found for found in usage.ranges)
        ),
        prefix=prefix,
        announcers=_announcers(case, prefix),
        asked_by=_asking(case, prefix),
        reach=_reach(case, prefix, lambda wanted: address in ip_network(wanted)),
        peers=_peers(case, prefix),
    )


def look_up_prefix(case: Case, prefix: Prefix) -> Known:
    """What is known by a prefix: whose address lies in it, and what is announced around it and in
    it."""
    inside = [
        key
        for address, keys in by_address(case.snapshot).items()
        if address in prefix
        for key in keys
    ]
    nodes = scene(case).tables[prefix.version].nodes
    lengths = range(prefix.prefixlen, -1, -1)
    wider = (str(ip_network((prefix.network_address, n), strict=False)) for n in lengths)
    held = next((found for found in wider if found in nodes), "")
    return Known(
        services=tuple(sorted(set(inside))),
        pools=tuple(usage.pool.name for usage in case.usages if _meets(usage.ranges, prefix)),
        prefix=held,
        announcers=_announcers(case, held),
        asked_by=_asking(case, held),
        reach=_reach(case, held, lambda wanted: wanted == str(prefix)),
        peers=_peers(case, held),
        within={
            text: nodes[text] for text in sorted(nodes, key=ip_network) if _inside(text, prefix)
        },
    )


def _asking(case: Case, prefix: str) -> tuple[str, ...]:
    if not prefix:
        return ()
    return tuple(
        sorted(
            key
            for key, path in service_paths(case).items()
            if any(entry.prefix == prefix for entry in path.prefixes)
        )
    )


def _reach(case: Case, prefix: str, meant: Callable[[str], bool]) -> PrefixPath | None:
    """The way of the announced prefix, or ("") of the one that is meant and announced by nobody.

    Of several services that ask for it, each may ask for it on nodes of its own.
    """
    entries = [
        entry
        for path in service_paths(case).values()
        for entry in path.prefixes
        if (entry.prefix == prefix if prefix else meant(entry.prefix))
    ]
    if not entries:
        return None
    known = all(entry.expected is not None for entry in entries)
    announcers = tuple(sorted({node for entry in entries for node in entry.actual or ()}))
    return PrefixPath(
        prefix=entries[0].prefix,
        expected=_union(entry.expected or () for entry in entries) if known else None,
        actual=None if any(entry.actual is None for entry in entries) else announcers,
        unknown=_union(entry.unknown for entry in entries),
    )


def _union(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for some in names for name in some}))


def _peers(case: Case, prefix: str) -> tuple[str, ...]:
    snapshot, states = case.snapshot, scene(case).links
    readings = (
        snapshot.records[ROUTES_ADVERTISED_IPV6]
        if ":" in prefix
        else snapshot.records[ROUTES_ADVERTISED_IPV4]
    )
    found = {
        route.neighbor
        for reading in (readings.values() if prefix else ())
        for route in reading.routes
        if canonical(route.prefix) == prefix
        and (state := states.get((reading.node, route.neighbor))) is not None
        and state.up
    }
    return tuple(sorted(found))


def _inside(text: str, prefix: Prefix) -> bool:
    """Whether a prefix of the same family lies in another one, which it is not."""
    found = ip_network(text)
    return (
        found != prefix
        and int(prefix.network_address) <= int(found.network_address)
        and (int(found.broadcast_address) <= int(prefix.broadcast_address))
    )


def _meets(ranges: tuple[AddressRange, ...], prefix: Prefix) -> bool:
    return any(
        found.first.version == prefix.version
        and int(found.first) <= int(prefix.broadcast_address)
        and int(found.last) >= int(prefix.network_address)
        for found in ranges
    )


def _announcers(case: Case, prefix: str) -> tuple[str, ...]:
    return scene(case).tables[6 if ":" in prefix else 4].nodes.get(prefix, ())
