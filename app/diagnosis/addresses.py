"""Addresses and prefixes: what has one, where it should be announced and where it is.

What should be announced for services, and by whom it is, comes from the service paths
(`app.diagnosis.service_path.paths`), so that a prefix, its service and the findings never differ.
Pod networks come from the CiliumNodes; anything else in the agents' tables is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from app.diagnosis.service_path.path import PrefixPath
from app.diagnosis.service_path.paths import service_paths
from app.model.case import Case
from app.model.desired_peerings import control_plane, peerings
from app.model.desired_routes import Wanted
from app.model.finding import Finding, Health, Ref, Severity, by_ref, service_ref
from app.model.lbipam import Address, AddressRange, by_address
from app.model.route_coverage import reach, scene
from app.model.routes import Link, Prefix, canonical
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import ADVERTISED, AVAILABLE, CILIUM_NODES, ROUTES, SERVICES
from collectors.cilium.command_records import NodeRoutes, Route


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
    services = by_address(case.snapshot).get(address, ())
    pools = (u.pool.name for u in case.usages if any(address in found for found in u.ranges))
    return _known(case, prefix, services, pools, lambda wanted: address in ip_network(wanted))


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
    held = longest_match(str(prefix), nodes)
    pools = (usage.pool.name for usage in case.usages if _meets(usage.ranges, prefix))
    services = tuple(sorted(set(inside)))
    known = _known(case, held, services, pools, lambda wanted: wanted == str(prefix))
    within = (text for text in sorted(nodes, key=ip_network) if _inside(text, prefix))
    return replace(known, within={text: nodes[text] for text in within})


def _known(
    case: Case,
    prefix: str,
    services: tuple[str, ...],
    pools: Iterable[str],
    meant: Callable[[str], bool],
) -> Known:
    return Known(
        services=services,
        pools=tuple(pools),
        prefix=prefix,
        announcers=scene(case).tables[6 if ":" in prefix else 4].nodes.get(prefix, ()),
        asked_by=_asking(case, prefix),
        reach=_reach(case, prefix, meant),
        peers=_peers(case, prefix),
    )


def _asking(case: Case, prefix: str) -> tuple[str, ...]:
    paths = service_paths(case).items() if prefix else ()
    asked = (key for key, path in paths if any(each.prefix == prefix for each in path.prefixes))
    return tuple(sorted(asked))


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
    states = scene(case).links
    readings = case.records[ADVERTISED[6 if ":" in prefix else 4]]
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


POD_NETWORKS = ("cluster-pool", "kubernetes")
"""IPAM modes in which the pod networks of a node are in its CiliumNode."""

_ROUTES: Key[Mapping[str, Sequence[Held]]] = Key()
_OTHERS: Key[Mapping[str, str]] = Key()

_BAD: Mapping[Severity, Health] = {Severity.FAIL: "fail", Severity.WARN: "warn"}


@dataclass(frozen=True, slots=True)
class Held:
    """A route in one table of one node."""

    node: str
    table: str
    """`available` (loc-rib) or `advertised` (adj-rib-out)."""
    route: Route


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Announcement:
    """A prefix, with the nodes that should announce it and those that do."""

    prefix: str
    network: Prefix
    what: str
    """`home/grafana`, `PodCIDR talos-cp-1`, `pool bgp-default`; "" when nobody knows."""
    services: tuple[str, ...]
    """Keys of the services whose address it carries."""
    expected: tuple[str, ...]
    available: tuple[str, ...] | None
    """Nodes that have it in their own table; None: that was not read."""
    advertised: tuple[str, ...] | None
    """Nodes that announce it on an established session; None: that was not read."""
    missing: tuple[str, ...]
    """Nodes that should and certainly do not."""
    unknown: tuple[str, ...]
    """Nodes that should, and of which it is not known."""
    extra: tuple[str, ...]
    """Nodes that do and should not."""
    health: Health
    findings: tuple[Finding, ...] = ()
    """What was found about it or its services' announcement, the worst first."""


@dataclass(slots=True)
class _Draft:
    """A prefix while it is gathered; several services may share one."""

    expected: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    services: list[str] = field(default_factory=list)
    pods_of: list[str] = field(default_factory=list)
    down: bool = False
    """Whether every session that should carry it is known to be down."""


