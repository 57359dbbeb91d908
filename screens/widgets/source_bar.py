"""How the ways into the cluster are doing, and how old what each of them said is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from app.report.format import age_of
from app.report.lines import Line, Span, Tone, length
from app.state.kinds import (
    CLI_VERSION,
    VERSION,
    Kind,
)
from app.state.snapshot import Snapshot, SourceHealth, State

PATIENCE = 5.0
"""Seconds after which an answer is said to be missing, and no longer to be loading."""

_WORSE = (
    State.FORBIDDEN,
    State.FAILING,
    State.STALE,
    State.LOADING,
    State.ABSENT,
    State.FRESH,
    State.OFF,
)
_MARK: dict[State, tuple[str, Tone]] = {
    State.FORBIDDEN: ("✗ ", "fail"),
    State.FAILING: ("✗ ", "fail"),
    State.STALE: ("! ", "stale"),
    State.ABSENT: ("· ", "none"),
    State.LOADING: ("", ""),
    State.FRESH: ("", ""),
    State.OFF: ("· ", "none"),
}


def tiers(snapshot: Snapshot) -> Line:
    """`API 0s  CLI 9s  logs 2s`: each way into the cluster, its state and its age."""
    by_tier: dict[str, list[SourceHealth]] = {"API": [], "CLI": [], "logs": []}
    for health in snapshot.health.values():
        if health.kind is not CLI_VERSION:  # read so rarely, its age would pass for that of others
            by_tier[health.kind.tier].append(health)
    spans: list[Span] = []
    for name, members in by_tier.items():
        spans.extend((Span("  " if spans else ""), _tier_span(snapshot, name, members)))
    return tuple(span for span in spans if span.text)


def sources(snapshot: Snapshot, kinds: Sequence[Kind[object]], room: int) -> Line:
    """The sources of a screen with their ages; where room is short only what is not fresh."""
    known = [
        health
        for health in snapshot.health.values()
        if health.kind in kinds and not (health.kind.tier == "API" and _unserved(health))
    ]
    full = _joined(_source_span(snapshot, health) for health in known)
    if length(full) <= room:
        return full
    fresh = [health for health in known if health.state is State.FRESH]
    spans = [_source_span(snapshot, h) for h in known if h.state not in (State.FRESH, State.OFF)]
    oldest = min((h.read_at for h in fresh if h.read_at), default=None)
    if fresh:
        which = "all" if not spans else "others"
        spans.append(Span(f"{which} read ≤ {age_of(oldest, snapshot.taken_at)} ago"))
    short = _joined(spans)
    return short if length(short) <= room else _joined(_by_state(known))


def silent_for(health: SourceHealth, now: datetime) -> str:
    """For how long a source has been asked without an answer; "" while that is no wonder."""
    if health.state is not State.LOADING:
        return ""
    waited = (now - health.since).total_seconds()
    return age_of(health.since, now) if waited > PATIENCE else ""


def _by_state(known: Sequence[SourceHealth]) -> Iterator[Span]:
    counts = Counter(health.state for health in known)
    for state in sorted(counts, key=_WORSE.index):
        mark, tone = _MARK[state]
        yield Span(f"{mark}{counts[state]} {state}", tone)


def _unserved(health: SourceHealth) -> bool:
    """A kind that this cluster does not have is no fault of the way to it."""
    return health.state is State.ABSENT


def _tier_span(snapshot: Snapshot, name: str, members: Sequence[SourceHealth]) -> Span:
    running = [health for health in members if health.state is not State.OFF]
    if not running:
        return Span(f"{name} off", "none")
    beat = next((health for health in running if health.kind == VERSION), None)
    if beat is not None and beat.state in (State.FAILING, State.STALE, State.LOADING):
        running = [beat]
    counted = [h for h in running if not (name == "API" and _unserved(h))] or running
    worst = min((health.state for health in counted), key=_WORSE.index)
    mark, tone = _MARK[worst]
    read = [health.read_at for health in running if health.read_at]
    waits = max((w for h in running if (w := silent_for(h, snapshot.taken_at))), default="")
    if waits and worst is State.LOADING:
        return Span(f"! {name} no answer for {waits}", "warn")
    if not read:
        return Span(f"{mark}{name} {worst}", tone)
    # The oldest for what is polled; for the API, whose watches are quiet by nature, the heartbeat.
    newest = beat.read_at if beat and beat.read_at else max(read) if name == "logs" else min(read)
    return Span(f"{mark}{name} {age_of(newest, snapshot.taken_at)}", tone)


def _source_span(snapshot: Snapshot, health: SourceHealth) -> Span:
    mark, tone = _MARK[health.state]
    if waited := silent_for(health, snapshot.taken_at):
        return Span(f"! {health.label}: no answer for {waited}", "warn")
    told = health.state if health.read_at is None or health.state is State.FORBIDDEN else ""
    partial = "! " if health.problems and not mark else ""
    tone = "warn" if partial else tone
    return Span(
        f"{mark or partial}{health.label} {told or age_of(health.read_at, snapshot.taken_at)}", tone
    )


def _joined(spans: Iterable[Span]) -> Line:
    line: list[Span] = []
    for span in spans:
        line.extend((Span("  "), span) if line else (span,))
    return tuple(line)
