"""Lines of styled text, in which every finding, path and page is written, and how they are printed.

A piece of text says what it means (`Tone`). A screen gives each tone its look; plain text is the
same lines without it. Moments and numbers are written the same on screens and in reports.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len, chop_cells, set_cell_size

from app.config.settings import Settings
from app.model.wording import age

if TYPE_CHECKING:
    from app.model.finding import Health


Tone = Literal["", "ok", "warn", "fail", "unknown", "none", "stale", "accent", "strong"]
"""What a piece of text means; the style sheet gives each its look (`.tone--NAME`)."""

SIGN: dict[Health, str] = {"ok": "✓", "warn": "!", "fail": "✗", "unknown": "?", "none": "·"}
"""A sign for each state, so that colour is never the only one to tell."""

NOTHING = "-"
"""Where there is no value to show."""

LEADER = "★"

FIXED_SPACE = "\u00a0"
"""A space at which no line is broken."""

TIMES = "\u00d7"
"""Before a number: so many times."""

WIDTH = 100
"""Columns at which a report wraps sentences."""

_LEAST = 12
"""Cells that a text has at least, however far in it is."""
_COLOURS: dict[Tone, int] = {"ok": 32, "fail": 31, "warn": 33, "unknown": 35, "none": 36}
_SIGNS = {"✓": "+", "✗": "x", "!": "!", "?": "?", "·": "-"}
"""The signs of states in a report, and what they are in ASCII."""

_ASCII = str.maketrans(
    "✓✗·…★▇▁█▄▓≈▃▅─┄│▏▶◀↑↓▲▼»" + TIMES + FIXED_SPACE,
    "+x.~*#-#+%~=%--||><^v^v>" + "*" + " ",
) | str.maketrans({"≠": "!=", "≤": "<=", "←": "<-", "→": "->", "↵": "enter"})


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text of one tone."""

    text: str
    tone: Tone = ""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A text of any length after its head; what does not fit continues below."""

    head: Line
    body: Line = ()
    under: Line | None = None
    """What precedes the rows below; None: as many spaces as the head is wide."""
    whole: bool = False
    """Whether a report keeps it on one line, to be copied: a command, a manifest, evidence."""

    @property
    def line(self) -> Line:
        """All of it on one line."""
        return (*self.head, *self.body)

    def rows(self, width: int, *, split: bool = True) -> list[Line]:
        """The rows for a width in cells; `split`: a word that does not fit is broken."""
        under = plain(" " * length(self.head)) if self.under is None else self.under
        room = max(width - length(under), _LEAST)
        first, *rest = wrapped(self.body, room, split=split)
        return [(*self.head, *first), *((*under, *row) for row in rest)]

    def inset(self) -> Paragraph:
        """The same one cell further in, as screens have a margin."""
        if not (self.head or self.body):
            return self
        first, *rest = self.head or (Span(""),)
        under = None if self.under is None else (Span(" "), *self.under)
        return Paragraph((Span(f" {first.text}", first.tone), *rest), self.body, under, self.whole)


BLANK = Paragraph(())


def whole(text: str) -> Paragraph:
    """A text that a report keeps on one line."""
    return Paragraph((), plain(text), whole=True)


def signed(health: Health, text: str, *, whole: bool = False) -> Paragraph:
    """A text after the sign of a health."""
    return Paragraph(sign(health), plain(text), whole=whole)


def sign(health: Health) -> Line:
    """The sign of a health, and a space."""
    return (Span(SIGN[health], health), Span(" "))


def lines_of(paragraphs: Iterable[Paragraph]) -> list[Line]:
    """Paragraphs for a screen that wraps them itself, a line each."""
    return [paragraph.inset().line for paragraph in paragraphs]


def rows_of(paragraphs: Iterable[Paragraph], width: int) -> list[Line]:
    """Paragraphs for a screen of a width in cells."""
    return [row for paragraph in paragraphs for row in paragraph.inset().rows(width)]


def plain(text: str, tone: Tone = "") -> Line:
    """A line of one tone."""
    return (Span(text, tone),)


def text_of(line: Line) -> str:
    """The characters of a line."""
    return "".join(span.text for span in line)


def length(line: Line) -> int:
    """Width of a line in terminal cells."""
    return sum(cell_len(span.text) for span in line)


def to_ascii(text: str) -> str:
    """The text in ASCII alone: our signs by their twins, any other character as `?`."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def ascii_line(line: Line) -> Line:
    """The line in ASCII alone."""
    return tuple(Span(to_ascii(span.text), span.tone) for span in line)


def cut(text: str, width: int, ellipsis: str = "…", tail: int = 0) -> str:
    """The text in at most `width` cells; where something is lost the ellipsis says so.

    The last `tail` characters stay, as far as there is room for as much before them.
    """
    if cell_len(text) <= width:
        return text
    end = text[-tail:] if tail and cell_len(text[-tail:]) * 2 < width else ""
    return set_cell_size(text, max(0, width - 1 - cell_len(end))).rstrip() + ellipsis[:width] + end