def announcements(case: Case, findings: Iterable[Finding]) -> tuple[Announcement, ...]:
    """Every prefix that should be announced or is in an agent's table, by address."""
    drafts: dict[str, _Draft] = {}
    _add_services(case, drafts)
    _add_pod_networks(case, drafts)
    for prefix in routes_by_prefix(case):
        drafts.setdefault(prefix, _Draft())
    worst_first = sorted(findings, key=lambda finding: finding.severity is not Severity.FAIL)
    about = by_ref(finding for finding in worst_first if finding.code.startswith("CS5"))
    others = _other_addresses(case)
    made = [_made(case, prefix, draft, about, others) for prefix, draft in drafts.items()]
    return tuple(sorted(made, key=_order))


def routes_by_prefix(case: Case) -> Mapping[str, Sequence[Held]]:
    """Every route that was read, by its prefix as `canonical` writes it."""
    readings = tuple(case.records[kind] for kind in ROUTES)
    tables = ("advertised", "advertised", "available", "available")
    inputs: tuple[object, ...] = readings
    return case.memo.of(_ROUTES, inputs, lambda: _by_prefix(zip(tables, readings, strict=True)))


def longest_match(text: str, known: Container[str]) -> str:
    """The longest known prefix that holds an address or a prefix; "" for none, or for neither."""
    try:
        wanted = ip_network(text, strict=False)
    except ValueError:
        return ""
    lengths = range(wanted.prefixlen, -1, -1)
    wider = (str(ip_network((wanted.network_address, n), strict=False)) for n in lengths)
    return next((prefix for prefix in wider if prefix in known), "")


def _by_prefix(
    tables: Iterable[tuple[str, Mapping[str, NodeRoutes]]],
) -> Mapping[str, Sequence[Held]]:
    found: dict[str, list[Held]] = {}
    for table, readings in tables:
        for reading in readings.values():
            for route in reading.routes:
                prefix = canonical(route.prefix)
                if prefix:
                    found.setdefault(prefix, []).append(Held(reading.node, table, route))
    return found


def _add_services(case: Case, drafts: dict[str, _Draft]) -> None:
    """What services should have announced, and their addresses that nothing announces."""
    paths = service_paths(case)
    for key, path in paths.items():
        for entry in path.prefixes:
            found = drafts.setdefault(entry.prefix, _Draft())
            found.services.append(key)
            found.expected = _both(found.expected, entry.expected or ())
            if entry.actual != entry.expected:
                found.missing = _both(found.missing, entry.missing)
                found.unknown = _both(found.unknown, entry.unknown)
    for balancer in case.balancers:
        key = balancer.service.key
        covered = {entry.prefix for entry in paths[key].prefixes} if key in paths else set()
        for address in balancer.addresses:
            host = str(ip_network(address))
            if host not in covered and not longest_match(host, covered):
                drafts.setdefault(host, _Draft()).services.append(key)


def _add_pod_networks(case: Case, drafts: dict[str, _Draft]) -> None:
    for wanted in _pod_networks(case):
        found = reach(scene(case), wanted)
        draft = drafts.setdefault(wanted.prefix, _Draft())
        draft.expected = _both(draft.expected, wanted.nodes)
        draft.missing = _both(draft.missing, found.missing)
        draft.unknown = _both(draft.unknown, found.unknown)
        draft.pods_of += wanted.nodes
        draft.down |= scene(case).carried(wanted.links).dead >= frozenset(wanted.nodes)


def _pod_networks(case: Case) -> Iterator[Wanted]:
    """The pod networks that some peer of their node is to get."""
    if case.setting("ipam", "cluster-pool") not in POD_NETWORKS:
        return
    if control_plane(case) not in ("v1", "v2"):
        return
    links: dict[tuple[str, str], list[Link]] = {}
    for peering in peerings(case):
        for family in peering.families if not peering.problem else ():
            if family.safi == "unicast" and any(
                each.type == "PodCIDR" for each in family.advertisements
            ):
                link = (peering.node, peering.peer_address)
                links.setdefault((peering.node, family.afi), []).append(link)
    for (name, afi), carried in sorted(links.items()):
        node = case.records[CILIUM_NODES].get(name)
        for text in node.spec.ipam.pod_cidrs if node else ():
            prefix = canonical(text)
            if prefix and afi == ("ipv6" if ":" in prefix else "ipv4"):
                address = ip_network(prefix).network_address
                yield Wanted(address, prefix, (name,), tuple(carried), ())


