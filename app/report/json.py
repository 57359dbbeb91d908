"""The JSON document around what `get` tells (`docs/json.md`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from app.model.health import cilium_release
from app.report.items import Item, SourceItem, source_item
from app.state.kinds import VERSION, Kind
from app.state.snapshot import Snapshot

SCHEMA_VERSION = 1
"""Goes up when a field changes its meaning or goes away; new fields do not count."""


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

    `sources` tells of each source that the items were read from (all, when `needed` is None), so
    that an empty list can be told from one that could not be read.
    """
    told = Document(
        schema_version=SCHEMA_VERSION,
        kind=kind,
        taken_at=snapshot.taken_at,
        cluster=cluster_item(snapshot),
        items=tuple(items),
        sources=tuple(
            source_item(snapshot, health)
            for health in snapshot.health.values()
            if needed is None or health.kind in needed
        ),
    )
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"


def cluster_item(snapshot: Snapshot) -> ClusterItem:
    """The cluster that a snapshot is of."""
    version = snapshot.records[VERSION].get("version")
    return ClusterItem(
        context=snapshot.context,
        kubernetes=version.git_version if version else None,
        cilium=cilium_release(snapshot) or None,
    )
