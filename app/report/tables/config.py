"""Config: the key parameters of Cilium, what is in force, and where from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.model.configuration import KeyParameter, fulfils, parameters
from app.model.finding import Finding, Health, worst
from app.report.columns import NONE, Cell, Column, ScreenTable, Table, TableColumn
from app.report.json import Item, item
from app.report.lines import NOTHING
from app.state.kinds import CONFIG_MAPS
from app.state.snapshot import Snapshot

if TYPE_CHECKING:
    from app.config.expected_settings import ExpectedSetting


class ParameterItem(Item, frozen=True):
    """A key parameter of Cilium."""

    name: str
    key: str
    value: str | None
    default: str
    effective: str


def parameter_items(snapshot: Snapshot) -> tuple[ParameterItem, ...]:
    """The key parameters."""
    return tuple(item(ParameterItem, parameter) for parameter in parameters(snapshot))


_ANY = "any value"


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A key parameter, what is expected of it, and what was found about it."""

    parameter: KeyParameter
    wanted: ExpectedSetting | None
    findings: Sequence[Finding]
    restart: Sequence[str]
    """Whose pods may run with an older value."""

    @property
    def expected(self) -> str:
        """The expected value; "" for none."""
        if self.wanted is None:
            return ""
        return _ANY if self.wanted.value == "*" else self.wanted.value

    @property
    def differs(self) -> bool:
        """Whether it is not as expected."""
        value = self.parameter.effective or None
        return self.wanted is not None and not fulfils(self.wanted.value, value)

    @property
    def state(self) -> tuple[Health, str]:
        """How it is, and in words why."""
        health = worst(self.findings)
        if self.differs:
            known = any(finding.code == "CS701" for finding in self.findings)
            return (health, "differs") if known else ("none", "differs, ignored")
        if self.findings and health != "none":
            return health, ", ".join(dict.fromkeys(finding.code for finding in self.findings))
        return ("ok", "as expected") if self.wanted else ("none", "")

    @property
    def health(self) -> Health:
        """How it is, pods that run with an older value included."""
        health, _ = self.state
        return "warn" if self.restart and health in ("ok", "none") else health


def _value(row: ParameterRow) -> Cell:
    health, _ = row.state
    return Cell(
        row.parameter.effective or NOTHING, tone=health if health in ("fail", "warn") else ""
    )


def _from(value: str | None) -> str:
    return "default" if value is None else "cilium-config"


COLUMNS: tuple[TableColumn[ParameterItem, ParameterRow], ...] = (
    TableColumn(
        Column("name", "PARAMETER", cut_to=22),
        get=lambda p: p.name,
        cell=lambda r: Cell.of(r.parameter.name),
    ),
    TableColumn(
        Column("expected", "EXPECTED", cut_to=8, spare=1), cell=lambda r: Cell.of(r.expected)
    ),
    TableColumn(
        Column("value", "IN FORCE", cut_to=12),
        header="VALUE",
        get=lambda p: p.effective or NONE,
        cell=_value,
    ),
    TableColumn(
        Column("from", "FROM", cut_to=9, spare=2),
        get=lambda p: _from(p.value),
        cell=lambda r: Cell.of(_from(r.parameter.value)),
    ),
    TableColumn(Column("state", "STATE", cut_to=12), cell=lambda r: Cell.state(*r.state)),
    TableColumn(
        Column("restart", "RESTART", cut_to=7, spare=3),
        cell=lambda r: Cell.of(", ".join(r.restart), "warn" if r.restart else ""),
    ),
    TableColumn(
        Column("key", "KEY", extra=True),
        get=lambda p: p.key,
        cell=lambda r: Cell.of(r.parameter.key),
    ),
)
TABLE = Table(kind="Config", needs=(CONFIG_MAPS,), items=parameter_items, columns=COLUMNS)
SCREEN = ScreenTable(COLUMNS, key=lambda row: row.parameter.key, health=lambda row: row.health)
