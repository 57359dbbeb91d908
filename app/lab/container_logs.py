"""Container logs as the API server serves them: options, refusals, and the text itself.

Options and their meaning: Kubernetes `core/v1 PodLogOptions`; messages:
`pkg/registry/core/pod/strategy.go` and the kubelet's `kuberuntime_container.go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.lab.access import Target, bad_request, invalid, not_found
from app.lab.fields import objects, text
from app.lab.listing import switched_on, whole_number
from app.lab.store import Cluster, JsonObject, stamp


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
        raise bad_request(
            f'previous terminated container "{found.container}" in pod "{found.pod}" not found'
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
        yield _text(log.previous, log.previous_stamps, query, query.tail)
        return
    restarts = log.restarts if log else 0
    sent = log.dropped + len(log.lines) if log else 0
    if log is not None:
        yield _text(log.lines, log.stamps, query, query.tail)
    while query.follow:
        log = cluster.logs.of(query.namespace, query.pod, query.container)
        if log is not None and log.restarts != restarts:
            yield _text(log.previous[max(0, sent - log.previous_dropped) :], (), query, None)
            return
        if log is not None and sent < log.dropped + len(log.lines):
            fresh = log.lines[max(0, sent - log.dropped) :]
            sent = log.dropped + len(log.lines)
            yield _text(fresh, (), query, None)
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


def _text(
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
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(regular) == 1:
        return regular[0]
    choice = f"choose one of: [{' '.join(regular)}]"
    also = f" or one of the init containers: [{' '.join(initial)}]" if initial else ""
    raise bad_request(f"a container name must be specified for pod {name}, {choice}{also}")


def _positive(query: Mapping[str, str], name: str, least: int) -> int | None:
    number = whole_number(query, name)
    if number is not None and number < least:
        rule = "greater than or equal to 0" if least == 0 else "greater than 0"
        raise invalid(
            f'PodLogOptions "" is invalid: {name}: Invalid value: {number}: must be {rule}'
        )
    return number


def _since(query: Mapping[str, str], now: datetime) -> datetime | None:
    seconds, moment = _positive(query, "sinceSeconds", least=1), query.get("sinceTime", "")
    if seconds is not None and moment:
        raise invalid("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if seconds is not None:
        return now - timedelta(seconds=seconds)
    if not moment:
        return None
    try:
        since = datetime.fromisoformat(moment)
    except ValueError as problem:
        raise bad_request(f'sinceTime: cannot parse "{moment}" as RFC 3339') from problem
    if since.tzinfo is None:
        raise bad_request(f'sinceTime: "{moment}" has no time zone')
    # The API server hands it on in whole seconds (pod/strategy.go, LogLocation).
    return since.replace(microsecond=0)