def _made(
    case: Case,
    prefix: str,
    draft: _Draft,
    about: Mapping[Ref, Sequence[Finding]],
    others: Mapping[str, str],
) -> Announcement:
    network = ip_network(prefix)
    table = scene(case).tables[network.version]
    read = table.read_at is not None
    actual = table.nodes.get(prefix, ())
    services = tuple(dict.fromkeys(draft.services))
    refs = [Ref("Prefix", prefix), *map(service_ref, services)]
    findings = tuple(dict.fromkeys(f for ref in refs for f in about.get(ref, ())))
    odd = any(finding.subject == refs[0] for finding in findings)
    judged = bool(draft.expected) or odd
    extra = _without(actual, draft.expected) if judged else ()
    missing = _without(draft.missing, actual)
    unknown = _without(_without(draft.unknown, actual), missing)
    return Announcement(
        prefix=prefix,
        network=network,
        what=_what(case, draft, network, others.get(prefix, "")),
        services=services,
        expected=draft.expected,
        available=_available(case, prefix, network.version),
        advertised=actual if read else None,
        missing=missing,
        unknown=unknown,
        extra=extra,
        health=_health(draft, findings, actual, missing, unknown, extra),
        findings=findings,
    )


def _both(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """The names of both, each once; the same object where one has all of them."""
    if not some or some == others:
        return others
    return tuple(dict.fromkeys((*some, *others)))


def _without(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    if not some or some == others:
        return ()
    known = frozenset(others)
    return tuple(name for name in some if name not in known)


def _health(
    draft: _Draft,
    findings: Sequence[Finding],
    actual: Sequence[str],
    missing: Sequence[str],
    unknown: Sequence[str],
    extra: Sequence[str],
) -> Health:
    """As the findings judge it; what they do not judge yet may be about to change."""
    worst = next((_BAD[f.severity] for f in findings if f.severity in _BAD), None)
    if missing or extra:
        return worst or ("fail" if draft.down else "warn")
    if unknown:
        return "unknown"
    if draft.expected or actual:
        return "ok"
    return worst or "none"


def _what(case: Case, draft: _Draft, network: Prefix, other: str) -> str:
    if draft.services:
        return named(draft.services, 1)
    if draft.pods_of:
        return f"PodCIDR {', '.join(draft.pods_of)}"
    if other:
        return other
    pool = next((u.pool.name for u in case.usages if _within(network, u.ranges)), "")
    return f"pool {pool}" if pool else ""


def _within(network: Prefix, ranges: Iterable[AddressRange]) -> bool:
    return any(network.network_address in found for found in ranges)


def _other_addresses(case: Case) -> Mapping[str, str]:
    """Host prefixes of cluster and external addresses, and the services that have them."""
    services = case.records[SERVICES]
    return case.memo.of(_OTHERS, (services,), lambda: _named(case))


def _named(case: Case) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for service in case.records[SERVICES].values():
        spec = service.spec
        shown = [(address, "ClusterIP") for address in (spec.cluster_ip, *spec.cluster_ips)]
        shown += [(address, "ExternalIP") for address in spec.external_ips]
        shown += [(entry.ip, "LoadBalancerIP") for entry in service.status.load_balancer.ingress]
        for address, type_ in shown:
            prefix = canonical(address)
            if prefix:
                found.setdefault(prefix, f"{type_} {service.key}")
    return found


def _available(case: Case, prefix: str, version: int) -> tuple[str, ...] | None:
    if not case.snapshot.health_of(AVAILABLE[version]).known:
        return None
    held = routes_by_prefix(case).get(prefix, ())
    return tuple(sorted({each.node for each in held if each.table == "available"}))


def _order(found: Announcement) -> tuple[int, int, int]:
    network = found.network
    return (network.version, int(network.network_address), network.prefixlen)
