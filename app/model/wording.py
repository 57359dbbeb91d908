"""How names and numbers are put into a sentence: the same in findings, reports and screens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sized

from collectors.sanitize import one_line

SHOWN = 3
"""Names that a sentence lists before it counts the rest."""


def count(number: int, one: str, many: str = "") -> str:
    """`1 service`, `2 services`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def more(rest: int, noun: str = "") -> str:
    """`and 4 more`; with a noun `and 4 findings more`."""
    return f"and {count(rest, noun) if noun else rest} more"


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
