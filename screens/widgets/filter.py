"""What is typed behind `/`, as a test of rows: k9s' grammar, and kubetui's words for columns.

`regex`, `!regex`, `COL:regex`, `!COL:regex`; `-l k=v,k2!=v2,k3` by label; `-f text` by letters in
their order. Several words must all be met, but of those for one column one is enough. A pattern
looks at every cell, shown or not; letter case counts once a capital stands in it.

A pattern may cost only so much: Python's `re` has no limit, and some patterns never end.
"""

from __future__ import annotations

import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from app.report.columns import Column, Row

_armed = False


class TooSlow(Exception):
    """The limit is reached."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooSlow where the block takes more processor time than this.

    Signals reach the main thread alone, where the terminal is; in another the block has no limit.
    """
    global _armed
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGVTALRM, _end)
    _armed = True
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        _armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _end(_number: int, _frame: FrameType | None) -> None:
    # A signal that comes when the block has just ended ends nothing.
    if _armed:
        raise TooSlow


Condition = Callable[[Row], bool]

LONGEST = 200
"""Characters of a filter at most."""

_WORD = re.compile(r"(?:\\.|\S)+", re.DOTALL)
"""Words are divided by spaces that no backslash stands before."""
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_LABEL = re.compile(
    r"(?P<no>!?)\s*(?P<key>[^\s=!,()]+)\s*(?:(?P<sign>==?|!=)\s*(?P<value>[^=!()]*))?"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """A test of rows, and how it was typed."""

    text: str
    conditions: tuple[Condition, ...]

    def matches(self, row: Row) -> bool:
        """Whether the row is left."""
        return all(condition(row) for condition in self.conditions)


class _Refused(Exception):
    """One sentence: why a text is no filter."""


def parsed(text: str, columns: Sequence[Column]) -> Filter | str:
    """The filter that a text is for a table of these columns, or one sentence why it is none."""
    text = text.strip()
    if len(text) > LONGEST:
        return f"A filter has at most {LONGEST} characters."
    try:
        return Filter(text, tuple(_conditions(text, columns)))
    except _Refused as refused:
        return str(refused)


def _conditions(text: str, columns: Sequence[Column]) -> Iterator[Condition]:
    if text.startswith("-l"):
        yield from map(_label, filter(None, map(str.strip, text[2:].split(","))))
    elif text.startswith("-f"):
        if sought := text[2:].strip():
            yield _fuzzy(sought)
    else:
        yield from _words(text, columns)


def _words(text: str, columns: Sequence[Column]) -> Iterator[Condition]:
    one_of: dict[int, list[re.Pattern[str]]] = {}
    for word in _WORD.findall(text):
        inverse = word.startswith("!")
        place, pattern = _column(word[inverse:], columns)
        if not pattern:
            continue
        if place is None:
            yield _anywhere(_compiled(pattern), inverse)
        elif inverse:
            yield _not_in(place, _compiled(pattern))
        else:
            one_of.setdefault(place, []).append(_compiled(pattern))
    for place, patterns in one_of.items():
        yield _one_in(place, tuple(patterns))


def _column(word: str, columns: Sequence[Column]) -> tuple[int | None, str]:
    """The column that a word is for, and its pattern; a colon alone makes none: `fd00::1`."""
    name, colon, pattern = word.partition(":")
    if colon:
        for place, column in enumerate(columns):
            if name.lower() in (column.key.lower(), column.title.lower().replace(" ", "-")):
                return place, pattern
    return None, word


def _compiled(pattern: str) -> re.Pattern[str]:
    # Cells are joined by line feeds: ^ and $ are a cell's edges; a dot reaches across, as in k9s.
    flags = re.MULTILINE | re.DOTALL
    if not any(character.isupper() for character in _ESCAPED.sub("", pattern)):
        flags |= re.IGNORECASE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a pattern may mean one day; never on screen
            return re.compile(pattern, flags)
    except re.error as error:
        why = error.msg if error.pos is None else f"{error.msg}, at character {error.pos + 1}"
    except (ValueError, OverflowError, RecursionError) as error:
        why = str(error)
    raise _Refused(f"{pattern!r} is no regular expression: {why}.")


def _anywhere(pattern: re.Pattern[str], inverse: bool) -> Condition:
    search = pattern.search

    def test(row: Row) -> bool:
        return (search("\n".join([cell.text for cell in row.cells])) is None) is inverse

    return test


def _one_in(place: int, patterns: tuple[re.Pattern[str], ...]) -> Condition:
    return lambda row: any(pattern.search(row.cells[place].text) for pattern in patterns)


def _not_in(place: int, pattern: re.Pattern[str]) -> Condition:
    return lambda row: pattern.search(row.cells[place].text) is None


def _fuzzy(sought: str) -> Condition:
    """The letters in their order within one cell, whatever stands between them."""
    fold = not any(character.isupper() for character in sought)

    def test(row: Row) -> bool:
        return any(_in_order(sought, c.text.lower() if fold else c.text) for c in row.cells)

    return test


def _in_order(sought: str, text: str) -> bool:
    rest = iter(text)
    return all(character in rest for character in sought)


def _label(selector: str) -> Condition:
    found = _LABEL.fullmatch(selector)
    if found is None or (found["no"] and found["sign"]):
        raise _Refused(f"{selector!r} selects no label: write k=v, k!=v, k or !k, with commas.")
    key, value = found["key"], (found["value"] or "").strip()
    if found["sign"] == "!=":
        return lambda row: row.labels.get(key) != value
    if found["sign"]:
        return lambda row: row.labels.get(key) == value
    wanted = not found["no"]
    return lambda row: (key in row.labels) is wanted
