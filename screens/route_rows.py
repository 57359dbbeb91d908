"""Prefixes and routes as rows: where each should be announced, and what the agents' tables hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from app.model.durations import age
from app.model.finding import rank
from app.model.lbipam import parse_address
from app.report.columns import Cell, Column, Row, SortValue
from app.report.lines import NOTHING, SIGN, Tone

if TYPE_CHECKING:
    from app.diagnosis.prefix_overview import Announcement, Held
    from app.model.finding import Health
    from app.model.routes import Link, LinkState, NodeRoute, Prefix
    from collectors.cilium.bgp import Route
    from collectors.cilium.path_attributes import PathAttributes

_ATTRIBUTES = (
    Column("next_hop", "NEXT HOP", extra=True),
    Column("as_path", "AS PATH", extra=True),
    Column("communities", "COMMUNITIES", extra=True),
    Column("local_pref", "LOCAL PREF", right=True, extra=True, holds="number"),
    Column("med", "MED", right=True, extra=True, holds="number"),
    Column("age", "AGE", right=True, extra=True, holds="seconds"),
)
PREFIXES = (
    Column("prefix", "PREFIX", cut_to=18),
    Column("what", "WHAT", cut_to=14),
    Column("state", "STATE", least=11, holds="state"),
    Column("expected", "EXPECTED", right=True, spare=4, holds="number"),
    Column("available", "AVAILABLE", right=True, spare=3, holds="number"),
    Column("advertised", "ADV", right=True, least=5, holds="share"),
    Column("missing", "MISSING", cut_to=10, spare=1),
    Column("extra", "EXTRA", cut_to=7, spare=2),
)
ROUTES = (
    Column("prefix", "PREFIX", cut_to=18),
    Column("node", "NODE", cut_to=10),
    Column("table", "TABLE", least=10),
    Column("neighbor", "PEER", least=11),
    Column("session", "SESSION", least=7, holds="state"),
    *_ATTRIBUTES,
)
PLACES = (
    Column("node", "NODE", cut_to=10),
    Column("peer", "PEER", least=11),
    Column("available", "AVAIL", holds="flag"),
    Column("advertised", "ADVERTISED", least=10, holds="state"),
    *_ATTRIBUTES,
)
"""Where one prefix is: a row a node and peer."""

_NAMED = 2
"""Nodes that a cell names before it counts the rest."""


def prefix_row(found: Announcement) -> Row:
    """One prefix as a row."""
    health = found.health
    expected, width = len(found.expected), len(found.advertised or ())
    told = f"{'?' if found.advertised is None else width}/{expected}"
    lacking: Tone = "" if health == "ok" else health
    cells = (
        Cell(found.prefix, prefix_order(found.network)),
        Cell(found.what or NOTHING),
        Cell(f"{SIGN[health]} {state_of(found)}", rank(health), tone=health),
        Cell(str(expected), expected),
        Cell("?" if found.available is None else str(len(found.available)), _count(found)),
        Cell(told, width, tone=lacking),
        Cell(named(found.missing), len(found.missing) or None, health if found.missing else ""),
        Cell(named(found.extra), len(found.extra) or None, health if found.extra else ""),
    )
    return Row(found.prefix, cells, health=health)


def state_of(found: Announcement) -> str:
    """How it is, in a word."""
    if found.missing:
        return "missing" if found.advertised or found.unknown else "nowhere"
    if found.extra:
        return "extra"
    if found.unknown:
        return "not known"
    if found.advertised is None:
        return "not read"
    return "announced" if found.advertised else "nowhere"


def named(nodes: Sequence[str]) -> str:
    """The first nodes, and how many more there are; `-` for none."""
    if not nodes:
        return NOTHING
    more = len(nodes) - _NAMED
    return ", ".join(nodes[:_NAMED]) + (f" +{more}" if more > 0 else "")


def prefix_order(prefix: Prefix | None) -> SortValue:
    """What a prefix is sorted by."""
    return None if prefix is None else (prefix.version, int(prefix.network_address))


def route_row(found: NodeRoute) -> Row:
    """One route of one table of one node as a row."""
    route = found.route
    up = {True: "up", False: "✗ down", None: NOTHING}[found.established]
    cells = (
        Cell(route.prefix, prefix_order(found.prefix)),
        Cell(found.node),
        Cell(found.table),
        Cell(route.neighbor or NOTHING, address_order(route.neighbor)),
        Cell(up, tone="fail" if found.established is False else ""),
        *attribute_cells(route),
    )
    key = f"{found.table}|{route.prefix}|{found.node}|{route.neighbor}|{route.router_asn}"
    return Row(key, cells, health="fail" if found.established is False else "ok")


def place_rows(
    found: Announcement, held: Sequence[Held], links: Mapping[Link, LinkState]
) -> tuple[Row, ...]:
    """Where a prefix is: a row for each node that has it or should, and each of its peers."""
    own = {each.node: each.route for each in held if each.table == "available"}
    sent = {(each.node, each.route.neighbor): each.route for each in held if each.route.neighbor}
    nodes = dict.fromkeys((*found.expected, *own, *(node for node, _ in sent)))
    peers: dict[str, list[str]] = {node: [] for node in nodes}
    for node, peer in sorted({*links, *sent}):
        if node in peers:
            peers[node].append(peer)
    return tuple(
        _place(found, (node, peer), own.get(node), sent.get((node, peer)), links)
        for node in sorted(nodes)
        for peer in peers[node] or [""]
    )


def _place(
    found: Announcement,
    link: Link,
    own: Route | None,
    sent: Route | None,
    links: Mapping[Link, LinkState],
) -> Row:
    node, peer = link
    health, told = _sent(found, link, sent, links)
    cells = (
        Cell(node),
        Cell(peer or NOTHING, address_order(peer)),
        _own(found, node, own),
        Cell(f"{SIGN[health]} {told}", rank(health), tone=health),
        *attribute_cells(sent or own),
    )
    return Row(f"{node}|{peer}", cells, health=health)


def _own(found: Announcement, node: str, own: Route | None) -> Cell:
    """Whether it is in the node's own table; a node that did not answer has no place in any."""
    if own is not None:
        return Cell("✓", tone="ok")
    if found.available is None or node in found.unknown:
        return Cell("?", tone="unknown")
    return Cell("✗", tone="fail") if node in found.expected else Cell("·", tone="none")


