"""A list whose items are a few lines each: sentences that are wrapped, not cut.

Drawn line by line: what changed is repainted and nothing else. The selection belongs to an item,
not to a line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override

from app.report.lines import Line, Span, ascii_line, justified, length, text_of, wrapped
from screens.widgets.live_text import painted

_GAP = 2
"""Cells between an item's lines and what stands beside them."""
_MARGIN = 1
"""Cells left free at either edge."""


@dataclass(frozen=True, slots=True)
class Block:
    """One item."""

    key: str
    line: Line
    """Wrapped where it is too long."""
    indent: int = 0
    """Cells by which what follows the first line is indented."""
    beside: tuple[Line, ...] = ()
    """Short lines at its right edge, from its first line on."""
    under: Line = ()
    """What begins on a line of its own below it."""


class BlockList(ScrollView, can_focus=True, inherit_bindings=False):
    """Items by key, one of them selected."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"block-list--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", key_display="↵", id="list.open"),
        Binding("up,k", "move(-1)", "up", show=False, id="list.up"),
        Binding("down,j", "move(1)", "down", show=False, id="list.down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="list.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="list.page_down"),
        Binding("home,g", "to_item(0)", "first", show=False, id="list.first"),
        Binding("end,G", "to_item(1000000)", "last", show=False, id="list.last"),
    ]

    class Selected(Message):
        """Another item is selected, or the selected one says something else now."""

        def __init__(self, blocks: BlockList) -> None:
            super().__init__()
            self.blocks = blocks

        @property
        def control(self) -> BlockList:
            """The list."""
            return self.blocks

        def can_replace(self, message: Message) -> bool:
            """The newest selection is the one that counts."""
            return isinstance(message, BlockList.Selected) and message.blocks is self.blocks

    def __init__(
        self,
        opens: Callable[[str], Awaitable[None]],
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`opens` leads to what the item with a key is about."""
        super().__init__(id=id)
        self._opens = opens
        self.blocks: tuple[Block, ...] = ()
        """Its items."""
        self._lines: list[tuple[int, Line]] = []
        """Each line as shown, with the place of its item."""
        self._laid_out = 0
        self.selected = ""
        """Key of the selected item, "" when there is none."""
        self._place = 0

    # --- what it shows

    def show(self, blocks: Sequence[Block]) -> None:
        """Show these, in this order."""
        if self.app.has_class("-ascii"):
            blocks = [_ascii(block) for block in blocks]
        if tuple(blocks) == self.blocks:
            return
        selected = self.selected_block
        self.blocks = tuple(blocks)
        self._follow_cursor()
        old, height = self._lines, len(self._lines)
        self._lay_out(self._laid_out or self._room())
        if len(self._lines) != height:
            self.virtual_size = Size(1, len(self._lines))
            self.refresh(layout=True)
        else:
            for y, (before, now) in enumerate(zip(old, self._lines, strict=True)):
                if before != now:
                    self._refresh_line(y)
        if self.selected_block != selected:
            self.post_message(self.Selected(self))

    @property
    def text(self) -> str:
        """All of it: a line for each item, and for what stands under it."""
        texts: list[str] = []
        for block in self.blocks:
            texts.append("  ".join(map(text_of, (block.line, *block.beside))))
            texts += [f"  {text_of(block.under)}"] if block.under else []
        return "\n".join([*texts, ""])

    @property
    def selected_block(self) -> Block | None:
        """The selected item."""
        return self.blocks[self._place] if self.blocks else None

    def select(self, key: str) -> None:
        """Move the cursor to an item, and the item into view."""
        places = [place for place, block in enumerate(self.blocks) if block.key == key]
        if not places or places[0] == self._place:
            return
        old, self._place, self.selected = self._place, places[0], key
        self._scroll_into_view()
        self._refresh_block(old)
        self._refresh_block(self._place)
        self.post_message(self.Selected(self))

    # --- keys

    async def action_open(self) -> None:
        """Open the selected item."""
        if self.selected:
            await self._opens(self.selected)

    def action_move(self, step: int) -> None:
        """Select the item so many places away."""
        self.action_to_item(self._place + step)

    def action_page(self, step: int) -> None:
        """Select the item a page away."""
        tops = [self._span(self._place)[0] + step * max(1, self.size.height - 1)]
        line = min(max(tops[0], 0), max(0, len(self._lines) - 1))
        if self._lines:
            self.action_to_item(self._lines[line][0])

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the window."""
        width, base = self.size.width, self.rich_style
        line = self.scroll_offset.y + y
        if line >= len(self._lines):
            return Strip.blank(width, base)
        place, shown = self._lines[line]
        if place == self._place and self.has_focus:
            base += self.get_component_rich_style("block-list--cursor", partial=True)
        return painted(self, shown, width, base)

    def on_resize(self) -> None:
        """The sentences have more room now, or less."""
        self._lay_out(self._room())
        self.virtual_size = Size(1, len(self._lines))
        self._scroll_into_view()
        self.refresh()

    def on_focus(self) -> None:
        """The cursor shows only where the keys go."""
        self._refresh_block(self._place)

    on_blur = on_focus

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All its lines, where a sheet lets it be as high as it likes."""
        return len(self._wrapped(width - self.styles.scrollbar_size_vertical))

    def _lay_out(self, width: int) -> None:
        self._laid_out = width
        self._lines = self._wrapped(width)

    def _wrapped(self, width: int) -> list[tuple[int, Line]]:
        return [
            (place, line)
            for place, block in enumerate(self.blocks)
            for line in block_lines(block, width)
        ]

    def _room(self) -> int:
        return self.scrollable_size.width

    # --- the cursor

    def _follow_cursor(self) -> None:
        """The selection stays with its item; where that is gone, it stays in its place."""
        places = {block.key: place for place, block in enumerate(self.blocks)}
        self._place = places.get(self.selected, min(self._place, max(0, len(self.blocks) - 1)))
        self.selected = self.blocks[self._place].key if self.blocks else ""

    def action_to_item(self, place: int) -> None:
        """Select the item in a place, or the nearest."""
        if self.blocks:
            self.select(self.blocks[min(max(place, 0), len(self.blocks) - 1)].key)

    def _span(self, place: int) -> tuple[int, int]:
        """The first line of an item, and the line behind its last."""
        lines = [y for y, (of, _) in enumerate(self._lines) if of == place]
        return (lines[0], lines[-1] + 1) if lines else (0, 0)

    def _scroll_into_view(self) -> None:
        first, end = self._span(self._place)
        top, height = self.scroll_offset.y, self.size.height
        if first < top or end - first > height:
            self.scroll_to(y=first, animate=False, force=True)
        elif end > top + height:
            self.scroll_to(y=end - height, animate=False, force=True)

    def _refresh_block(self, place: int) -> None:
        for line in range(*self._span(place)):
            self._refresh_line(line)

    def _refresh_line(self, line: int) -> None:
        y = line - self.scroll_offset.y
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))


def block_lines(block: Block, width: int) -> Iterator[Line]:
    """An item's lines, what stands beside it at the right edge of the first ones."""
    side = max(map(length, block.beside), default=0)
    inner = width - 2 * _MARGIN
    room = inner - (side + _GAP if side else 0)
    left = wrapped(block.line, room, block.indent)
    if block.under:
        left += wrapped((Span(" " * (block.indent - 2)), *block.under), room, block.indent)
    for y in range(max(len(left), len(block.beside))):
        text = left[y] if y < len(left) else ()
        beside = block.beside[y] if y < len(block.beside) else ()
        yield (Span(" " * _MARGIN), *(justified(text, beside, inner) if beside else text))


def _ascii(block: Block) -> Block:
    return replace(
        block,
        line=ascii_line(block.line),
        beside=tuple(ascii_line(line) for line in block.beside),
        under=ascii_line(block.under),
    )
