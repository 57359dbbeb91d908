"""The two lines at the top and the one at the bottom of every screen: names, sources and keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len
from textual.binding import ActiveBinding, Binding

from app.model.health import cilium_version
from app.report.lines import Line, Span, Tone, age_of, cut, length
from app.state.kinds import CLI_VERSION, VERSION, Kind
from app.state.snapshot import Snapshot, SourceHealth, State
from screens.widgets.live_text import joined

PATIENCE = 5.0
"""Seconds after which an answer is said to be missing, and no longer to be loading."""

_MARK: dict[State, tuple[str, Tone]] = {
    State.FORBIDDEN: ("✗ ", "fail"),
    State.FAILING: ("✗ ", "fail"),
    State.STALE: ("! ", "stale"),
    State.LOADING: ("", ""),
    State.ABSENT: ("· ", "none"),
    State.FRESH: ("", ""),
    State.OFF: ("· ", "none"),
}
"""How a state is marked, the worst first."""
_WORSE = tuple(_MARK)


def tiers(snapshot: Snapshot) -> Line:
    """`API 0s  CLI 9s  logs 2s`: each way into the cluster, its state and its age."""
    by_tier: dict[str, list[SourceHealth]] = {"API": [], "CLI": [], "logs": []}
    for health in snapshot.health.values():
        if health.kind is not CLI_VERSION:  # read so rarely, its age would pass for that of others
            by_tier[health.kind.tier].append(health)
    return _side_by_side(_tier_span(snapshot, name, members) for name, members in by_tier.items())


def sources(snapshot: Snapshot, kinds: Sequence[Kind[object]], room: int) -> Line:
    """The sources of a screen with their ages; where room is short only what is not fresh."""
    known = [
        health
        for health in snapshot.health.values()
        if health.kind in kinds and not (health.kind.tier == "API" and health.state is State.ABSENT)
    ]
    full = _side_by_side(_source_span(snapshot, health) for health in known)
    if length(full) <= room:
        return full
    fresh = [health for health in known if health.state is State.FRESH]
    spans = [_source_span(snapshot, h) for h in known if h.state not in (State.FRESH, State.OFF)]
    oldest = min((h.read_at for h in fresh if h.read_at), default=None)
    if fresh:
        which = "all" if not spans else "others"
        spans.append(Span(f"{which} read ≤ {age_of(oldest, snapshot.taken_at)} ago"))
    short = _side_by_side(spans)
    return short if length(short) <= room else _side_by_side(_by_state(known))


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


def _tier_span(snapshot: Snapshot, name: str, members: Sequence[SourceHealth]) -> Span:
    running = [health for health in members if health.state is not State.OFF]
    if not running:
        return Span(f"{name} off", "none")
    beat = next((health for health in running if health.kind == VERSION), None)
    if beat is not None and beat.state in (State.FAILING, State.STALE, State.LOADING):
        running = [beat]
    # A kind that this cluster does not have is no fault of the way to it.
    counted = [h for h in running if not (name == "API" and h.state is State.ABSENT)] or running
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
    state = health.state if health.read_at is None or health.state is State.FORBIDDEN else ""
    partial = "! " if health.problems and not mark else ""
    tone = "warn" if partial else tone
    return Span(
        f"{mark or partial}{health.label} {state or age_of(health.read_at, snapshot.taken_at)}",
        tone,
    )


def _side_by_side(spans: Iterable[Span]) -> Line:
    return joined((span,) for span in spans)


_ALWAYS = frozenset({"prompt", "help"})
"""Keys that lead to all others; they are shown however narrow it is."""

PROMPT_KEYS: Line = (
    *(Span(" ↵", "accent"), Span(" enter")),
    *(Span("  esc", "accent"), Span(" leave")),
    *(Span("  tab →", "accent"), Span(" complete")),
    *(Span("  ↑ ↓", "accent"), Span(" earlier, later")),
    *(Span("  ctrl-u", "accent"), Span(" clear")),
)
"""The keys of an open prompt."""

_SOURCES = 24
"""Columns that the sources need to tell more than their number."""
WAY_FROM = 100
"""Columns from which on the way is told. The width of the window alone decides: what is read, and
how old that is, must not make a title come and go."""
_NAME = 12
"""Columns that the name at the end of the way may be cut to."""


def identity(snapshot: Snapshot) -> Line:
    """`ciliscope  context · Cilium 1.19 · Kubernetes v1.33.1`."""
    major, minor = cilium_version(snapshot)
    version = snapshot.records[VERSION].get("version")
    parts = [snapshot.context or "no context"]
    if major:
        parts.append(f"Cilium {major}.{minor}")
    if version is not None and version.git_version:
        parts.append(f"Kubernetes {version.git_version}")
    return (Span(" ciliscope", "accent"), Span(f"  {' · '.join(parts)}"))


def title(
    way: Sequence[str],
    own: str,
    headline: Line,
    snapshot: Snapshot,
    kinds: Sequence[Kind[object]],
    room: int,
) -> tuple[Line, Line]:
    """The left and the right half of the title: what it shows, and what that was read from.

    `way` leads from the context to the selected object, in a window that is wide enough; elsewhere,
    and beside a context that leaves no room for it, the screen's `own` title stands there alone.
    """
    beside = (Span("  "), *headline)
    short: Line = (Span(f" {own}", "strong"),)
    way = way if room >= WAY_FROM else ()
    left = (*(_crumbs(way, room - length(beside) - _SOURCES - 3) or short), *beside)
    return left, (*sources(snapshot, kinds, room - length(left) - 3), Span(" "))


def keys_line(
    bindings: Iterable[ActiveBinding], spelled: Callable[[Binding], str], room: int
) -> Line:
    """The keys that work here, as many as fit, those first that belong to what has the focus."""
    entries: list[tuple[str, Line]] = []
    seen: set[str] = set()
    for active in bindings:
        binding = active.binding
        if binding.show and binding.description and binding.action not in seen:
            seen.add(binding.action)
            key = spelled(binding)
            entries.append(
                (binding.id or "", (Span(key, "accent"), Span(f" {binding.description}")))
            )
    entries.append(("screens", (Span("F1-F8", "accent"), Span(" screens"))))
    while sum(length(line) + 2 for _, line in entries) > room + 1:
        droppable = [place for place, (name, _) in enumerate(entries) if name not in _ALWAYS]
        if not droppable:
            break
        del entries[droppable[-1]]
    return (Span(" "), *joined(line for _, line in entries))


def _crumbs(way: Sequence[str], room: int) -> Line:
    """The way, its last name cut where there is no room for all; () where there is none for it."""
    *before, last = way or ("",)
    leading = f" {''.join(f'{each} > ' for each in before)}"
    left = room - cell_len(leading)
    if not way or left < min(_NAME, cell_len(last)):
        return ()
    return (Span(leading), Span(cut(last, left), "strong"))
