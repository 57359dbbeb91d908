"""How long something lasts or is over, in its largest unit: the same number wherever it is told.

A part of a unit is not counted, so that two places that tell of one moment tell the same.
"""

from __future__ import annotations

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


def span(seconds: float) -> str:
    """The same in a sentence: `45 s`, `12 min`, `3 h`, `2 d`; below two minutes in seconds."""
    number, unit = largest_unit(seconds, minutes_from=120)
    return f"{number} {_SPELLED[unit]}"