def _sent(
    found: Announcement, link: Link, sent: Route | None, links: Mapping[Link, LinkState]
) -> tuple[Health, str]:
    node = link[0]
    state = links.get(link)
    if sent is not None and (state is None or not state.up):
        return "fail", f"held back, session {state.state if state else 'missing'}"
    if sent is not None:
        return ("warn", "extra") if node in found.extra else ("ok", "yes")
    if found.advertised is None or node in found.unknown:
        return "unknown", "not known"
    if node not in found.expected:
        return "none", "no"
    down = f", session {state.state}" if state is not None and not state.up else ""
    return ("fail" if node in found.missing else "none"), f"no{down}"


def attribute_cells(route: Route | None) -> tuple[Cell, ...]:
    """The decoded attributes of a route's best path, under `_ATTRIBUTES`."""
    paths = route.paths if route else ()
    path = next((each for each in paths if each.best), paths[0] if paths else None)
    if path is None:
        return tuple(Cell(NOTHING) for _ in _ATTRIBUTES)
    found = path.attributes
    return (
        Cell(next_hop(found) or NOTHING, address_order(found.next_hop)),
        Cell(found.as_path_text or NOTHING),
        Cell(" ".join((*found.communities, *found.large_communities)) or NOTHING),
        _number(found.local_pref),
        _number(found.med),
        Cell(age(path.age), path.age),
    )


def next_hop(found: PathAttributes) -> str:
    """The next hop; the unspecified address stands for the node itself."""
    return "itself" if found.next_hop_is_self else found.next_hop


def attribute_words(routes: Sequence[Route]) -> Iterator[str]:
    """What the routes of one table have in common, a line for each different set."""
    seen: dict[str, None] = {}
    for route in routes:
        for path in route.paths:
            seen[_words(path.attributes)] = None
    yield from seen


def _words(found: PathAttributes) -> str:
    told = [
        f"AS path {found.as_path_text or 'empty (our own AS)'}",
        f"communities {' '.join((*found.communities, *found.large_communities)) or 'none'}",
        f"origin {found.origin or 'not told'}",
    ]
    if found.local_pref is not None:
        told.append(f"local preference {found.local_pref}")
    if found.med is not None:
        told.append(f"MED {found.med}")
    told += [f"{bad.what}: {bad.problem}" for bad in found.malformed]
    return ", ".join(told)


def _number(value: int | None) -> Cell:
    return Cell(NOTHING if value is None else str(value), value)


def _count(found: Announcement) -> int | None:
    return None if found.available is None else len(found.available)


@lru_cache(maxsize=32_768)
def address_order(text: str) -> SortValue:
    """What an address is sorted by."""
    address = parse_address(text)
    return None if address is None else (address.version, int(address))
