"""Routes: which prefixes are in the agents' BGP tables, and which really go to the peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from app.diagnosis.advertisement import NodeRoute, Prefix, routes
from screens.absence import content
from screens.cluster_screen import ClusterScreen
from screens.format import NOTHING, count
from screens.widgets.columns import Cell, Column, Content, Row, SortValue
from screens.widgets.lines import plain
from screens.widgets.live_table import LiveTable

if TYPE_CHECKING:
    from app.snapshot import Snapshot

ADVERTISED = ("routes_advertised_ipv4", "routes_advertised_ipv6")
AVAILABLE = ("routes_available_ipv4", "routes_available_ipv6")
SESSIONS = ("node_configs", "bgp_peers")
COLUMNS = (
    Column("prefix", "PREFIX", cut_to=18),
    Column("node", "NODE", cut_to=10),
    Column("table", "TABLE", least=10),
    Column("neighbor", "PEER", least=11),
    Column("next_hop", "NEXT HOP", extra=True),
    Column("session", "SESSION", least=7),
)


@dataclass(frozen=True)
class RoutesPicture:
    """What the screen shows."""

    headline: str
    routes: Content


def picture(snapshot: Snapshot) -> RoutesPicture:
    """Every route that was read as a row."""
    found = routes(snapshot)
    prefixes = {route.prefix for route in found if route.table == "advertised"}
    return RoutesPicture(
        headline=f"{count(len(prefixes), 'prefix', 'prefixes')} advertised" if found else "",
        routes=content(snapshot, map(_row, found), (*ADVERTISED, *AVAILABLE), "routes"),
    )


def _row(found: NodeRoute) -> Row:
    route = found.route
    hops = {path.attributes.next_hop for path in route.paths if path.attributes.next_hop}
    up = {True: "up", False: "✗ down", None: NOTHING}[found.established]
    cells = (
        Cell(route.prefix, _order(found.prefix)),
        Cell(found.node),
        Cell(found.table),
        Cell(route.neighbor or NOTHING),
        Cell(", ".join(sorted(hops)) or NOTHING),
        Cell(up, tone="fail" if found.established is False else ""),
    )
    key = f"{found.table}|{route.prefix}|{found.node}|{route.neighbor}|{route.router_asn}"
    return Row(key, cells, health="fail" if found.established is False else "ok")


def _order(prefix: Prefix | None) -> SortValue:
    return None if prefix is None else (prefix.version, int(prefix.network_address))


class RoutesScreen(ClusterScreen[RoutesPicture]):
    """The agents' BGP tables."""

    title_text = "Routes"
    reads = (*ADVERTISED, *AVAILABLE, *SESSIONS)
    demands = (*ADVERTISED, *AVAILABLE)

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(COLUMNS, order=("prefix", "node"), id="routes")

    def picture(self, snapshot: Snapshot) -> RoutesPicture:
        """Every route as a row."""
        return picture(snapshot)

    def draw(self, picture: RoutesPicture) -> None:
        """Fill the table."""
        self.set_headline(plain(picture.headline))
        self.query_one("#routes", LiveTable).show(picture.routes)

    def shown_sources(self) -> tuple[str, ...]:
        """The tables that were read."""
        return self.demands
