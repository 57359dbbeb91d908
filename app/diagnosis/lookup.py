"""From an address or a prefix to what is known by it: services, pool, the announcement."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from app.diagnosis.advertisement import Prefix
from app.diagnosis.case import Case
from app.diagnosis.holders import by_address
from app.diagnosis.lbipam import Address, AddressRange
from app.diagnosis.paths import service_paths
from app.diagnosis.reach import scene


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


def look_up_address(case: Case, address: Address) -> Known:
    """What is known by an address."""
    prefix = scene(case).covering(address) or ""
    return Known(
        services=by_address(case).get(address, ()),
        pools=tuple(
            usage.pool.name
            for usage in case.usages
            if any(address in found for found in usage.ranges)
        ),
        prefix=prefix,
        announcers=_announcers(case, prefix),
    )


def look_up_prefix(case: Case, prefix: Prefix) -> Known:
    """What is known by a prefix: who should announce it, else whose address lies in it."""
    text = str(prefix)
    asking = [
        key
        for key, path in service_paths(case).items()
        if any(entry.prefix == text for entry in path.prefixes)
    ]
    inside = [
        key for address, keys in by_address(case).items() if address in prefix for key in keys
    ]
    nodes = scene(case).tables[prefix.version].nodes
    lengths = range(prefix.prefixlen, -1, -1)
    wider = (str(ip_network((prefix.network_address, n), strict=False)) for n in lengths)
    held = next((found for found in wider if found in nodes), "")
    return Known(
        services=tuple(sorted(set(asking or inside))),
        pools=tuple(usage.pool.name for usage in case.usages if _meets(usage.ranges, prefix)),
        prefix=held,
        announcers=_announcers(case, held),
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
