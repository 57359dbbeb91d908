"""CS5: addresses that are not announced by BGP, or wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.diagnosis.rules.unexpected_routes import mapped_next_hops, unasked
from app.diagnosis.service_path.paths import path_findings
from app.model.case import Case
from app.model.finding import Finding


def services(case: Case) -> Iterator[Finding]:
    """CS501 to CS508: services whose addresses are not announced as they should be."""
    yield from path_findings(case, "CS5")


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (services, unasked, mapped_next_hops)
