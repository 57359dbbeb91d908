"""Which columns the operator has chosen, and in which order: values that can be kept."""

from __future__ import annotations

from collections.abc import Sequence

from app.report.columns import Column

Layout = tuple[tuple[str, bool], ...]
"""The keys of the columns in their order, each with whether it is shown."""


def default_layout(columns: Sequence[Column]) -> Layout:
    """The columns as they were declared."""
    return tuple((column.key, column.chosen) for column in columns)


def layout_of(kept: Layout, columns: Sequence[Column]) -> Layout:
    """What was kept, for the columns that there are: new ones stand where they were declared."""
    declared = {column.key: column.chosen for column in columns}
    entries = [(key, chosen) for key, chosen in dict(kept).items() if key in declared]
    known = {key for key, _ in entries}
    for place, column in enumerate(columns):
        if column.key not in known:
            entries.insert(place, (column.key, column.chosen))
    return tuple(entries) if any(chosen for _, chosen in entries) else default_layout(columns)


def places_of(layout: Layout, columns: Sequence[Column]) -> tuple[int, ...]:
    """The columns that are shown, in order, by their places among all."""
    places = {column.key: place for place, column in enumerate(columns)}
    return tuple(places[key] for key, chosen in layout if chosen)


def toggled(layout: Layout, line: int) -> Layout:
    """The layout with one column shown or hidden; the last one that is shown stays."""
    key, chosen = layout[line]
    if chosen and sum(shown for _, shown in layout) == 1:
        return layout
    return (*layout[:line], (key, not chosen), *layout[line + 1 :])


def moved(layout: Layout, line: int, step: int) -> Layout:
    """The layout with one column a step further; at the edge it stays."""
    entries = list(layout)
    if 0 <= line + step < len(entries):
        entries[line], entries[line + step] = entries[line + step], entries[line]
    return tuple(entries)
