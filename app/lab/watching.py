"""Watches: a resource's changes as lines of JSON, for as long as the client listens.

What a client sees is relative to its selection: an object that comes to match is ADDED for it,
one that ceases to match is DELETED (Kubernetes API concepts, "Efficient detection of changes").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass

from app.lab.listing import (
    check_version,
    list_version,
    selected,
    truth,
    whole_number,
    with_type,
)
from app.lab.refusals import too_old
from app.lab.routes import Target
from app.lab.selectors import Selection
from app.lab.store import Cluster, Event, Expired, JsonObject

_DEFAULT_SECONDS = 1800

Present = Callable[[JsonObject], JsonObject]
"""Turns the object of an event into the event's `object` (a plain object, or a Table)."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What a client asked to be told."""

    target: Target
    selection: Selection
    since: int | None
    """Tell what happened after this version; None: begin with everything there is."""
    seconds: float
    """After how long the server ends it."""
    bookmarks: bool
    marked_start: bool
    """Whether a bookmark tells the end of the initial objects (`sendInitialEvents`)."""


def watch_of(cluster: Cluster, target: Target, query: Mapping[str, str]) -> Watch:
    """The watch a query asks for. Raises a Refusal with 400 or 504."""
    asked = query.get("resourceVersion", "")
    initial = truth(query, "sendInitialEvents")
    from_start = asked in ("", "0") or initial
    seconds = whole_number(query, "timeoutSeconds")
    return Watch(
        target,
        selected(target, query),
        None if from_start else check_version(cluster, asked),
        _DEFAULT_SECONDS if seconds is None or seconds <= 0 else seconds,
        truth(query, "allowWatchBookmarks"),
        initial,
    )


async def watch_lines(
    cluster: Cluster, watch: Watch, interval: float, present: Present
) -> AsyncGenerator[JsonObject, None]:
    """The watch's events until it is too old; a bookmark every `interval` seconds at the latest.

    It does not end by itself: the caller bounds it with `watch.seconds`.
    """
    store, target = cluster.store, watch.target
    version = watch.since
    if version is None:
        version = int(list_version(cluster, target))
        for obj in store.all(target.resource.key, target.namespace):
            if watch.selection.matches(obj):
                yield {"type": "ADDED", "object": present(obj)}
        if watch.marked_start:
            yield _bookmark(target, version, end_of_start=True)
    loop = asyncio.get_running_loop()
    due = loop.time() + interval
    while True:
        try:
            events = store.since(target.resource.key, version)
        except Expired as expired:
            yield {"type": "ERROR", "object": too_old(str(expired)).status}
            return
        version = max(version, int(list_version(cluster, target)))
        for event in events:
            for kind, obj in _told(event, watch):
                yield {"type": kind, "object": present(obj)}
        if events:
            continue
        try:
            async with asyncio.timeout_at(due):
                await store.changed()
        except TimeoutError:
            if watch.bookmarks:
                yield _bookmark(target, version)
            due = loop.time() + interval


def _told(event: Event, watch: Watch) -> Iterator[tuple[str, JsonObject]]:
    """What one change is for this client: nothing, or one event."""
    if watch.target.namespace not in ("", _metadata(event.object).get("namespace")):
        return
    was = event.before is not None and watch.selection.matches(event.before)
    remains = event.type != "DELETED" and watch.selection.matches(event.object)
    if remains:
        yield ("MODIFIED" if was else "ADDED", event.object)
    elif was:
        yield ("DELETED", event.object if event.type == "DELETED" else _last_seen(event))


def _last_seen(event: Event) -> JsonObject:
    """The object as the client knew it, with the version at which it left the selection."""
    before = event.before or event.object
    return {**before, "metadata": {**_metadata(before), "resourceVersion": str(event.version)}}


def _metadata(obj: JsonObject) -> JsonObject:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _bookmark(target: Target, version: int, end_of_start: bool = False) -> JsonObject:
    metadata: JsonObject = {"resourceVersion": str(version), "creationTimestamp": None}
    if end_of_start:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"type": "BOOKMARK", "object": with_type({"metadata": metadata}, target)}
