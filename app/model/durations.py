"""How long something lasts, and how old it is, in its largest unit: the same number everywhere.

A part of a unit is not counted, so that two places that show one moment show the same.
"""

from __future__ import annotations

from datetime import datetime

_SIZES = (("d", 86_400), ("h", 3_600), ("m", 60))
_SPELLED = {"d": "d", "h": "h", "m": "min", "s": "s"}


def largest_unit(seconds: float, *, minutes_from: int = 60) -> tuple[int, str]:
    """How many whole days, hours, minutes or seconds: the number, and `d`, `h`, `m` or `s`.

    Days and hours count from two of them on, minutes from so many seconds.
    """
    whole = int(seconds)
    for unit, size in _SIZES:
        if whole >= (minutes_from if unit == "m" else 2 * size):
            return whole // size, unit
    return whole, "s"


def since(moment: datetime | None, until: datetime) -> float | None:
    """Seconds from one moment to another, at least 0; None when the first is not known."""
    return None if moment is None else max(0.0, (until - moment).total_seconds())


def span(seconds: float) -> str:
    """The same in a sentence: `45 s`, `12 min`, `3 h`, `2 d`; below two minutes in seconds."""
    number, unit = largest_unit(seconds, minutes_from=120)
    return f"{number} {_SPELLED[unit]}"


def age(seconds: float | None) -> str:
    """How old something is, in its largest unit: `9s`, `3m`, `5h`, `12d`; `?` when not known."""
    if seconds is None:
        return "?"
    number, unit = largest_unit(seconds)
    return f"{number}{unit}"


def duration(seconds: float | None) -> str:
    """How long something lasts, to be compared down a column: `4d 02:11`, `02:11:05`."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02}:{minutes:02}"
    return f"{hours:02}:{minutes:02}:{left:02}"
