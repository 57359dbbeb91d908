"""The way of a service from its manifest to the router, hop by hop, up to the first that is broken.

It is the one answer behind "why no IP?", "why not announced?", `explain`, the detail of a service
and the findings about single services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from app.model.finding import Evidence, Finding

HopName: TypeAlias = Literal[
    "class", "pool", "address", "endpoints", "advertised", "sessions", "routes", "router"
]


class HopState(StrEnum):
    """How a hop is."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """What it takes to judge it could not be read."""
    NOT_REACHED = "not reached"
    """An earlier hop is broken."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop of a service's way."""

    name: HopName
    state: HopState
    reason: str
    """One sentence with the actual names and values, whatever the state."""
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What is wrong here; the first one breaks the hop, where it is broken."""


@dataclass(frozen=True, slots=True)
class PrefixPath:
    """A prefix of the service that should be announced, or is; and who announces it."""

    prefix: str
    expected: tuple[str, ...] | None
    """Nodes that should announce it; None: that is not known."""
    actual: tuple[str, ...] | None
    """Nodes that do; None: the routes were not read."""
    unknown: tuple[str, ...] = ()
    """Nodes that should, and of which it is not known: their agents did not tell."""

    @property
    def right(self) -> tuple[str, ...]:
        """Nodes that should and do."""
        expected = frozenset(self.expected or ())
        return tuple(node for node in self.actual or () if node in expected)

    @property
    def missing(self) -> tuple[str, ...]:
        """Nodes that should and do not."""
        others = {*(self.actual or ()), *self.unknown}
        return tuple(node for node in self.expected or () if node not in others)

    @property
    def extra(self) -> tuple[str, ...]:
        """Nodes that do and should not."""
        if self.expected is None:
            return ()
        expected = frozenset(self.expected)
        return tuple(node for node in self.actual or () if node not in expected)


@dataclass(frozen=True, slots=True)
class ServicePath:
    """The whole way of one service."""

    service: str
    """Its key, `namespace/name`."""
    hops: tuple[Hop, ...]
    """All eight, in order."""
    prefixes: tuple[PrefixPath, ...]
    router: Mapping[str, tuple[str, ...]]
    """What to compare on the router: `show` commands by the peer's address."""

    @property
    def broken(self) -> Hop | None:
        """The first broken hop; None: none is."""
        return next((hop for hop in self.hops if hop.state is HopState.BROKEN), None)

    @property
    def unknown(self) -> tuple[Hop, ...]:
        """The hops that could not be judged; the router never can."""
        return tuple(h for h in self.hops if h.state is HopState.UNKNOWN and h.name != "router")

    @property
    def unknown_nodes(self) -> frozenset[str]:
        """Nodes that should announce it, and of which it is not known whether they do."""
        return frozenset(node for prefix in self.prefixes for node in prefix.unknown)

    @property
    def partly_known(self) -> bool:
        """Whether somebody announces all of it, and not known is only whether others do too."""
        announced = bool(self.unknown_nodes) and all(prefix.actual for prefix in self.prefixes)
        return announced and all(hop.name in ("sessions", "routes") for hop in self.unknown)
