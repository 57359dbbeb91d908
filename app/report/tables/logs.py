"""Logs: what LB-IPAM and BGP wrote, which objects a line names, and repeated lines as one row.

Of several containers. `get` has the lines of the operator's log about LB-IPAM or BGP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal, TypeAlias

from app.model.finding import Health, Ref, session_ref
from app.model.lbipam import Transition
from app.report.columns import UNKNOWN, Cell, Column, Row, ScreenTable, Table, TableColumn
from app.report.json import Item, item
from app.report.lines import SIGN, TIMES, Tone, age_of, time_of_day
from app.state.kinds import LEASES, OPERATOR_LOG, PODS
from app.state.snapshot import Snapshot
from collectors.logs.lines import LogEntry, LogLine, event, is_noise, topic
from collectors.logs.targets import OPERATOR_CONTAINER

Times: TypeAlias = Literal["time", "date", "age"]
"""How the time of a line is written: of the day, with date and zone, or as how long ago."""

POOL = "CiliumLoadBalancerIPPool"
OPERATOR = "operator"
"""What stands for the operator where an agent's line has its node."""
GAPS = ("gap", "restart", "moved")
"""Markers that are no line of a container."""
_TOPICS = {"ipam": "IPAM", "bgp": "BGP"}
_LEVELS: dict[str, Health] = {
    "error": "fail",
    "fatal": "fail",
    "warning": "warn",
    "info": "ok",
    "debug": "ok",
}
_ENDS_SESSION = frozenset(
    {"Peer Down", "hold timer expired", "sent notification", "received notification"}
)
"""What GoBGP logs as information, and is none to who is without a route then."""

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
"""A name in Kubernetes (RFC 1123)."""
_CONFLICT = re.compile(r"\bPool '([^']+)'")
_POOL_FIELDS = ("poolName", "pool-name", "poolName1", "poolName2", "pool1-name", "pool2-name")
_LONGEST = {4: 32, 6: 128}


class LogItem(Item, frozen=True):
    """A line of a log."""

    time: datetime | None
    pod: str
    level: str
    topic: str
    event: str
    message: str
    module: str
    fields: dict[str, str]
    marker: str


def log_items(snapshot: Snapshot) -> tuple[LogItem, ...]:
    """The lines of the operator's log about LB-IPAM or BGP, oldest first."""
    return tuple(
        _item(entry)
        for entry in snapshot.records[OPERATOR_LOG].values()
        if entry.marker or topic(entry.line)
    )


def _item(entry: LogEntry) -> LogItem:
    line = entry.line
    return item(
        LogItem,
        line,
        pod=entry.pod,
        topic=topic(line),
        event=event(line),
        fields=dict(line.fields),
        marker=entry.marker,
    )


def _time(line: LogItem) -> str:
    return line.time.isoformat(timespec="milliseconds") if line.time else UNKNOWN


@dataclass(frozen=True, slots=True)
class LogRow:
    """Lines of one log that say the same, each after the other; or the change of a condition."""

    entries: tuple[LogEntry, ...] = ()
    """Oldest first."""
    change: Transition | None = None
    when: str = ""
    """When it was said last."""
    first: str = ""
    """When it was said first."""

    @property
    def key(self) -> str:
        """That of its first line: it stays the same while more lines come."""
        return self.entries[0].key if self.change is None else f"condition:{self.change.service}"

    @property
    def log(self) -> str:
        """The log that it is of: what follows the time in the key of a line (`ContainerLog`)."""
        return self.key.partition(" ")[2]

    @property
    def moment(self) -> datetime:
        """When it was said last."""
        return self.entries[-1].line.time if self.change is None else self.change.at

    @property
    def gap(self) -> bool:
        """Whether it is no line but a marker between lines."""
        return self.change is None and self.entries[0].marker in GAPS

    @property
    def health(self) -> Health:
        """How bad it is what it says."""
        if self.change is not None:
            return "ok" if self.change.satisfied else "warn"
        return health_of(self.entries[0])

    @property
    def tone(self) -> Tone:
        """The tone of its event."""
        return self.health if self.health in ("fail", "warn") and not self.gap else ""

    @property
    def level(self) -> str:
        """The level of its lines."""
        return "" if self.change is not None or self.gap else self.entries[0].line.level

    @property
    def writer(self) -> str:
        """Who wrote it."""
        return "" if self.change is not None else writer(self.entries[0])

    @property
    def source(self) -> str:
        """What part of Cilium it is of."""
        if self.change is not None:
            return "condition"
        entry = self.entries[0]
        if self.gap:
            return entry.marker
        part = _TOPICS.get(topic(entry.line), "")
        return f"{part} (previous)".lstrip() if entry.marker == "previous" else part

    @property
    def things(self) -> tuple[Ref, ...]:
        """What it names."""
        if self.change is not None:
            namespace, _, name = self.change.service.partition("/")
            return (Ref("Service", name, namespace),)
        return named(self.entries[-1])

    @property
    def event(self) -> str:
        """What happened."""
        if self.change is not None:
            return self.change.text
        line = self.entries[0].line
        return f"── {line.message} ──" if self.gap else event(line)

    def signed(self, words: str) -> str:
        """What happened, with the sign of its health, and how often it was said."""
        signed = f"{SIGN[self.health]} {words}" if self.tone else words
        number = len(self.entries)
        return f"{TIMES}{number} {signed} (first {self.first})" if number > 1 else signed

    @property
    def event_in_short(self) -> str:
        """The same, with whom it is about in front: it is cut at its end where room is short.

        Of an agent's line that is its node, of the operator's the service that it names.
        """
        who = self.writer
        if who in ("", OPERATOR):
            things = () if self.gap else self.things[:1]
            who = next((str(each)[8:] for each in things if each.kind == "Service"), "")
        return self.event if not who or self.event.startswith(who) else f"{who}: {self.event}"


