"""How quantities are written, on screen and in reports alike."""

from __future__ import annotations

from app.model.ages import largest_unit


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


def plural(count: int, noun: str) -> str:
    """`1 finding`, `2 findings`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
