"""Why a table is empty or old, in words: loading, none, forbidden and failing never look alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from app.model.wording import more
from app.report.columns import Row
from app.report.lines import Line, Tone, age_of, plain, time_of_day
from app.state.kinds import VERSION, Kind
from app.state.snapshot import Snapshot, SourceHealth, State
from screens.base.header import silent_for
from screens.widgets.columns import Content
from screens.widgets.live_text import joined

_TONES: dict[State, Tone] = {
    State.FAILING: "fail",
    State.FORBIDDEN: "fail",
    State.STALE: "stale",
    State.ABSENT: "none",
    State.OFF: "none",
}
_SERVER = re.compile(r"https?://[^\s/]*[^\s/:]")
_OLD = (State.FAILING, State.FORBIDDEN, State.STALE)
_MOST = 3
"""Lines that a notice takes at most."""


def absence(snapshot: Snapshot, kinds: Sequence[Kind[object]], what: str, none: str = "") -> Line:
    """Why there are no rows of something that these kinds tell of.

    Where they answered, there is none of it (`none`, or "no WHAT"), and how old that answer is if
    it is old. Otherwise each kind that did not answer says why; one that is not served at all
    speaks only when no other kind has anything to say.
    """
    found = [snapshot.health_of(kind) for kind in kinds]
    silent = [h for h in found if not h.known or h.state is State.FORBIDDEN]
    telling = [h for h in silent if not _unserved(h) and h.state is not State.OFF]
    answered = len(silent) < len(found)
    if answered and not telling:
        old = [health for health in found if health.state in (*_OLD, State.OFF)]
        return joined([plain(none or f"no {what}"), *_health_lines(old, snapshot)], "; ")
    return joined(_health_lines(telling or silent, snapshot), "; ")


def notice(snapshot: Snapshot, kinds: Sequence[Kind[object]]) -> list[Line]:
    """What must be said above rows of these kinds: what is old or partial, and why."""
    found = [snapshot.health_of(kind) for kind in kinds]
    now = snapshot.taken_at
    amiss = [h for h in found if h.state in _OLD or _missing(h) or silent_for(h, now)]
    lines = _health_lines(amiss, snapshot)
    lines += [plain(f"! {h.label}: {problem}", "warn") for h in found for problem in h.problems]
    if len(lines) <= _MOST:
        return lines
    return [*lines[: _MOST - 1], plain(f"… {more(len(lines) - _MOST + 1)} such", "warn")]


def content(
    snapshot: Snapshot,
    rows: Iterable[Row],
    kinds: Sequence[Kind[object]],
    what: str,
    *,
    none: str = "",
    beside: Sequence[Kind[object]] = (),
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
    return health.state is State.ABSENT and health.kind.tier == "CLI"


def _health_lines(found: Iterable[SourceHealth], snapshot: Snapshot) -> list[Line]:
    """A line for each way of not being fresh; sources that fail alike share one.

    While the API server does not answer, everything that is read of it fails for that one reason.
    """
    beat = snapshot.health_of(VERSION)
    down = beat.state in (State.FAILING, State.STALE)
    server = _SERVER.search(beat.error) if down else None
    alike: dict[tuple[State, str, bool, bool], list[SourceHealth]] = {}
    for health in found:
        command, state, error, known = (
            health.kind.tier == "CLI",
            health.state,
            health.error,
            health.known,
        )
        if command and server and server[0] in error:
            command = False  # the command met the same silence
        if down and state in (State.FAILING, State.STALE, State.LOADING):
            state, known = (state, known) if command else (beat.state, True)
            error = "" if command else beat.error
        alike.setdefault((state, error, known, command), []).append(health)
    return [
        plain(_sentence(state, error, members, snapshot), _TONES.get(state, ""))
        for (state, error, _, _), members in alike.items()
        if state is not State.FRESH
    ]


def _sentence(state: State, error: str, members: Sequence[SourceHealth], snapshot: Snapshot) -> str:
    now = snapshot.taken_at
    names = ", ".join(dict.fromkeys(_name(health) for health in members))
    first = min(members, key=lambda health: health.since)
    error = error or first.error
    match state:
        case State.LOADING:
            waited = silent_for(first, now)
            return f"{names}: no answer for {waited}" if waited else f"loading {names} …"
        case State.ABSENT:
            return f"{names}: {error or 'not there'}"
        case State.OFF:
            return f"{names}: not read"
        case State.FORBIDDEN:
            said = f"not allowed to read {names}: {error}"
        case State.STALE:
            said = f"nothing heard of {names} since {time_of_day(first.since, now)}"
        case _:
            said = f"cannot read {names} since {time_of_day(first.since, now)}: {error}"
    read = [health.read_at for health in members if health.read_at]
    parts = [said, f"as of {age_of(min(read), now)} ago" if read else "", next_try(first, now)]
    return "; ".join(filter(None, parts))


def _name(health: SourceHealth) -> str:
    """What a source is called; for a command that no source runs, the command."""
    if health.label != health.kind.name:
        return health.label
    name = health.kind.name.replace("_", " ")
    return f"cilium {name}" if health.kind.tier == "CLI" and health.state is State.OFF else name
