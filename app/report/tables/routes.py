"""Routes: every route that the agents' tables hold, with its decoded attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Never, TypeVar

from app.model.lbipam import load_balancers
from app.model.routes import Link, LinkState, NodeRoute, Prefix, routes
from app.model.wording import age, duration
from app.report.columns import UNKNOWN, Cell, Column, ScreenTable, Share, Table, TableColumn, listed
from app.report.json import Item, item
from app.report.lines import NOTHING, Tone
from app.state.kinds import ROUTES, SERVICES, SESSION_KINDS
from app.state.snapshot import Snapshot

if TYPE_CHECKING:
    from app.diagnosis.addresses import Announcement, Held
    from app.model.finding import Health
    from collectors.cilium.command_records import Path, PathAttributes, Route

R = TypeVar("R")

_NAMED = 2
"""Nodes that a cell names before it counts the rest."""


class AttributesItem(Item, frozen=True):
    """Path attributes of a route, decoded; null is what is not on the wire."""

    origin: str | None
    as_path: str | None
    """As routers print it; "" where it is empty."""
    next_hop: str | None
    med: int | None
    local_preference: int | None
    communities: tuple[str, ...]
    large_communities: tuple[str, ...]
    unknown: tuple[str, ...]
    malformed: tuple[str, ...]


class RouteItem(Item, frozen=True):
    """A route of a node."""

    node: str
    table: str
    prefix: str
    router_asn: int
    neighbor: str
    established: bool | None
    age: float | None
    attributes: AttributesItem | None
    services: tuple[str, ...]


def route_items(snapshot: Snapshot) -> tuple[RouteItem, ...]:
    """The routes."""
    holders: dict[str, list[str]] = {}
    for balancer in load_balancers(snapshot):
        for each in balancer.addresses:
            host = f"{each}/{each.max_prefixlen}"
            holders.setdefault(host, []).append(balancer.service.key)
    return tuple(
        item(
            RouteItem,
            found,
            prefix=found.route.prefix,
            router_asn=found.route.router_asn,
            neighbor=found.route.neighbor,
            age=found.route.paths[0].age if found.route.paths else None,
            attributes=_attributes(found.route.paths[0].attributes) if found.route.paths else None,
            services=tuple(holders.get(str(found.prefix), ())),
        )
        for found in routes(snapshot)
    )


def _attributes(found: PathAttributes) -> AttributesItem:
    path = found.as_path
    return item(
        AttributesItem,
        found,
        origin=found.origin or None,
        as_path=None if path is None else " ".join(segment.text for segment in path),
        next_hop=found.next_hop or None,
        local_preference=found.local_pref,
        unknown=tuple(
            f"{each.name or f'type {each.type}'}: {each.value.hex()}" for each in found.unknown
        ),
        malformed=tuple(
            f"{each.what}: {each.problem}: {each.raw.hex()}" for each in found.malformed
        ),
    )


def _next_hop(route: RouteItem) -> str:
    return (route.attributes.next_hop if route.attributes else None) or UNKNOWN


def _communities(route: RouteItem) -> str:
    found = route.attributes
    return listed((*found.communities, *found.large_communities)) if found else UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class PlaceRow:
    """A prefix in the tables of a node, towards one of its peers."""

    found: Announcement
    link: Link
    own: Route | None
    """In the node's own table."""
    sent: Route | None
    """To the peer."""
    state: LinkState | None
    """Of the session with the peer; None: there is none."""

    @property
    def node(self) -> str:
        """The node."""
        return self.link[0]

    def route(self) -> Route | None:
        """The route as it goes to the peer, else as the node has it."""
        return self.sent or self.own

    @property
    def announced(self) -> tuple[Health, str]:
        """Whether it goes to the peer, and whether it should."""
        found, node, state = self.found, self.node, self.state
        if self.sent is not None and (state is None or not state.up):
            return "fail", f"held back, session {state.state if state else 'missing'}"
        if self.sent is not None:
            return ("warn", "extra") if node in found.extra else ("ok", "yes")
        if found.advertised is None or node in found.unknown:
            return "unknown", "not known"
        if node not in found.expected:
            return "none", "no"
        down = f", session {state.state}" if state is not None and not state.up else ""
        return ("fail" if node in found.missing else "none"), f"no{down}"


