"""Services: every LoadBalancer service, its addresses, LB-IPAM's verdict, and who announces it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult

from app.diagnosis.advertisement import Prefix, announcers, announcers_of, routes_known
from app.diagnosis.endpoints import Backends, backends
from app.diagnosis.facts import balancer_health, condition_words
from app.diagnosis.lbipam import Address, LoadBalancer, load_balancers
from screens.absence import content
from screens.cluster_screen import ClusterScreen
from screens.format import NOTHING, SIGN, age_of, count, time_of_day
from screens.widgets.columns import Cell, Column, Content, Row, SortValue
from screens.widgets.lines import Line, Span, Tone, plain
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText

if TYPE_CHECKING:
    from app.snapshot import Snapshot

ROUTES = ("routes_advertised_ipv4", "routes_advertised_ipv6")
READS = (
    "services",
    "pools",
    "endpoint_slices",
    *ROUTES,
    "node_configs",
    "bgp_peers",
    "pods",
    "nodes",
    "cilium_nodes",
    "peering_policies",
    "daemon_sets",
)
COLUMNS = (
    Column("service", "SERVICE", cut_to=16),
    Column("address", "ADDRESS", least=13, cut_to=13),
    Column("pool", "POOL", cut_to=8, spare=1),
    Column("condition", "CONDITION", least=11, cut_to=13),
    Column("endpoints", "READY", right=True, spare=2),
    Column("announced", "NODES", right=True, least=5),
    Column("policy", "POLICY", least=7, extra=True),
    Column("names", "ANNOUNCED BY", extra=True),
)


@dataclass(frozen=True)
class Announced:
    """Who announces one address."""

    address: Address
    pool: str
    nodes: tuple[str, ...] | None
    """None: the routes of its family are not known."""


@dataclass(frozen=True)
class ServicesPicture:
    """What the screen shows."""

    headline: str
    services: Content
    details: Mapping[str, tuple[LoadBalancer, tuple[Announced, ...], Backends | None]]


def picture(snapshot: Snapshot) -> ServicesPicture:
    """The LoadBalancer services, one row each, several addresses joined."""
    announced = announcers(snapshot)
    details = {
        balancer.service.key: (
            balancer,
            _announced(snapshot, balancer, announced),
            backends(snapshot, balancer.service.key),
        )
        for balancer in load_balancers(snapshot)
    }
    nodes = len(snapshot.agents_by_node) if snapshot.health_of("pods").known else None
    addressed = sum(bool(b.addresses or b.hostnames) for b, _, _ in details.values())
    return ServicesPicture(
        headline=f"{addressed} of {len(details)} with an address" if details else "",
        services=content(
            snapshot,
            (_row(*told, nodes) for told in details.values()),
            ("services",),
            "LoadBalancer services",
            beside=("pools", "endpoint_slices", *ROUTES),
        ),
        details=details,
    )


def _announced(
    snapshot: Snapshot, balancer: LoadBalancer, announced: Mapping[Prefix, tuple[str, ...]]
) -> tuple[Announced, ...]:
    return tuple(
        Announced(
            address,
            pool,
            announcers_of(address, announced) if routes_known(snapshot, address.version) else None,
        )
        for address, pool in zip(balancer.addresses, balancer.pools, strict=True)
    )


def _row(
    balancer: LoadBalancer,
    announced: tuple[Announced, ...],
    behind: Backends | None,
    nodes: int | None,
) -> Row:
    service = balancer.service
    health = balancer_health(balancer)
    addresses = [str(address) for address in balancer.addresses] + list(balancer.hostnames)
    pools = ", ".join(dict.fromkeys(filter(None, balancer.pools)))
    first = balancer.addresses[0] if balancer.addresses else None
    ready = None if behind is None else behind.ready
    cells = (
        Cell(service.key),
        Cell(", ".join(addresses) or NOTHING, _address_order(first), "" if addresses else "fail"),
        Cell(pools or NOTHING),
        Cell(f"{SIGN[health]} {condition_words(balancer)}", tone=health),
        Cell("?" if ready is None else str(ready), ready, "warn" if ready == 0 else ""),
        _announced_cell(announced, nodes),
        Cell(service.spec.external_traffic_policy or NOTHING),
        Cell(", ".join(_names(announced)) or NOTHING),
    )
    return Row(service.key, cells)


def _announced_cell(announced: tuple[Announced, ...], nodes: int | None) -> Cell:
    """The fewest nodes that announce any one of the addresses, of all nodes with an agent."""
    if not announced:
        return Cell(NOTHING, -1)
    counts = [len(found.nodes) for found in announced if found.nodes is not None]
    if len(counts) < len(announced):
        return Cell("?", -1)
    fewest = min(counts)
    tone: Tone = "warn" if fewest == 0 else ""
    return Cell(f"{fewest}/{'?' if nodes is None else nodes}", fewest, tone)


def _names(announced: tuple[Announced, ...]) -> tuple[str, ...]:
    return tuple(sorted({node for found in announced for node in found.nodes or ()}))


def _address_order(address: Address | None) -> SortValue:
    return None if address is None else (address.version, int(address))


def detail(
    balancer: LoadBalancer,
    announced: tuple[Announced, ...],
    behind: Backends | None,
    snapshot: Snapshot,
) -> list[Line]:
    """Everything that is known of one service, in a few lines."""
    now, service, condition = snapshot.taken_at, balancer.service, balancer.condition
    health = balancer_health(balancer)
    wanted = service.spec.load_balancer_class
    lines: list[Line] = [
        (
            Span(f" {SIGN[health]} ", health),
            Span(service.key, "strong"),
            Span(f"  {condition_words(balancer)}"),
            Span(f" since {time_of_day(condition.last_transition_time, now)}")
            if condition and condition.last_transition_time
            else Span(""),
            Span(f"  class {wanted}" if wanted else ""),
            Span(f"  age {age_of(service.metadata.creation_timestamp, now)}"),
        )
    ]
    if condition is not None and condition.message:
        lines.append(plain(f"   {condition.message}"))
    lines += [_announced_line(found) for found in announced]
    if behind is not None:
        where = f" on {', '.join(behind.nodes)}" if behind.nodes else ""
        policy = service.spec.external_traffic_policy
        told = f"   {behind.ready} of {count(behind.total, 'endpoint')} ready{where}"
        lines.append(plain(f"{told}  (externalTrafficPolicy {policy})" if policy else told))
    return lines


def _announced_line(found: Announced) -> Line:
    pool = f" from {found.pool}" if found.pool else " in no pool"
    if found.nodes is None:
        told = "announcing nodes not known"
    elif found.nodes:
        told = f"announced by {', '.join(found.nodes)}"
    else:
        told = "announced by no node"
    return plain(f"   {found.address}{pool}, {told}", "" if found.nodes else "warn")


class ServicesScreen(ClusterScreen[ServicesPicture]):
    """The LoadBalancer services, and what is known of the selected one."""

    title_text = "Services"
    tells_ages = False
    reads = READS
    demands = ROUTES

    def body(self) -> ComposeResult:
        """Table and detail."""
        yield LiveTable(COLUMNS, order=("service",), id="services")
        yield LiveText(indent=5, id="detail")

    def picture(self, snapshot: Snapshot) -> ServicesPicture:
        """The LoadBalancer services as rows."""
        return picture(snapshot)

    def draw(self, picture: ServicesPicture) -> None:
        """Fill the table."""
        self._picture = picture
        self.set_headline(plain(picture.headline))
        self.query_one("#services", LiveTable).show(picture.services)
        self._draw_detail()

    def shown_sources(self) -> tuple[str, ...]:
        """What tells of addresses and of who announces them."""
        return ("services", "pools", "endpoint_slices", *ROUTES)

    @on(LiveTable.Selected, "#services")
    def _draw_detail(self) -> None:
        told = self._picture.details.get(self.query_one("#services", LiveTable).selected)
        lines = detail(*told, self.snapshot) if told else []
        self.query_one("#detail", LiveText).show(lines)
