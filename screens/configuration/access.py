"""What is read, from where, how that goes, and which rights it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.diagnosis.rules.visibility import rights_yaml
from app.model.finding import Ref
from app.model.wording import count
from app.report.format import age_of, by_health, time_of_day
from app.report.lines import SIGN, Line, Span, plain
from app.report.tables.sources import SCREEN, SourceRow
from collectors.kubernetes.resources import resources
from screens.base.empty_state import next_try
from screens.base.selection import kubectl
from screens.configuration.section import Entry, Part, Section, fact
from screens.widgets.columns import Content

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.finding import Finding, Health
    from app.state.snapshot import Snapshot


def section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each thing that is read."""
    findings: tuple[Finding, ...] = ()
    if not snapshot.setting_up:
        findings = judge.verdict(snapshot).findings
    rules = dict(_rights(snapshot.cilium_namespace))
    rows: list[SourceRow] = []
    entries: dict[str, Entry] = {}
    for label, health in snapshot.health.items():
        ref = Ref("Source", label)
        about = [f for f in findings if ref in (f.subject, *f.about) and f.code[:3] == "CS8"]
        row = SourceRow(health, snapshot.taken_at)
        rows.append(row)
        right = rules.get(health.kind.name, "")
        entries[label] = Entry(tuple(_lines(row, about, right)), ref, findings=tuple(about))
    words: dict[Health, str] = {"fail": "cannot be read", "warn": "old or partial"}
    counts = by_health((row.health for row in rows), words)
    headline = (Span(f"{count(len(rows), 'thing')} read"), *counts)
    shown = Content(SCREEN.rows(rows), plain("nothing is read"))
    return Section(SCREEN.columns, shown, entries, headline)


def _lines(row: SourceRow, findings: list[Finding], right: str) -> Iterator[Line]:
    health, now, how = row.source, row.now, row.health
    yield plain(f" {health.label}", "strong")
    since = time_of_day(health.since, now)
    yield (Span(" state       ", "none"), Span(f"{SIGN[how]} {health.state} since {since}", how))
    if health.read_at is not None:
        yield fact("answered", f"{age_of(health.read_at, now)} ago")
    if health.error:
        yield fact("error", health.error)
    for problem in health.problems:
        yield fact("partial", problem)
    wait = next_try(health, now)
    if wait:
        yield fact("then", wait)
    granted = any("grant" in finding.remedy for finding in findings)
    if right and not granted:
        yield ()
        yield plain(" the right that it takes:", "none")
        for text in right.splitlines():
            yield plain(f"   {text}")


def _rights(namespace: str) -> Iterator[tuple[str, str]]:
    """What must be granted for a kind to be read, as the rule of a role."""
    for resource in resources(namespace):
        yield resource.kind, rights_yaml(resource.rights())


PART = Part(
    name="access",
    title="access",
    key="4",
    columns=SCREEN.columns,
    make=section,
    kinds=("Source",),
    command=lambda snapshot: kubectl(snapshot, "what is allowed", "auth can-i --list"),
)
