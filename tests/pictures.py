"""Pictures of the dashboard as text: what stands where, and in which style under each theme.

A picture file has the screens of one recording at one size. Each line of a screen stands after `|`;
where not all of it is in the style `a`, a line of runs after `~` says how it is drawn: `3b10c` is
three cells in style b, then ten in style c, and the rest in a. The legend at its end tells
what each style is under each theme, so that one text serves all themes.

`python -m tests.pictures` draws all of them anew.
"""

from __future__ import annotations

import asyncio
import itertools
import string
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from screens.registry import places
from screens.runbook import RunbookScreen
from tests.dashboards import recorded_dashboard, until
from tests.patience import PATIENCE

FOLDER = Path(__file__).parent / "pictures"
THEMES = ("dark", "light", "ansi", "mono")
TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
_ATTRIBUTES = ("bold", "dim", "italic", "underline", "reverse", "strike")
_LETTERS = string.ascii_lowercase + string.ascii_uppercase

Cell = tuple[str, str]
"""A character, and its style in words."""
Grid = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Picture:
    """What is in one picture file."""

    recording: str
    size: tuple[int, int]
    ascii_only: bool

    @property
    def name(self) -> str:
        """The file's name without its end."""
        width, height = self.size
        return f"{self.recording}-{width}x{height}{'-ascii' if self.ascii_only else ''}"

    @property
    def themes(self) -> Sequence[str]:
        """The themes that it tells of: in ASCII other signs stand in the same styles."""
        return THEMES[:1] if self.ascii_only else THEMES


STATE = "XDG_STATE_HOME"
RUNBOOKS = {
    "healthy": ("run lb-unreachable home/grafana", "router"),
    "typo-in-pool-label": ("run lb-no-address home/typo", "pool"),
    "wrong-peer-asn": ("run bgp-session-down", "state"),
}
"""A runbook for each recording, and the step at which it is drawn."""

PICTURES = tuple(
    Picture(recording, size, ascii_only)
    for recording, size, ascii_only in itertools.product(
        ("healthy", "typo-in-pool-label", "wrong-peer-asn"), ((80, 24), (140, 40)), (False, True)
    )
)


async def drawn(picture: Picture) -> str:
    """The content of a picture file, drawn now."""
    grids: dict[str, dict[str, Grid]] = {}
    with TemporaryDirectory() as state, patch.dict("os.environ", {**TERMINAL, STATE: state}):
        app = recorded_dashboard(picture.recording, ascii_only=picture.ascii_only, theme="dark")
        async with app.run_test(size=picture.size) as pilot:
            await until(pilot, lambda: _read(app))
            for theme in reversed(picture.themes):
                app.theme = theme
                for place in reversed(places()):  # the overview last: it was up while all was read
                    await pilot.press(place.key)
                    grids.setdefault(place.title, {})[theme] = await _stands(app, pilot)
                await _follow_runbook(app, pilot, picture.recording)
                grids.setdefault("Runbook", {})[theme] = await _stands(app, pilot)
    told = (*(place.title for place in places()), "Runbook")
    return _written({title: grids[title] for title in told}, picture.themes)


async def _follow_runbook(app: CiliscopeApp, pilot: Pilot[None], recording: str) -> None:
    """To the step of a runbook that tells what is wrong; it stays there when it is opened again."""
    command, step = RUNBOOKS[recording]
    await pilot.press(":", *command, "enter")
    await until(pilot, lambda: isinstance(app.screen, RunbookScreen))
    screen = app.screen
    assert isinstance(screen, RunbookScreen)
    await until(pilot, lambda: screen.run.current is not None and bool(screen.run.judged))
    while screen.run.way[-1] != step:
        await pilot.press("enter")


async def _stands(app: CiliscopeApp, pilot: Pilot[None]) -> Grid:
    """The screen, once it has stayed the same for a while."""
    same, last = 0, _lines_of(app)
    async with asyncio.timeout(PATIENCE):
        while same < 4:
            await pilot.pause(0.05)
            now = _lines_of(app)
            loading = "loading" in "".join(s.text for line in now[2:] for s in line)
            same = same + 1 if now == last and not loading else 0
            last = now
    return tuple(tuple((c, _in_words(s.style)) for s in line for c in s.text) for line in last)


def _read(app: CiliscopeApp) -> bool:
    states = {str(health.state) for health in app.loop.monitor.snapshot.health.values()}
    return bool(states) and "loading" not in states


def _lines_of(app: CiliscopeApp) -> list[list[Segment]]:
    return [list(strip) for strip in app.screen._compositor.render_strips()]


@cache
def _in_words(style: Style | None) -> str:
    if style is None:
        return "default on default"
    marks = [name for name in _ATTRIBUTES if getattr(style, name)]
    return " ".join([f"{_colour(style.color)} on {_colour(style.bgcolor)}", *marks])


def _colour(colour: Color | None) -> str:
    if colour is None:
        return "default"
    return colour.triplet.hex if colour.triplet else colour.name


def _written(screens: dict[str, dict[str, Grid]], themes: Sequence[str]) -> str:
    letters: dict[tuple[str, ...], str] = {}
    lines: list[str] = []
    for title, grids in screens.items():
        lines.append(f"== {title}")
        for rows in zip(*(grids[theme] for theme in themes), strict=True):
            lines += _line(rows, letters)
    lines.append("== Legend")
    for styles, letter in letters.items():
        told = "; ".join(f"{theme}: {style}" for theme, style in zip(themes, styles, strict=True))
        lines.append(f"{letter} {told}")
    return "\n".join(lines) + "\n"


def _line(rows: Sequence[Sequence[Cell]], letters: dict[tuple[str, ...], str]) -> Iterator[str]:
    text = "".join(character for character, _ in rows[0])
    yield f"|{text.rstrip()}"
    styles = zip(*((style for _, style in row) for row in rows), strict=True)
    marks = "".join(letters.setdefault(each, _LETTERS[len(letters)]) for each in styles)
    runs = [(letter, len(list(run))) for letter, run in itertools.groupby(marks)]
    if runs and runs[-1][0] == "a":
        runs.pop()
    if runs:
        yield f"~{''.join(f'{length}{letter}' for letter, length in runs)}"


def main() -> None:
    """Draw all of them anew."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for picture in PICTURES:
        path = FOLDER / f"{picture.name}.txt"
        path.write_text(asyncio.run(drawn(picture)))
        sys.stdout.write(f"tests/pictures/{path.name}\n")


if __name__ == "__main__":
    main()
