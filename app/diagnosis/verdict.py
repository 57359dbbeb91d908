"""The outcome of a check, as every form of output needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from app.diagnosis.categories import category
from app.diagnosis.diagnose import consequences
from app.diagnosis.ignore_file import Ignored
from app.diagnosis.inputs import INPUTS, not_granted, switched_off, unread
from app.model.finding import Finding, Severity
from app.state.snapshot import Snapshot, SourceHealth

COUNTED = (Severity.FAIL, Severity.WARN, Severity.UNKNOWN, Severity.INFO)
"""In the order in which they are told."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was found in the chosen categories, and what was not looked at."""

    snapshot: Snapshot
    categories: tuple[str, ...]
    findings: tuple[Finding, ...]
    """Of these categories and not ignored, in the order of the diagnosis."""
    ignored: tuple[Ignored, ...] = ()
    elsewhere: tuple[Finding, ...] = ()
    """Findings of other categories that explain some of these."""

    @cached_property
    def tops(self) -> tuple[Finding, ...]:
        """The findings that no other finding of these categories explains."""
        ids = {finding.id for finding in self.findings}
        return tuple(f for f in self.findings if not ids.intersection(f.caused_by))

    @cached_property
    def unjudged(self) -> dict[str, tuple[SourceHealth, ...]]:
        """By category, the sources that it is judged from and that told nothing."""
        return {name: unread(self.snapshot, name) for name in self.categories}

    def tops_of(self, category: str) -> tuple[Finding, ...]:
        """Those of one category."""
        return tuple(f for f in self.tops if category_of(f) == category)

    def follow(self, top: Finding) -> tuple[Finding, ...]:
        """What follows from a finding, within these categories."""
        return consequences(self.findings, top)

    def folded(self, category: str) -> tuple[Finding, ...]:
        """Findings of a category that are told elsewhere, under what explains them."""
        tops = {finding.id for finding in self.tops}
        return tuple(f for f in self.findings if f.id not in tops and category_of(f) == category)

    def causes(self, finding: Finding) -> tuple[Finding, ...]:
        """The findings that explain one, wherever they are told."""
        known = {each.id: each for each in (*self.findings, *self.elsewhere)}
        return tuple(known[cause] for cause in finding.caused_by if cause in known)

    def counts(self) -> dict[Severity, int]:
        """How many findings that nothing here explains, by severity."""
        return {s: sum(f.severity is s for f in self.tops) for s in COUNTED}

    def reached(self, threshold: Severity) -> bool:
        """Whether anything is at or above the threshold (`fail` or `warn`)."""
        bad = {Severity.FAIL} if threshold is Severity.FAIL else {Severity.FAIL, Severity.WARN}
        return any(finding.severity in bad for finding in self.findings)

    def not_read(self, categories: Iterable[str] | None = None) -> tuple[str, ...]:
        """What was switched off and these categories (all, for None) would be judged from."""
        chosen = self.categories if categories is None else categories
        off = (kind for each in chosen for kind in switched_off(self.snapshot, each))
        return tuple(kind.label if kind.tier == "CLI" else kind.name for kind in dict.fromkeys(off))

    def not_granted(self, categories: Iterable[str] | None = None) -> tuple[str, ...]:
        """What lacks an optional right and these categories (all, for None) are judged from."""
        chosen = self.categories if categories is None else categories
        kinds = {kind for each in chosen for kind in INPUTS[each]}
        return tuple(
            health.label
            for health in self.snapshot.health.values()
            if health.kind in kinds and not_granted(health)
        )

    @property
    def complete(self) -> bool:
        """Whether everything could be judged."""
        unknown = any(finding.severity is Severity.UNKNOWN for finding in self.findings)
        return not unknown and not any(self.unjudged.values())


def category_of(finding: Finding) -> str:
    """The category of a finding's code."""
    return category(finding.code)


def docs_page(code: str) -> str:
    """The page of a code, from the root of the repository."""
    return f"app/diagnosis/catalog/{code}.md"


def names(findings: Iterable[Finding], limit: int) -> str:
    """Findings by code and subject, the first few of them."""
    named = [f"{finding.code} {finding.subject}" for finding in findings]
    rest = len(named) - limit
    return ", ".join(named[:limit]) + (f" and {rest} more" if rest > 0 else "")
