"""A table as text for a file: CSV, JSON, or columns as they are drawn."""

from __future__ import annotations

import csv
import io
import json

from screens.widgets.live_table import LiveTable


def as_csv(table: LiveTable) -> str:
    """Comma separated, under the titles; what a spreadsheet would take for a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    for row in table.rows:
        writer.writerow([_inert(cell.text) for cell in row.cells])
    return out.getvalue()


def as_json(table: LiveTable) -> str:
    """A list of objects, by the keys of the columns."""
    keys = [column.key for column in table.columns]
    rows = [dict(zip(keys, (c.text for c in row.cells), strict=True)) for row in table.rows]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def as_text(table: LiveTable) -> str:
    """Columns as wide as what is in them."""
    lines = [[column.title for column in table.columns]]
    lines += [[cell.text for cell in row.cells] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join(padded) + "\n"


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
