"""The path of a service from its manifest to the router, hop by hop, and its status in a few words.

It is the one answer behind "why no IP?", "why not announced?", `explain`, the detail of a service
and the findings about single services.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from app.diagnosis.catalog import code
from app.model.finding import (
    FAULTS,
    Evidence,
    Finding,
    Health,
    by_ref,
    health_of,
    rank,
    service_ref,
)
from app.model.wording import count

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


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The status of one service."""

    path: ServicePath
    findings: tuple[Finding, ...] = ()
    """Findings about it, those on its path included."""
    causes: Mapping[str, tuple[Finding, ...]] | None = None
    """By the id of a finding: its root causes."""

    def roots(self, finding: Finding) -> tuple[Finding, ...]:
        """The root causes of a finding; () for none."""
        return (self.causes or {}).get(finding.id, ())

    @property
    def health(self) -> Health:
        """The worst of its findings and its hops."""
        if self.path.broken is not None:
            return "fail"
        found: list[Health] = [health_of(f.severity) for f in self.findings if _is_fault(f)]
        if unknown_hop(self.path) is not None and not self.path.partly_known:
            found.append("unknown")
        return min(found, key=rank, default="unknown" if self.path.unknown_nodes else "ok")

    @property
    def why(self) -> str:
        """The first problem, by its root cause, in a few words; "" when ok."""
        broken = self.path.broken
        if broken is not None and not broken.findings:
            return f"{broken.name}: {broken.reason}"
        finding = broken.findings[0] if broken is not None else self._worst()
        if finding is not None:
            return _short(next(iter(self.roots(finding)), finding))
        hop = unknown_hop(self.path)
        if hop is None or self.path.partly_known:
            return _unknown_words(self.path)
        return f"{hop.name}: {hop.reason}"

    def _worst(self) -> Finding | None:
        """The worst finding; info findings do not count."""
        found = [finding for finding in self.findings if _is_fault(finding)]
        return min(found, key=lambda finding: rank(health_of(finding.severity)), default=None)


def _is_fault(finding: Finding) -> bool:
    return health_of(finding.severity) in FAULTS


def unknown_hop(path: ServicePath) -> Hop | None:
    """The first hop that could not be judged; the router never can, and nothing behind a stop."""
    for hop in path.hops:
        if hop.state is HopState.NOT_REACHED or hop.name == "router":
            return None
        if hop.state is HopState.UNKNOWN:
            return hop
    return None


def _unknown_words(path: ServicePath) -> str:
    unknown = path.unknown_nodes
    return f"{count(len(unknown), 'node')} not known" if unknown else ""


def verdict_words(path: ServicePath, health: Health) -> str:
    """The state of the path, in two or three words."""
    broken = path.broken
    announced = any(prefix.actual for prefix in path.prefixes)
    if broken is not None:
        if broken.name in ("class", "pool", "address"):
            return "no address"
        if broken.name == "endpoints":
            return "nothing ready"
        return "only partly announced" if announced else "not announced"
    if health == "unknown":
        partly = announced and (path.partly_known or unknown_hop(path) is None)
        return f"announced, {_unknown_words(path)}" if partly else "not all of it known"
    if any(hop.state is HopState.NOT_REACHED for hop in path.hops):
        return "not announced by BGP, as configured"
    return "announced" if health == "ok" else "announced, and something is odd"


def service_statuses(
    paths: Mapping[str, ServicePath], findings: Sequence[Finding]
) -> Mapping[str, ServiceStatus]:
    """The status of every service that has a path, by its key."""
    about, causes = by_ref(findings), _roots(findings)
    return {
        key: ServiceStatus(path, about.get(service_ref(key), ()), causes)
        for key, path in paths.items()
    }


def _short(finding: Finding) -> str:
    entry = code(finding.code)
    return f"{entry.code} {entry.short or entry.title}"


def _roots(findings: Iterable[Finding]) -> Mapping[str, tuple[Finding, ...]]:
    """By the id of a finding that something explains: the findings that nothing explains."""
    by_id = {finding.id: finding for finding in findings}
    found: dict[str, tuple[Finding, ...]] = {}
    for finding in by_id.values():
        waiting, seen = list(finding.caused_by), set[str]()
        ends: list[Finding] = []
        while waiting:
            cause = waiting.pop(0)
            if cause in seen or cause not in by_id:
                continue
            seen.add(cause)
            if by_id[cause].root:
                ends.append(by_id[cause])
            waiting += by_id[cause].caused_by
        if ends:
            found[finding.id] = tuple(ends)
    return found
