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
from textual.theme import BUILTIN_THEMES, Theme

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


_DARK = Theme(
    name="dark",
    primary="#5fafff",
    accent="#5fd7d7",
    success="#5fd7d7",
    warning="#ffd75f",
    error="#ff5f5f",
    foreground="#d0d0d0",
    background="#121212",
    surface="#121212",
    panel="#262626",
    dark=True,
    variables=_variables("#3f8787", "#121212", "#303a44"),
)
_LIGHT = replace(
    _DARK,
    name="light",
    primary="#005faf",
    accent="#005f87",
    success="#005f5f",
    warning="#875f00",
    error="#af0000",
    foreground="#1c1c1c",
    background="#ffffff",
    surface="#ffffff",
    panel="#e4e4e4",
    dark=False,
    variables=_variables("#6f9fb7", "#ffffff", "#d0e4f5"),
)
_ANSI = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="ansi",
    accent="ansi_cyan",
    success="ansi_cyan",
    variables={
        **BUILTIN_THEMES["ansi-dark"].variables,
        **_variables("ansi_cyan", "ansi_default", "ansi_default"),
    },
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
    variables={
        **_ANSI.variables,
        **_variables("ansi_default", "ansi_default", "ansi_default"),
    },
)
_HIGH_CONTRAST = replace(
    _DARK,
    name="high-contrast",
    primary="#00afff",
    accent="#00ffff",
    success="#00ff87",
    warning="#ffff00",
    error="#ff5f87",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#303030",
    variables=_variables("#00afaf", "#000000", "#005f87"),
)
# Okabe and Ito, "Color Universal Design" (2008): vermilion, yellow and sky blue are told apart
# without the green receptor; nothing here is green.
_DEUTERANOPIA = replace(
    _DARK,
    name="deuteranopia",
    primary="#56b4e9",
    accent="#56b4e9",
    success="#56b4e9",
    warning="#f0e442",
    error="#e6743e",
    variables=_variables("#396f87", "#121212", "#303a44"),
)
_PRODUCTION = replace(
    _DARK,
    name="production",
    panel="#5f0000",
    variables=_variables("#3f8787", "#121212", "#4a2a2a"),
)

THEMES: Mapping[str, Theme] = {
    theme.name: theme
    for theme in (_DARK, _LIGHT, _ANSI, _MONO, _HIGH_CONTRAST, _DEUTERANOPIA, _PRODUCTION)
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
        colours = colours_of(app, os.environ)
        app.theme = theme_for(self._wanted, self._by_context, context, os.environ, colours)


def colours_of(app: App[None], environment: Mapping[str, str]) -> str | None:
    """The color system of an application's terminal, as Rich names it; None: no colors."""
    if _WITHOUT_COLOURS.match(environment.get("TERM", "")):
        return None
    return app.console.color_system
