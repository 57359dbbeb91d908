"""What the screen of a runbook has done by others: keeping a run, exporting it, running a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from app.runbooks.engine import Hand, Run
from app.runbooks.page import Part


class Keeper(Protocol):
    """Keeps a run in a file."""

    @property
    def problem(self) -> str:
        """Why the last thing that happened is not in the file; "" where it is."""
        ...

    def keep(self, run: Run) -> None:
        """Have all that has happened in the file."""
        ...


class Trial(Protocol):
    """What a step may run, once it was agreed to."""

    stage: str
    """How far it is."""
    running: bool

    @property
    def lines(self) -> Iterable[str]:
        """The end of what it has printed."""
        ...

    @property
    def offer(self) -> Sequence[Part]:
        """What it would do, by which command, and how that is removed again."""
        ...

    @property
    def obstacle(self) -> str:
        """Why it cannot be run here; "" where it can."""
        ...

    def start(self, hand: Hand, step: str) -> None:
        """Run it for a step, for it was agreed to; the screen is told how it goes."""
        ...

    def cancel(self) -> None:
        """Stop it; what it has made is removed."""
        ...


Exporter = Callable[[Run, str, bool], None]
"""Saves a run as `markdown` or `json`, with or without addresses, and tells where."""
