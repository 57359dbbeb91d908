"""Config: the key parameters of Cilium, what is in force, and where from."""

from __future__ import annotations

from typing import Never

from app.model.configuration import parameters
from app.report.columns import TableColumn
from app.report.json import Item
from app.report.table import NONE, Table
from app.state.kinds import CONFIG_MAPS
from app.state.snapshot import Snapshot


class ParameterItem(Item, frozen=True):
    """A key parameter of Cilium."""

    name: str
    key: str
    value: str | None
    default: str
    effective: str


def parameter_items(snapshot: Snapshot) -> tuple[ParameterItem, ...]:
    """The key parameters."""
    return tuple(
        ParameterItem(p.name, p.key, p.value, p.default, p.effective) for p in parameters(snapshot)
    )


COLUMNS: tuple[TableColumn[ParameterItem, Never], ...] = (
    TableColumn("name", "PARAMETER", get=lambda p: p.name),
    TableColumn("value", "VALUE", get=lambda p: p.effective or NONE),
    TableColumn("from", "FROM", get=lambda p: "default" if p.value is None else "cilium-config"),
    TableColumn("key", "KEY", get=lambda p: p.key),
)
TABLE = Table(kind="Config", needs=(CONFIG_MAPS,), items=parameter_items, columns=COLUMNS)
