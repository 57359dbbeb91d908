"""Log lines as rows: what they say, which objects they name, and repeated ones folded into one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec.structs import replace

from app.model.finding import Ref, session_ref
from app.report.columns import Cell, Column, Row
from app.report.format import age_of, time_of_day
from app.report.lines import SIGN, TIMES
from collectors.logs.excerpts import event, is_noise, topic
from collectors.logs.targets import OPERATOR_CONTAINER
from screens.base.selection import Selection

if TYPE_CHECKING:
    from app.model.finding import Health
    from app.model.lbipam import Transition
    from app.report.lines import Tone
    from collectors.logs.joining import LogEntry
    from collectors.logs.lines import LogLine


POOL = "CiliumLoadBalancerIPPool"

SCREEN_OF: Mapping[str, str] = {
    "Service": "services",
    POOL: "pools",
    "Session": "sessions",
    "Peer": "sessions",
    "Node": "sessions",
    "Prefix": "routes",
}
"""The screen that shows what a line names, by its kind."""

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
"""A name in Kubernetes (RFC 1123)."""
_CONFLICT = re.compile(r"\bPool '([^']+)'")
_POOL_FIELDS = ("poolName", "pool-name", "poolName1", "poolName2", "pool1-name", "pool2-name")
_LONGEST = {4: 32, 6: 128}


@lru_cache(maxsize=20_000)
def named(entry: LogEntry) -> tuple[Ref, ...]:
    """What the line is about, what says most first: service, pool, session, address, node."""
    if entry.marker not in ("", "previous"):
        return ()
    line = entry.line
    found = (*_services(line), *_pools(line), *_sessions(entry), *_prefixes(line), *_nodes(line))
    return tuple(dict.fromkeys(found))


def names(entry: LogEntry, ref: Ref) -> bool:
    """Whether the line is about this; about a peer is what tells of any session with it."""
    if ref.kind != "Peer":
        return ref in named(entry)
    return any(
        found == ref or (found.kind == "Session" and found.name.partition("/")[2] == ref.name)
        for found in named(entry)
    )


def selection_of(ref: Ref, node: str = "") -> Selection:
    """A thing that a line names, with the words that `explain` takes for it."""
    asked: tuple[str, ...] = ()
    match ref.kind:
        case "Service":
            asked = ("service", f"{ref.namespace}/{ref.name}")
        case "CiliumLoadBalancerIPPool":
            asked = ("pool", ref.name)
        case "Session":
            asked = ("session", *ref.name.split("/", 1))
            node = asked[1]
        case "Node":
            asked, node = ("session", ref.name), ref.name
        case "Prefix":
            asked = ("ip", ref.name.partition("/")[0])
    return Selection(ref=ref, question=asked, node=node)


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
    for text in line.address.split(", "):
        address = _address(text)
        if address:
            yield Ref("Prefix", f"{address}/{_LONGEST[ip_address(address).version]}")


def _nodes(line: LogLine) -> Iterator[Ref]:
    if _NAME.fullmatch(line.node):
        yield Ref("Node", line.node)


def _address(text: str) -> str:
    """One spelling for one address; "" for what is none. A policy's mask is no part of it."""
    try:
        return str(ip_address(text.partition("/")[0]))
    except ValueError:
        return ""


COLUMNS = (
    Column("time", "TIME", least=8, marks=False, holds="time"),
    Column("level", "LEVEL", least=5, spare=2),
    Column("node", "NODE", cut_to=10, spare=1),
    Column("source", "SOURCE", least=4),
    Column("event", "EVENT", cut_to=34, holds="state"),
    Column("names", "NAMES", cut_to=16, extra=True, chosen=False),
    Column("pod", "POD", cut_to=12, extra=True, chosen=False),
    Column("line", "LINE", cut_to=40, extra=True, chosen=False),
)
WRITER, EVENT, NAMES = 2, 4, 5
"""The places of who wrote a line, of its event and of what it names among these columns."""
OPERATOR = "operator"
"""What stands for the operator where an agent's line has its node."""
_SHORT = (0, 1, 3, 4)
"""The places of what the Overview shows of a line."""

Times: TypeAlias = Literal["time", "date", "age"]
"""How the time of a line is written: of the day, with date and zone, or as how long ago."""

TOPICS = {"ipam": "IPAM", "bgp": "BGP"}
GAPS = ("gap", "restart", "moved")
"""Markers that are no line of a container."""
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


def excerpts(entries: Mapping[str, LogEntry]) -> list[LogEntry]:
    """The lines that tell of LB-IPAM or BGP, with the markers between them, oldest first."""
    return [entries[key] for key in sorted(entries) if tells(entries[key])]


@lru_cache(maxsize=20_000)
def tells(entry: LogEntry) -> bool:
    """Whether a line tells of LB-IPAM or BGP, or is a marker."""
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


def log_row(entry: LogEntry, now: datetime, times: Times = "time") -> Row:
    """One line as a row of `COLUMNS`."""
    return _log_row(entry, _when(entry.line.time, now, times))


def transition_row(found: Transition, now: datetime, times: Times = "time") -> Row:
    """A condition's change as a row, marked as what it is."""
    tone: Tone = "" if found.satisfied else "warn"
    text = found.text if found.satisfied else f"{SIGN['warn']} {found.text}"
    cells = (
        Cell(_when(found.at, now, times), found.at.timestamp()),
        Cell(""),
        Cell(""),
        Cell("condition"),
        Cell(text, tone=tone),
        Cell(f"Service {found.service}"),
        Cell(""),
        Cell(""),
    )
    return Row(transition_key(found), cells, health="ok" if found.satisfied else "warn")


