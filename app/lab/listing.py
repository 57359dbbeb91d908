"""Objects as the API server gives them: one, a list in pages, or a watch on their changes.

A page token carries the version of the first page, so that all pages show the cluster at one
moment. When the store no longer has that moment, the answer is 410 (Kubernetes API concepts,
"Retrieving large results sets in chunks").

What a watch shows is relative to its selection: an object that comes to match is ADDED, one that
ceases to match is DELETED ("Efficient detection of changes").
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from app.lab.access import Target, bad_request, too_large, too_old
from app.lab.fields import key_of, mapping
from app.lab.selectors import BadSelector, Selection, selection
from app.lab.store import Cluster, Event, Expired, JsonObject

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


class _Continue(msgspec.Struct):
    v: str
    rv: int
    start: str


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of one."""

    items: list[JsonObject]
    metadata: JsonObject
    """The list's `metadata`: its version, and how to go on."""
    whole: bool
    """Whether these are all objects of the collection, unfiltered and of now."""


def with_type(obj: JsonObject, target: Target) -> JsonObject:
    """An object on its own: kind first, and the version that was asked for."""
    kind: JsonObject = {"kind": target.resource.kind, "apiVersion": target.api_version}
    if target.resource.custom:
        return {**obj, **kind}
    return {**kind, **obj, **kind}


def in_list(obj: JsonObject, target: Target) -> JsonObject:
    """An object in a list: only custom resources repeat their kind."""
    if target.resource.custom:
        return with_type(obj, target)
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def list_document(page: Page, target: Target) -> JsonObject:
    """The body of a list."""
    return {
        "kind": f"{target.resource.kind}List",
        "apiVersion": target.api_version,
        "metadata": page.metadata,
        "items": [in_list(obj, target) for obj in page.items],
    }


def list_version(cluster: Cluster, target: Target) -> str:
    """The resourceVersion a list has now."""
    everywhere = target.resource.path(target.version)
    recorded = cluster.list_versions
    return recorded.get(target.path) or recorded.get(everywhere) or str(cluster.store.version)


def selected(target: Target, query: Mapping[str, str]) -> Selection:
    """What the query selects. Raises a Refusal with 400."""
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    try:
        return selection(target.resource, labels, fields)
    except BadSelector as problem:
        kind = f"{target.api_version}, Resource={target.resource.plural}"
        slash = "" if target.resource.group else "/"
        raise bad_request(
            f'Unable to find "{slash}{kind}" that match label selector "{labels}", '
            f'field selector "{fields}": {problem}'
        ) from problem


def page_of(cluster: Cluster, target: Target, query: Mapping[str, str]) -> Page:
    """The part of a collection that a query asks for. Raises a Refusal with 400, 410 or 504."""
    chosen = selected(target, query)
    limit = whole_number(query, "limit") or 0
    token = _token(query.get("continue", ""))
    version = str(token.rv) if token else _asked_version(cluster, target, query)
    found = [obj for obj in _objects(cluster, target, version) if chosen.matches(obj)]
    rest = [obj for obj in found if token is None or _place(obj) >= token.start]
    items = rest[:limit] if limit > 0 else rest
    metadata: JsonObject = {"resourceVersion": version}
    if len(items) < len(rest):
        metadata["continue"] = _continue(version, rest[limit])
        if chosen.everything:
            metadata["remainingItemCount"] = len(rest) - len(items)
    now = version == list_version(cluster, target)
    complete = chosen.everything and len(items) == len(found)
    return Page(items, metadata, now and complete)


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a number, None when it is absent. Raises a Refusal with 400."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as problem:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from problem


def switched_on(query: Mapping[str, str], name: str) -> bool:
    """A query parameter that is a switch."""
    return query.get(name, "") in ("1", "t", "T", "true", "True", "TRUE")


def check_version(cluster: Cluster, text: str) -> int:
    """A resourceVersion parameter as a number. Raises a Refusal with 400 or 504."""
    if not text.isascii() or not text.isdigit():
        raise bad_request(f'Invalid value: "{text}": resourceVersion is not a number')
    if int(text) > cluster.store.version:
        raise too_large(int(text), cluster.store.version)
    return int(text)


def _asked_version(cluster: Cluster, target: Target, query: Mapping[str, str]) -> str:
    asked = query.get("resourceVersion", "")
    if asked in ("", "0"):
        return list_version(cluster, target)
    check_version(cluster, asked)
    exact = query.get("resourceVersionMatch") == "Exact"
    return asked if exact else list_version(cluster, target)


def _objects(cluster: Cluster, target: Target, version: str) -> list[JsonObject]:
    key, namespace = target.resource.key, target.namespace
    if version == list_version(cluster, target):
        return cluster.store.all(key, namespace)
    try:
        return cluster.store.at(key, int(version), namespace)
    except Expired as expired:
        raise too_old(_EXPIRED) from expired


def _token(text: str) -> _Continue | None:
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=_Continue)
    except (ValueError, binascii.Error, msgspec.DecodeError) as problem:
        raise bad_request(f"continue key is not valid: {problem}") from problem


def _continue(version: str, first: JsonObject) -> str:
    token = _Continue("meta.k8s.io/v1", int(version), _place(first))
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _place(obj: JsonObject) -> str:
    """An object's key in etcd, by which lists are ordered."""
    return "/".join(key_of(obj))


_DEFAULT_SECONDS = 1800

Present = Callable[[JsonObject], JsonObject]
"""Turns the object of an event into the event's `object` (a plain object, or a Table)."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What a client wants to watch."""

    target: Target
    selection: Selection
    since: int | None
    """Report what happened after this version; None: begin with every object."""
    seconds: float
    """After how long the server ends it."""
    bookmarks: bool
    marked_start: bool
    """Whether a bookmark marks the end of the initial objects (`sendInitialEvents`)."""


def watch_of(cluster: Cluster, target: Target, query: Mapping[str, str]) -> Watch:
    """The watch a query asks for. Raises a Refusal with 400 or 504."""
    asked = query.get("resourceVersion", "")
    initial = switched_on(query, "sendInitialEvents")
    from_start = asked in ("", "0") or initial
    seconds = whole_number(query, "timeoutSeconds")
    return Watch(
        target,
        selected(target, query),
        None if from_start else check_version(cluster, asked),
        _DEFAULT_SECONDS if seconds is None or seconds <= 0 else seconds,
        switched_on(query, "allowWatchBookmarks"),
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
            for kind, obj in _seen(event, watch):
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


def _seen(event: Event, watch: Watch) -> Iterator[tuple[str, JsonObject]]:
    """What one change is for this client: nothing, or one event."""
    if watch.target.namespace not in ("", key_of(event.object)[0]):
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
    metadata = {**mapping(before, "metadata"), "resourceVersion": str(event.version)}
    return {**before, "metadata": metadata}


def _bookmark(target: Target, version: int, end_of_start: bool = False) -> JsonObject:
    metadata: JsonObject = {"resourceVersion": str(version), "creationTimestamp": None}
    if end_of_start:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"type": "BOOKMARK", "object": with_type({"metadata": metadata}, target)}
