"""Actions on what is shown: explain, describe, YAML, commands, used by, logs; copy and save.

A copy goes to the terminal's clipboard by OSC 52. Source: xterm, "Control Sequences", OSC 52;
tmux(1), `allow-passthrough` and `set-clipboard`; screen(1), "Device control string".
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from textual.app import App

from app.config.state_dir import keep, state_folder
from app.dashboard.clusters import RefreshLoop
from app.dashboard.navigator import Navigator
from app.model.finding import Ref
from collectors.sanitize import printable
from screens import texts
from screens.base.selection import Selection, equivalents_of, use_of
from screens.texts import CommandsScreen, Text, TextScreen, fixed
from screens.widgets.block_list import BlockList
from screens.widgets.live_table import LiveTable
from screens.widgets.scroll_text import TextPane
from screens.widgets.table_export import as_csv, as_json, as_text

_LOGGED = frozenset({"Pod", "Session", "Node", "CiliumBGPNodeConfig"})
"""Kinds that a pod or an agent logs about."""


CAP = 74_994
"""Bytes of base64 in one sequence; terminals drop more, and k9s sends no more either."""

_SCREEN_CHUNK = 700
"""Characters that screen passes on in one string; its limit is 768."""

_DEAF = frozenset({"linux", "dumb", "vt100", "vt220"})
"""Terminals that are known to have no clipboard."""


def sequences(text: str, environ: Mapping[str, str], by: str = "auto") -> tuple[str, ...]:
    """What to write to the terminal so that it takes the text; () where it cannot.

    `by` is the setting: `osc52` tries also a terminal that is known to have no clipboard, `file`
    none.

    In tmux it is written twice: tmux takes the one where `set-clipboard` is on, and passes the
    other on where `allow-passthrough` is.
    """
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    deaf = by == "auto" and environ.get("TERM", "") in _DEAF
    if by == "file" or deaf or len(encoded) > CAP:
        return ()
    plain = f"\x1b]52;c;{encoded}\x07"
    if environ.get("TMUX"):
        return (plain, f"\x1bPtmux;\x1b{plain}\x1b\\")
    if environ.get("STY"):
        pieces = (plain[i : i + _SCREEN_CHUNK] for i in range(0, len(plain), _SCREEN_CHUNK))
        return tuple(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return (plain,)


@dataclass(frozen=True, slots=True)
class Actions:
    """Opens texts, lists and logs about the item that the cursor is on; copies and saves."""

    app: App[None]
    loop: RefreshLoop
    navigator: Navigator
    clipboard: str
    """The setting: `auto`, `osc52` or `file`."""

    async def open_text(self, text: Text) -> TextScreen:
        """Open a text."""
        screen = TextScreen(self.loop.link, text)
        await self.navigator.open_screen(screen)
        return screen

    async def explain(self) -> None:
        """Explain the selected item, hop by hop."""
        if (about := self._subject("explained")) is not None:
            await self.open_text(texts.why(self.loop.link, about))

    async def describe(self) -> None:
        """Describe the selected object."""
        if (about := self._subject("described")) is not None:
            await self.open_text(texts.description(self.loop.link, about))

    async def show_yaml(self) -> None:
        """Show the selected object as YAML."""
        about = self._subject("shown as YAML")
        if about is None:
            return
        ref = texts.object_of(about, self.loop.current)
        if ref is None:
            self.navigator.flash(
                f"{about.ref.kind} {about.name} is no object of the API; v explains it"
            )
        elif self.loop.link.read_object is None:
            self.navigator.flash("no object can be read here")
        else:
            screen = await self.open_text(texts.yaml_of(self.loop.link, about, ref))
            reading = self._read_object(self.loop.link.read_object(ref), screen)
            self.app.run_worker(reading, description="")
            with suppress(TimeoutError):
                async with asyncio.timeout(texts.OBJECT_WAIT):
                    await screen.arrived.wait()
                    await screen.show(self.loop.current)

    async def show_commands(self) -> None:
        """List the equivalent kubectl and cilium commands of this screen."""
        screen = self.loop.shown_screen
        if screen is None or self.navigator.helping or isinstance(self.app.screen, CommandsScreen):
            return
        about = screen.at_cursor
        kinds = () if screen.reads_anything else screen.reads_now()
        commands = (*screen.by_hand, *equivalents_of(kinds, self.loop.current, about))
        await self.navigator.open_screen(
            CommandsScreen(self.loop.link, screen.title_text, commands, about)
        )

    async def show_users(self) -> None:
        """List what uses the selected item."""
        about = self._subject("used by anything")
        if about is None:
            return
        use = use_of(about.ref)
        if use is None:
            self.navigator.flash(f"nothing that is shown here refers to {about.ref}")
        elif use.filter:
            await self.navigator.go(use.place)
            place = self.navigator.places[use.place]
            place.show_all()
            self.navigator.flash(place.narrow(use.filter) or f"{use.shows}; Esc shows all")
        else:
            await self.navigator.open(use.place, about.ref)

    async def show_logs(self) -> None:
        """Show the log of the selected pod, or of the agent of the selected item."""
        if (ref := self._logged()) is not None:
            await self.navigator.open("logs", ref)

    async def show_previous_logs(self) -> None:
        """Show what the selected pod logged before its last restart."""
        if (ref := self._logged()) is None:
            self.navigator.flash("only pods and what an agent does have a log")
            return
        await self.navigator.open("logs", ref)
        self.navigator.places["logs"].select_previous(ref)

    def has_logs(self) -> bool:
        """Whether there is a log of what the cursor is on."""
        return self._logged() is not None

    def _subject(self, participle: str) -> Selection | None:
        """What the cursor is on; a message says if that is nothing."""
        about = self.navigator.selected
        if about is None and not self.navigator.helping:
            self.navigator.flash(f"nothing is selected that could be {participle}")
        return about

    def _logged(self) -> Ref | None:
        about = self.navigator.selected
        if about is None or self.loop.shown_screen is self.navigator.places["logs"]:
            return None
        if about.ref.kind in _LOGGED:
            return about.ref
        return Ref("Node", about.node) if about.node else None

    async def _read_object(self, reading: Awaitable[str], screen: TextScreen) -> None:
        screen.fill(fixed(await reading))

    # --- what leaves the terminal

    def copy(self, text: str, what: str) -> None:
        """Copy a text to the terminal's clipboard; if it cannot take it, save it to a file."""
        text = printable(text)
        written = sequences(text, os.environ, self.clipboard)
        if not written:
            self.save_text(text, what, "txt", f"not by the clipboard: {what} is in")
            return
        self.app._clipboard = text
        if self.app._driver is not None:
            for sequence in written:
                self.app._driver.write(sequence)
            self.app._driver.flush()
        self.navigator.flash(f"copied {what} ({len(text)} characters)")

    def save(self) -> None:
        """Save a text at once; for a table, the next key picks the format."""
        screen = self.loop.shown_screen
        if screen is None or self.navigator.helping:
            return
        panel, name = screen.panel, screen.title_text
        if isinstance(screen.focused, BlockList):
            self.save_text(screen.focused.text, f"{self.loop.current.context}-causes")
        elif isinstance(panel, TextPane):
            self.save_text(panel.text, "-".join(screen.way()))
        elif isinstance(panel, LiveTable):
            screen.choose(
                "save as  c csv  j json  t text  (any other key: not at all)",
                {key: partial(self._save_table, panel, name, key) for key in "cjt"},
            )
        else:
            self.navigator.flash("there is nothing to save here")

    def save_text(self, text: str, name: str, ending: str = "txt", message: str = "saved:") -> None:
        """Save a text to a file called after `name`; the message ends with its path."""
        try:
            path = keep(state_folder(os.environ), text, name, ending, datetime.now().astimezone())
        except OSError as problem:
            where = f" ({problem.filename})" if problem.filename else ""
            self.navigator.flash(f"it cannot be saved: {problem.strerror or problem}{where}")
            return
        self.navigator.flash(f"{message} {_short(path)}")

    def _save_table(self, table: LiveTable, name: str, key: str) -> None:
        snapshot = self.loop.current
        name = "-".join(filter(None, (snapshot.context, name)))
        match key:
            case "c":
                self.save_text(as_csv(table), name, "csv")
            case "j":
                self.save_text(as_json(table, snapshot.taken_at), name, "json")
            case _:
                self.save_text(as_text(table), name)


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
