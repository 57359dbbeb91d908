"""Routes: every route that the agents' tables hold, with its decoded attributes."""

from __future__ import annotations

from typing import Never

from app.model.durations import duration
from app.model.lbipam import load_balancers
from app.model.routes import routes
from app.report.columns import TableColumn
from app.report.json import Item
from app.report.table import UNKNOWN, Table, listed
from app.state.kinds import ROUTES, SERVICES, SESSION_KINDS
from app.state.snapshot import Snapshot
from collectors.cilium.path_attributes import PathAttributes


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
        for address in balancer.addresses:
            host = f"{address}/{address.max_prefixlen}"
            holders.setdefault(host, []).append(balancer.service.key)
    return tuple(
        RouteItem(
            node=found.node,
            table=found.table,
            prefix=found.route.prefix,
            router_asn=found.route.router_asn,
            neighbor=found.route.neighbor,
            established=found.established,
            age=found.route.paths[0].age if found.route.paths else None,
            attributes=_attributes(found.route.paths[0].attributes) if found.route.paths else None,
            services=tuple(holders.get(str(found.prefix), ())),
        )
        for found in routes(snapshot)
    )


def _attributes(found: PathAttributes) -> AttributesItem:
    path = found.as_path
    return AttributesItem(
        origin=found.origin or None,
        as_path=None if path is None else " ".join(segment.text for segment in path),
        next_hop=found.next_hop or None,
        med=found.med,
        local_preference=found.local_pref,
        communities=found.communities,
        large_communities=found.large_communities,
        unknown=tuple(
            f"{each.name or f'type {each.type}'}: {each.value.hex()}" for each in found.unknown
        ),
        malformed=tuple(
            f"{each.what}: {each.problem}: {each.raw.hex()}" for each in found.malformed
        ),
    )


def _next_hop(route: RouteItem) -> str:
    return (route.attributes.next_hop if route.attributes else None) or UNKNOWN


def _as_path(route: RouteItem) -> str:
    return (route.attributes.as_path or "-") if route.attributes else UNKNOWN


def _communities(route: RouteItem) -> str:
    found = route.attributes
    return listed((*found.communities, *found.large_communities)) if found else UNKNOWN


COLUMNS: tuple[TableColumn[RouteItem, Never], ...] = (
    TableColumn("node", "NODE", get=lambda r: r.node),
    TableColumn("table", "TABLE", get=lambda r: r.table),
    TableColumn("prefix", "PREFIX", get=lambda r: r.prefix),
    TableColumn("neighbor", "NEIGHBOR", get=lambda r: r.neighbor or "-"),
    TableColumn(
        "session", "SESSION", get=lambda r: {True: "up", False: "down", None: "-"}[r.established]
    ),
    TableColumn("next_hop", "NEXT HOP", get=_next_hop),
    TableColumn("as_path", "AS PATH", get=_as_path),
    TableColumn("communities", "COMMUNITIES", wide=True, get=_communities),
    TableColumn("age", "AGE", right=True, get=lambda r: duration(r.age)),
    TableColumn("service", "SERVICE", get=lambda r: ",".join(r.services) or "-"),
)
TABLE = Table(
    kind="Routes",
    needs=(*ROUTES, SERVICES, *SESSION_KINDS),
    items=route_items,
    columns=COLUMNS,
    command_only=True,
)
