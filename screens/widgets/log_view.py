"""Lines of a log, newest at the bottom: follows them until somebody scrolls up to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.message import Message
from typing_extensions import override

from app.report.columns import Column
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable, Opening

_ALONE: Mapping[str, Sequence[str]] = MappingProxyType({})


class LogView(LiveTable):
    """A table of log lines that stays at its end while the last line is selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "mark", "mark", show=False, id="log.mark"),
    ]

    class Paused(Message):
        """It follows again, or it stopped, and so many lines have come since."""

        can_bubble: ClassVar[bool] = True

        def __init__(self, view: LogView, unseen: int | None) -> None:
            super().__init__()
            self.view = view
            self.unseen = unseen
            """None: it follows."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        header: bool = True,
        opens: Opening | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Empty and following."""
        super().__init__(columns, header=header, opens=opens, id=id)
        self.follows = True
        """Whether new lines move into view as they come."""
        self._last_seen = ""
        self._lines_of = _ALONE
        self._begins: Literal["", "first", "last"] = ""

    @override
    def show(self, content: Content, lines: Mapping[str, Sequence[str]] = _ALONE) -> None:
        """Show these lines, oldest first.

        `lines` has the keys of the lines that a row stands for, where that is not itself alone.
        """
        follows = self._begins == "last" or (self.follows and not self._begins)
        self._lines_of = lines
        super().show(content)
        if self._begins == "first" and self.rows:
            self.select(self.rows[0].key)
        if self._begins:
            self._last_seen = self._last_line()
            self.follows, self._begins = follows or not self.rows, ""
        if follows and self.rows:
            self.select(self.rows[-1].key)
            self.call_after_refresh(self._stay_at_end)
        self._tell()

    def begin(self, where: Literal["first", "last"]) -> None:
        """Other lines come next: stand at the first, or follow the last of them."""
        self._begins = where

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.follows = True
        self.action_last()
        self._tell()

    def pause(self) -> None:
        """Stay here, also where this is the end."""
        self.follows = False
        self._tell()

    def select(self, key: str) -> None:
        """Select a line; the last one means to follow."""
        super().select(key)
        at_end = bool(self.rows) and self.rows[-1].key == self.selected
        if at_end != self.follows:
            self.follows = at_end
        if at_end:
            self._last_seen = self._last_line()
        self._tell()

    def unseen(self) -> int:
        """How many lines have come since it stopped following; their keys tell their order."""
        unseen = 0
        for row in reversed(self.rows):
            lines = self._lines_of.get(row.key, (row.key,))
            new = sum(line > self._last_seen for line in lines)
            if lines and not new:
                break
            unseen += new
        return unseen

    def _last_line(self) -> str:
        """The last line of all."""
        shown = (self._lines_of.get(row.key, (row.key,)) for row in reversed(self.rows))
        return next((lines[-1] for lines in shown if lines), "")

    @property
    @override
    def _name_place(self) -> int:
        """A line is copied whole, where it has a column for that."""
        keys = [column.key for column in self.columns]
        return keys.index("line") if "line" in keys else keys.index("event")

    def _stay_at_end(self) -> None:
        if self.follows and self.rows:
            super().select(self.rows[-1].key)

    def _tell(self) -> None:
        self.post_message(self.Paused(self, None if self.follows else self.unseen()))
