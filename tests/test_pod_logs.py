"""A container's log is followed through everything that ends a stream; nothing is lost or twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import web

from collectors.kubernetes.answers import decode_page
from collectors.kubernetes.api import ApiSession, Timing
from collectors.kubernetes.records import (
    Condition,
    Lease,
    LeaseSpec,
    Metadata,
    Pod,
    PodSpec,
    PodStatus,
)
from collectors.logs.follow import MAX_BATCH, FollowedLog, Pace
from collectors.logs.lines import LogEntry
from collectors.logs.targets import Aim, Target, leader_pod, target_of
from collectors.source import Appended, Failed, Heard, Reason, Update
from tests.api_server import Answer, ApiServer, serving, status
from tests.patience import PATIENCE

RECORDINGS = Path(__file__).parent / "recordings"
PACE = Pace(batch=0.01, heard=0.05, quiet=5)
TIMING = Timing(first_pause=0.01, longest_pause=0.04, refused=0.02)
START = 1_795_406_400
LEADER = Target("kube-system", "cilium-operator-a", "cilium-operator", "talos-cp-1", "uid-a")
T = TypeVar("T")


"""Seconds for anything to happen: shorter than the quiet after which a stream is opened anew."""


async def soon(awaitable: Awaitable[T]) -> T:
    """What comes before our patience ends."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


