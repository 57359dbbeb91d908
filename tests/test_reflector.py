"""A kind is listed and watched for ever, whatever the server does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

import collectors.kubernetes.client  # noqa: F401 - its second of import is in no test's time
from collectors.cilium.records import Pool
from collectors.kubernetes.api import ApiSession, Timing
from collectors.kubernetes.records import ClusterVersion, Node
from collectors.kubernetes.reflector import Reflector, VersionSource
from collectors.kubernetes.resources import Resource, resources
from collectors.source import Deleted, Failed, Heard, Reason, Replaced, Update, Upserted
from tests.api_server import Answer, ApiServer, Watch, bookmark, listing, serving, status, thing
from tests.patience import PATIENCE

NODE_NAMES = "/api/v1/nodes"
NODE = Resource("nodes", "Node", "", ("v1",), Node)
V2, ALPHA = (f"/apis/cilium.io/{version}/pools" for version in ("v2", "v2alpha1"))
POOL = Resource("pools", "Pool", "cilium.io", ("v2", "v2alpha1"), Pool)

QUICK = Timing(
    list_timeout=30,
    silence=30,
    first_pause=0.01,
    longest_pause=0.04,
    absent=0.01,
    refused=0.01,
    short_watch=0,
    poll=0.01,
)
T = TypeVar("T")


async def soon(awaitable: Awaitable[T]) -> T:
    """What comes before the patience of a loaded machine ends."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


class Mirror:
    """A reflector that runs, and its updates as they come."""

    def __init__(self, reflector: Reflector) -> None:
        self.reflector = reflector
        self._seen: asyncio.Queue[Update] = asyncio.Queue()
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with aclosing(self.reflector.updates()) as updates:
            async for update in updates:
                self._seen.put_nowait(update)

    async def next(self) -> Update:
        """The next update that says more than that the server is there."""
        while isinstance(update := await soon(self._seen.get()), Heard):
            pass
        return update

    async def until(self, kind: type[T]) -> T:
        """The next update of a type."""
        while not isinstance(update := await soon(self._seen.get()), kind):
            pass
        return update

    async def close(self) -> None:
        """Stop, as the monitor does: cancelled in the middle of whatever it does."""
        self._running.cancel()
        await asyncio.wait({self._running}, timeout=PATIENCE)
        assert self._running.cancelled()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as running:
        yield running


@asynccontextmanager
async def mirrored(
    server: ApiServer, resource: Resource = NODE, timing: Timing = QUICK
) -> AsyncIterator[Mirror]:
    session = ApiSession(str(server.kubeconfig()), connect_timeout=30, poll=0.01)
    reflector = Reflector(session, resource, timing=timing, jitter=lambda: 0.5)
    mirror = Mirror(reflector)
    try:
        yield mirror
    finally:
        await mirror.close()
        await session.close()


def names(update: Update) -> list[str]:
    assert isinstance(update, Replaced)
    return [record.key for record in update.records]


async def test_pages_of_a_list_are_one_replacement(server: ApiServer) -> None:
    server.on(
        NODE_NAMES, listing(thing("a"), more="t1"), listing(thing("b"), thing("c"), version="12")
    )
    async with mirrored(server) as mirror:
        first = await mirror.next()
        assert names(first) == ["a", "b", "c"]
        assert isinstance(first, Replaced)
        assert 0 < first.took < 5
        watch = await soon(server.watch(NODE_NAMES))
    assert [asked.query for asked in server.asked_for(NODE_NAMES)[:2]] == [
        {"limit": "500"},
        {"limit": "500", "continue": "t1"},
    ]
    assert watch.query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "12",
        "timeoutSeconds": "270",
    }


