"""What a table shows, as text to be kept: the chosen columns, filtered and sorted as on screen.

Values stand as they are drawn, uncut.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Protocol

from rich.cells import cell_len

from screens.format import NOTHING
from screens.widgets.columns import GAP, Column, Row

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Shown(Protocol):
    """What is read of a table."""

    @property
    def shown_columns(self) -> Sequence[Column]:
        """The columns that are chosen, in order."""

    @property
    def shown_places(self) -> Sequence[int]:
        """The places of their cells in each row."""

    @property
    def rows(self) -> Sequence[Row]:
        """The rows, as they stand."""


def as_csv(table: Shown) -> str:
    """Titles and rows as RFC 4180 has them.

    A spreadsheet would take some texts for formulas and run them: a quote before these stops that
    (OWASP, CSV injection).
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_guarded(column.title) for column in table.shown_columns)
    writer.writerows([_guarded(text) for text in texts] for texts in _texts(table))
    return out.getvalue()


def as_json(table: Shown) -> str:
    """A list of objects, a member for each column, by its key."""
    keys = [column.key for column in table.shown_columns]
    rows = [dict(zip(keys, texts, strict=True)) for texts in _texts(table)]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def as_text(table: Shown) -> str:
    """Titles and rows in columns, for a terminal."""
    lines = [[column.title for column in table.shown_columns], *_texts(table)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    right = [column.right for column in table.shown_columns]
    return "".join(_text_line(line, widths, right) for line in lines)


def _texts(table: Shown) -> list[list[str]]:
    return [[row.cells[place].text for place in table.shown_places] for row in table.rows]


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) and text != NOTHING else text


def _text_line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = []
    for text, width, to_the_right in zip(texts, widths, right, strict=True):
        blank = " " * (width - cell_len(text))
        cells.append(f"{blank}{text}" if to_the_right else f"{text}{blank}")
    return (" " * GAP).join(cells).rstrip() + "\n"
