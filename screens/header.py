"""The two lines at the top and the one at the bottom of every screen, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len
from textual.binding import ActiveBinding, Binding

from app.model.health import cilium_version
from app.report.lines import Line, Span, cut, length
from app.state.kinds import VERSION, Kind
from app.state.snapshot import Snapshot
from screens.widgets.source_bar import sources

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
    spans: list[Span] = []
    for _, line in entries:
        spans += [Span("  " if spans else " "), *line]
    return tuple(spans)


def _crumbs(way: Sequence[str], room: int) -> Line:
    """The way, its last name cut where there is no room for all; () where there is none for it."""
    *before, last = way or ("",)
    leading = f" {''.join(f'{each} > ' for each in before)}"
    left = room - cell_len(leading)
    if not way or left < min(_NAME, cell_len(last)):
        return ()
    return (Span(leading), Span(cut(last, left), "strong"))
