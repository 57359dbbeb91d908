"""What the API server answers to a read: an object, a list in pages, a watch, a container's log.

A page token carries the version of the first page, so that all pages show the cluster at one
moment. When the store no longer has that moment, the answer is 410 (Kubernetes API concepts,
"Retrieving large results sets in chunks"). What a watch shows is relative to its selection: an
object that comes to match is ADDED, one that ceases to match is DELETED ("Efficient detection of
changes").

Options of a log and their meaning: Kubernetes `core/v1 PodLogOptions`; messages:
`pkg/registry/core/pod/strategy.go` and the kubelet's `kuberuntime_container.go`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from app.lab.access import BadSelector, Refusal, Selection, Target, not_found, selection, too_large
from app.lab.fields import key_of, mapping, objects, text
from app.lab.store import Cluster, Event, Expired, JsonObject, stamp

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


_DEFAULT_SECONDS = 1800
"""How long a watch lasts whose client does not say."""

Present = Callable[[JsonObject], JsonObject]
"""Turns the object of an event into the event's `object` (a plain object, or a Table)."""


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


def _in_list(obj: JsonObject, target: Target) -> JsonObject:
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
        "items": [_in_list(obj, target) for obj in page.items],
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
        raise Refusal(
            400,
            f'Unable to find "{slash}{kind}" that match label selector "{labels}", '
            f'field selector "{fields}": {problem}',
        ) from problem


def page_of(cluster: Cluster, target: Target, query: Mapping[str, str]) -> Page:
    """The part of a collection that a query asks for. Raises a Refusal with 400, 410 or 504."""
    chosen = selected(target, query)
    limit = _whole_number(query, "limit") or 0
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


def _whole_number(query: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a number, None when it is absent. Raises a Refusal with 400."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as problem:
        raise Refusal(400, f'strconv.ParseInt: parsing "{text}": invalid syntax') from problem


def switched_on(query: Mapping[str, str], name: str) -> bool:
    """A query parameter that is a switch."""
    return query.get(name, "") in ("1", "t", "T", "true", "True", "TRUE")


def _check_version(cluster: Cluster, text: str) -> int:
    """A resourceVersion parameter as a number. Raises a Refusal with 400 or 504."""
    if not text.isascii() or not text.isdigit():
        raise Refusal(400, f'Invalid value: "{text}": resourceVersion is not a number')
    if int(text) > cluster.store.version:
        raise too_large(int(text), cluster.store.version)
    return int(text)


def _asked_version(cluster: Cluster, target: Target, query: Mapping[str, str]) -> str:
    asked = query.get("resourceVersion", "")
    if asked in ("", "0"):
        return list_version(cluster, target)
    _check_version(cluster, asked)
    exact = query.get("resourceVersionMatch") == "Exact"
    return asked if exact else list_version(cluster, target)


def _objects(cluster: Cluster, target: Target, version: str) -> list[JsonObject]:
    key, namespace = target.resource.key, target.namespace
    if version == list_version(cluster, target):
        return cluster.store.all(key, namespace)
    try:
        return cluster.store.at(key, int(version), namespace)
    except Expired as expired:
        raise Refusal(410, _EXPIRED) from expired


def _token(text: str) -> _Continue | None:
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=_Continue)
    except (ValueError, binascii.Error, msgspec.DecodeError) as problem:
        raise Refusal(400, f"continue key is not valid: {problem}") from problem


