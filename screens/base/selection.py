"""What the cursor is on, as the keys that act on any row need it, and where that is used."""

from __future__ import annotations

import re
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

    shows: str
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


_NAMESPACE = re.compile(r"namespace:\^\S*\$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Where what refers to a thing is shown."""

    place: str
    filter: str = ""
    """Leaves that and nothing else; "" where the cursor goes to it."""
    shows: str = ""
    """What the filter leaves, in words."""


def use_of(ref: Ref) -> Use | None:
    """A pool is used by services, a node by its sessions, a service by the routes to it."""
    match ref.kind:
        case "CiliumLoadBalancerIPPool":
            # A service may have addresses of several pools, with commas between.
            pattern = rf"pool:(^|\s){_spelled(ref.name)}(,|$)"
            shows = f"services with an address of {ref.name}"
            return Use(place="services", filter=pattern, shows=shows)
        case "Node":
            pattern = f"node:^{_spelled(ref.name)}$"
            return Use(place="sessions", filter=pattern, shows=f"sessions of {ref.name}")
        case "Service":
            return Use(place="routes")
    return None


def in_namespace(text: str, namespace: str) -> str | None:
    """A filter with this namespace in place of the one it had; "" takes it away.

    None where the filter is of labels or letters, which no column can be asked for beside.
    """
    if text.startswith(("-l", "-f")):
        return None if namespace else text
    words = [word for word in text.split() if not _NAMESPACE.fullmatch(word)]
    return " ".join([*words, *([f"namespace:^{_spelled(namespace)}$"] if namespace else [])])


def _spelled(name: str) -> str:
    """A name of Kubernetes as a pattern: of its characters only the dot means something else."""
    return name.replace(".", r"\.")
