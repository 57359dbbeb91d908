"""Tables and logs beside a step: the rows and lines that concern what the runbook is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from app.model.wording import more
from app.report.json import Item
from app.report.tables import table
from app.report.tables.agents import AgentItem
from app.report.tables.endpoints import EndpointItem
from app.report.tables.nodes import NodeItem
from app.report.tables.pods import PodItem
from app.report.tables.policies import PolicyItem
from app.report.tables.pools import PoolItem
from app.report.tables.routes import RouteItem
from app.report.tables.services import ServiceItem
from app.report.tables.sessions import SessionItem
from app.runbooks.schema import Look, ParameterKind, Runbook, Step
from app.runbooks.subjects import Parameters
from app.state.kinds import AGENT_LOGS, OPERATOR_LOG, Kind
from app.state.snapshot import Snapshot, State
from collectors.logs.lines import LogEntry, event, is_noise, topic
from collectors.sanitize import one_line

MOST = 20
"""Rows shown of a table, and lines of a log."""

_LOGS = {"ipam": OPERATOR_LOG, "bgp": AGENT_LOGS}
_TITLES = {"ipam": "the operator on LB-IPAM", "bgp": "the agents on BGP"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A table or a log, as lines."""

    title: str
    """`sessions of talos-cp-1/172.29.51.1`, or what of it could not be read."""
    lines: tuple[str, ...]
    """Printable, without an end of line; the first is the header of a table."""


def panels(
    runbook: Runbook, step: Step, given: Parameters, snapshot: Snapshot
) -> tuple[Panel, ...]:
    """What a step shows beside its verdict."""
    return tuple(_panels(runbook, step, given, snapshot))


def kinds_of(runbook: Runbook) -> tuple[Kind[object], ...]:
    """What the tables and logs of a runbook are read from."""
    looks = [look for step in runbook.steps for look in step.look]
    found = [kind for look in looks if look.table for kind in table(look.table).needs or ()]
    return tuple(dict.fromkeys((*found, *(_LOGS[look.log] for look in looks if look.log))))


def _panels(runbook: Runbook, step: Step, given: Parameters, snapshot: Snapshot) -> Iterator[Panel]:
    for look in step.look:
        name = given.get(look.about, "")
        kind = runbook.parameters[look.about].kind if name else None
        if look.table:
            yield _table(look, kind, name, snapshot)
        elif look.log:
            yield _log(look, kind, name, snapshot)


def _table(look: Look, kind: ParameterKind | None, name: str, snapshot: Snapshot) -> Panel:
    found = table(look.table)
    text = found.some(snapshot, _concerns(kind, name))
    header, *rows = text.splitlines()
    needed = map(snapshot.health_of, found.needs or ())
    # What is not served has been asked for: there is nothing of it.
    unread = [h.label for h in needed if not h.known and h.state is not State.ABSENT]
    title = f"{look.table} of {name}" if name else look.table
    if unread:
        title += f" (not read: {', '.join(unread)})"
    return Panel(one_line(title), (header, *_few(rows)) if rows else ("none",))


def _few(lines: list[str]) -> Iterator[str]:
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield more(len(lines) - MOST)


def _concerns(kind: ParameterKind | None, name: str) -> Callable[[Item], bool]:
    """Whether a row has to do with what a parameter names; where it cannot tell, it has."""
    node, _, peer = name.partition("/")

    def wanted(row: Item) -> bool:
        match kind, row:
            case "service", ServiceItem():
                return f"{row.namespace}/{row.name}" == name
            case "service", RouteItem():
                return name in row.services
            case "service", PolicyItem() | EndpointItem():
                return row.namespace in (None, "", node)
            case "session", SessionItem():
                return (row.node, row.peer_address) == (node, peer)
            case "session", RouteItem():
                return row.node == node and row.neighbor in ("", peer)
            case "session", NodeItem():
                return row.name == node
            case "session", AgentItem():
                return row.node == node
            case "node", SessionItem() | RouteItem() | PodItem() | AgentItem():
                return row.node == name
            case "node", NodeItem():
                return row.name == name
            case "pool", PoolItem():
                return row.name == name
            case "pool", ServiceItem():
                return any(address.pool == name for address in row.addresses)
            case "address", ServiceItem():
                return any(address.ip == name for address in row.addresses)
            case "address", RouteItem():
                return ip_address(name) in ip_network(row.prefix, strict=False)
        return True

    return wanted


def _log(look: Look, kind: ParameterKind | None, name: str, snapshot: Snapshot) -> Panel:
    health = snapshot.health_of(_LOGS[look.log])
    entries = snapshot.records[_LOGS[look.log]]
    shown = [entry for entry in entries.values() if _tells(entry, look, kind, name)]
    title = _TITLES[look.log] + (f" of {name}" if name else "")
    if not health.known:
        title += f" (not read: {health.error or health.state})"
    lines = [_line(entry) for entry in shown[-MOST:]]
    if len(shown) > MOST:
        lines.insert(0, f"{len(shown) - MOST} lines before these")
    return Panel(one_line(title), tuple(lines) or ("none",))


def _tells(entry: LogEntry, look: Look, kind: ParameterKind | None, name: str) -> bool:
    if entry.marker in ("gap", "restart", "moved"):
        return False
    if topic(entry.line) != look.log or is_noise(entry.line):
        return False
    if not name:
        return True
    if kind in ("session", "node"):
        node, _, peer = name.partition("/")
        return entry.node in ("", node) and peer in event(entry.line)
    return name in event(entry.line) or name in entry.line.message


def _line(entry: LogEntry) -> str:
    moment = entry.line.time
    stamp = f"{moment:%Y-%m-%d %H:%M:%SZ}" if moment else "(no time)"
    return one_line("  ".join(filter(None, (stamp, entry.node, event(entry.line)))))
