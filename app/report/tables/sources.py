"""Sources: everything that is read, and how that goes."""

from __future__ import annotations

from typing import Never

from app.model.durations import age
from app.report.columns import TableColumn
from app.report.json import SourceItem, source_items
from app.report.table import Table

COLUMNS: tuple[TableColumn[SourceItem, Never], ...] = (
    TableColumn("source", "SOURCE", get=lambda s: s.name),
    TableColumn("state", "STATE", get=lambda s: s.state),
    TableColumn("age", "AGE", right=True, get=lambda s: "-" if s.age is None else age(s.age)),
    TableColumn(
        "took", "TOOK", right=True, get=lambda s: "-" if s.took is None else f"{s.took:.2f}s"
    ),
    TableColumn(
        "message", "MESSAGE", get=lambda s: "; ".join((*filter(None, [s.error]), *s.problems))
    ),
)
TABLE = Table(kind="Sources", needs=None, items=source_items, columns=COLUMNS)
