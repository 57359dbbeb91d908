"""From a case to its verdict: every rule once, causes linked, ignored findings apart.

The order of the findings depends on nothing but what they say, so that the diagnosis of the same
cluster is the same whatever order its objects arrived in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from app.diagnosis.causes import concerning, consequences, in_order, linked
from app.diagnosis.ignore_file import Ignored, IgnoreEntry, expired_entries, without
from app.diagnosis.inputs import CATEGORIES, INPUTS, category, not_granted, switched_off, unread
from app.diagnosis.read_commands import in_context
from app.diagnosis.rules import (
    advertisement,
    bgp_config,
    cilium,
    configuration,
    lbipam,
    sessions,
    visibility,
    workload,
)
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity
from app.state.snapshot import Snapshot, SourceHealth

Rule = Callable[[Case], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    *cilium.RULES,
    *lbipam.RULES,
    *bgp_config.RULES,
    *sessions.RULES,
    *advertisement.RULES,
    *workload.RULES,
    *configuration.RULES,
    *visibility.RULES,
)

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

    def concerning(self, refs: Iterable[Ref]) -> tuple[Finding, ...]:
        """Findings about these things and everything that explains those, roots first."""
        return concerning(self.findings, refs)

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


def diagnose(case: Case) -> tuple[Finding, ...]:
    """Every finding: roots before what follows from them, worse before better, then by id."""
    context = case.snapshot.context
    found = (
        replace(finding, command=in_context(finding.command, context))
        for rule in RULES
        for finding in rule(case)
    )
    return in_order(_weighed(linked(found)))


def verdict_of(
    case: Case, entries: Sequence[IgnoreEntry] = (), categories: Collection[str] = CATEGORIES
) -> Verdict:
    """What is wrong in these categories, without what these entries ignore."""
    found = (*diagnose(case), *expired_entries(entries, case.now))
    left, ignored = without(found, entries, case.now)
    chosen = tuple(f for f in left if category_of(f) in categories)
    causes = {cause for finding in chosen for cause in finding.caused_by}
    return Verdict(
        snapshot=case.snapshot,
        categories=tuple(name for name in CATEGORIES if name in categories),
        findings=chosen,
        ignored=tuple(i for i in ignored if category_of(i.finding) in categories),
        elsewhere=tuple(f for f in found if f.id in causes),
    )


def _weighed(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The cause of a failure is one: a warning is a fail where a fail follows from it.

    Only where nothing explains the warning: otherwise what explains both is the cause.
    """
    for finding in findings:
        warns = finding.root and finding.severity is Severity.WARN
        follows = consequences(findings, finding) if warns else ()
        if any(each.severity is Severity.FAIL for each in follows):
            yield replace(finding, severity=Severity.FAIL)
        else:
            yield finding


def category_of(finding: Finding) -> str:
    """The category of a finding's code."""
    return category(finding.code)
