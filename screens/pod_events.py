"""What Kubernetes reported about an object of Cilium's namespace, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from app.report.format import age_of
from app.report.lines import TIMES, Line, Span, Tone, plain, wrapped
from app.state.kinds import EVENTS
from collectors.sanitize import one_line
from screens.base.empty_state import absence

if TYPE_CHECKING:
    from app.model.finding import Ref
    from app.state.snapshot import Snapshot
    from collectors.kubernetes.records import Event

MOST = 15
"""Events shown of one object."""

_AGE, _OFTEN = 4, 5
_INDENT = 3 + _AGE + 1 + _OFTEN
_NEVER = float("-inf")

Events = Mapping[tuple[str, str, str], Sequence["Event"]]
"""By kind, namespace and name of what they are about, newest first."""


def events_by_object(events: Iterable[Event]) -> Events:
    """Events under what they are about. Those of a Deployment's ReplicaSets are under both."""
    found: dict[tuple[str, str, str], list[Event]] = {}
    for event in events:
        ref = event.involved_object
        found.setdefault((ref.kind, ref.namespace, ref.name), []).append(event)
        if ref.kind == "ReplicaSet":
            deployment = ref.name.rpartition("-")[0]
            found.setdefault(("Deployment", ref.namespace, deployment), []).append(event)
    return {key: sorted(some, key=_newest) for key, some in found.items()}


def events_of(events: Events, ref: Ref) -> Sequence[Event]:
    """What was reported about an object."""
    return events.get((ref.kind, ref.namespace, ref.name), ())


def event_lines(
    found: Sequence[Event], snapshot: Snapshot, width: int, most: int = MOST
) -> list[Line]:
    """A line for each: how long ago, how often, why, what. Without any, why there are none."""
    now = snapshot.taken_at
    if not found:
        none = "none; Kubernetes keeps them for an hour or so"
        return wrapped((Span("   "), *absence(snapshot, (EVENTS,), "", none)), width, 3)
    lines = [line for event in found[:most] for line in wrapped(_line(event, now), width, _INDENT)]
    if len(found) > most:
        lines.append(plain(f"   and {len(found) - most} older", "none"))
    return lines


def _line(event: Event, now: datetime) -> Line:
    warns = event.type == "Warning"
    tone: Tone = "warn" if warns else ""
    times = times_seen(event)
    often = f"{TIMES}{times}" if times > 1 else ""
    return (
        Span(f" {'!' if warns else '·'} ", tone or "none"),
        Span(f"{age_of(event.last_seen, now):>{_AGE}} {often:<{_OFTEN}}"),
        Span(f"{event.reason}  ", tone),
        Span(one_line(event.message)),
    )


def times_seen(event: Event) -> int:
    """How often it came; at least once."""
    return max(event.count, event.series.count if event.series else 0, 1)


def _newest(event: Event) -> tuple[float, str]:
    seen = event.last_seen
    return (-(seen.timestamp() if seen else _NEVER), event.name)