def _continue(version: str, first: JsonObject) -> str:
    token = _Continue("meta.k8s.io/v1", int(version), _place(first))
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _place(obj: JsonObject) -> str:
    """An object's key in etcd, by which lists are ordered."""
    return "/".join(key_of(obj))


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
    seconds = _whole_number(query, "timeoutSeconds")
    return Watch(
        target,
        selected(target, query),
        None if from_start else _check_version(cluster, asked),
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
            yield {"type": "ERROR", "object": Refusal(410, str(expired)).status}
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


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What a client wants of one container's log."""

    namespace: str
    pod: str
    container: str
    follow: bool
    previous: bool
    timestamps: bool
    tail: int | None
    """At most this many of the last lines."""
    since: datetime | None
    """Nothing written before this."""
    limit: int | None
    """At most this many bytes."""


def log_query(cluster: Cluster, target: Target, query: Mapping[str, str]) -> LogQuery:
    """The log a request asks for. Raises a Refusal with 400, 404 or 422."""
    pod = cluster.store.get(target.resource.key, target.namespace, target.name)
    if pod is None:
        raise not_found(target.resource, target.name)
    found = LogQuery(
        target.namespace,
        target.name,
        _container(pod, target.name, query.get("container", "")),
        switched_on(query, "follow"),
        switched_on(query, "previous"),
        switched_on(query, "timestamps"),
        _positive(query, "tailLines", least=0),
        _since(query, cluster.clock()),
        _positive(query, "limitBytes", least=1),
    )
    log = cluster.logs.of(found.namespace, found.pod, found.container)
    if found.previous and not (log and log.previous):
        raise Refusal(
            400, f'previous terminated container "{found.container}" in pod "{found.pod}" not found'
        )
    return found


async def log_text(cluster: Cluster, query: LogQuery) -> AsyncGenerator[bytes, None]:
    """The text in pieces; with `follow` for as long as the container lives."""
    left = query.limit
    async for piece in _pieces(cluster, query):
        if left is None:
            yield piece
            continue
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


async def _pieces(cluster: Cluster, query: LogQuery) -> AsyncGenerator[bytes, None]:
    log = cluster.logs.of(query.namespace, query.pod, query.container)
    if query.previous and log is not None:
        yield _log_bytes(log.previous, log.previous_stamps, query, query.tail)
        return
    restarts = log.restarts if log else 0
    sent = log.dropped + len(log.lines) if log else 0
    if log is not None:
        yield _log_bytes(log.lines, log.stamps, query, query.tail)
    while query.follow:
        log = cluster.logs.of(query.namespace, query.pod, query.container)
        if log is not None and log.restarts != restarts:
            yield _log_bytes(log.previous[max(0, sent - log.previous_dropped) :], (), query, None)
            return
        if log is not None and sent < log.dropped + len(log.lines):
            fresh = log.lines[max(0, sent - log.dropped) :]
            sent = log.dropped + len(log.lines)
            yield _log_bytes(fresh, (), query, None)
            continue
        if not await _still_there(cluster, query):
            return


async def _still_there(cluster: Cluster, query: LogQuery) -> bool:
    """Wait for the next line or change of anything; whether the pod still exists then."""
    waits = [
        asyncio.ensure_future(cluster.logs.changed()),
        asyncio.ensure_future(cluster.store.changed()),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return cluster.store.get(("", "pods"), query.namespace, query.pod) is not None


def _log_bytes(
    lines: Sequence[tuple[datetime, str]],
    stamps: Sequence[str],
    query: LogQuery,
    tail: int | None,
) -> bytes:
    first = 0 if tail is None else max(0, len(lines) - tail)
    rows: list[str] = []
    for index in range(first, len(lines)):
        at, line = lines[index]
        if query.since is not None and at < query.since:
            continue
        if query.timestamps:
            line = f"{stamps[index] if stamps else stamp(at, 9)} {line}"
        rows.append(f"{line}\n")
    return "".join(rows).encode("utf-8", "surrogateescape")


def _container(pod: JsonObject, name: str, asked: str) -> str:
    regular = [text(each, "name") for each in objects(pod, "spec", "containers")]
    initial = [text(each, "name") for each in objects(pod, "spec", "initContainers")]
    if asked:
        if asked not in regular + initial:
            raise Refusal(400, f"container {asked} is not valid for pod {name}")
        return asked
    if len(regular) == 1:
        return regular[0]
    choice = f"choose one of: [{' '.join(regular)}]"
    also = f" or one of the init containers: [{' '.join(initial)}]" if initial else ""
    raise Refusal(400, f"a container name must be specified for pod {name}, {choice}{also}")


def _positive(query: Mapping[str, str], name: str, least: int) -> int | None:
    number = _whole_number(query, name)
    if number is not None and number < least:
        rule = "greater than or equal to 0" if least == 0 else "greater than 0"
        raise Refusal(
            422, f'PodLogOptions "" is invalid: {name}: Invalid value: {number}: must be {rule}'
        )
    return number


def _since(query: Mapping[str, str], now: datetime) -> datetime | None:
    seconds, moment = _positive(query, "sinceSeconds", least=1), query.get("sinceTime", "")
    if seconds is not None and moment:
        raise Refusal(422, "at most one of `sinceTime` or `sinceSeconds` may be specified")
    if seconds is not None:
        return now - timedelta(seconds=seconds)
    if not moment:
        return None
    try:
        since = datetime.fromisoformat(moment)
    except ValueError as problem:
        raise Refusal(400, f'sinceTime: cannot parse "{moment}" as RFC 3339') from problem
    if since.tzinfo is None:
        raise Refusal(400, f'sinceTime: "{moment}" has no time zone')
    # The API server hands it on in whole seconds (pod/strategy.go, LogLocation).
    return since.replace(microsecond=0)
