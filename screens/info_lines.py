"""What ciliscope reads, how each source is, and where it keeps files, as lines for a screen."""

from __future__ import annotations

from collections.abc import Mapping

from app.model.wording import count
from app.report.format import age_of
from app.report.lines import Line, Span, Tone, plain
from app.state.snapshot import Snapshot, State

_TONE: dict[State, Tone] = {
    State.FRESH: "ok",
    State.STALE: "warn",
    State.FAILING: "fail",
    State.FORBIDDEN: "fail",
}


def info_lines(snapshot: Snapshot, facts: Mapping[str, str]) -> list[Line]:
    """The facts, then every source with its state, its age and what it could not tell."""
    width = max((len(name) for name in facts), default=0)
    lines: list[Line] = [
        (Span(f"   {name:<{width}}  ", "accent"), Span(value)) for name, value in facts.items()
    ]
    lines += [(), plain(f" {count(len(snapshot.health), 'source')}", "strong")]
    widest = max((len(health.label) for health in snapshot.health.values()), default=0)
    for health in snapshot.health.values():
        age = age_of(health.read_at, snapshot.taken_at)
        took = f"{health.took:.2f}s" if health.took is not None else ""
        lines.append(
            (
                Span(f"   {health.label:<{widest}}  "),
                Span(f"{health.state:<9}  ", _TONE.get(health.state, "none")),
                Span(f"{age:>5} {took:>7}  "),
                Span("; ".join(filter(None, (health.error, *health.problems))), "warn"),
            )
        )
    return lines