def transition_key(found: Transition) -> str:
    """The key of the row of a condition's change."""
    return f"condition:{found.service}"


def all_rows(
    entries: Iterable[LogEntry],
    changes: Iterable[Transition],
    now: datetime,
    times: Times = "time",
) -> tuple[Row, ...]:
    """Log lines and condition changes in the order of time, as rows of `COLUMNS`."""
    timed = [(entry.line.time, entry.key, log_row(entry, now, times)) for entry in entries]
    timed += [(found.at, found.service, transition_row(found, now, times)) for found in changes]
    return tuple(row for _, _, row in sorted(timed, key=lambda item: item[:2]))


def merged(
    entries: Iterable[LogEntry], changes: Iterable[Transition], now: datetime
) -> tuple[Row, ...]:
    """The same in short: time, level, source, event."""
    return tuple(map(_in_short, all_rows(entries, changes, now)))


def _in_short(row: Row) -> Row:
    cells = [row.cells[place] for place in _SHORT]
    cells[-1] = _named_first(row)
    return replace(row, cells=tuple(cells))


def _named_first(row: Row) -> Cell:
    """The event, with whom it is about in front: it is cut at its end where room is short.

    Of an agent's line that is its node, of the operator's the service that it names.
    """
    writer, event, things = (row.cells[place] for place in (WRITER, EVENT, NAMES))
    who = writer.text
    if who in ("", OPERATOR):
        first = things.text.partition(", ")[0]
        who = first.removeprefix("Service ") if first.startswith("Service ") else ""
    sign, said = "", event.text
    if event.tone and said[1:2] == " ":
        sign, said = said[:2], said[2:]
    if not who or said.startswith(who):
        return event
    return Cell(f"{sign}{who}: {said}", event.sort, event.tone)


def _when(moment: datetime, now: datetime, times: Times) -> str:
    if times == "age":
        return age_of(moment, now)
    return time_of_day(moment, now) if times == "time" else full_time(moment)


def full_time(moment: datetime) -> str:
    """A moment in the operator's own zone, with date and zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


@lru_cache(maxsize=20_000)
def _log_row(entry: LogEntry, when: str) -> Row:
    line, health = entry.line, health_of(entry)
    time = Cell(when, line.time.timestamp())
    if entry.marker in GAPS:
        text = Cell(f"── {line.message} ──")
        cells = (time, Cell(""), Cell(writer(entry)), Cell(entry.marker), text)
        return Row(entry.key, (*cells, Cell(""), Cell(entry.pod), Cell("")), "stale", health)
    source = TOPICS.get(topic(line), "")
    if entry.marker == "previous":
        source = f"{source} (previous)".lstrip()
    tone: Tone = health if health in ("fail", "warn") else ""
    sign = f"{SIGN[health]} " if tone else ""
    cells = (
        time,
        Cell(line.level, tone=tone),
        Cell(writer(entry)),
        Cell(source),
        Cell(f"{sign}{event(line)}", tone=tone),
    )
    things = Cell(", ".join(map(str, named(entry))))
    return Row(entry.key, (*cells, things, Cell(entry.pod), Cell(line.raw)), health=health)


def writer(entry: LogEntry) -> str:
    """Who wrote a line: the operator, or the agent of a node."""
    return OPERATOR if entry.container == OPERATOR_CONTAINER else entry.node or entry.pod


TIME = 0
"""The column of the time, in rows of any length."""
SHORT_EVENT = 3
"""The column of the event in short rows."""
_OWN = 7
"""From this column on stands what each line has of its own."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that follow on each other in one log and differ only in their time; at least one."""

    rows: tuple[Row, ...]

    @property
    def key(self) -> str:
        """The key of its first row: it stays the same while more lines come."""
        return self.rows[0].key

    def row(self, event: int = SHORT_EVENT) -> Row:
        """The one row that is shown: when it was said last, how often, and when first."""
        first, last = self.rows[0], self.rows[-1]
        if first is last:
            return first
        said, when = first.cells[event], first.cells[TIME].text
        text = f"{TIMES}{len(self.rows)} {said.text} (first {when})"
        cells = list(last.cells)
        cells[event] = Cell(text, said.sort, said.tone)
        return replace(last, key=self.key, cells=tuple(cells))


def folds(rows: Iterable[Row]) -> tuple[Fold, ...]:
    """The rows, those that say the same as the one before in their log with that one."""
    found: list[list[tuple[int, Row]]] = []
    latest: dict[str, list[tuple[int, Row]]] = {}
    for place, row in enumerate(rows):
        log = _log(row)
        same = latest.get(log)
        if same is None or _text(same[-1][1]) != _text(row):
            same = latest[log] = []
            found.append(same)
        same.append((place, row))
    found.sort(key=lambda same: same[-1][0])
    return tuple(Fold(tuple(row for _, row in same)) for same in found)


def folded(rows: Iterable[Row], event: int = SHORT_EVENT) -> tuple[Row, ...]:
    """The rows to be shown, one for each run of rows that say the same."""
    return tuple(fold.row(event) for fold in folds(rows))


def _log(row: Row) -> str:
    """The log that a row is of: what stands behind the time in its key (`ContainerLog`)."""
    return row.key.partition(" ")[2]


def _text(row: Row) -> tuple[object, ...]:
    return (row.tone, row.health, *(cell.text for cell in row.cells[TIME + 1 : _OWN]))
