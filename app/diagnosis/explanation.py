"""The answer to one `explain`: facts, the ways of services, and what is wrong there."""

from __future__ import annotations

from dataclasses import dataclass

from app.diagnosis.service_path.path import ServicePath
from app.model.finding import Finding
from app.state.snapshot import Snapshot, SourceHealth


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is known of one thing that was asked about."""

    snapshot: Snapshot
    kind: str
    """What was asked about: `service`, `ip`, `prefix`, `session` or `pool`."""
    name: str
    facts: tuple[tuple[str, str], ...]
    """What is known of it, by name."""
    paths: tuple[ServicePath, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What is wrong with it, and what explains that."""
    answered: bool = False
    """Whether the facts are what was asked for, and all else is only why it is so."""
    unread: tuple[SourceHealth, ...] = ()
    """The sources that should have told of it and did not: so that not all could be judged."""
