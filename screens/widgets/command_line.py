"""The prompt at the bottom: a command behind `:`, a filter behind `/`.

It opens, takes characters, hands its text on and closes within the key that asks for it: the next
key, however soon it comes, finds the keys where they will be.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input
from typing_extensions import override

RECALLED = 20
"""Texts recalled, as in k9s."""

_REPLIES = re.compile(
    r"\x1b\[[0-9;?<>=$]*[A-Za-z~]|\[[0-9;?<>=$]+[Rcntuy]|\x1b[\]P_^][^\x07\x1b]*(?:\x07|\x1b\\)?"
)
"""What terminals answer to questions, with or without its escape: `[7;15R`, an OSC or a DCS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a prompt asks for."""

    sign: str
    """What stands before it, and was pressed for it."""
    hint: str
    """What is told while it is empty."""
    entered: Callable[[str], Awaitable[None]]
    """Obeys what was entered, once the prompt has closed."""
    changed: Callable[[str], None] = lambda _: None
    """Told what stands there, as it is typed."""
    left: Callable[[], None] = lambda: None
    """Called when it is left without an answer."""
    completions: Callable[[str], Sequence[str]] = lambda _: ()
    """What a text may become, best first."""
    history: list[str] = field(default_factory=list)
    """Earlier answers, newest first; the new one is added."""
    text: str = ""
    """What stands there at first."""
    lines: bool = False
    """Whether a text of several lines is taken whole, the lines one behind the other."""


class CommandLine(Input):
    """One line; hidden until something is asked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, id="prompt.leave"),
        Binding("tab", "complete", "complete", show=False, id="prompt.complete"),
        Binding("right,ctrl+f", "forward", "complete", show=False, id="prompt.forward"),
        Binding("up", "recall(1)", "earlier", show=False, id="prompt.earlier"),
        Binding("down", "recall(-1)", "later", show=False, id="prompt.later"),
        Binding("ctrl+u,ctrl+w", "clear_all", "clear", show=False, id="prompt.clear"),
    ]

    def __init__(self, closed: Callable[[], None], *, id: str | None = None) -> None:  # noqa: A002
        """`closed` is called when it has closed, before what was entered is obeyed."""
        super().__init__(
            id=id,
            compact=True,
            select_on_focus=False,
        )
        self.cursor_blink = False
        self._when_closed = closed
        self._question: Question | None = None
        self._recalled = -1
        self._typed, self._offered, self._place = "", "", -1
        """What was completed, to what, and which of the offers that was."""

    def ask(self, question: Question) -> None:
        """Show the prompt for this question and take the keys."""
        self._question = question
        self.placeholder = f"{question.sign} {question.hint}"
        self.value = question.text
        self.cursor_position = len(question.text)
        self._recalled = -1
        self._typed, self._offered = question.text, ""
        self.display = True
        self.screen.set_focus(self)

    def close(self) -> None:
        """Hide it and give the keys back, if it is open."""
        if self.display:
            self.display = False
            self._when_closed()

    def take(self, text: str) -> None:
        """Put characters, or the first line of a pasted text, where the cursor is.

        Control characters, and what a terminal answers to questions, are no text. Where all lines
        are wanted, a bar stands between them.
        """
        lines = _REPLIES.sub("", text).splitlines()
        if len(lines) > 1 and self._question is not None and self._question.lines:
            lines = [" | ".join(filter(str.strip, lines))]
        line = "".join(lines[:1])
        self.insert_text_at_cursor("".join(each for each in line if each.isprintable()))
        self._drop_reply()

    def watch_value(self, value: str) -> None:
        """Show behind the cursor what Tab would put there, and tell what stands there.

        Textual's suggester would do it later, and leaves a warning on the terminal when the program
        ends before.
        """
        self._suggestion = self._completed(value) if value else ""
        if self.display and self._question is not None:
            self._question.changed(value)

    def on_mount(self) -> None:
        """Nothing is asked for yet."""
        self.display = False

    @override
    def blur(self) -> Self:
        """Textual takes the keys from what it has hidden, even if it is shown again by then."""
        return self if self.display else super().blur()

    def on_blur(self, _event: events.Blur) -> None:
        """A prompt without the keys is in the way."""
        if self.screen.focused is not self:
            self.close()

    # --- keys

    async def action_submit(self) -> None:
        """Hand the text on."""
        question, text = self._question, self.value.strip()
        if question is None:
            return
        if text:
            if text in question.history:
                question.history.remove(text)
            question.history.insert(0, text)
            del question.history[RECALLED:]
        self.close()
        if text or question.sign == "/":
            await question.entered(text)

    def action_leave(self) -> None:
        """Leave without an answer."""
        self.close()
        if self._question is not None:
            self._question.left()

    def action_complete(self) -> None:
        """Complete what is typed; again, go on to what else it may become."""
        if self.value != self._offered:
            self._typed, self._place = self.value, -1
        self._place += 1
        found = self._question.completions(self._typed) if self._question else ()
        if found:
            self._offered = self.value = found[self._place % len(found)]
            self.cursor_position = len(self.value)

    def action_forward(self) -> None:
        """At the end of the line complete it, elsewhere move on."""
        if self.cursor_position >= len(self.value):
            self.value = self._completed(self.value) or self.value
            self.cursor_position = len(self.value)
        else:
            self.cursor_position += 1

    def action_clear_all(self) -> None:
        """Begin anew."""
        self.value = ""

    def action_recall(self, step: int) -> None:
        """Put an earlier or later text into the line."""
        history = self._question.history if self._question else []
        place = self._recalled + step
        if -1 <= place < len(history):
            self._recalled = place
            self.value = history[place] if place >= 0 else ""
            self.cursor_position = len(self.value)

    def _completed(self, text: str) -> str:
        """What the text would be completed to; "" for nothing."""
        found = self._question.completions(text) if self._question else ()
        return found[0] if found else ""

    def _drop_reply(self) -> None:
        """A reply arrives key by key where its escape was taken for a key of its own."""
        value = _REPLIES.sub("", self.value)
        if value != self.value:
            self.value = value
            self.cursor_position = len(value)
