"""What a table shows, as text to be kept: the chosen columns, filtered and sorted as on screen.

Words stand as they are drawn, uncut. JSON has the values as well.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import UnsetType
from rich.cells import cell_len

from app.report.columns import Cell, Column, Share, Since
from app.report.lines import NOTHING, SIGN
from screens.widgets.columns import GAP
from screens.widgets.live_table import LiveTable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_csv(table: LiveTable) -> str:
    """The keys of the columns and the words of the rows, as RFC 4180 has them; no drawings.

    A spreadsheet would take some texts for formulas and run them: a quote before these stops that
    (OWASP, CSV injection).
    """
    out = io.StringIO()
    writer = csv.writer(out)
    columns = _saved(table)
    writer.writerow(_guarded(column.key) for column, _ in columns)
    for row in table.rows:
        writer.writerow(_guarded(row.cells[place].text) for _, place in columns)
    return out.getvalue()


def as_json(table: LiveTable, now: datetime) -> str:
    """A list of objects: a value for each column by its key, `health`, and the `words` as drawn.

    `now` is the moment from which ages count.
    """
    columns = _saved(table)
    rows = [
        {
            **{column.key: value(row.cells[place], now) for column, place in columns},
            "health": row.health,
            "words": {column.key: row.cells[place].text for column, place in columns},
        }
        for row in table.rows
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def as_text(table: LiveTable) -> str:
    """Titles and rows in columns, for a terminal."""
    rows = ([row.cells[place].text for place in table.shown_places] for row in table.rows)
    lines = [[column.title for column in table.shown_columns], *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    right = [column.right for column in table.shown_columns]
    return "".join(_text_line(line, widths, right) for line in lines)


def value(cell: Cell, now: datetime) -> object:
    """The value of a cell; None: not known, or nothing.

    Lengths of time are seconds, moments are ISO 8601 in UTC. Of a share there is how many (`is`) of
    how many (`of`), how many besides (`more`) and whether some are not known (`unsure`).
    """
    match cell.value:
        case UnsetType():
            return None if cell.text in ("", NOTHING, SIGN["unknown"]) else cell.text
        case Share(part=part, whole=whole, more=more, unsure=unsure):
            unsure = unsure or part is None or whole is None
            return {"is": part, "of": whole, "more": more, "unsure": unsure}
        case Since(moment=moment):
            return max(0, int(now.timestamp() - moment))
        case datetime() as moment:
            return moment.astimezone(UTC).isoformat()
        case other:
            return other


def _saved(table: LiveTable) -> list[tuple[Column, int]]:
    """The columns that say something in words, and the places of their cells."""
    shown = zip(table.shown_columns, table.shown_places, strict=True)
    return [(column, place) for column, place in shown if not column.drawn]


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) and text != NOTHING else text


def _text_line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = []
    for text, width, to_the_right in zip(texts, widths, right, strict=True):
        blank = " " * (width - cell_len(text))
        cells.append(f"{blank}{text}" if to_the_right else f"{text}{blank}")
    return (" " * GAP).join(cells).rstrip() + "\n"
