"""Sources: everything that is read, and how that goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.model.finding import Health
from app.model.wording import age
from app.report.columns import Cell, Column, ScreenTable, Table, TableColumn
from app.report.json import SourceItem, source_items
from app.report.lines import NOTHING, age_of
from app.state.snapshot import SourceHealth, State

_HEALTH: dict[State, Health] = {
    State.FRESH: "ok",
    State.STALE: "warn",
    State.LOADING: "unknown",
    State.FORBIDDEN: "fail",
    State.FAILING: "fail",
    State.ABSENT: "none",
    State.OFF: "none",
}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source at a moment."""

    source: SourceHealth
    now: datetime

    @property
    def health(self) -> Health:
        """How it is."""
        source = self.source
        if source.state is State.ABSENT and source.kind.tier == "CLI":
            return "unknown"
        if source.state is State.FRESH and source.problems:
            return "warn"
        return _HEALTH[source.state]


def _took(took: float | None) -> str:
    return "-" if took is None else f"{took:.2f}s"


def _state(row: SourceRow) -> Cell:
    partial = " (partial)" if row.source.problems else ""
    return Cell.state(row.health, f"{row.source.state}{partial}")


def _age(row: SourceRow) -> Cell:
    read = row.source.read_at
    seen = None if read is None else (row.now - read).total_seconds()
    return Cell.seconds(seen, age_of(read, row.now))


def _next_try(row: SourceRow) -> Cell:
    at = row.source.next_try
    wait = None if at is None else max(0.0, (at - row.now).total_seconds())
    return Cell.seconds(wait, NOTHING if wait is None else f"{wait:.0f}s")


def _error(row: SourceRow) -> Cell:
    source = row.source
    return Cell(source.error or "; ".join(source.problems), tone=row.health if source.error else "")


COLUMNS: tuple[TableColumn[SourceItem, SourceRow], ...] = (
    TableColumn(
        Column("name", "READ", cut_to=18),
        header="SOURCE",
        get=lambda s: s.name,
        cell=lambda r: Cell.of(r.source.label),
    ),
    TableColumn(Column("state", "STATE", least=9), get=lambda s: s.state, cell=_state),
    TableColumn(
        Column("age", "AGE", right=True, least=3, marks=False),
        get=lambda s: "-" if s.age is None else age(s.age),
        cell=_age,
    ),
    TableColumn(
        Column("took", "TOOK", right=True, spare=2, marks=False),
        get=lambda s: _took(s.took),
        cell=lambda r: Cell.seconds(r.source.took, _took(r.source.took)),
    ),
    TableColumn(Column("next", "NEXT TRY", right=True, spare=1, marks=False), cell=_next_try),
    TableColumn(
        Column("error", "ERROR", cut_to=16),
        header="MESSAGE",
        get=lambda s: "; ".join((*filter(None, [s.error]), *s.problems)),
        cell=_error,
    ),
)
TABLE = Table(kind="Sources", needs=None, items=source_items, columns=COLUMNS)
SCREEN = ScreenTable(COLUMNS, key=lambda row: row.source.label, health=lambda row: row.health)
