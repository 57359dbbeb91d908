"""The prompt behind `:`: a word leads to a screen; Tab completes it, the arrows recall it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Self

from textual import events
from textual.binding import Binding, BindingType
from textual.suggester import SuggestFromList
from textual.widgets import Input
from typing_extensions import override

_HISTORY = 20
"""Words recalled, as in k9s."""


class CommandLine(Input):
    """One line for a command; hidden until it is asked for.

    It opens, takes characters, hands its command on and closes within the key that asks for it:
    the next key, however soon it comes, finds the keys where they will be.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, id="prompt.leave"),
        Binding("tab", "complete", "complete", show=False, id="prompt.complete"),
        Binding("up", "recall(1)", "earlier", show=False, id="prompt.earlier"),
        Binding("down", "recall(-1)", "later", show=False, id="prompt.later"),
    ]

    def __init__(
        self,
        words: Sequence[str],
        history: list[str],
        entered: Callable[[str], Awaitable[None]],
        left: Callable[[], None],
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """The history is shared between the prompts of all screens, newest first.

        `entered` obeys a command; `left` is called when the prompt has closed, before that.
        """
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
        self._entered = entered
        self._left = left
        self._recalled = -1

    def open(self) -> None:
        """Show the empty prompt and take the keys."""
        self.value = ""
        self._recalled = -1
        self.display = True
        self.screen.set_focus(self)

    def close(self) -> None:
        """Hide it and give the keys back, if it is open."""
        if self.display:
            self.display = False
            self._left()

    def take(self, text: str) -> None:
        """Put a character, or the first line of a pasted text, where the cursor is."""
        self.insert_text_at_cursor("".join(text.splitlines()[:1]))

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

    async def action_submit(self) -> None:
        """Hand the command on."""
        command = self.value.strip()
        if command:
            if command in self._history:
                self._history.remove(command)
            self._history.insert(0, command)
            del self._history[_HISTORY:]
        self.close()
        if command:
            await self._entered(command)

    def action_leave(self) -> None:
        """Leave without a command."""
        self.close()

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
