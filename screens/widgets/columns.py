"""The columns of a table: which are shown, in which order, how wide; and the list to choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app.report.columns import Column, Row
from app.report.lines import Line, Span, plain
from screens.widgets.live_text import TONE_CLASSES, LiveText

GAP = 2
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Content:
    """All that a table shows."""

    rows: tuple[Row, ...] = ()
    absence: Line = ()
    """Why there are no rows, where there are none."""
    notice: tuple[Line, ...] = ()
    """What is to be said of all of them."""
    stale: bool = False
    """Whether they may no longer be so."""


def cell_widths(rows: Iterable[Row]) -> tuple[int, ...]:
    """How wide the widest cell of each column is; () without rows."""
    columns = zip(*[row.cells for row in rows], strict=True)
    return tuple(_widest([cell.text for cell in column]) for column in columns)


def _widest(texts: Sequence[str]) -> int:
    """Cells of the widest text; where all is ASCII, characters are cells."""
    return max(map(len if "".join(texts).isascii() else cell_len, texts))


def wanted_widths(columns: Sequence[Column], cells: Sequence[int]) -> tuple[int, ...]:
    """How wide each column wants to be: its title, its least width, its widest cell."""
    own = tuple(max(cell_len(column.title), column.least) for column in columns)
    return tuple(map(max, zip(own, cells, strict=True))) if cells else own


def fitted_widths(
    columns: Sequence[Column], wanted: Sequence[int], room: int
) -> tuple[int | None, ...]:
    """Widths that fit into the room, as far as the columns allow; None: the column is left out.

    Extra columns go first, the last one before the others; spare ones go where cutting would not
    do, and of these come back that may and fit; then the widest that may be cut is cut.
    """
    widths: list[int | None] = list(wanted)
    for index in reversed(range(len(columns))):
        if _total(widths) <= room:
            break
        if columns[index].extra or not columns[index].chosen:
            widths[index] = None
    spare = sorted((c.spare, index) for index, c in enumerate(columns) if c.spare)
    gone: list[int] = []
    while spare and _least(columns, widths) > room:
        gone.append(spare.pop()[1])
        widths[gone[-1]] = None
    for index in (index for index in reversed(gone) if columns[index].returns):
        widths[index] = wanted[index]
        if _least(columns, widths) > room:
            widths[index] = None
    while (over := _total(widths) - room) > 0:
        slack = [
            (width, index)
            for index, (column, width) in enumerate(zip(columns, widths, strict=True))
            if width is not None and column.cut_to and width > column.cut_to
        ]
        if not slack:
            break
        widest, index = max(slack)
        next_widest = max((width for width, _ in slack if width < widest), default=0)
        floor = max(columns[index].cut_to, next_widest, widest - over)
        widths[index] = min(widest - 1, floor)
    return tuple(widths)


def _least(columns: Sequence[Column], widths: Sequence[int | None]) -> int:
    """The room that is taken when all that may be cut is cut."""
    return _total(
        width if width is None or not column.cut_to else min(width, column.cut_to)
        for column, width in zip(columns, widths, strict=True)
    )


def _total(widths: Iterable[int | None]) -> int:
    shown = [width for width in widths if width is not None]
    return sum(shown) + GAP * max(0, len(shown) - 1)


Layout = tuple[tuple[str, bool], ...]
"""The keys of the columns in their order, each with whether it is shown."""


def default_layout(columns: Sequence[Column]) -> Layout:
    """The columns as they were declared."""
    return tuple((column.key, column.chosen) for column in columns)


def layout_of(kept: Layout, columns: Sequence[Column]) -> Layout:
    """What was kept, for the columns that there are: new ones stand where they were declared."""
    declared = {column.key: column.chosen for column in columns}
    entries = [(key, chosen) for key, chosen in dict(kept).items() if key in declared]
    known = {key for key, _ in entries}
    for place, column in enumerate(columns):
        if column.key not in known:
            entries.insert(place, (column.key, column.chosen))
    return tuple(entries) if any(chosen for _, chosen in entries) else default_layout(columns)


def places_of(layout: Layout, columns: Sequence[Column]) -> tuple[int, ...]:
    """The columns that are shown, in order, by their places among all."""
    places = {column.key: place for place, column in enumerate(columns)}
    return tuple(places[key] for key, chosen in layout if chosen)


def toggled(layout: Layout, line: int) -> Layout:
    """The layout with one column shown or hidden; the last one that is shown stays."""
    key, chosen = layout[line]
    if chosen and sum(shown for _, shown in layout) == 1:
        return layout
    return (*layout[:line], (key, not chosen), *layout[line + 1 :])


def moved(layout: Layout, line: int, step: int) -> Layout:
    """The layout with one column a step further; at the edge it stays."""
    entries = list(layout)
    if 0 <= line + step < len(entries):
        entries[line], entries[line + step] = entries[line + step], entries[line]
    return tuple(entries)


_LINES = 14
"""Columns that are listed at once at most: it must fit into the smallest terminal."""


class ColumnChooser(ModalScreen[None], inherit_bindings=False):
    """Columns in their order, each shown or not."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", id="columns.up"),
        Binding("down,j", "move(1)", "down", id="columns.down"),
        Binding("space", "choose", "show or hide", id="columns.toggle"),
        Binding("left,K", "shift(-1)", "further left", id="columns.left"),
        Binding("right,J", "shift(1)", "further right", id="columns.right"),
        Binding("r", "reset", "as it was", id="columns.reset"),
        Binding("enter,escape,q,T", "close", "close", id="columns.close"),
        Binding("ctrl+c", "app.quit", "quit", id="columns.quit"),
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        layout: Layout,
        left_out: Callable[[], frozenset[str]],
        changed: Callable[[Layout], None],
    ) -> None:
        """`changed` is told each new layout, `left_out` which columns then have no room."""
        super().__init__()
        self._columns = tuple(columns)
        self._titles = {column.key: column.title for column in columns}
        self._layout_now = layout
        self._left_out = left_out
        self._changed = changed
        self._line = 0

    def compose(self) -> ComposeResult:
        """One list."""
        with Vertical(id="columns-box"):
            yield LiveText(id="columns")

    def on_mount(self) -> None:
        """Show what is chosen."""
        self._draw()

    def action_move(self, step: int) -> None:
        """Go to another column."""
        self._line = min(max(self._line + step, 0), len(self._layout_now) - 1)
        self._draw()

    def action_choose(self) -> None:
        """Show the column, or hide it."""
        self._take(toggled(self._layout_now, self._line))

    def action_shift(self, step: int) -> None:
        """Move the column among the others."""
        self._take(moved(self._layout_now, self._line, step))
        self.action_move(step)

    def action_reset(self) -> None:
        """The columns as they were before anything was chosen."""
        self._take(default_layout(self._columns))

    def action_close(self) -> None:
        """Back to the table."""
        self.dismiss()

    def _take(self, layout: Layout) -> None:
        self._layout_now = layout
        self._changed(layout)
        self._draw()

    def _draw(self) -> None:
        shown = self.query_one_optional("#columns", LiveText)
        if shown is None:
            return  # a key that came before the list stood; it is drawn when it does
        first = max(0, min(self._line - _LINES // 2, len(self._layout_now) - _LINES))
        entries = list(enumerate(self._layout_now))[first : first + _LINES]
        left_out = self._left_out()
        lines: list[Line] = [plain("Columns", "strong")]
        lines += [self._entry(line, key, chosen, left_out) for line, (key, chosen) in entries]
        lines += [_HELP, _HELP_MORE]
        shown.show(lines)

    def _entry(self, line: int, key: str, chosen: bool, left_out: frozenset[str]) -> Line:
        sign = "[x]" if chosen else "[ ]"
        here = line == self._line
        shown = Span(f"{'>' if here else ' '} {sign} {self._titles[key]}", "strong" if here else "")
        if chosen and key in left_out:
            return (shown, Span("  no room (ctrl-w)", "none"))
        return (shown,)


_HELP: Line = (
    *(Span("space", "accent"), Span(" show  ")),
    *(Span("← →", "accent"), Span(" move  ")),
    *(Span("r", "accent"), Span(" reset")),
)
_HELP_MORE: Line = (Span("enter", "accent"), Span(" close"))
