"""What leaves the terminal: copies to its clipboard by OSC 52, and files in the state folder.

Source: xterm, "Control Sequences", OSC 52; tmux(1), `allow-passthrough` and `set-clipboard`;
screen(1), "Device control string".
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from textual.app import App

from app.config.state_dir import keep, state_folder
from app.dashboard.navigator import Navigator
from app.dashboard.refresh import RefreshLoop
from collectors.sanitize import printable
from screens.widgets.block_list import BlockList
from screens.widgets.live_table import LiveTable
from screens.widgets.scroll_text import TextPane
from screens.widgets.table_export import as_csv, as_json, as_text

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
class Export:
    """Copies and saves what is shown."""

    app: App[None]
    loop: RefreshLoop
    navigator: Navigator
    clipboard: str
    """The setting: `auto`, `osc52` or `file`."""

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
