"""Lines of a log, newest at the bottom: follows them until somebody scrolls up to read."""

from __future__ import annotations

from typing import ClassVar

from textual.message import Message

from screens.widgets.columns import Column, Content
from screens.widgets.live_table import LiveTable, Opening

COLUMNS = (
    Column("time", "TIME", least=8),
    Column("level", "LEVEL", least=5),
    Column("source", "SOURCE", least=4),
    Column("event", "EVENT", cut_to=20),
)


class LogView(LiveTable):
    """A table of log lines that stays at its end while the last line is selected."""

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
        *,
        header: bool = True,
        opens: Opening | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Empty and following."""
        super().__init__(COLUMNS, header=header, opens=opens, id=id)
        self._follows = True
        self._last_seen = ""

    @property
    def follows(self) -> bool:
        """Whether new lines move into view as they come."""
        return self._follows

    def show(self, content: Content) -> None:
        """Show these lines, oldest first."""
        follows = self._follows
        super().show(content)
        if follows and self.rows:
            self.select(self.rows[-1].key)
            self.call_after_refresh(self._stay_at_end)
        self._tell()

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.action_last()

    def select(self, key: str) -> None:
        """Select a line; the last one means to follow."""
        super().select(key)
        at_end = bool(self.rows) and self.rows[-1].key == self.selected
        if at_end != self._follows:
            self._follows = at_end
        if at_end:
            self._last_seen = self.selected
        self._tell()

    def unseen(self) -> int:
        """How many lines have come since it stopped following."""
        for count, row in enumerate(reversed(self.rows)):
            if row.key == self._last_seen:
                return count
        return len(self.rows)

    def _stay_at_end(self) -> None:
        if self._follows and self.rows:
            super().select(self.rows[-1].key)

    def _tell(self) -> None:
        self.post_message(self.Paused(self, None if self._follows else self.unseen()))
