"""How bad a thing is, in the words of the screens, and what is worse than what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.model.finding import Severity

if TYPE_CHECKING:
    from app.model.health import Health

FAULTS = frozenset({"fail", "warn", "unknown"})
"""What wants an operator."""

_OF: Mapping[Severity, Health] = {
    Severity.FAIL: "fail",
    Severity.WARN: "warn",
    Severity.UNKNOWN: "unknown",
}
_RANK: Mapping[Health, int] = {"fail": 0, "unknown": 1, "warn": 2, "ok": 3, "none": 4}


def health_of(severity: Severity) -> Health:
    """How a thing is about which such a finding was made; `none` for what is worth knowing."""
    return _OF.get(severity, "none")


def rank(health: Health) -> int:
    """Its place, the worst first."""
    return _RANK[health]
