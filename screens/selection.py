"""What the cursor is on, as the keys that act on any row need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.model.finding import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A thing on a screen, and how it is asked about elsewhere."""

    ref: Ref
    """The object; kinds of the field (`Session`, `Prefix`) have no object in the API."""
    question: tuple[str, ...] = ()
    """What `explain` takes for it: `("service", "home/grafana")`; () where it has no answer."""
    node: str = ""
    """The node it is on; "" for none."""
    finding: str = ""
    """The id of the finding that the cursor is on; "" where it is on a thing."""

    @property
    def name(self) -> str:
        """What it is called: `home/grafana`."""
        ref = self.ref
        return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A command that shows by hand what a panel shows."""

    tells: str
    """What it shows, in a few words."""
    command: str
    """Ready to be copied; it only reads."""