async def test_changes_after_the_list_come_one_by_one(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    async with mirrored(server) as mirror:
        assert names(await mirror.next()) == ["a"]
        watch = await soon(server.watch(NODE_NAMES))
        watch.send("ADDED", thing("b", "11"))
        watch.send("MODIFIED", thing("a", "12", spec={"unschedulable": True}))
        watch.send("DELETED", thing("b", "13"))
        added, changed, deleted = [await mirror.next() for _ in range(3)]
    assert isinstance(added, Upserted)
    assert added.record.key == "b"
    assert isinstance(changed, Upserted)
    assert isinstance(changed.record, Node)
    assert changed.record.spec.unschedulable
    assert deleted == Deleted("nodes", "b")


async def test_a_bookmark_is_heard_and_moves_the_position(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    async with mirrored(server) as mirror:
        await mirror.until(Heard)  # the watch is open
        watch = await soon(server.watch(NODE_NAMES))
        watch.send("BOOKMARK", bookmark("77"))
        assert await mirror.until(Heard) == Heard("nodes")
        watch.end()
        again = await soon(server.watch(NODE_NAMES))
    assert again.query["resourceVersion"] == "77"


@pytest.mark.parametrize("how", [Watch.end, Watch.cut])
async def test_a_closed_watch_goes_on_at_its_last_version(
    server: ApiServer, how: Callable[[Watch], None]
) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    async with mirrored(server) as mirror:
        await mirror.next()
        watch = await soon(server.watch(NODE_NAMES))
        watch.send("ADDED", thing("b", "11"))
        assert isinstance(await mirror.next(), Upserted)
        how(watch)
        again = await soon(server.watch(NODE_NAMES))
        assert again.query["resourceVersion"] == "11"
        again.send("ADDED", thing("c", "12"))
        update = await mirror.next()  # nothing in between: no list, no failure, no deletion
    assert isinstance(update, Upserted)
    assert update.record.key == "c"
    assert len([asked for asked in server.asked if "watch" not in asked.query]) == 1


async def test_410_as_an_event_lists_again(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a"), thing("b")), listing(thing("b"), version="99"))
    async with mirrored(server) as mirror:
        assert names(await mirror.next()) == ["a", "b"]
        watch = await soon(server.watch(NODE_NAMES))
        watch.send("ERROR", {"kind": "Status", "code": 410, "message": "too old"})
        assert names(await mirror.next()) == ["b"]
        assert (await soon(server.watch(NODE_NAMES))).query["resourceVersion"] == "99"


async def test_410_as_a_status_lists_again(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")), listing(thing("b"), version="99"))
    server.refuse_watch(NODE_NAMES, status(410, "too old resource version"))
    async with mirrored(server) as mirror:
        assert names(await mirror.next()) == ["a"]
        assert names(await mirror.next()) == ["b"]


async def test_a_server_that_always_says_410_is_asked_less_and_less(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    for _ in range(100):
        server.refuse_watch(NODE_NAMES, status(410, "too old resource version"))
    timing = replace(QUICK, first_pause=0.05, longest_pause=60)
    loop = asyncio.get_running_loop()
    async with mirrored(server, timing=timing) as mirror:
        begun = loop.time()
        for _ in range(4):
            assert names(await mirror.next()) == ["a"]
    assert loop.time() - begun > (0.05 + 0.1 + 0.2) * 0.75


async def test_an_expired_continue_token_starts_over_without_pages(server: ApiServer) -> None:
    server.on(
        NODE_NAMES,
        listing(thing("a"), more="t1"),
        status(410, "The provided continue parameter is too old"),
        listing(thing("a"), thing("b")),
    )
    async with mirrored(server) as mirror:
        assert names(await mirror.next()) == ["a", "b"]
    assert [asked.query for asked in server.asked_for(NODE_NAMES)[:3]] == [
        {"limit": "500"},
        {"limit": "500", "continue": "t1"},
        {},
    ]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(403, Reason.FORBIDDEN), (429, Reason.REFUSED), (500, Reason.REFUSED), (503, Reason.REFUSED)],
)
async def test_a_refused_list_is_told_and_tried_again(
    server: ApiServer, code: int, reason: Reason
) -> None:
    server.on(NODE_NAMES, status(code, "no \x1b[31mway"), listing(thing("a")))
    async with mirrored(server) as mirror:
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.reason is reason
        assert server.url in failed.message
        assert "no \ufffd[31mway" in failed.message
        assert failed.retry_in is not None
        assert names(await mirror.next()) == ["a"]


async def test_retry_after_is_honoured(server: ApiServer) -> None:
    server.on(NODE_NAMES, status(429, "busy", {"Retry-After": "7"}), listing(thing("a")))
    async with mirrored(server) as mirror:
        failed = await mirror.until(Failed)
        assert failed.retry_in == 7
        mirror.reflector.refresh()
        assert names(await mirror.next()) == ["a"]


async def test_a_refused_watch_of_a_listed_kind_is_told(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    server.refuse_watch(NODE_NAMES, status(403, "cannot watch"))
    async with mirrored(server) as mirror:
        assert names(await mirror.next()) == ["a"]
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.reason is Reason.FORBIDDEN
        assert names(await mirror.next()) == ["a"]


async def test_pauses_grow_to_their_longest_and_start_anew_after_success(
    server: ApiServer,
) -> None:
    server.on(NODE_NAMES, *[status(500, "etcd")] * 5, listing(thing("a")))
    async with mirrored(server) as mirror:
        pauses = [(await mirror.until(Failed)).retry_in for _ in range(5)]
        assert pauses == pytest.approx([0.0075, 0.015, 0.03, 0.03, 0.03])
        watch = await soon(server.watch(NODE_NAMES))
        server.on(NODE_NAMES, status(500, "etcd"))
        watch.send("ERROR", {"kind": "Status", "code": 500, "message": "broken"})
        assert (await mirror.until(Failed)).retry_in == pytest.approx(0.0075)


async def test_a_server_that_is_gone_comes_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    async with serving(tmp_path) as server:
        server.on(NODE_NAMES, listing(thing("a")))
        config = server.kubeconfig()
        good = config.read_text()
        config.write_text(good.replace(server.url, f"https://127.0.0.1:{port}"))
        session = ApiSession(str(config))
        mirror = Mirror(Reflector(session, NODE, timing=QUICK))
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.reason is Reason.UNREACHABLE
        assert "refuses the connection" in failed.message
        config.write_text(good)  # the address in the kubeconfig is followed
        assert names(await mirror.until(Replaced)) == ["a"]
        await mirror.close()
        await session.close()


async def test_a_silent_watch_is_opened_again_without_a_failure(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    async with mirrored(server, timing=replace(QUICK, silence=1)) as mirror:
        await mirror.next()
        silent = await soon(server.watch(NODE_NAMES))
        again = await soon(server.watch(NODE_NAMES))
        await soon(silent.closed.wait())
        assert again.query["resourceVersion"] == "10"
        again.send("ADDED", thing("b", "11"))
        assert isinstance(await mirror.next(), Upserted)


async def test_a_hanging_list_times_out(server: ApiServer) -> None:
    server.on(NODE_NAMES, server.hang, listing(thing("a")))
    async with mirrored(server, timing=replace(QUICK, list_timeout=0.1)) as mirror:
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.reason is Reason.TIMED_OUT
        assert names(await mirror.until(Replaced)) == ["a"]


async def test_a_watch_that_ends_at_once_is_not_opened_without_pause(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    timing = replace(QUICK, short_watch=60, first_pause=0.05, longest_pause=60)
    loop = asyncio.get_running_loop()
    async with mirrored(server, timing=timing) as mirror:
        await mirror.next()
        begun = loop.time()
        for _ in range(4):
            (await soon(server.watch(NODE_NAMES))).end()
    assert loop.time() - begun > (0.05 + 0.1 + 0.2) * 0.75


async def test_a_refresh_ends_the_watch_and_lists(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")), listing(thing("b")))
    async with mirrored(server) as mirror:
        assert names(await mirror.next()) == ["a"]
        watch = await soon(server.watch(NODE_NAMES))
        await mirror.until(Heard)
        mirror.reflector.refresh()
        assert names(await mirror.next()) == ["b"]
        await soon(watch.closed.wait())


async def test_a_refresh_ends_a_pause(server: ApiServer) -> None:
    server.on(NODE_NAMES, status(403, "no"), listing(thing("a")))
    async with mirrored(server, timing=replace(QUICK, refused=300)) as mirror:
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.retry_in == 300
        mirror.reflector.refresh()
        assert names(await mirror.next()) == ["a"]


async def test_cancelling_closes_the_connection_of_the_watch(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    async with mirrored(server) as mirror:
        await mirror.until(Heard)
        watch = await soon(server.watch(NODE_NAMES))
        await mirror.close()
        await soon(watch.closed.wait())


async def test_a_line_of_five_megabytes_is_read(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a")))
    huge = thing("huge", "11")
    huge["metadata"] = {"name": "huge", "annotations": {"x": "y" * 5_000_000}}
    async with mirrored(server) as mirror:
        await mirror.next()
        watch = await soon(server.watch(NODE_NAMES))
        watch.send("ADDED", huge)
        watch.send("ADDED", thing("b", "12"))
        updates = [await mirror.next(), await mirror.next()]
    assert [each.record.key for each in updates if isinstance(each, Upserted)] == ["huge", "b"]


async def test_an_undecodable_object_is_a_problem_of_the_list(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a"), thing("bad", spec=[1])))
    async with mirrored(server) as mirror:
        first = await mirror.next()
    assert isinstance(first, Replaced)
    assert [record.key for record in first.records] == ["a"]
    assert "Node bad cannot be read" in first.problems[0]


async def test_a_list_with_problems_is_listed_again_when_its_watch_ends(server: ApiServer) -> None:
    server.on(NODE_NAMES, listing(thing("a", spec=[1])), listing(thing("a")))
    async with mirrored(server) as mirror:
        assert names(await mirror.next()) == []
        (await soon(server.watch(NODE_NAMES))).end()
        assert names(await mirror.next()) == ["a"]


async def test_an_undecodable_object_in_a_watch_is_listed_once_and_again_when_mended(
    server: ApiServer,
) -> None:
    bad, good = thing("b", "11", spec=[1]), thing("b", "13")
    server.on(NODE_NAMES, listing(thing("a")), listing(thing("a"), bad), listing(thing("a"), good))
    async with mirrored(server) as mirror:
        await mirror.next()
        (await soon(server.watch(NODE_NAMES))).send("ADDED", bad)
        broken = await mirror.next()
        assert isinstance(broken, Replaced)
        assert broken.problems
        watch = await soon(server.watch(NODE_NAMES))
        watch.send("MODIFIED", thing("b", "12", spec=[2]))
        watch.send("ADDED", thing("c", "12"))
        assert isinstance(await mirror.next(), Upserted)  # no third list for the same object
        watch.send("MODIFIED", good)
        mended = await mirror.next()
    assert names(mended) == ["a", "b"]
    assert isinstance(mended, Replaced)
    assert not mended.problems


@pytest.mark.parametrize("line", [b"garbage\n", b'{"type":"NEW","object":{}}\n', b"[]\n", b"\n"])
async def test_nonsense_in_a_watch_is_told_and_lists_again(server: ApiServer, line: bytes) -> None:
    server.on(NODE_NAMES, listing(thing("a")), listing(thing("b")))
    async with mirrored(server) as mirror:
        await mirror.next()
        (await soon(server.watch(NODE_NAMES))).raw(line)
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.reason is Reason.UNREADABLE
        assert NODE_NAMES in failed.message
        assert names(await mirror.next()) == ["b"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"items":[]}', b""])
async def test_a_list_that_is_none_is_told(server: ApiServer, body: bytes) -> None:
    server.on(NODE_NAMES, Answer(body), listing(thing("a")))
    async with mirrored(server) as mirror:
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.reason is Reason.UNREADABLE
        assert names(await mirror.next()) == ["a"]


# --- versions


async def test_an_older_version_is_read_where_the_newer_is_not_served(server: ApiServer) -> None:
    server.on(ALPHA, listing(thing("p")))
    async with mirrored(server, POOL) as mirror:
        assert names(await mirror.next()) == ["p"]
        assert mirror.reflector.served == "v2alpha1"
        await soon(server.watch(ALPHA))


async def test_a_newer_version_is_picked_up_when_it_comes(server: ApiServer) -> None:
    server.on(ALPHA, listing(thing("p")))
    async with mirrored(server, POOL) as mirror:
        await mirror.next()
        watch = await soon(server.watch(ALPHA))
        server.on("/apis/cilium.io/v2", Answer({"resources": [{"name": "pools"}]}))
        server.on(V2, listing(thing("p2")))
        watch.end()
        assert names(await mirror.next()) == ["p2"]
        assert mirror.reflector.served == "v2"


async def test_a_kind_that_is_not_served_is_absent_until_it_is(server: ApiServer) -> None:
    async with mirrored(server, POOL) as mirror:
        assert names(await mirror.next()) == []
        failed = await mirror.next()
        assert isinstance(failed, Failed)
        assert failed.reason is Reason.ABSENT
        assert "pools.cilium.io (v2 or v2alpha1)" in failed.message
        server.on(V2, listing(thing("p")))
        assert names(await mirror.until(Replaced)) == ["p"]


async def test_a_forbidden_kind_is_forbidden_if_it_is_served(server: ApiServer) -> None:
    server.on(V2, status(403, "cannot list pools"))
    server.on("/apis/cilium.io/v2", Answer({"resources": [{"name": "pools"}]}))
    async with mirrored(server, POOL) as mirror:
        failed = await mirror.next()
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.FORBIDDEN


async def test_a_forbidden_kind_is_forbidden_if_discovery_does_not_say(server: ApiServer) -> None:
    server.on(V2, status(403, "cannot list pools"))
    server.on("/apis/cilium.io/v2", status(403, "nothing for you"))
    async with mirrored(server, POOL) as mirror:
        failed = await mirror.next()
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.FORBIDDEN


async def test_a_kind_that_is_forbidden_and_not_served_is_absent(server: ApiServer) -> None:
    for version in ("v2", "v2alpha1"):
        server.on(f"/apis/cilium.io/{version}/pools", status(403, "cannot list pools"))
        server.on(f"/apis/cilium.io/{version}", Answer({"resources": [{"name": "other"}]}))
    async with mirrored(server, POOL) as mirror:
        assert names(await mirror.next()) == []
        failed = await mirror.next()
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.ABSENT


async def test_objects_go_with_their_kind(server: ApiServer) -> None:
    server.on(V2, listing(thing("p")))
    async with mirrored(server, POOL) as mirror:
        assert names(await mirror.next()) == ["p"]
        (await soon(server.watch(V2))).end()
        server.on(V2, status(404, "the server could not find the requested resource"))
        mirror.reflector.refresh()
        gone = await mirror.until(Replaced)
        assert names(gone) == []
        assert isinstance(await mirror.next(), Failed)


async def test_a_single_object_is_asked_for_by_name(server: ApiServer) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps"
    server.on(path, listing(thing("cilium-config")))
    resource = next(each for each in resources() if each.kind == "config_maps")
    async with mirrored(server, resource) as mirror:
        await mirror.next()
        watch = await soon(server.watch(path))
    assert watch.query["fieldSelector"] == "metadata.name=cilium-config"
    assert server.asked_for(path)[0].query["fieldSelector"] == "metadata.name=cilium-config"


# --- credentials


async def test_refused_credentials_pause_until_the_kubeconfig_changes(server: ApiServer) -> None:
    server.tokens = {"new"}
    server.on(NODE_NAMES, listing(thing("a")))
    config = server.kubeconfig({"token": "old"})
    session = ApiSession(str(config), poll=0.01)
    mirror = Mirror(Reflector(session, NODE, timing=replace(QUICK, refused=300)))
    failed = await mirror.next()
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.UNAUTHORIZED
    assert failed.retry_in == 300
    assert len(server.asked) == 1  # the same token is not tried again
    server.kubeconfig({"token": "new"})
    assert names(await mirror.until(Replaced)) == ["a"]
    await mirror.close()
    await session.close()


# --- the version of the cluster


async def test_the_version_is_told_once_with_the_clock_of_the_server(server: ApiServer) -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    server.on(
        "/version",
        Answer({"gitVersion": "v1.36.2"}, headers={"Date": "Mon, 23 Nov 2026 12:01:00 GMT"}),
        Answer({"gitVersion": "v1.36.2"}, headers={"Date": "Mon, 23 Nov 2026 12:01:00 GMT"}),
        status(500, "down"),
        Answer({"gitVersion": "v1.37.0"}, headers={"Date": "Mon, 23 Nov 2026 12:01:00 GMT"}),
        Answer(b"<html>"),
    )
    session = ApiSession(str(server.kubeconfig()))
    source = VersionSource(session, timing=QUICK, clock=lambda: noon)
    async with aclosing(source.updates()) as updates:
        first, second, third, fourth, fifth = [await soon(anext(updates)) for _ in range(5)]
    await session.close()
    assert isinstance(first, Replaced)
    assert isinstance(first.records[0], ClusterVersion)
    assert first.records[0].git_version == "v1.36.2"
    assert first.records[0].clock_skew == pytest.approx(60.5, abs=1)
    assert second == Heard("version")
    assert isinstance(third, Failed)
    assert isinstance(fourth, Replaced)
    assert isinstance(fifth, Failed)
    assert fifth.reason is Reason.UNREADABLE


async def test_a_kind_that_every_api_server_has_is_not_absent_but_refused(
    server: ApiServer,
) -> None:
    resource = next(each for each in resources() if each.kind == "services")
    async with mirrored(server, resource) as mirror:
        failed = await mirror.next()
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.REFUSED
    assert "as every Kubernetes API server does" in failed.message
