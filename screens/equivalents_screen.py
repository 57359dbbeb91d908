"""The commands that show by hand what a screen shows; one of them is copied with a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from typing_extensions import override

from app.report.columns import Cell, Column, Row
from app.report.lines import plain
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import ClusterLink, ClusterScreen
from screens.base.selection import Equivalent, Selection
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText

COLUMNS = (Column("command", "COMMAND", cut_to=40),)


class CommandsScreen(ClusterScreen[Content]):
    """Commands to be copied."""

    shows_ages = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_command", "copy", priority=True, id="commands.copy"),
    ]

    def __init__(
        self,
        link: ClusterLink,
        title: str,
        commands: Sequence[Equivalent],
        about: Selection | None,
    ) -> None:
        """The commands of the screen of this title, with what was selected there."""
        super().__init__(link)
        self.title_text = f"{title} by hand"
        self._commands: dict[str, Equivalent] = {}
        for each in commands:  # what the screen says of one comes before what is true of all
            self._commands.setdefault(each.command, each)
        self._about = about

    def body(self) -> ComposeResult:
        """The commands, and the selected one in full."""
        yield LiveTable(COLUMNS, opens=self._copy, id="commands")
        yield LiveText(indent=5, id="detail")

    @override
    def picture(self, snapshot: Snapshot) -> Content:
        """A row for each command."""
        rows = (Row(each.command, (Cell(each.command),)) for each in self._commands.values())
        return Content(tuple(rows), plain("no command shows this", "none"))

    def draw(self, picture: Content) -> None:
        """Fill the table."""
        self.query_one("#commands", LiveTable).show(picture)
        self._draw_detail()

    def way(self) -> tuple[str, ...]:
        """The way to what was selected, and that this is about doing it by hand."""
        about = self._about
        return (
            *filter(None, (self.snapshot.context, about.name if about else "")),
            self.title_text,
        )

    def selection(self) -> Selection | None:
        """What was selected where the commands were asked for."""
        return self._about

    async def action_copy_command(self) -> None:
        """Copy the selected command."""
        await self._copy(self.query_one("#commands", LiveTable).selected)

    async def _copy(self, command: str) -> None:
        if command:
            await self.app.run_action(("app", "copy", (command, "the command")))

    @on(LiveTable.Selected, "#commands")
    def _draw_detail(self) -> None:
        each = self._commands.get(self.query_one("#commands", LiveTable).selected)
        lines = [plain(f" {each.shows}:", "strong"), plain(f"   {each.command}")] if each else []
        self.query_one("#detail", LiveText).show(lines)
