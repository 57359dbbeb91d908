"""What LB-IPAM and BGP did, as rows: by the logs and, where those are silent, by conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec.structs import replace

from app.report.columns import Cell, Column, Row
from app.report.format import age_of, time_of_day
from app.report.lines import SIGN
from collectors.logs.excerpts import event, is_noise, topic
from collectors.logs.targets import OPERATOR_CONTAINER
from screens.log_refs import named

if TYPE_CHECKING:
    from app.model.finding import Health
    from app.model.lbipam import Transition
    from app.report.lines import Tone
    from collectors.logs.joining import LogEntry

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
    return tuple(map(_short, all_rows(entries, changes, now)))


def _short(row: Row) -> Row:
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
