"""The JSON document around what `get` prints (`docs/json.md`).

Times are ISO 8601 with zone, durations and ages are seconds, counts are numbers, what is not known
is null. Field names appear in JSON as camelCase and are a promise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import TypeVar

import msgspec

from app.model.health import cilium_release
from app.state.kinds import VERSION, Kind
from app.state.snapshot import Snapshot, SourceHealth

SCHEMA_VERSION = 1
"""Goes up when a field changes its meaning or goes away; new fields do not count."""


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """An object of a document: a row of a table, or a part of one.

    A part may be a record of the model, where all its fields are shown.
    """


ItemType = TypeVar("ItemType", bound=Item)


def item(kind: type[ItemType], thing: object, **others: object) -> ItemType:
    """An item that has what the thing has under the names of its fields, and `others`."""
    for name in kind.__struct_fields__:
        if name not in others:
            others[name] = getattr(thing, name)
    return msgspec.convert(SimpleNamespace(**others), kind, from_attributes=True)


class SourceItem(Item, frozen=True):
    """How a source is doing."""

    name: str
    state: str
    age: float | None
    took: float | None
    error: str
    problems: tuple[str, ...]
    next_try: datetime | None


class ClusterItem(Item, frozen=True):
    """Which cluster this is about."""

    context: str
    kubernetes: str | None
    cilium: str | None


class Document(Item, frozen=True):
    """One answer."""

    schema_version: int
    kind: str
    taken_at: datetime
    cluster: ClusterItem
    items: tuple[Item, ...]
    sources: tuple[SourceItem, ...]


def document(
    snapshot: Snapshot, kind: str, items: Sequence[Item], needed: Collection[Kind[object]] | None
) -> str:
    """The document as indented JSON, a newline at the end.

    `sources` has each source that the items were read from (all, when `needed` is None), so that an
    empty list can be told from one that could not be read.
    """
    shown = [h for h in snapshot.health.values() if needed is None or h.kind in needed]
    return indented(
        Document(
            schema_version=SCHEMA_VERSION,
            kind=kind,
            taken_at=snapshot.taken_at,
            cluster=cluster_item(snapshot),
            items=tuple(items),
            sources=tuple(_source_item(snapshot, health) for health in shown),
        )
    )


def indented(document: object) -> str:
    """A document as JSON, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def cluster_item(snapshot: Snapshot) -> ClusterItem:
    """The cluster that a snapshot is of."""
    version = snapshot.records[VERSION].get("version")
    return ClusterItem(
        context=snapshot.context,
        kubernetes=version.git_version if version else None,
        cilium=cilium_release(snapshot) or None,
    )


def source_items(snapshot: Snapshot) -> tuple[SourceItem, ...]:
    """Every source."""
    return tuple(_source_item(snapshot, health) for health in snapshot.health.values())


def _source_item(snapshot: Snapshot, health: SourceHealth) -> SourceItem:
    return item(SourceItem, health, name=health.label, age=seconds_since(health.read_at, snapshot))


def seconds_since(moment: datetime | None, snapshot: Snapshot) -> float | None:
    """Seconds from a moment to that of the snapshot; None where there is no moment."""
    return None if moment is None else max(0.0, (snapshot.taken_at - moment).total_seconds())