def justified(left: Line, right: Line, width: int) -> Line:
    """Two halves at the edges of a line; when there is no room for both, the left one gives."""
    room = width - length(right)
    gap = room - length(left)
    if gap >= 1:
        return (*left, Span(" " * gap), *right)
    return (*_first_cells(left, max(0, room - 1)), Span(" "), *right)


def headed(name: Line, verdict: Line, width: int) -> list[Line]:
    """A name and, at the right edge or on a line of its own, what is to be said of it."""
    if length(name) + length(verdict) < width:
        return [justified(name, verdict, width)]
    return [*wrapped(name, width, 1), *wrapped((Span(" "), *verdict), width, 3)]


def wrapped(line: Line, width: int, indent: int = 0, *, split: bool = True) -> list[Line]:
    """The line broken at spaces; what follows the first line is indented. Loses nothing else.

    `split`: a word that is wider than the line is broken too.
    """
    width = max(width, indent + 1, 2)
    lines: list[list[Span]] = [[]]
    used = 0
    longest = width - indent if split else length(line)
    for word in _unbroken(_words(line, longest), longest):
        text = text_of(word)
        if used and used + cell_len(text.rstrip(" ")) > width:
            lines.append([Span(" " * indent)] if indent else [])
            used = indent
        lines[-1] += word
        used += cell_len(text)
    return [_merged(spans) for spans in lines]


class Pen:
    """Writes paragraphs as text, wrapped at `WIDTH`."""

    def __init__(self, *, ascii_only: bool = False, colour: bool = False) -> None:
        """`ascii_only`: signs in ASCII. `colour`: signs in colour, for a terminal."""
        self._ascii = ascii_only
        self._colour = colour

    def text(self, paragraphs: Iterable[Paragraph]) -> str:
        """The rows of the paragraphs, a newline at the end of each."""
        return "".join(f"{row}\n" for row in self.rows(paragraphs))

    def rows(self, paragraphs: Iterable[Paragraph]) -> Iterator[str]:
        """The rows of the paragraphs."""
        for each in paragraphs:
            if each.whole:
                yield self._written(each.line)
            else:
                yield from (self._written(r).rstrip() for r in each.rows(WIDTH, split=False))

    def _written(self, line: Line) -> str:
        return "".join(map(self._span, line))

    def _span(self, span: Span) -> str:
        number = _COLOURS.get(span.tone)
        if number is None or span.text not in _SIGNS:
            return span.text
        sign = _SIGNS[span.text] if self._ascii else span.text
        return f"\x1b[{number}m{sign}\x1b[0m" if self._colour else sign


def _unbroken(pieces: Iterable[Span], width: int) -> Iterator[Line]:
    """Pieces of several tones that no space parts, held together where there is room for it."""
    held: list[Span] = []
    for piece in pieces:
        if held and cell_len(text_of((*held, piece)).rstrip(" ")) > width:
            yield tuple(held)
            held = []
        held.append(piece)
        if piece.text.endswith(" "):
            yield tuple(held)
            held = []
    if held:
        yield tuple(held)


def _words(line: Line, width: int) -> Iterator[Span]:
    """Words with the spaces that follow them; one that is wider than the line in pieces."""
    for span in line:
        start = 0
        text = span.text
        while start < len(text):
            end = text.find(" ", start)
            end = len(text) if end < 0 else end
            while end < len(text) and text[end] == " ":
                end += 1
            word, start = text[start:end], end
            pieces: Sequence[str] = [word] if cell_len(word) <= width else chop_cells(word, width)
            yield from (Span(piece, span.tone) for piece in pieces)


def _merged(spans: Iterable[Span]) -> Line:
    merged: list[Span] = []
    for span in spans:
        if merged and merged[-1].tone == span.tone:
            merged[-1] = Span(merged[-1].text + span.text, span.tone)
        else:
            merged.append(span)
    return tuple(merged)


def _first_cells(line: Line, width: int) -> Line:
    kept: list[Span] = []
    for span in line:
        size = cell_len(span.text)
        if size > width:
            kept.append(Span(cut(span.text, width), span.tone))
            break
        kept.append(span)
        width -= size
    return tuple(kept)


def ascii_only(settings: Settings) -> bool:
    """Whether signs must be ASCII: asked for, or standard output can carry nothing else."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    asked = settings.ascii_only if sys.stdout.isatty() else bool(settings.ascii)
    return asked or not encoding.startswith("utf")


def pen_for(settings: Settings) -> Pen:
    """Signs for standard output; in colour on a terminal, unless NO_COLOR is set."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return Pen(ascii_only=ascii_only(settings), colour=colour)


def print_text(text: str, settings: Settings) -> None:
    """Write words for people; what the encoding cannot carry becomes `?`."""
    encoding = "ascii" if ascii_only(settings) else "utf-8"
    print_bytes(text, encoding)


def print_bytes(text: str, encoding: str = "utf-8") -> None:
    """Write a document as it must be, whatever standard output's own encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(encoding, "replace"))
    sys.stdout.buffer.flush()


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
