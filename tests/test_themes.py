"""Which theme fits which terminal and cluster, and that every theme can be read."""

from __future__ import annotations

import pytest
from textual.color import Color

from app.config.settings import THEME_NAMES
from screens.themes import THEMES, theme_for

PATTERNS = {"prod-*": "production", "prod-lab": "light"}


def test_the_settings_know_the_themes_that_there_are() -> None:
    assert tuple(THEMES) == THEME_NAMES


@pytest.mark.parametrize(
    ("wanted", "context", "environment", "colours", "expected"),
    [
        ("auto", "home", {}, "truecolor", "dark"),
        ("auto", "home", {}, "256", "dark"),
        ("auto", "home", {}, "standard", "ansi"),
        ("auto", "home", {}, None, "mono"),
        ("auto", "home", {"COLORFGBG": "0;15"}, "256", "light"),
        ("auto", "home", {"COLORFGBG": "15;default;0"}, "256", "dark"),
        ("light", "home", {}, "256", "light"),
        ("light", "prod-1", {}, "256", "production"),
        ("auto", "prod-lab", {}, "256", "production"),
        ("light", "prod-1", {"NO_COLOR": "1"}, "256", "mono"),
        ("auto", "home", {"NO_COLOR": ""}, "256", "dark"),
    ],
)
def test_a_theme_for_a_cluster_on_a_terminal(
    wanted: str, context: str, environment: dict[str, str], colours: str | None, expected: str
) -> None:
    assert theme_for(wanted, PATTERNS, context, environment, colours) == expected


@pytest.mark.parametrize("name", [name for name in THEMES if not THEMES[name].ansi])
@pytest.mark.parametrize("ground", ["background", "panel"])
@pytest.mark.parametrize("text", ["foreground", "accent", "success", "warning", "error"])
def test_every_word_can_be_read_on_every_ground(name: str, ground: str, text: str) -> None:
    """At least 4.5:1 on the background, 3:1 on the frame: WCAG 2.2, 1.4.3."""
    theme = THEMES[name]
    pair = [Color.parse(str(getattr(theme, part))) for part in (text, ground)]
    lighter, darker = sorted((_luminance(color) for color in pair), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= (4.5 if ground == "background" else 3.0)


def _luminance(color: Color) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = (part / 255 for part in color.rgb)
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
