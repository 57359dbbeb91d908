"""What the cursor is on, as the keys that act on any row need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.model.finding import Finding, Ref


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


def selection_of(finding: Finding) -> Selection:
    """What a finding is about; where `explain` has no answer about that, its code."""
    ref = finding.subject
    question: tuple[str, ...] = ("code", finding.code)
    match ref.kind:
        case "Service":
            question = ("service", f"{ref.namespace}/{ref.name}")
        case "Session":
            question = ("session", *ref.name.split("/", 1))
        case "CiliumLoadBalancerIPPool":
            question = ("pool", ref.name)
        case "Prefix":
            question = ("prefix", ref.name)
    node = ref.name.split("/", 1)[0] if ref.kind in ("Node", "Session") else ""
    return Selection(ref=ref, question=question, node=node, finding=finding.id)
