"""How numbers and moments are written, on screen and in reports alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from app.model.durations import age
from app.report.lines import NOTHING, SIGN, Line, Span

if TYPE_CHECKING:
    from app.model.finding import Health


def age_of(moment: datetime | None, now: datetime) -> str:
    """How long ago a moment was, in its largest unit; one that lies ahead counts as now."""
    return NOTHING if moment is None else age(max(0.0, (now - moment).total_seconds()))


def time_of_day(moment: datetime, now: datetime) -> str:
    """A moment in the operator's own zone: `02:13:40`, and the date before it on another day."""
    local, today = moment.astimezone(), now.astimezone().date()
    shown = f"{local:%H:%M:%S}"
    return shown if local.date() == today else f"{local:%m-%d} {shown}"


def by_health(
    healths: Iterable[Health], words: Mapping[Health, str], *, signs: bool = False
) -> Line:
    """How many things are not well, by how they are: ` · 2 broken`; with signs `, ✗ 2 broken`."""
    counts = Counter(healths)
    spans: list[Span] = []
    for health, word in words.items():
        text = f"{counts[health]} {word}"
        if counts[health] and signs:
            spans.append(Span(f", {SIGN[health]} {text}", health))
        elif counts[health]:
            spans += [Span(" · "), Span(text, health)]
    return tuple(spans)


def bar(used: int, total: int, width: int) -> str:
    """A bar of a width in characters; anything used, and anything free, shows at least one."""
    if total <= 0:
        return "▁" * width
    filled = round(width * used / total)
    if 0 < used < total:
        filled = min(max(filled, 1), width - 1)
    filled = min(max(filled, 0), width)
    return "▇" * filled + "▁" * (width - filled)
