"""The part of the dashboard that acts on what the cursor is on: why, YAML, logs, copy, save."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from textual import work

from app.config.state_dir import keep, state_folder
from app.dashboard.clipboard import sequences
from app.dashboard.navigator import ObeyingApp
from app.model.finding import Ref
from collectors.sanitize import printable
from screens import text_pages as texts
from screens.equivalents import equivalents_of
from screens.equivalents_screen import CommandsScreen
from screens.help import HelpScreen
from screens.selection import Selection
from screens.text_view import TextScreen, said
from screens.used_by import use_of
from screens.widgets.block_list import BlockList
from screens.widgets.live_table import LiveTable
from screens.widgets.text_pane import TextPane

_LOGGED = frozenset({"Pod", "Session", "Node", "CiliumBGPNodeConfig"})
"""Kinds that an agent's or a pod's log tells of."""


class AskingApp(ObeyingApp, inherit_bindings=False):
    """Opens texts about the selection, and takes things out of the terminal."""

    clipboard_by: str
    """How copies leave: `auto`, `osc52` or `file`."""

    async def action_explain(self) -> None:
        """Why the selected thing is as it is."""
        if (about := self._subject("explained")) is not None:
            await self.open_screen(TextScreen(self.link, texts.why(self.link, about)))

    async def action_describe(self) -> None:
        """What is known of the selected object."""
        if (about := self._subject("described")) is not None:
            await self.open_screen(TextScreen(self.link, texts.description(self.link, about)))

    async def action_yaml(self) -> None:
        """The selected object as YAML."""
        about = self._subject("shown as YAML")
        if about is None:
            return
        ref = texts.object_of(about, self.current)
        if ref is None:
            self.flash(f"{about.ref.kind} {about.name} is no object of the API; v explains it")
        elif self.link.read_object is None:
            self.flash("no object can be read here")
        else:
            screen = TextScreen(self.link, texts.yaml_of(self.link, about, ref))
            await self.open_screen(screen)
            self._read_object(screen, ref)
            with suppress(TimeoutError):
                async with asyncio.timeout(texts.OBJECT_WAIT):
                    await screen.told.wait()
                    await screen.show(self.current)

    async def action_commands(self) -> None:
        """The commands that show by hand what this screen shows."""
        screen = self.shown_screen
        if screen is None or isinstance(self.screen, HelpScreen | CommandsScreen):
            return
        about = screen.at_cursor
        kinds = () if screen.tells_anything else screen.reads_now()
        commands = (*screen.by_hand, *equivalents_of(kinds, self.current, about))
        await self.open_screen(CommandsScreen(self.link, screen.title_text, commands, about))

    async def action_used_by(self) -> None:
        """What refers to the selected thing, as a list."""
        about = self._subject("used by anything")
        if about is None:
            return
        use = use_of(about.ref)
        if use is None:
            self.flash(f"nothing that is shown here refers to {about.ref}")
        elif use.filter:
            await self.action_go(use.place)
            self.places[use.place].show_all()
            problem = self.places[use.place].narrow(use.filter)
            self.flash(problem or f"{use.told}; Esc shows all")
        else:
            await self.action_open(use.place, about.ref)

    async def action_logs(self) -> None:
        """The log of the selected pod, or of the agent behind the selected thing."""
        if (ref := self._logged()) is not None:
            await self.action_open("logs", ref)

    async def action_previous_logs(self) -> None:
        """What the selected pod logged before its last restart."""
        if (ref := self._logged()) is None:
            self.flash("only pods and what an agent does have a log")
            return
        await self.action_open("logs", ref)
        self.places["logs"].select_previous(ref)

    def has_logs(self) -> bool:
        """Whether there is a log of what the cursor is on."""
        return self._logged() is not None

    # --- out of the terminal

    def action_copy(self, text: str, what: str) -> None:
        """Copy a text to the terminal's clipboard; where it cannot take it, into a file."""
        text = printable(text)
        written = sequences(text, os.environ, self.clipboard_by)
        if not written:
            self._save(text, what, "txt", f"not by the clipboard: {what} is in")
            return
        self._clipboard = text
        if self._driver is not None:
            for sequence in written:
                self._driver.write(sequence)
            self._driver.flush()
        self.flash(f"copied {what} ({len(text)} characters)")

    def action_save(self) -> None:
        """Save what the screen shows: a text at once, of a table a key chooses the form."""
        screen = self.shown_screen
        if screen is None or isinstance(self.screen, HelpScreen):
            return
        panel, name = screen.panel, screen.title_text
        if isinstance(screen.focused, BlockList):
            self._save(screen.focused.text, f"{self.current.context}-causes", "txt", "saved:")
        elif isinstance(panel, TextPane):
            self._save(panel.text, "-".join(screen.way()), "txt", "saved:")
        elif isinstance(panel, LiveTable):
            screen.choose(
                "save as  c csv  j json  t text  (any other key: not at all)",
                {key: partial(self._save_table, panel, name, key) for key in "cjt"},
            )
        else:
            self.flash("there is nothing to save here")

    def _save_table(self, table: LiveTable, name: str, key: str) -> None:
        from screens.widgets.table_export import as_csv, as_json, as_text

        name = "-".join(filter(None, (self.current.context, name)))
        match key:
            case "c":
                self._save(as_csv(table), name, "csv", "saved:")
            case "j":
                self._save(as_json(table, self.current.taken_at), name, "json", "saved:")
            case _:
                self._save(as_text(table), name, "txt", "saved:")

    def _save(self, text: str, name: str, ending: str, told: str) -> None:
        try:
            path = keep(state_folder(os.environ), text, name, ending, datetime.now().astimezone())
        except OSError as problem:
            where = f" ({problem.filename})" if problem.filename else ""
            self.flash(f"it cannot be saved: {problem.strerror or problem}{where}")
            return
        self.flash(f"{told} {_short(path)}")

    # --- the selection

    def _subject(self, wish: str) -> Selection | None:
        """What the cursor is on; where that is nothing, the operator is told."""
        screen = self.shown_screen
        if screen is None or isinstance(self.screen, HelpScreen):
            return None
        about = screen.at_cursor
        if about is None:
            self.flash(f"nothing is selected that could be {wish}")
        return about

    def _logged(self) -> Ref | None:
        screen = self.shown_screen
        if screen is None or screen is self.places["logs"] or isinstance(self.screen, HelpScreen):
            return None
        about = screen.at_cursor
        if about is None:
            return None
        if about.ref.kind in _LOGGED:
            return about.ref
        return Ref("Node", about.node) if about.node else None

    @work(description="")
    async def _read_object(self, screen: TextScreen, ref: Ref) -> None:
        if self.link.read_object is not None:
            text = await self.link.read_object(ref)
            screen.tell(said(text))


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