def places(
    found: Announcement, held: Sequence[Held], links: Mapping[Link, LinkState]
) -> Iterator[PlaceRow]:
    """Where a prefix is: each node that has it or should, and each of its peers."""
    own = {each.node: each.route for each in held if each.table == "available"}
    sent = {(each.node, each.route.neighbor): each.route for each in held if each.route.neighbor}
    nodes = dict.fromkeys((*found.expected, *own, *(node for node, _ in sent)))
    peers: dict[str, list[str]] = {node: [] for node in nodes}
    for node, peer in sorted({*links, *sent}):
        if node in peers:
            peers[node].append(peer)
    for node in sorted(nodes):
        for link in [(node, peer) for peer in peers[node] or [""]]:
            yield PlaceRow(found, link, own.get(node), sent.get(link), links.get(link))


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


def _named(nodes: Sequence[str]) -> str:
    """The first nodes, and how many more there are; `-` for none."""
    more = len(nodes) - _NAMED
    return (", ".join(nodes[:_NAMED]) or NOTHING) + (f" +{more}" if more > 0 else "")


def _prefix(words: str, prefix: Prefix | None) -> Cell:
    """A prefix, sorted by its address."""
    return Cell(words, None if prefix is None else (prefix.version, int(prefix.network_address)))


def _nodes(nodes: Sequence[str], health: Health) -> Cell:
    """Nodes with which something is the matter, sorted by their number."""
    return Cell(_named(nodes), len(nodes) or None, health if nodes else "")


def _announced_by(found: Announcement) -> Cell:
    by = None if found.advertised is None else len(found.advertised)
    tone: Tone = "" if found.health == "ok" else found.health
    return Cell.share(Share(by, len(found.expected)), by or 0, tone)


def _established(found: NodeRoute) -> Cell:
    if found.established is False:
        return Cell("✗ down", tone="fail", value="down")
    return Cell.of("up" if found.established else "")


def _own(place: PlaceRow) -> Cell:
    """Whether it is in the node's own table; a node that did not answer has no place in any."""
    if place.own is not None:
        return Cell("✓", tone="ok", value=True)
    if place.found.available is None or place.node in place.found.unknown:
        return Cell("?", tone="unknown", value=None)
    wanted = place.node in place.found.expected
    return Cell("✗", tone="fail", value=False) if wanted else Cell("·", tone="none", value=False)


def _route(found: NodeRoute) -> Route:
    return found.route


def _best(route: Route | None) -> Path | None:
    """The best path of a route, else its first."""
    if route is None or not route.paths:
        return None
    paths = route.paths
    return paths[0] if len(paths) == 1 else next((path for path in paths if path.best), paths[0])


def _attribute_columns(
    route: Callable[[R], Route | None],
) -> tuple[TableColumn[RouteItem, R], ...]:
    """The decoded attributes of the best path of the route of a row."""

    def of(read: Callable[[PathAttributes], Cell]) -> Callable[[R], Cell]:
        def cell(row: R) -> Cell:
            path = _best(route(row))
            return Cell.of("") if path is None else read(path.attributes)

        return cell

    def path_age(row: R) -> Cell:
        path = _best(route(row))
        return Cell.of("") if path is None else Cell.seconds(path.age, age(path.age))

    return (
        TableColumn(
            Column("next_hop", "NEXT HOP", extra=True), get=_next_hop, cell=of(_next_hop_cell)
        ),
        TableColumn(
            Column("as_path", "AS PATH", extra=True),
            get=lambda route: (route.attributes.as_path or "-") if route.attributes else UNKNOWN,
            cell=of(lambda p: Cell.of(p.as_path_text)),
        ),
        TableColumn(
            Column("communities", "COMMUNITIES", extra=True),
            wide=True,
            get=_communities,
            cell=of(lambda p: Cell.of(" ".join((*p.communities, *p.large_communities)))),
        ),
        TableColumn(
            Column("local_pref", "LOCAL PREF", right=True, extra=True),
            cell=of(lambda p: Cell.number(p.local_pref)),
        ),
        TableColumn(
            Column("med", "MED", right=True, extra=True), cell=of(lambda p: Cell.number(p.med))
        ),
        TableColumn(
            Column("age", "AGE", right=True, extra=True),
            get=lambda r: duration(r.age),
            cell=path_age,
        ),
    )


def _next_hop_cell(found: PathAttributes) -> Cell:
    """The next hop; the unspecified address stands for the node itself."""
    hop = Cell.address(found.next_hop)
    return Cell("itself", hop.sort) if found.next_hop_is_self else hop


def attribute_words(routes: Sequence[Route]) -> Iterator[str]:
    """What the routes of one table have in common, a line for each different set."""
    seen: dict[str, None] = {}
    for route in routes:
        for path in route.paths:
            seen[_words(path.attributes)] = None
    yield from seen


