"""How the dashboard looks: the theme that fits the terminal it runs on and the cluster it shows."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType

from textual.app import App

from screens.themes import AUTO, THEMES, theme_for

_WITHOUT_COLOURS = re.compile(r"vt[1-5]\d\d\b")
"""DEC's terminals, by their names in terminfo, which gives them no colours; Rich takes any terminal
that it does not know for one of 16."""


class ThemeSwitch:
    """The look of an application, put on when it is made and again when its cluster is known.

    To be made before the application: it takes an empty `NO_COLOR` out of the environment. Empty
    means not set (no-color.org); Textual takes it as set.
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
        """What an App takes as `ansi_color`: without colours the terminal's own two are kept."""

    def put_on(self, app: App[None], context: str) -> None:
        """Give an application the theme for a kubeconfig context ("": not known yet)."""
        if context == self._put_on_for:
            return
        self._put_on_for = context
        for theme in THEMES.values():
            app.register_theme(theme)
        colours = colours_of(app, os.environ)
        app.theme = theme_for(self._wanted, self._by_context, context, os.environ, colours)


def colours_of(app: App[None], environment: Mapping[str, str]) -> str | None:
    """How many colours an application's terminal has, in Rich's words; None: none."""
    if _WITHOUT_COLOURS.match(environment.get("TERM", "")):
        return None
    return app.console.color_system
