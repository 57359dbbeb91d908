"""What refers to a thing, and filters that leave what has one name: for `u`, and for digits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.model.finding import Ref

_NAMESPACE = re.compile(r"namespace:\^\S*\$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Where what refers to a thing is shown."""

    place: str
    filter: str = ""
    """Leaves that and nothing else; "" where the cursor goes to it."""
    told: str = ""
    """What the filter leaves, in words."""


def use_of(ref: Ref) -> Use | None:
    """A pool is used by services, a node by its sessions, a service by the routes to it."""
    match ref.kind:
        case "CiliumLoadBalancerIPPool":
            # A service may have addresses of several pools, with commas between.
            pattern = rf"pool:(^|\s){_spelled(ref.name)}(,|$)"
            told = f"services with an address of {ref.name}"
            return Use(place="services", filter=pattern, told=told)
        case "Node":
            pattern = f"node:^{_spelled(ref.name)}$"
            return Use(place="sessions", filter=pattern, told=f"sessions of {ref.name}")
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
