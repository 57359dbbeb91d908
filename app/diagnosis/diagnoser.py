"""From a snapshot to its verdict: every rule once, causes linked, ignored findings apart.

The order of the findings depends on nothing but what they say, so that the diagnosis of the same
cluster is the same whatever order its objects arrived in. Each snapshot is evaluated once, whoever
asks: every screen and every answer of the dashboard comes from the same verdict as `check` and
`explain`. The rules are imported with the first snapshot: the first frame does not need them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, TypeAlias

from app.diagnosis.catalog import concerning, consequences, in_order, linked
from app.diagnosis.ignore_file import Ignored, IgnoreEntry, expired_entries, without
from app.diagnosis.inputs import CATEGORIES, INPUTS, category, not_granted, switched_off, unread
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity, in_context
from app.state.derived import Memo
from app.state.snapshot import Snapshot, SourceHealth

if TYPE_CHECKING:
    from app.config.expected_settings import ExpectedSetting
    from app.diagnosis.service_path.path import ServicePath

Rule: TypeAlias = Callable[[Case], Iterator[Finding]]

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
        for rule in rules()
        for finding in rule(case)
    )
    return in_order(_weighed(linked(found)))


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, in the order of the categories."""
    from app.diagnosis.rules import (
        bgp_config,
        cilium,
        configuration,
        datapath,
        infrastructure,
        lbipam_services,
        misread,
        overrides,
        services,
        sessions,
        unannounced,
        visibility,
    )

    modules = (
        *(cilium, lbipam_services, infrastructure, misread, bgp_config, overrides, sessions),
        *(services, unannounced, datapath, configuration, visibility),
    )
    return tuple(rule for module in modules for rule in module.RULES)


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


class Diagnoser:
    """Evaluates the snapshots of one cluster, one at a time; may be asked from any thread."""

    def __init__(
        self,
        expected: Sequence[ExpectedSetting] = (),
        entries: Sequence[IgnoreEntry] = (),
        categories: Collection[str] | None = None,
    ) -> None:
        """`expected`: what the operator expects of `cilium-config`; `entries`: what to ignore;
        `categories`: what is looked at, None for all."""
        self._expected = tuple(expected)
        self._entries = tuple(entries)
        self._categories = CATEGORIES if categories is None else categories
        self._memo = Memo()
        self._lock = threading.RLock()
        self._last: tuple[Case, Verdict] | None = None

    def case(self, snapshot: Snapshot) -> Case:
        """The snapshot with what rules derive from it."""
        return self._evaluated(snapshot)[0]

    def verdict(self, snapshot: Snapshot) -> Verdict:
        """What is wrong in the categories that are looked at, without what is ignored."""
        return self._evaluated(snapshot)[1]

    def paths(self, snapshot: Snapshot) -> Mapping[str, ServicePath]:
        """The path of every service of type LoadBalancer by its key, as `explain` shows it."""
        from app.diagnosis.service_path.paths import service_paths

        with self._lock:
            return service_paths(self.case(snapshot))

    def _evaluated(self, snapshot: Snapshot) -> tuple[Case, Verdict]:

        with self._lock:
            last = self._last
            if last is None or last[0].snapshot is not snapshot:
                case = Case(snapshot, expected=self._expected, memo=self._memo)
                last = self._last = (case, verdict_of(case, self._entries, self._categories))
            return last
