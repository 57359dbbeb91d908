"""Picks the theme for the terminal and the cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType

from textual.app import App

from screens.themes import AUTO, THEMES, theme_for

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
