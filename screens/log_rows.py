"""What LB-IPAM and BGP did, as rows: by the logs and, where those are silent, by conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from collectors.log_excerpts import event, is_noise, topic
from screens.format import time_of_day
from screens.widgets.columns import Cell, Row

if TYPE_CHECKING:
    from app.diagnosis.transitions import Transition
    from collectors.log_entries import LogEntry
    from screens.widgets.lines import Tone

TOPICS = {"ipam": "IPAM", "bgp": "BGP"}
_TONES: dict[str, Tone] = {"error": "fail", "fatal": "fail", "warning": "warn"}


def excerpts(entries: Mapping[str, LogEntry]) -> list[LogEntry]:
    """The lines that tell of LB-IPAM or BGP, with the markers between them, oldest first."""
    return [entries[key] for key in sorted(entries) if _tells(entries[key])]


def log_row(entry: LogEntry, now: datetime) -> Row:
    """One line as a row."""
    return _log_row(entry, now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0))


@lru_cache(maxsize=20_000)
def _log_row(entry: LogEntry, now: datetime) -> Row:
    line = entry.line
    if entry.marker in ("gap", "restart", "moved"):
        text = f"── {line.message} ──"
        cells = (Cell(time_of_day(line.time, now)), Cell(""), Cell(entry.marker), Cell(text))
        return Row(entry.key, cells, "stale")
    source = TOPICS.get(topic(line), "")
    if entry.marker == "previous":
        source = f"{source} (previous)"
    tone = _TONES.get(line.level, "")
    cells = (
        Cell(time_of_day(line.time, now)),
        Cell(line.level, tone=tone),
        Cell(source),
        Cell(event(line), tone=tone),
    )
    return Row(entry.key, cells)


def transition_row(found: Transition, now: datetime) -> Row:
    """A condition's change as a row, marked as what it is."""
    tone: Tone = "" if found.satisfied else "warn"
    cells = (
        Cell(time_of_day(found.at, now)),
        Cell(""),
        Cell("condition"),
        Cell(found.text, tone=tone),
    )
    return Row(f"condition:{found.service}", cells)


def merged(
    entries: Iterable[LogEntry], changes: Iterable[Transition], now: datetime
) -> tuple[Row, ...]:
    """Log lines and condition changes in the order of time."""
    timed = [(entry.line.time, entry.key, log_row(entry, now)) for entry in entries]
    timed += [(found.at, found.service, transition_row(found, now)) for found in changes]
    return tuple(row for _, _, row in sorted(timed, key=lambda item: item[:2]))


@lru_cache(maxsize=20_000)
def _tells(entry: LogEntry) -> bool:
    if entry.marker in ("gap", "restart", "moved"):
        return True
    return bool(topic(entry.line)) and not is_noise(entry.line)
