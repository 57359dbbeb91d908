"""Why a table is empty or old, in words: loading, none, forbidden and failing never look alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.snapshot import Snapshot, SourceHealth, State
from screens.format import age_of, time_of_day
from screens.widgets.columns import Content, Row
from screens.widgets.lines import Line, Span, Tone, plain
from screens.widgets.source_bar import CLI

_TONES: dict[State, Tone] = {
    State.FAILING: "fail",
    State.FORBIDDEN: "fail",
    State.STALE: "stale",
    State.ABSENT: "none",
    State.OFF: "none",
}
_OLD = (State.FAILING, State.FORBIDDEN, State.STALE)
_MOST = 3
"""Lines that a notice takes at most."""


def absence(snapshot: Snapshot, kinds: Sequence[str], what: str, none: str = "") -> Line:
    """Why there are no rows of something that these kinds tell of.

    Where they answered, there is none of it (`none`, or "no WHAT"), and how old that answer is if
    it is old. Otherwise each kind that did not answer says why; one that is not served at all
    speaks only when no other kind has anything to say.
    """
    found = [snapshot.health_of(kind) for kind in kinds]
    silent = [h for h in found if not h.known or h.state is State.FORBIDDEN]
    telling = [h for h in silent if not _unserved(h)]
    answered = len(silent) < len(found)
    now = snapshot.taken_at
    if answered and not telling:
        old = [health for health in found if health.state in _OLD]
        return _joined([plain(none or f"no {what}"), *_told(old, now)])
    return _joined(_told(telling or silent, now))


def notice(snapshot: Snapshot, kinds: Sequence[str]) -> list[Line]:
    """What must be said above rows of these kinds: what is old or partial, and why."""
    found = [snapshot.health_of(kind) for kind in kinds]
    lines = _told([h for h in found if h.state in _OLD or _missing(h)], snapshot.taken_at)
    lines += [plain(f"! {h.label}: {problem}", "warn") for h in found for problem in h.problems]
    if len(lines) <= _MOST:
        return lines
    return [*lines[: _MOST - 1], plain(f"… and {len(lines) - _MOST + 1} more such", "warn")]


def content(
    snapshot: Snapshot,
    rows: Iterable[Row],
    kinds: Sequence[str],
    what: str,
    *,
    none: str = "",
    beside: Sequence[str] = (),
) -> Content:
    """A table whose rows come from these kinds, with what must be said of them.

    Kinds that only add to the rows stand in `beside`: they are spoken of, and dim nothing.
    """
    return Content(
        rows=tuple(rows),
        absence=absence(snapshot, kinds, what, none),
        notice=tuple(notice(snapshot, (*kinds, *beside))),
        stale=any(snapshot.health_of(kind).state in _OLD for kind in kinds),
    )


def next_try(health: SourceHealth, now: datetime) -> str:
    """`next try in 12 s`, or "" when none is planned."""
    if health.next_try is None:
        return ""
    return f"next try in {max(0, round((health.next_try - now).total_seconds()))} s"


def _unserved(health: SourceHealth) -> bool:
    """A kind that this cluster does not have: nothing of it can be there."""
    return health.state is State.ABSENT and not _missing(health)


def _missing(health: SourceHealth) -> bool:
    """A program that is not there: what it would tell is not known."""
    return health.state is State.ABSENT and health.kind in CLI


def _told(found: Iterable[SourceHealth], now: datetime) -> list[Line]:
    """A line for each way of not being fresh; sources that fail alike share one."""
    alike: dict[tuple[State, str, bool], list[SourceHealth]] = {}
    for health in found:
        alike.setdefault((health.state, health.error, health.known), []).append(health)
    return [
        plain(_sentence(members, now), _TONES.get(state, ""))
        for (state, _, _), members in alike.items()
        if state is not State.FRESH
    ]


def _sentence(members: Sequence[SourceHealth], now: datetime) -> str:
    names = ", ".join(health.label for health in members)
    first = min(members, key=lambda health: health.since)
    match first.state:
        case State.LOADING:
            return f"loading {names} …"
        case State.ABSENT:
            return f"{names}: {first.error or 'not there'}"
        case State.OFF:
            return f"{names}: not read"
        case State.FORBIDDEN:
            said = f"not allowed to read {names}: {first.error}"
        case State.STALE:
            said = f"nothing heard of {names} since {time_of_day(first.since, now)}"
        case _:
            said = f"cannot read {names} since {time_of_day(first.since, now)}: {first.error}"
    read = [health.read_at for health in members if health.read_at]
    parts = [said, f"as of {age_of(min(read), now)} ago" if read else "", next_try(first, now)]
    return "; ".join(filter(None, parts))


def _joined(lines: Iterable[Line]) -> Line:
    spans: list[Span] = []
    for line in lines:
        spans.extend((Span("; "), *line) if spans else line)
    return tuple(spans)
