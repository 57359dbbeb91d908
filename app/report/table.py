"""Tables as kubectl prints them: aligned columns, no frames, one line per row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len

from app.model.durations import age, duration
from app.report.items import (
    AddressItem,
    Item,
    LogItem,
    NodeItem,
    ParameterItem,
    PodItem,
    PoolItem,
    RouteItem,
    ServiceItem,
    SessionItem,
    SourceItem,
)
from collectors.sanitize import one_line

Row = TypeVar("Row", bound=Item)

NONE = "<none>"
"""As kubectl prints what is known to be empty."""
UNKNOWN = "?"
"""What is not known."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column of a table."""

    header: str
    text: Callable[[Row], str]
    wide: bool = False
    """Only with `-o wide`."""
    right: bool = False
    """Numbers stand at the right."""


def render(columns: Sequence[Column[Row]], rows: Sequence[Row], *, wide: bool) -> str:
    """The table as text, a newline at the end; the header alone where there is no row."""
    shown = [column for column in columns if wide or not column.wide]
    cells = [[one_line(column.text(row)) for column in shown] for row in rows]
    lines = [[column.header for column in shown], *cells]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(shown))]
    return "".join(
        "   ".join(
            _pad(cell, width, right=column.right)
            for cell, width, column in zip(line, widths, shown, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _optional(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def listed(values: Sequence[str]) -> str:
    """Names in one cell."""
    return ",".join(values) or NONE


def sign(value: bool | None) -> str:
    """A truth in one cell."""
    return {True: "yes", False: "no", None: UNKNOWN}[value]


def _last_exit(pod: PodItem) -> str:
    found = pod.last_exit
    if found is None:
        return "-"
    return f"{found.code} {found.reason}".strip()


def _announced(service: ServiceItem) -> str:
    if not service.addresses:
        return "-"
    return ",".join(_announcers(address) for address in service.addresses)


def _announcers(address: AddressItem) -> str:
    return UNKNOWN if address.announced_by is None else str(len(address.announced_by))


def _announcing_nodes(service: ServiceItem) -> str:
    nodes = {n for address in service.addresses for n in address.announced_by or ()}
    return listed(sorted(nodes))


def _condition(service: ServiceItem) -> str:
    found = service.condition
    if found is None:
        return "no verdict"
    if found.status == "True":
        return found.reason or "satisfied"
    return found.message or found.reason or found.status


def _endpoints(service: ServiceItem) -> str:
    found = service.endpoints
    return UNKNOWN if found is None else f"{found.ready}/{found.total}"


def _pools(service: ServiceItem) -> str:
    return listed(list(dict.fromkeys(a.pool or NONE for a in service.addresses)))


def _pool_state(pool: PoolItem) -> str:
    if pool.disabled:
        return "disabled"
    if pool.conflict:
        return "conflict"
    return "invalid block" if pool.invalid_blocks else "ok"


def _families(session: SessionItem) -> str:
    return " ".join(f"{f.afi}:{f.received}/{f.advertised}" for f in session.families) or NONE


def _witness(session: SessionItem) -> str:
    shown = {"": "-", session.source: "cli" if session.source.startswith("cilium ") else "api"}
    return shown[session.source] + (" !=" if session.disagree else "")


def _time(line: LogItem) -> str:
    return line.time.isoformat(timespec="milliseconds") if line.time else UNKNOWN


def _as_path(route: RouteItem) -> str:
    if route.attributes is None:
        return UNKNOWN
    return route.attributes.as_path or "-"


PODS = (
    Column[PodItem]("COMPONENT", lambda p: p.component + ("*" if p.leader else "")),
    Column[PodItem]("NAME", lambda p: p.name),
    Column[PodItem]("READY", lambda p: f"{p.ready_containers}/{p.containers}"),
    Column[PodItem]("STATUS", lambda p: p.status),
    Column[PodItem]("RESTARTS", lambda p: str(p.restarts), right=True),
    Column[PodItem]("LAST EXIT", _last_exit),
    Column[PodItem]("NODE", lambda p: p.node or NONE),
    Column[PodItem]("VERSION", lambda p: p.version),
    Column[PodItem]("AGE", lambda p: age(p.age), right=True),
)
NODES = (
    Column[NodeItem]("NAME", lambda n: n.name),
    Column[NodeItem]("READY", lambda n: sign(n.ready)),
    Column[NodeItem]("AGENT", lambda n: n.agent or NONE),
    Column[NodeItem]("AGENT READY", lambda n: sign(n.agent_ready)),
    Column[NodeItem](
        "SESSIONS",
        lambda n: UNKNOWN if n.sessions is None else f"{n.sessions_established}/{n.sessions}",
    ),
    Column[NodeItem]("ADDRESSES", lambda n: listed(n.addresses), wide=True),
    Column[NodeItem]("KUBELET", lambda n: n.kubelet, wide=True),
    Column[NodeItem]("AGE", lambda n: age(n.age), right=True),
)
SESSIONS = (
    Column[SessionItem]("NODE", lambda s: s.node),
    Column[SessionItem]("PEER", lambda s: s.peer_address or s.peer),
    Column[SessionItem]("AS", lambda s: _optional(s.peer_asn), right=True),
    Column[SessionItem]("STATE", lambda s: s.state),
    Column[SessionItem]("UP", lambda s: duration(s.uptime), right=True),
    Column[SessionItem]("RCVD", lambda s: str(s.received), right=True),
    Column[SessionItem]("ADV", lambda s: str(s.advertised), right=True),
    Column[SessionItem]("FROM", _witness),
    Column[SessionItem]("INSTANCE", lambda s: s.instance, wide=True),
    Column[SessionItem]("LOCAL AS", lambda s: _optional(s.local_asn), wide=True, right=True),
    Column[SessionItem]("FAMILIES RCVD/ADV", _families, wide=True),
    Column[SessionItem]("HOLD", lambda s: _optional(s.hold_time), wide=True, right=True),
    Column[SessionItem]("PASSWORD", lambda s: sign(s.tcp_password), wide=True),
    Column[SessionItem]("NOTE", lambda s: s.note),
)
ROUTES = (
    Column[RouteItem]("NODE", lambda r: r.node),
    Column[RouteItem]("TABLE", lambda r: r.table),
    Column[RouteItem]("PREFIX", lambda r: r.prefix),
    Column[RouteItem]("NEIGHBOR", lambda r: r.neighbor or "-"),
    Column[RouteItem]("SESSION", lambda r: {True: "up", False: "down", None: "-"}[r.established]),
    Column[RouteItem](
        "NEXT HOP", lambda r: (r.attributes.next_hop if r.attributes else None) or UNKNOWN
    ),
    Column[RouteItem]("AS PATH", _as_path),
    Column[RouteItem](
        "COMMUNITIES",
        lambda r: (
            listed((*r.attributes.communities, *r.attributes.large_communities))
            if r.attributes
            else UNKNOWN
        ),
        wide=True,
    ),
    Column[RouteItem]("AGE", lambda r: duration(r.age), right=True),
    Column[RouteItem]("SERVICE", lambda r: ",".join(r.services) or "-"),
)
SERVICES = (
    Column[ServiceItem]("NAMESPACE", lambda s: s.namespace),
    Column[ServiceItem]("NAME", lambda s: s.name),
    Column[ServiceItem](
        "ADDRESS", lambda s: ",".join([a.ip for a in s.addresses] + [*s.hostnames]) or "<pending>"
    ),
    Column[ServiceItem]("POOL", lambda s: _pools(s) if s.addresses else "-"),
    Column[ServiceItem]("ENDPOINTS", _endpoints, right=True),
    Column[ServiceItem]("POLICY", lambda s: s.external_traffic_policy or "-"),
    Column[ServiceItem]("ANNOUNCED BY", _announced, right=True),
    Column[ServiceItem](
        "SELECTED BY",
        lambda s: UNKNOWN if s.selected_by is None else listed(s.selected_by),
        wide=True,
    ),
    Column[ServiceItem]("NODES", _announcing_nodes, wide=True),
    Column[ServiceItem]("CLASS", lambda s: s.load_balancer_class or NONE, wide=True),
    Column[ServiceItem]("AGE", lambda s: age(s.age), right=True),
    Column[ServiceItem]("LB-IPAM", _condition),
)
POOLS = (
    Column[PoolItem]("NAME", lambda p: p.name),
    Column[PoolItem]("STATE", _pool_state),
    Column[PoolItem]("USED", lambda p: _optional(p.used), right=True),
    Column[PoolItem]("FREE", lambda p: _optional(p.available), right=True),
    Column[PoolItem]("TOTAL", lambda p: _optional(p.total), right=True),
    Column[PoolItem]("RANGES", lambda p: ", ".join(p.ranges) or NONE),
    Column[PoolItem]("SELECTS", lambda p: p.selector),
    Column[PoolItem]("AGE", lambda p: age(p.age), wide=True, right=True),
    Column[PoolItem]("CONFLICT", lambda p: p.conflict or "-", wide=True),
    Column[PoolItem]("INVALID BLOCKS", lambda p: "; ".join(p.invalid_blocks) or "-", wide=True),
)
LOGS = (
    Column[LogItem]("TIME", _time),
    Column[LogItem]("LEVEL", lambda e: e.level or "-"),
    Column[LogItem]("TOPIC", lambda e: e.topic or "-"),
    Column[LogItem]("POD", lambda e: e.pod, wide=True),
    Column[LogItem]("EVENT", lambda e: f"-- {e.marker} --" if e.marker else e.event),
)
CONFIG = (
    Column[ParameterItem]("PARAMETER", lambda p: p.name),
    Column[ParameterItem]("VALUE", lambda p: p.effective or NONE),
    Column[ParameterItem]("FROM", lambda p: "default" if p.value is None else "cilium-config"),
    Column[ParameterItem]("KEY", lambda p: p.key),
)
SOURCES = (
    Column[SourceItem]("SOURCE", lambda s: s.name),
    Column[SourceItem]("STATE", lambda s: s.state),
    Column[SourceItem]("AGE", lambda s: age(s.age) if s.age is not None else "-", right=True),
    Column[SourceItem]("TOOK", lambda s: "-" if s.took is None else f"{s.took:.2f}s", right=True),
    Column[SourceItem]("MESSAGE", lambda s: "; ".join((*filter(None, [s.error]), *s.problems))),
)
