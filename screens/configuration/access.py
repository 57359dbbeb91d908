"""What is read, from where, how that goes, and which rights it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.diagnosis.rules.visibility import rights_yaml
from app.model.finding import Ref, rank
from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.format import age_of, time_of_day
from app.report.lines import NOTHING, SIGN, Line, Span, plain
from app.state.snapshot import SourceHealth, State
from collectors.kubernetes.resources import resources
from screens.base.empty_state import next_try
from screens.base.equivalents import kubectl
from screens.base.selection import Equivalent
from screens.configuration.section import Entry, Part, Section, counted, fact
from screens.widgets.columns import Content

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.finding import Finding, Health
    from app.state.snapshot import Snapshot

COLUMNS = (
    Column("name", "READ", cut_to=18),
    Column("state", "STATE", least=9, holds="state"),
    Column("age", "AGE", right=True, least=3, marks=False, holds="seconds"),
    Column("took", "TOOK", right=True, spare=2, marks=False, holds="seconds"),
    Column("next", "NEXT TRY", right=True, spare=1, marks=False, holds="seconds"),
    Column("error", "ERROR", cut_to=16),
)
_HEALTH: dict[State, Health] = {
    State.FRESH: "ok",
    State.STALE: "warn",
    State.LOADING: "unknown",
    State.FORBIDDEN: "fail",
    State.FAILING: "fail",
    State.ABSENT: "none",
    State.OFF: "none",
}


def section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each thing that is read."""
    findings: tuple[Finding, ...] = ()
    if not snapshot.setting_up:
        findings = judge.verdict(snapshot).findings
    rules = dict(_rights(snapshot.cilium_namespace))
    rows: list[Row] = []
    entries: dict[str, Entry] = {}
    for label, health in snapshot.health.items():
        ref = Ref("Source", label)
        about = [f for f in findings if ref in (f.subject, *f.about) and f.code[:3] == "CS8"]
        row = _row(health, snapshot)
        rows.append(row)
        right = rules.get(health.kind.name, "")
        entries[label] = Entry(
            tuple(_lines(health, snapshot, about, right)), ref, findings=tuple(about)
        )
    healths = [row.health for row in rows]
    counts = counted(healths, {"fail": "cannot be read", "warn": "old or partial"})
    headline = (Span(f"{count(len(rows), 'thing')} read"), *counts)
    return Section(COLUMNS, Content(tuple(rows), plain("nothing is read")), entries, headline)


def _health(health: SourceHealth) -> Health:
    if health.state is State.ABSENT and health.kind.tier == "CLI":
        return "unknown"
    if health.state is State.FRESH and health.problems:
        return "warn"
    return _HEALTH[health.state]


def _row(health: SourceHealth, snapshot: Snapshot) -> Row:
    now, how = snapshot.taken_at, _health(health)
    partial = " (partial)" if health.problems else ""
    took, wait = health.took, health.next_try
    seconds = None if wait is None else max(0.0, (wait - now).total_seconds())
    age = None if health.read_at is None else (now - health.read_at).total_seconds()
    cells = (
        Cell(health.label),
        Cell(f"{SIGN[how]} {health.state}{partial}", rank(how), how),
        Cell(age_of(health.read_at, now), age),
        Cell(NOTHING if took is None else f"{took:.2f}s", took),
        Cell(NOTHING if seconds is None else f"{seconds:.0f}s", seconds),
        Cell(health.error or "; ".join(health.problems), tone=how if health.error else ""),
    )
    return Row(health.label, cells, health=how)


def _lines(
    health: SourceHealth, snapshot: Snapshot, findings: list[Finding], right: str
) -> Iterator[Line]:
    now, how = snapshot.taken_at, _health(health)
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
    columns=COLUMNS,
    make=section,
    kinds=("Source",),
    command=lambda snapshot: Equivalent("what is allowed", kubectl(snapshot, "auth can-i --list")),
)
