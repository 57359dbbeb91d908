"""What a panel offers whose rows can be narrowed by the prompt behind `/`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Filtering(Protocol):
    """A panel that shows only what matches a text."""

    @property
    def filter_text(self) -> str:
        """What narrows it now; "" for nothing."""
        ...

    def filter_by(self, text: str) -> str:
        """Show only what matches; "" shows all. Returns "" or what is wrong with the text."""
        ...


def filtering(panel: object) -> Filtering | None:
    """The panel, if its rows can be narrowed."""
    return panel if isinstance(panel, Filtering) else None
