"""Words and numbers in sentences: names, counts, durations and ages, the same everywhere.

A part of a unit of time is not counted, so that two places that show one moment show the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sized
from datetime import datetime

from collectors.sanitize import one_line

SHOWN = 3
"""Names that a sentence lists before it counts the rest."""


def count(number: int, one: str, many: str = "") -> str:
    """`1 service`, `2 services`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def more(rest: int, noun: str = "") -> str:
    """`and 4 more`; with a noun `and 4 findings more`."""
    return f"and {further(count(rest, noun) if noun else rest)}"


def further(rest: object) -> str:
    """`4 more`."""
    return f"{rest} more"


def named(names: Iterable[str], most: int = SHOWN, joint: str = ", ") -> str:
    """The first names, and how many more there are: `a, b, c and 4 more`.

    Each is named once; of a tuple that is taken for granted.
    """
    found = names if isinstance(names, tuple) else tuple(dict.fromkeys(names))
    shown, rest = joint.join(found[:most]), len(found) - most
    if rest <= 0:
        return shown
    return f"{shown} {more(rest)}" if joint == ", " else f"{shown}{joint}{more(rest)}"


def counted(names: Collection[str], noun: str) -> str:
    """A number of things with their names: `2 nodes (a, b)`."""
    return f"{count(len(names), noun)} ({named(names)})"


def verb(names: Sized, word: str) -> str:
    """A verb in the form that fits one or several names."""
    return f"{word}s" if len(names) == 1 else word


def quoted(text: str) -> str:
    """What somebody else said, as the end of a sentence of ours."""
    return one_line(text).rstrip(". ")


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
