"""CS5: addresses that are not announced by BGP, or wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.diagnosis.case import Case
from app.diagnosis.finding import Finding
from app.diagnosis.paths import path_findings
from app.diagnosis.rules.odd_routes import mapped_next_hops, unasked


def services(case: Case) -> Iterator[Finding]:
    """CS501 to CS508: services whose addresses are not announced as they should be."""
    yield from path_findings(case, "CS5")


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (services, unasked, mapped_next_hops)