def at(second: float, text: str) -> str:
    """A line of the kubelet, so many seconds after the start of the story."""
    nanos = round(second * 1_000_000_000)
    stamp = datetime.fromtimestamp(START + nanos // 1_000_000_000, UTC)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{nanos % 1_000_000_000:09d}Z level=info msg={text}"


class Stream:
    """A follow that a client has opened."""

    def __init__(self, query: dict[str, str]) -> None:
        self.query = query
        self.closed = asyncio.Event()
        """Set when the client has gone, or the stream has ended."""
        self.out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.cut = False


class Container:
    """The log of a container, served as the API server and the kubelet do."""

    def __init__(self, *lines: str) -> None:
        self.log = list(lines)
        self.before: list[str] | None = None
        """The log before the last restart."""
        self.refusal: Answer | None = None
        self.head_at_once = True
        """The API server sends no head before the first line."""
        self.opened: asyncio.Queue[Stream] = asyncio.Queue()
        self._open: list[Stream] = []

    def write(self, *lines: str) -> None:
        self.log += lines
        for stream in self._open:
            for line in lines:
                stream.out.put_nowait(line.encode("utf-8", "surrogateescape") + b"\n")

    def end(self, *, cut: bool = False) -> None:
        """End all streams: properly, or as a broken connection does."""
        for stream in self._open:
            stream.cut = cut
            stream.out.put_nowait(None)
        self._open = []

    def rotate(self) -> None:
        self.log = []

    def restart(self) -> None:
        self.before, self.log = self.log, []
        self.end()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if self.refusal is not None:
            return self.refusal.response()
        if query.get("previous") == "true":
            if self.before is None:
                return status(400, "previous terminated container not found").response()
            return web.Response(body=_body(_selected(self.before, query)))
        if query.get("follow") != "true":
            return web.Response(body=_body(_selected(self.log, query)))
        return await self._follow(request, query)

    async def _follow(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        stream, response = Stream(query), web.StreamResponse()
        if already := _body(_selected(self.log, query)):
            stream.out.put_nowait(already)
        self._open.append(stream)
        self.opened.put_nowait(stream)
        try:
            first = None
            if not self.head_at_once:
                first = await stream.out.get()
            await response.prepare(request)
            if first is not None:
                await response.write(first)
            while (content := await stream.out.get()) is not None:
                await response.write(content)
            if stream.cut and request.transport is not None:
                request.transport.abort()
            return response
        finally:
            stream.closed.set()


def _selected(lines: list[str], query: dict[str, str]) -> list[str]:
    """As the kubelet: the tail first, and of that what is not older than `sinceTime`."""
    tail = int(query.get("tailLines", len(lines)))
    since = query.get("sinceTime", "")
    return [line for line in lines[len(lines) - min(tail, len(lines)) :] if line[:19] >= since[:19]]


def _body(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


class Followed:
    """A followed log that runs, and its updates as they come."""

    def __init__(self, source: FollowedLog) -> None:
        self.source = source
        self.failures: list[Failed] = []
        """Every failure taken so far."""
        self._seen: asyncio.Queue[Update] = asyncio.Queue()
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with aclosing(self.source.updates()) as updates:
            async for update in updates:
                self._seen.put_nowait(update)

    async def next(self) -> Update:
        update = await soon(self._seen.get())
        if isinstance(update, Failed):
            self.failures.append(update)
        return update

    async def until(self, kind: type[T]) -> T:
        """The next update of a type."""
        async with asyncio.timeout(PATIENCE):
            while not isinstance(update := await self.next(), kind):
                pass
            return update

    async def entries(self, number: int) -> list[LogEntry]:
        """The next so many entries: no fewer, and none beyond."""
        found: list[LogEntry] = []
        while len(found) < number:
            found += [r for r in (await self.until(Appended)).records if isinstance(r, LogEntry)]
        assert len(found) == number
        return found

    async def is_silent(self) -> bool:
        """Whether nothing more comes for a while."""
        try:
            async with asyncio.timeout(0.1):
                await self._seen.get()
        except TimeoutError:
            return True
        return False

    async def read(self, number: int) -> list[str]:
        """What the next so many entries say, markers in brackets."""
        return [said(entry) for entry in await self.entries(number)]

    async def stop(self) -> None:
        """Stop, as the monitor does: cancelled in the middle of whatever it does."""
        self._running.cancel()
        await asyncio.wait({self._running}, timeout=PATIENCE)
        assert self._running.cancelled()


def said(entry: LogEntry) -> str:
    if entry.marker in ("gap", "restart", "moved"):
        return f"[{entry.marker}]"
    return f"{entry.marker} {entry.line.message}".strip()


def path_of(target: Target) -> str:
    return f"/api/v1/namespaces/{target.namespace}/pods/{target.pod}/log"


class Bench:
    """A server with one container, and what it takes to follow it."""

    def __init__(self, server: ApiServer, session: ApiSession) -> None:
        self.server = server
        self.session = session
        self.aim = Aim()
        self._running: list[Followed] = []

    def serve(self, target: Target, *lines: str) -> Container:
        container = Container(*lines)
        self.server.on(path_of(target), container.serve)
        return container

    def source(
        self, *, tail: int = 100, resume: int = 100, pace: Pace = PACE, timing: Timing = TIMING
    ) -> FollowedLog:
        return FollowedLog(
            self.session,
            self.aim,
            kind="operator_log",
            label="operator log",
            tail=tail,
            resume=resume,
            pace=pace,
            timing=timing,
            jitter=lambda: 0.0,
        )

    def follow(self, source: FollowedLog | None = None) -> Followed:
        followed = Followed(source or self.source())
        self._running.append(followed)
        return followed

    async def stop(self) -> None:
        for followed in self._running:
            followed._running.cancel()
            await asyncio.wait({followed._running}, timeout=PATIENCE)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as server:
        session = ApiSession(str(server.kubeconfig()))
        bench = Bench(server, session)
        try:
            yield bench
        finally:
            await bench.stop()
            await session.close()


async def test_the_tail_comes_first_and_then_what_is_written(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "old"), at(1, "a"), at(2, "b"))
    bench.aim.move(LEADER)
    followed = bench.follow(bench.source(tail=2))
    first, second = await followed.entries(2)
    assert (first.line.message, second.line.message) == ("a", "b")
    assert (first.pod, first.container, first.node) == (LEADER.pod, LEADER.container, LEADER.node)
    assert first.line.time == datetime.fromtimestamp(START + 1, UTC)
    container.write(at(3, "c"))
    (third,) = await followed.entries(1)
    assert third.line.message == "c"
    assert first.key < second.key < third.key
    stream = await soon(container.opened.get())
    assert stream.query == {
        "container": "cilium-operator",
        "follow": "true",
        "timestamps": "true",
        "tailLines": "2",
    }


@pytest.mark.parametrize("cut", [False, True])
async def test_a_stream_that_ends_is_resumed_without_gap_or_duplicate(
    bench: Bench, cut: bool
) -> None:
    container = bench.serve(LEADER, at(0.1, "a"), at(1.1, "b"), at(1.1, "b"), at(1.2, "c"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    assert await followed.read(4) == ["a", "b", "b", "c"]
    container.end(cut=cut)
    container.write(at(1.2, "c"), at(1.3, "d"))
    assert await followed.read(2) == ["c", "d"]
    container.write(at(2, "e"))
    assert await followed.read(1) == ["e"]
    await container.opened.get()
    resumed = await soon(container.opened.get())
    assert resumed.query["sinceTime"] == f"{datetime.fromtimestamp(START + 1, UTC):%FT%TZ}"


async def test_many_lines_of_one_moment_survive_many_breaks(bench: Bench) -> None:
    container = bench.serve(LEADER)
    bench.aim.move(LEADER)
    followed = bench.follow()
    written = [at(number // 4, "ab"[number % 2]) for number in range(20)]
    for some in (written[first : first + 3] for first in range(0, len(written), 3)):
        container.write(*some)
        assert await followed.read(len(some)) == [line[-1] for line in some]
        container.end()
    await soon(container.opened.get())


async def test_a_broken_connection_is_told_and_a_closed_stream_is_not(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    container.end()
    assert isinstance(await followed.next(), Heard)
    await soon(container.opened.get())
    await soon(container.opened.get())
    container.end(cut=True)
    failed = await followed.until(Failed)
    assert failed.reason is Reason.UNREACHABLE
    assert failed.retry_in == 0.02, "the second end in a row that brought nothing"
    await followed.until(Heard)


async def test_a_rotated_log_leaves_a_marked_gap(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    container.rotate()
    container.end()
    container.write(at(60, "z"))
    gap, line = await followed.entries(2)
    assert followed.failures == []
    assert (gap.marker, gap.line.level, said(line)) == ("gap", "warning", "z")
    assert "lines are missing" in gap.line.message
    assert gap.key < line.key
    assert gap.line.time == line.line.time


async def test_a_new_line_of_the_last_second_is_not_held_back_for_ever(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0.5, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    container.rotate()
    container.end()
    container.write(at(0.2, "older than what was read last"))
    assert len(await followed.read(2)) == 2


async def test_more_lines_than_are_asked_for_after_a_break_are_a_gap(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow(bench.source(resume=3))
    await followed.read(1)
    container.end()
    container.write(*(at(1 + number, str(number)) for number in range(9)))
    assert await followed.read(4) == ["[gap]", "6", "7", "8"]


async def test_after_a_restart_the_last_words_come_before_the_new_log(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"), at(0.5, "b"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(2)
    container.end()
    container.write(at(0.6, "panic"))
    container.restart()
    container.write(at(9, "hello"))
    entries = await followed.entries(3)
    assert [said(entry) for entry in entries] == ["previous panic", "[restart]", "hello"]
    assert sorted(entries, key=lambda entry: entry.key) == entries
    container.end()
    container.write(at(10, "more"))
    assert await followed.read(1) == ["more"]


async def test_after_two_restarts_the_lines_between_are_a_marked_gap(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "first"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    container.end()
    container.restart()
    container.write(at(5, "second"))
    container.restart()
    container.write(at(9, "third"))
    assert await followed.read(4) == ["[gap]", "previous second", "[restart]", "third"]


async def test_a_restart_whose_log_is_deleted_is_told_by_its_count(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    container.restart()
    container.before = None
    bench.aim.move(replace(LEADER, restarts=1))
    container.write(at(9, "b"))
    assert await followed.read(3) == ["[gap]", "[restart]", "b"]


async def test_a_container_that_had_restarted_begins_with_its_last_words(bench: Bench) -> None:
    container = bench.serve(LEADER, at(9, "new"))
    container.before = [at(0, "long ago"), at(1, "crash")]
    bench.aim.move(replace(LEADER, restarts=4))
    followed = bench.follow(bench.source(tail=1))
    assert await followed.read(2) == ["previous crash", "[restart]"]
    assert await followed.read(1) == ["new"]
    container.end()
    container.write(at(10, "newer"))
    assert await followed.read(1) == ["newer"]


async def test_the_restart_is_told_when_the_new_container_began(bench: Bench) -> None:
    container = bench.serve(LEADER, at(9.5, "new"))
    container.before = [at(1, "crash")]
    began = datetime.fromtimestamp(START + 9, UTC)
    bench.aim.move(replace(LEADER, restarts=4, started=began))
    entries = await bench.follow().entries(2)
    assert [said(entry) for entry in entries] == ["previous crash", "[restart]"]
    assert entries[1].line.time == began, "not when it said its last word, long before"


async def test_what_a_restarted_container_says_stands_behind_the_restart(bench: Bench) -> None:
    container = bench.serve(LEADER, at(8.9, "new"))
    container.before = [at(1, "crash")]
    began = datetime.fromtimestamp(START + 9, UTC)
    bench.aim.move(replace(LEADER, restarts=4, started=began))
    followed = bench.follow()
    entries = [*await followed.entries(2), *await followed.entries(1)]
    assert sorted(entries, key=lambda entry: entry.key) == entries


async def test_a_container_that_is_held_back_says_its_last_words_once(bench: Bench) -> None:
    container = bench.serve(LEADER, at(1, "crash"))
    container.before = [at(1, "crash")]
    bench.aim.move(replace(LEADER, restarts=4, held_back=True))
    followed = bench.follow()
    assert await followed.read(1) == ["crash"]
    container.restart()
    container.write(at(9, "again"))
    bench.aim.move(replace(LEADER, restarts=4))
    assert await followed.read(2) == ["[restart]", "again"]


async def test_when_another_pod_leads_the_follow_moves_on_and_says_so(bench: Bench) -> None:
    other = Target("kube-system", "cilium-operator-b", "cilium-operator", "talos-cp-2", "uid-b")
    first = bench.serve(LEADER, at(0, "a"))
    bench.serve(other, at(5, "b"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    stream = await soon(first.opened.get())
    bench.aim.move(other)
    (moved,) = await followed.entries(1)
    assert moved.marker == "moved"
    assert "cilium-operator-b" in moved.line.message
    assert "talos-cp-2" in moved.line.message
    (line,) = await followed.entries(1)
    assert (said(line), line.pod, line.node) == ("b", other.pod, other.node)
    await soon(stream.closed.wait())


async def test_a_restart_count_alone_does_not_disturb_the_stream(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    bench.aim.move(replace(LEADER, restarts=7))
    container.write(at(1, "b"))
    assert await followed.read(1) == ["b"]
    assert container.opened.qsize() == 1


async def test_nothing_is_said_before_it_is_known_which_pod_to_follow(bench: Bench) -> None:
    bench.serve(LEADER, at(0, "a"))
    followed = bench.follow()
    first = asyncio.ensure_future(followed.next())
    await asyncio.wait([first], timeout=0.05)
    assert not first.done()
    bench.aim.move(LEADER)
    told = [await first]
    while not isinstance(told[-1], Appended):  # a slow connection is heard of before its lines
        assert isinstance(told[-1], Heard)
        told.append(await followed.next())
    assert [said(entry) for entry in told[-1].records if isinstance(entry, LogEntry)] == ["a"]
    assert followed.failures == []


async def test_no_pod_to_follow_is_absent_until_there_is_one(bench: Bench) -> None:
    bench.serve(LEADER, at(0, "a"))
    bench.aim.move(None)
    followed = bench.follow()
    failed = await followed.next()
    assert failed == Failed("operator_log", Reason.ABSENT, "there is no pod to follow", None)
    bench.aim.move(LEADER)
    assert await followed.read(1) == ["a"]


async def test_a_missing_right_is_named_and_tried_again(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    container.refusal = status(403, 'pods "x" is forbidden: User "ops" cannot get pods/log')
    bench.aim.move(LEADER)
    followed = bench.follow()
    failed = await followed.until(Failed)
    assert (failed.reason, failed.retry_in) == (Reason.FORBIDDEN, 0.02)
    assert "grant `get` on pods/log in the namespace kube-system" in failed.message
    container.refusal = None
    assert await followed.read(1) == ["a"]


async def test_a_pod_that_is_gone_is_followed_no_more_when_another_is_there(bench: Bench) -> None:
    other = Target("kube-system", "cilium-operator-b", "cilium-operator")
    container = bench.serve(LEADER)
    container.refusal = status(404, 'pods "cilium-operator-a" not found')
    bench.serve(other, at(0, "b"))
    bench.aim.move(LEADER)
    followed = bench.follow(bench.source(timing=Timing(first_pause=60, longest_pause=60)))
    failed = await followed.until(Failed)
    assert failed.reason is Reason.ABSENT
    assert "kube-system/cilium-operator-a is gone" in failed.message
    bench.aim.move(other)
    assert (await followed.until(Appended)).records
    assert await followed.read(1) == ["b"]


async def test_a_container_that_waits_to_start_is_tried_again_with_growing_pauses(
    bench: Bench,
) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    container.refusal = status(400, 'container "c" in pod "p" is waiting to start: PodInitializing')
    bench.aim.move(LEADER)
    followed = bench.follow()
    pauses = []
    for _ in range(4):
        failed = await followed.until(Failed)
        assert failed.reason is Reason.REFUSED
        assert "waiting to start" in failed.message
        pauses.append(failed.retry_in)
    assert pauses == [0.01, 0.02, 0.04, 0.04]
    container.refusal = None
    assert await followed.read(1) == ["a"]
    container.end(cut=True)
    assert (await followed.until(Failed)).retry_in == 0.01, "lines came, so it is a first failure"


async def test_refused_credentials_wait_for_others_or_the_operator(bench: Bench) -> None:
    bench.serve(LEADER, at(0, "a"))
    bench.server.tokens = set()
    bench.aim.move(LEADER)
    followed = bench.follow(
        FollowedLog(bench.session, bench.aim, kind="operator_log", label="operator log", pace=PACE)
    )
    failed = await followed.until(Failed)
    assert (failed.reason, failed.retry_in) == (Reason.UNAUTHORIZED, 300.0)
    followed.source.refresh()
    await followed.until(Failed)
    assert await followed.is_silent()
    bench.server.tokens = None
    followed.source.refresh()
    assert await followed.read(1) == ["a"]


async def test_a_quiet_stream_is_heard_now_and_then(bench: Bench) -> None:
    bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    assert [await followed.next() for _ in range(3)] == [Heard("operator_log")] * 3


async def test_a_stream_that_is_quiet_for_long_is_opened_anew_without_a_word(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow(bench.source(pace=Pace(batch=0.01, heard=5, quiet=0.1)))
    await followed.read(1)
    first = await soon(container.opened.get())
    second = await soon(container.opened.get())
    assert "sinceTime" in second.query
    await soon(first.closed.wait())
    container.write(at(1, "b"))
    assert await followed.read(1) == ["b"]
    assert followed.failures == []


async def test_an_empty_log_is_known_to_be_empty_although_the_answer_does_not_begin(
    bench: Bench,
) -> None:
    container = bench.serve(LEADER)
    container.head_at_once = False
    bench.aim.move(LEADER)
    followed = bench.follow()
    assert await followed.next() == Heard("operator_log")
    container.write(at(0, "a"))
    assert await followed.read(1) == ["a"]


async def test_a_server_that_does_not_answer_is_told(bench: Bench) -> None:
    container = bench.serve(LEADER)
    container.head_at_once = False
    bench.aim.move(LEADER)
    followed = bench.follow()
    await soon(container.opened.get())
    container.refusal = status(500, "the kubelet is gone")
    failed = await followed.until(Failed)
    assert failed.reason is Reason.REFUSED
    assert "the kubelet is gone" in failed.message


async def test_lines_that_arrive_together_are_given_together_and_bounded(bench: Bench) -> None:
    number = 2 * MAX_BATCH + 7
    bench.serve(LEADER, *(at(n / 1000, str(n)) for n in range(number)))
    bench.aim.move(LEADER)
    followed = bench.follow(bench.source(tail=5000, pace=Pace(batch=0.5)))
    sizes: list[int] = []
    texts: list[str] = []
    while sum(sizes) < number:
        batch = (await followed.until(Appended)).records
        sizes.append(len(batch))
        texts += [said(entry) for entry in batch if isinstance(entry, LogEntry)]
    assert texts == [str(n) for n in range(number)]
    assert max(sizes) <= MAX_BATCH
    assert len(sizes) <= 4


async def test_a_second_run_goes_on_where_the_first_stopped(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    source = bench.source()
    first = bench.follow(source)
    assert await first.read(1) == ["a"]
    await first.stop()
    container.write(at(1, "b"))
    assert await bench.follow(source).read(1) == ["b"]


async def test_the_same_line_has_the_same_key_for_everybody_who_reads_it(bench: Bench) -> None:
    lines = [at(0, "a"), at(1, "b"), at(1, "b"), at(2, "c")]
    bench.serve(LEADER, *lines)
    bench.aim.move(LEADER)
    first = await bench.follow().entries(4)
    second = await bench.follow(bench.source(tail=3)).entries(3)
    assert first[1:] == second
    assert len({entry.key for entry in first}) == 4


async def test_entries_of_several_pods_sort_by_time_and_never_share_a_key(bench: Bench) -> None:
    agents = [Target("kube-system", f"cilium-{n}", "cilium-agent", f"node-{n}") for n in "ab"]
    entries: list[LogEntry] = []
    for shift, agent in enumerate(agents):
        bench.serve(agent, *(at(n + shift / 4, f"{agent.node}-{n}") for n in range(3)), at(9, "x"))
        bench.aim.move(agent)
        followed = bench.follow()
        entries += await followed.entries(4)
        await followed.stop()
    assert len({entry.key for entry in entries}) == 8
    ordered = sorted(entries, key=lambda entry: entry.key)
    assert [entry.line.time for entry in ordered] == sorted(entry.line.time for entry in entries)


async def test_a_clock_that_is_set_back_does_not_change_the_order(bench: Bench) -> None:
    bench.serve(LEADER, at(50, "a"), at(10, "b"), at(11, "c"))
    bench.aim.move(LEADER)
    entries = await bench.follow().entries(3)
    assert [entry.line.time.second for entry in entries] == [50, 10, 11]
    assert sorted(entries, key=lambda entry: entry.key) == entries


async def test_bytes_that_are_no_text_and_lines_without_a_time_are_shown(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    container.write("unable to retrieve container logs", at(1, "\udcff\x1b[2J"), "x" * 20_000)
    complaint, garbage, long = await followed.entries(3)
    assert complaint.line.message == "unable to retrieve container logs"
    assert complaint.line.time == datetime.fromtimestamp(START, UTC)
    assert garbage.line.message == "��[2J"
    assert len(long.line.raw) < 20_000


async def test_stopping_closes_the_connection(bench: Bench) -> None:
    container = bench.serve(LEADER, at(0, "a"))
    bench.aim.move(LEADER)
    followed = bench.follow()
    await followed.read(1)
    stream = await soon(container.opened.get())
    await followed.stop()
    await soon(stream.closed.wait())


# --- who leads


def recorded(name: str) -> tuple[Lease | None, tuple[Pod, ...]]:
    api = RECORDINGS / name / "api"
    pods = decode_page((api / "api/v1/pods.json").read_bytes(), Pod).records
    leases = decode_page(next(api.rglob("leases.json")).read_bytes(), Lease).records
    return next(
        (each for each in leases if each.name == "cilium-operator-resource-lock"), None
    ), pods


WITH_OPERATOR = sorted(
    path.parent.name
    for path in RECORDINGS.glob("*/recording.yaml")
    if list((path.parent / "api").rglob("leases.json"))
)


@pytest.mark.parametrize("name", WITH_OPERATOR)
def test_the_leader_of_every_recording_is_found(name: str) -> None:
    lease, pods = recorded(name)
    assert lease is not None
    leader = leader_pod(lease, pods)
    assert leader is not None
    assert leader.name.startswith("cilium-operator-")
    assert lease.spec.holder_identity.startswith(f"{leader.spec.node_name}-")
    assert leader_pod(None, pods) is leader
    target = target_of(leader, "cilium-operator")
    assert (target.pod, target.node, target.restarts) == (leader.name, leader.spec.node_name, 0)
    assert target.uid == leader.metadata.uid
    running = leader.status.container_statuses[0].state.running
    assert running is not None
    assert (target.started, target.held_back) == (running.started_at, False)


def operator(name: str, node: str, *, ready: bool = True, going: bool = False) -> Pod:
    return Pod(
        metadata=Metadata(
            name=name,
            namespace="kube-system",
            labels={"io.cilium/app": "operator"},
            deletion_timestamp=datetime.fromtimestamp(START, UTC) if going else None,
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(conditions=(Condition("Ready", "True" if ready else "False"),)),
    )


def lease(holder: str) -> Lease:
    metadata = Metadata(name="cilium-operator-resource-lock", namespace="kube-system")
    return Lease(metadata=metadata, spec=LeaseSpec(holder_identity=holder))


A, B = operator("cilium-operator-a", "mini01"), operator("cilium-operator-b", "mini02")
OTHER = Pod(metadata=Metadata(name="cilium-abc"), spec=PodSpec(node_name="mini02"))


@pytest.mark.parametrize(
    ("holder", "pods", "leader"),
    [
        ("mini02-qjfwx2xtjh", (A, B, OTHER), B),
        ("cilium-operator-a-qjfwx2xtjh", (A, B), A),
        ("mini02.home.example-JiNhCkOAFs", (A, B), B),
        ("MINI02-JiNhCkOAFs", (A, B), B),
        ("mini09-qjfwx2xtjh", (A, B), None),
        ("mini09-qjfwx2xtjh", (A, OTHER), A),
        ("", (A,), A),
        (None, (A, operator("c", "mini03", ready=False)), A),
        (None, (operator("c", "mini03", ready=False),), operator("c", "mini03", ready=False)),
        (None, (A, B), None),
        (None, (OTHER,), None),
        (None, (), None),
        ("mini01-x", (operator("old", "mini01", going=True), A), A),
        ("mini01-x", (A, operator("new", "mini01", ready=False)), A),
    ],
)
def test_who_leads(holder: str | None, pods: tuple[Pod, ...], leader: Pod | None) -> None:
    assert leader_pod(None if holder is None else lease(holder), pods) == leader
