"""The looks of the dashboard, and which of them fits the terminal and the cluster.

A theme gives colours to a few words of meaning; no state is told by a colour alone, so each of them
can be read, the one without any colour too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from textual.app import App
from textual.css.stylesheet import Stylesheet
from textual.theme import BUILTIN_THEMES, Theme
from typing_extensions import override

AUTO = "auto"
"""The setting that leaves the choice to what the terminal can show."""


def _variables(bar: str, background: str, cursor: str) -> dict[str, str]:
    """What Textual's widgets and our sheets ask a theme for beyond its colours."""
    ground = ("scrollbar-background", "scrollbar-background-hover", "scrollbar-background-active")
    return {
        "primary-background": cursor,
        "block-cursor-text-style": "none",
        **dict.fromkeys(("scrollbar", "scrollbar-hover", "scrollbar-active"), bar),
        **dict.fromkeys((*ground, "scrollbar-corner-color"), background),
    }


def _theme(name: str, colours: str) -> Theme:
    primary, accent, success, warning, error, text, ground, panel, bar, cursor = colours.split()
    return Theme(
        name=name,
        primary=primary,
        accent=accent,
        success=success,
        warning=warning,
        error=error,
        foreground=text,
        background=ground,
        surface=ground,
        panel=panel,
        dark=name != "light",
        variables=_variables(bar, ground, cursor),
    )


_OWN = {
    # name: primary accent success warning error text ground panel, scrollbar cursor
    "dark": "#5fafff #5fd7d7 #5fd7d7 #ffd75f #ff5f5f #d0d0d0 #121212 #262626 #3f8787 #303a44",
    "light": "#005faf #005f87 #005f5f #875f00 #af0000 #1c1c1c #ffffff #e4e4e4 #6f9fb7 #d0e4f5",
    "high-contrast": (
        "#00afff #00ffff #00ff87 #ffff00 #ff5f87 #ffffff #000000 #303030 #00afaf #005f87"
    ),
    # Okabe and Ito, "Color Universal Design" (2008): vermilion, yellow and sky blue are told apart
    # without the green receptor; nothing here is green.
    "deuteranopia": (
        "#56b4e9 #56b4e9 #56b4e9 #f0e442 #e6743e #d0d0d0 #121212 #262626 #396f87 #303a44"
    ),
    "production": "#5fafff #5fd7d7 #5fd7d7 #ffd75f #ff5f5f #d0d0d0 #121212 #5f0000 #3f8787 #4a2a2a",
}
_BUILTIN = BUILTIN_THEMES["ansi-dark"]
_ANSI = replace(
    _BUILTIN,
    name="ansi",
    accent="ansi_cyan",
    success="ansi_cyan",
    variables={**_BUILTIN.variables, **_variables("ansi_cyan", "ansi_default", "ansi_default")},
)
_MONO = replace(
    _ANSI,
    name="mono",
    primary="ansi_default",
    secondary="ansi_default",
    accent="ansi_default",
    success="ansi_default",
    warning="ansi_default",
    error="ansi_default",
    variables={**_ANSI.variables, **_variables("ansi_default", "ansi_default", "ansi_default")},
)

_KNOWN = {name: _theme(name, colours) for name, colours in _OWN.items()}
_ORDER = ("dark", "light", "ansi", "mono", "high-contrast", "deuteranopia", "production")
THEMES: Mapping[str, Theme] = {
    name: {**_KNOWN, "ansi": _ANSI, "mono": _MONO}[name] for name in _ORDER
}
"""By name. `ansi` has the terminal's own 16 colours, `mono` none, `production` a red frame."""


def theme_for(
    wanted: str,
    by_context: Mapping[str, str],
    context: str,
    environment: Mapping[str, str],
    colours: str | None,
) -> str:
    """The name of the theme for a cluster on a terminal.

    `by_context` has shell patterns of context names, the first that fits wins; then `wanted`, then,
    where that is `auto`, what the terminal can show: `colours` as Rich tells them (None: none).
    """
    if environment.get("NO_COLOR") or colours is None:
        return "mono"
    own = next((name for pattern, name in by_context.items() if fnmatchcase(context, pattern)), "")
    if own or wanted != AUTO:
        return own or wanted
    if colours == "standard":
        return "ansi"
    return "light" if _light_background(environment.get("COLORFGBG", "")) else "dark"


def _light_background(colorfgbg: str) -> bool:
    """`COLORFGBG` is `15;0` or `0;default;15`: its last field is the background, of 16 colours."""
    last = colorfgbg.rpartition(";")[2]
    return last.isdigit() and int(last) in (7, *range(9, 16))


_WITHOUT_COLOURS = re.compile(r"vt[1-5]\d\d\b")
"""DEC's terminals by their terminfo names, without colors; Rich gives 16 to any unknown one."""


class KeptSheets(Stylesheet):
    """Parses a sheet once for each theme; Textual's does it four times up to the first frame.

    Textual's parses into a fresh one, lest a broken sheet spoil it: ours cannot be changed.
    """

    reparse = Stylesheet.parse

    @override
    def set_variables(self, variables: dict[str, str]) -> None:
        """The colours and other words of a theme, by their names in the sheets."""
        if variables != self._variables:
            super().set_variables(variables)


class ThemeSwitch:
    """Sets the theme of an application at its start, and again once the cluster is known.

    Make it before the application: it removes an empty `NO_COLOR` from the environment. Empty means
    not set (no-color.org); Textual takes it as set.
    """

    def __init__(
        self, wanted: str = AUTO, by_context: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`wanted` and `by_context` are `Settings.theme` and `Settings.themes`."""
        if os.environ.get("NO_COLOR") == "":
            del os.environ["NO_COLOR"]
        self._wanted = wanted
        self._by_context = by_context
        self._put_on_for: str | None = None
        self.ansi_color = True if "NO_COLOR" in os.environ else None
        """The `ansi_color` of an App: without colors the terminal's own two are kept."""

    def put_on(self, app: App[None], context: str) -> None:
        """Set the theme for a kubeconfig context ("": not known yet)."""
        if context == self._put_on_for:
            return
        self._put_on_for = context
        for theme in THEMES.values():
            app.register_theme(theme)
        bare = _WITHOUT_COLOURS.match(os.environ.get("TERM", ""))
        colours = None if bare else app.console.color_system
        app.theme = theme_for(self._wanted, self._by_context, context, os.environ, colours)