def _words(row: LogRow, *, short: bool) -> tuple[object, ...]:
    """All that lines have in common that are one row."""
    kept = (row.gap, row.health, row.level, row.source)
    if short:
        return (*kept, row.event_in_short)
    pod = row.entries[0].pod if row.entries else ""
    return (*kept, row.writer, row.event, row.things, pod)


@lru_cache(maxsize=40_000)
def _words_of(entry: LogEntry, *, short: bool) -> tuple[object, ...]:
    return _words(LogRow((entry,)), short=short)


def log_rows(
    entries: Iterable[LogEntry],
    changes: Iterable[Transition],
    now: datetime,
    times: Times = "time",
) -> list[LogRow]:
    """Log lines and condition changes in the order of time, each alone."""
    timed = [
        (entry.line.time, entry.key, LogRow((entry,), None, _when(entry.line.time, now, times)))
        for entry in entries
    ]
    timed += [
        (each.at, each.service, LogRow((), each, _when(each.at, now, times))) for each in changes
    ]
    return [row for _, _, row in sorted(timed, key=lambda item: item[:2])]


def folds(rows: Iterable[LogRow], *, short: bool = False) -> list[LogRow]:
    """The rows, those that say the same as the one before in their log with that one.

    What others wrote in between has no part in that order. A fold stands where its last line
    stood. None is lost. `short`: what they say is what `IN_SHORT` shows.
    """
    found: list[list[tuple[int, LogRow]]] = []
    latest: dict[str, tuple[object, list[tuple[int, LogRow]]]] = {}
    for place, row in enumerate(rows):
        alone = _words_of(row.entries[0], short=short) if row.entries else None
        said = alone or _words(row, short=short)
        last = latest.get(row.log)
        if last is None or last[0] != said:
            last = latest[row.log] = (said, [])
            found.append(last[1])
        last[1].append((place, row))
    found.sort(key=lambda same: same[-1][0])
    return [_folded([row for _, row in same]) for same in found]


def _folded(rows: Sequence[LogRow]) -> LogRow:
    first, last = rows[0], rows[-1]
    if first is last:
        return first
    entries = tuple(entry for row in rows for entry in row.entries)
    return replace(last, entries=entries, first=first.when)


def drawn(rows: Iterable[LogRow]) -> Iterator[Row]:
    """The rows as a screen shows them."""
    for row in rows:
        alone = row.change is None and len(row.entries) == 1
        yield _line(row.entries[0], row.when) if alone else SCREEN.row(row)


@lru_cache(maxsize=20_000)
def _line(entry: LogEntry, when: str) -> Row:
    return SCREEN.row(LogRow((entry,), None, when))


def excerpts(entries: Mapping[str, LogEntry]) -> list[LogEntry]:
    """The lines about LB-IPAM or BGP, with the markers between them, oldest first."""
    return [entries[key] for key in sorted(entries) if is_event(entries[key])]


@lru_cache(maxsize=20_000)
def is_event(entry: LogEntry) -> bool:
    """Whether a line is about LB-IPAM or BGP, or is a marker."""
    if entry.marker in GAPS:
        return True
    return bool(topic(entry.line)) and not is_noise(entry.line)


def health_of(entry: LogEntry) -> Health:
    """How bad it is what a line says, by its level and, of a session, by what happened."""
    if entry.marker in GAPS:
        return "unknown" if entry.marker == "gap" else "warn"
    known = _LEVELS.get(entry.line.level, "none")
    if known in ("ok", "none") and entry.line.message in _ENDS_SESSION:
        return "warn" if topic(entry.line) == "bgp" else known
    return known


def writer(entry: LogEntry) -> str:
    """Who wrote a line: the operator, or the agent of a node."""
    return OPERATOR if entry.container == OPERATOR_CONTAINER else entry.node or entry.pod


def _when(moment: datetime, now: datetime, times: Times) -> str:
    if times == "age":
        return age_of(moment, now)
    return time_of_day(moment, now) if times == "time" else full_time(moment)


