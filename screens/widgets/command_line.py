"""The prompt behind `:`: a word leads to a screen; Tab completes it, the arrows recall it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widgets import Input

_HISTORY = 20
"""Words recalled, as in k9s."""


class CommandLine(Input):
    """One line for a command; hidden until it is asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, id="prompt.leave"),
        Binding("tab", "complete", "complete", show=False, id="prompt.complete"),
        Binding("up", "recall(1)", "earlier", show=False, id="prompt.earlier"),
        Binding("down", "recall(-1)", "later", show=False, id="prompt.later"),
    ]

    class Entered(Message):
        """A command was entered."""

        def __init__(self, command: str) -> None:
            super().__init__()
            self.command = command

    class Left(Message):
        """The prompt was left, with or without a command."""

    def __init__(self, words: Sequence[str], history: list[str], *, id: str | None = None) -> None:  # noqa: A002
        """The history is shared between the prompts of all screens, newest first."""
        super().__init__(
            id=id,
            compact=True,
            placeholder=": a word; Tab completes it",
            select_on_focus=False,
            suggester=SuggestFromList(words, case_sensitive=False),
        )
        self.cursor_blink = False
        self._words = tuple(words)
        self._history = history
        self._recalled = -1

    def open(self) -> None:
        """Show the empty prompt and take the keys."""
        self.value = ""
        self._recalled = -1
        self.display = True
        # Widget.focus() comes later, and what is typed at once after `:` would go elsewhere.
        self.screen.set_focus(self)

    def on_mount(self) -> None:
        """Nothing is asked for yet."""
        self.display = False

    def on_blur(self) -> None:
        """A prompt without the keys is in the way."""
        self._close()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand the command on."""
        event.stop()
        command = event.value.strip()
        if command:
            if command in self._history:
                self._history.remove(command)
            self._history.insert(0, command)
            del self._history[_HISTORY:]
        self._close()
        if command:
            self.post_message(self.Entered(command))

    def action_leave(self) -> None:
        """Leave without a command."""
        self._close()

    def action_complete(self) -> None:
        """Complete what is typed to the first word that begins so."""
        typed = self.value.strip().lower()
        found = next((word for word in self._words if word.startswith(typed)), None)
        if found is not None:
            self.value = found
            self.cursor_position = len(found)

    def action_recall(self, step: int) -> None:
        """Put an earlier or later command into the line."""
        place = self._recalled + step
        if -1 <= place < len(self._history):
            self._recalled = place
            self.value = self._history[place] if place >= 0 else ""
            self.cursor_position = len(self.value)

    def _close(self) -> None:
        if self.display:
            self.display = False
            self.post_message(self.Left())
