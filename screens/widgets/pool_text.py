"""The detail of a pool: a text with a map in it, and a cursor that walks over the map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from app.report.lines import Line
from screens.widgets.scroll_text import ScrollText

if TYPE_CHECKING:
    from app.model.lbipam import Address
    from screens.widgets.pool_map import PoolMap


@dataclass(frozen=True, slots=True)
class PoolPage:
    """A pool as lines, and the one that the cursor stands on."""

    lines: Sequence[Line]
    cursor_line: int


PoolLayout = Callable[[int, int], PoolPage]
"""Makes the page for a width in cells and a place of the cursor among the cells of the map."""


class PoolText(ScrollText):
    """A pool. The cursor stays on its address while the pool changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "cursor(-1)", "address before", show=False, id="pool.left"),
        Binding("right,l", "cursor(1)", "address", key_display="← →", id="pool.right"),
        Binding("N", "used(-1)", "used address before", show=False, id="pool.used_before"),
        Binding("n", "used(1)", "next used", id="pool.used_next"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Empty until shown."""
        super().__init__(id=id)
        self._pool: PoolMap | None = None
        self._page: PoolLayout | None = None
        self._key = ""
        self._at: Address | None = None
        self._cursor = 0
        self._cursor_line = 0

    @property
    def cursor(self) -> int:
        """The place of the cell under the cursor."""
        return self._cursor

    def show_pool(self, pool: PoolMap, page: PoolLayout, key: str) -> None:
        """Show this pool; the cursor keeps its address, and begins at the first of another pool."""
        if key != self._key:
            self._key, self._at = key, None
        found = pool.index_of(self._at) if self._at is not None else None
        self._pool, self._page, self._cursor = pool, page, found or 0
        self._draw()

    def point_at(self, address: Address) -> None:
        """Put the cursor on an address of the pool."""
        if self._pool is not None and (found := self._pool.index_of(address)) is not None:
            self._move_to(found)

    def action_cursor(self, step: int) -> None:
        """Move the cursor by so many cells."""
        self._move_to(self._cursor + step)

    def action_used(self, step: int) -> None:
        """To the next cell, in this direction, of which anything is used; or to the next found."""
        if self.searched:
            self.action_found(step)
            return
        if self._pool is None:
            return
        cells = self._pool.cells
        places = range(self._cursor + step, len(cells) if step > 0 else -1, step)
        found = (place for place in places if self._pool.inside(cells[place]).held)
        self._move_to(next(found, self._cursor))

    def _move_to(self, place: int) -> None:
        if self._pool is None or self._page is None or not self._pool.cells:
            return
        self._cursor = min(max(place, 0), len(self._pool.cells) - 1)
        self._at = self._pool.cells[self._cursor].addresses[0]
        self._draw()
        self.bring_into_view(self._cursor_line)

    def _draw(self) -> None:
        self.show_text(self._laid_out, self._key)

    def _laid_out(self, width: int) -> Sequence[Line]:
        if self._page is None:
            return ()
        page = self._page(width, self._cursor)
        self._cursor_line = page.cursor_line
        return page.lines