def full_time(moment: datetime) -> str:
    """A moment in the operator's own zone, with date and zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


@lru_cache(maxsize=20_000)
def named(entry: LogEntry) -> tuple[Ref, ...]:
    """What the line is about, what says most first: service, pool, session, address, node."""
    if entry.marker not in ("", "previous"):
        return ()
    line = entry.line
    found = (*_services(line), *_pools(line), *_sessions(entry), *_prefixes(line), *_nodes(line))
    return tuple(dict.fromkeys(found))


def names(entry: LogEntry, ref: Ref) -> bool:
    """Whether the line is about this; about a peer is any session with it."""
    if ref.kind != "Peer":
        return ref in named(entry)
    return any(
        found == ref or (found.kind == "Session" and found.name.partition("/")[2] == ref.name)
        for found in named(entry)
    )


def _services(line: LogLine) -> Iterator[Ref]:
    namespace, slash, name = line.service.partition("/")
    if slash and _NAME.fullmatch(namespace) and _NAME.fullmatch(name):
        yield Ref("Service", name, namespace)


def _pools(line: LogLine) -> Iterator[Ref]:
    found = [line.field(field) for field in _POOL_FIELDS]
    if topic(line) == "ipam":
        found += _CONFLICT.findall(line.message)
    yield from (Ref(POOL, name) for name in found if _NAME.fullmatch(name))


def _sessions(entry: LogEntry) -> Iterator[Ref]:
    """A peer by its address; `peer` of other modules is somebody else."""
    address = _address(entry.line.peer) if topic(entry.line) == "bgp" else ""
    if address:
        yield session_ref(entry.node, address) if entry.node else Ref("Peer", address)


def _prefixes(line: LogLine) -> Iterator[Ref]:
    for words in line.address.split(", "):
        address = _address(words)
        if address:
            yield Ref("Prefix", f"{address}/{_LONGEST[ip_address(address).version]}")


def _nodes(line: LogLine) -> Iterator[Ref]:
    if _NAME.fullmatch(line.node):
        yield Ref("Node", line.node)


def _address(words: str) -> str:
    """One spelling for one address; "" for what is none. A policy's mask is no part of it."""
    try:
        return str(ip_address(words.partition("/")[0]))
    except ValueError:
        return ""


def _time_cell(row: LogRow) -> Cell:
    return Cell(row.when, row.moment.timestamp(), value=row.moment)


def _level_cell(row: LogRow) -> Cell:
    return Cell(row.level, tone=row.tone if row.entries else "")


def _event_cell(row: LogRow, words: str) -> Cell:
    text = row.signed(words)
    plain = len(row.entries) > 1 or not row.tone
    return Cell(text, tone=row.tone) if plain else Cell(text, tone=row.tone, value=words)


COLUMNS: tuple[TableColumn[LogItem, LogRow], ...] = (
    TableColumn(Column("time", "TIME", least=8, marks=False), get=_time, cell=_time_cell),
    TableColumn(
        Column("level", "LEVEL", least=5, spare=2), get=lambda e: e.level or "-", cell=_level_cell
    ),
    TableColumn(Column("node", "NODE", cut_to=10, spare=1), cell=lambda r: Cell(r.writer)),
    TableColumn(
        Column("source", "SOURCE", least=4),
        header="TOPIC",
        get=lambda e: e.topic or "-",
        cell=lambda r: Cell(r.source),
    ),
    TableColumn(
        Column("event", "EVENT", cut_to=34),
        get=lambda e: f"-- {e.marker} --" if e.marker else e.event,
        cell=lambda r: _event_cell(r, r.event),
    ),
    TableColumn(
        Column("names", "NAMES", cut_to=16, chosen=False),
        cell=lambda r: Cell(", ".join(map(str, r.things))),
    ),
    TableColumn(
        Column("pod", "POD", cut_to=12, chosen=False),
        wide=True,
        get=lambda e: e.pod,
        cell=lambda r: Cell(r.entries[0].pod if r.entries else ""),
    ),
    TableColumn(
        Column("line", "LINE", cut_to=40, chosen=False),
        cell=lambda r: Cell(r.entries[-1].line.raw if r.entries and not r.gap else ""),
    ),
)
TABLE = Table(
    kind="Logs",
    needs=(OPERATOR_LOG, LEASES, PODS),
    items=log_items,
    columns=COLUMNS,
    order="time level source pod event",
)
SCREEN = ScreenTable(
    COLUMNS,
    key=lambda row: row.key,
    health=lambda row: row.health,
    tone=lambda row: "stale" if row.gap else "",
)
IN_SHORT: ScreenTable[LogRow] = ScreenTable(
    (
        TableColumn(Column("time", "TIME", least=8), cell=_time_cell),
        TableColumn(Column("level", "LEVEL", least=5), cell=_level_cell),
        TableColumn(Column("source", "SOURCE", least=4), cell=lambda r: Cell(r.source)),
        TableColumn(
            Column("event", "EVENT", cut_to=20), cell=lambda r: _event_cell(r, r.event_in_short)
        ),
    ),
    key=lambda row: row.key,
    health=lambda row: row.health,
    tone=lambda row: "stale" if row.gap else "",
)
"""What the Overview has room for."""