def _words(found: PathAttributes) -> str:
    words = [
        f"AS path {found.as_path_text or 'empty (our own AS)'}",
        f"communities {' '.join((*found.communities, *found.large_communities)) or 'none'}",
        f"origin {found.origin or 'not told'}",
    ]
    if found.local_pref is not None:
        words.append(f"local preference {found.local_pref}")
    if found.med is not None:
        words.append(f"MED {found.med}")
    words += [f"{bad.what}: {bad.problem}" for bad in found.malformed]
    return ", ".join(words)


PREFIX_COLUMNS: tuple[TableColumn[Never, Announcement], ...] = (
    TableColumn(Column("prefix", "PREFIX", cut_to=18), cell=lambda a: _prefix(a.prefix, a.network)),
    TableColumn(Column("what", "WHAT", cut_to=14), cell=lambda a: Cell.of(a.what)),
    TableColumn(
        Column("state", "STATE", least=11), cell=lambda a: Cell.state(a.health, state_of(a))
    ),
    TableColumn(
        Column("expected", "EXPECTED", right=True, spare=4),
        cell=lambda a: Cell.number(len(a.expected)),
    ),
    TableColumn(
        Column("available", "AVAILABLE", right=True, spare=3),
        cell=lambda a: Cell.number(None if a.available is None else len(a.available), unknown="?"),
    ),
    TableColumn(Column("advertised", "ADV", right=True, least=5), cell=_announced_by),
    TableColumn(
        Column("missing", "MISSING", cut_to=10, spare=1), cell=lambda a: _nodes(a.missing, a.health)
    ),
    TableColumn(
        Column("extra", "EXTRA", cut_to=7, spare=2), cell=lambda a: _nodes(a.extra, a.health)
    ),
)
PREFIXES = ScreenTable(PREFIX_COLUMNS, key=lambda a: a.prefix, health=lambda a: a.health)
"""A row a prefix: where it should be announced, and where it is."""

COLUMNS: tuple[TableColumn[RouteItem, NodeRoute], ...] = (
    TableColumn(
        Column("prefix", "PREFIX", cut_to=18),
        get=lambda r: r.prefix,
        cell=lambda r: _prefix(r.route.prefix, r.prefix),
    ),
    TableColumn(
        Column("node", "NODE", cut_to=10), get=lambda r: r.node, cell=lambda r: Cell.of(r.node)
    ),
    TableColumn(
        Column("table", "TABLE", least=10), get=lambda r: r.table, cell=lambda r: Cell.of(r.table)
    ),
    TableColumn(
        Column("neighbor", "PEER", least=11),
        header="NEIGHBOR",
        get=lambda r: r.neighbor or "-",
        cell=lambda r: Cell.address(r.route.neighbor),
    ),
    TableColumn(
        Column("session", "SESSION", least=7),
        get=lambda r: {True: "up", False: "down", None: "-"}[r.established],
        cell=_established,
    ),
    *_attribute_columns(_route),
    TableColumn(Column("service", "SERVICE"), get=lambda r: ",".join(r.services) or "-"),
)
TABLE = Table(
    kind="Routes",
    needs=(*ROUTES, SERVICES, *SESSION_KINDS),
    items=route_items,
    columns=COLUMNS,
    order="node table prefix neighbor session next_hop as_path communities age service",
    command_only=True,
)
SCREEN = ScreenTable(
    COLUMNS,
    key=lambda r: f"{r.table}|{r.route.prefix}|{r.node}|{r.route.neighbor}|{r.route.router_asn}",
    health=lambda r: "fail" if r.established is False else "ok",
)
"""A row a route of a table of a node."""

PLACE_COLUMNS: tuple[TableColumn[Never, PlaceRow], ...] = (
    TableColumn(Column("node", "NODE", cut_to=10), cell=lambda p: Cell.of(p.node)),
    TableColumn(Column("peer", "PEER", least=11), cell=lambda p: Cell.address(p.link[1])),
    TableColumn(Column("available", "AVAIL"), cell=_own),
    TableColumn(
        Column("advertised", "ADVERTISED", least=10), cell=lambda p: Cell.state(*p.announced)
    ),
    *_attribute_columns(PlaceRow.route),
)
PLACES = ScreenTable(
    PLACE_COLUMNS, key=lambda p: f"{p.node}|{p.link[1]}", health=lambda p: p.announced[0]
)
"""Where one prefix is: a row a node and peer."""
