"""The monitor folds what sources say, keeps what did not change, and never more than it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from app.state.kinds import AGENT_LOGS, NAMESPACES, NODES, OPERATOR_LOG, VERSION
from app.state.monitor import RATE, STREAM_LENGTH, Feed, Monitor
from app.state.snapshot import Snapshot, State
from collectors.kubernetes.records import Metadata, Namespace
from collectors.source import (
    Appended,
    Deleted,
    Failed,
    Heard,
    Reason,
    Replaced,
    Update,
    Upserted,
)
from tests.virtual_time import in_virtual_time

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Told:
    """A source that says what the test tells it to."""

    def __init__(self, kind: str = "namespaces", label: str = "") -> None:
        self.kind = kind
        self.label = label or kind
        self.started = 0
        self.ended = 0
        self.refreshed = 0
        self._queue: asyncio.Queue[Update] = asyncio.Queue()

    def say(self, *updates: Update) -> None:
        for update in updates:
            self._queue.put_nowait(update)

    def refresh(self) -> None:
        self.refreshed += 1

    async def updates(self) -> AsyncIterator[Update]:
        self.started += 1
        try:
            while True:
                yield await self._queue.get()
        finally:
            self.ended += 1


class Hands:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def namespace(name: str, version: str = "1") -> Namespace:
    return Namespace(metadata=Metadata(name=name, resource_version=version))


def replaced(*names: str) -> Replaced:
    return Replaced("namespaces", tuple(map(namespace, names)), took=0.1)


@asynccontextmanager
async def running(
    *feeds: Feed, clock: Callable[[], datetime] | None = None
) -> AsyncIterator[Monitor]:
    monitor = Monitor(feeds, clock or (lambda: NOON))
    task = asyncio.create_task(monitor.run())
    try:
        yield monitor
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(monitor: Monitor, happened: Callable[[Snapshot], bool]) -> Snapshot:
    async with asyncio.timeout(5):
        async for snapshot in monitor.snapshots():
            if happened(snapshot):
                break
    return snapshot


@in_virtual_time
async def test_a_source_that_has_not_answered_is_loading_and_not_empty() -> None:
    async with running(Feed(Told())) as monitor:
        health = monitor.snapshot.health_of(NAMESPACES)
        assert health.state is State.LOADING
        assert not health.known


@in_virtual_time
async def test_an_empty_answer_is_known() -> None:
    source = Told()
    source.say(replaced())
    async with running(Feed(source)) as monitor:
        snapshot = await until(monitor, lambda s: s.health_of(NAMESPACES).known)
        assert snapshot.records[NAMESPACES] == {}
        assert snapshot.health_of(NAMESPACES).state is State.FRESH
        assert snapshot.health_of(NAMESPACES).took == 0.1


@in_virtual_time
async def test_updates_are_folded_in_order() -> None:
    source = Told()
    source.say(
        replaced("a", "b"),
        Upserted("namespaces", namespace("c")),
        Deleted("namespaces", "a"),
        Deleted("namespaces", "never-there"),
        Upserted("namespaces", namespace("b", "2")),
    )
    async with running(Feed(source)) as monitor:
        snapshot = await until(monitor, lambda s: len(s.records[NAMESPACES]) == 2)
        assert set(snapshot.records[NAMESPACES]) == {"b", "c"}
        assert snapshot.records[NAMESPACES]["b"].metadata.resource_version == "2"


@in_virtual_time
async def test_what_did_not_change_stays_the_same_object() -> None:
    source = Told()
    source.say(replaced("a", "b"))
    async with running(Feed(source), clock=(clock := Hands())) as monitor:
        before = await until(monitor, lambda s: bool(s.records[NAMESPACES]))
        clock.now += timedelta(seconds=30)
        source.say(replaced("a", "b"))
        after = await until(monitor, lambda s: s.health_of(NAMESPACES).read_at == clock.now)
        assert after.records[NAMESPACES] is before.records[NAMESPACES]
        source.say(replaced("a", "b", "c"))
        grown = await until(monitor, lambda s: "c" in s.records[NAMESPACES])
        assert grown.records[NAMESPACES] is not before.records[NAMESPACES]
        assert grown.records[NAMESPACES]["a"] is before.records[NAMESPACES]["a"]
        assert set(before.records[NAMESPACES]) == {"a", "b"}


@in_virtual_time
async def test_a_failure_keeps_what_was_known_and_says_why() -> None:
    source = Told()
    source.say(replaced("a"), Failed("namespaces", Reason.UNREACHABLE, "refused", 12.0))
    async with running(Feed(source)) as monitor:
        snapshot = await until(monitor, lambda s: s.health_of(NAMESPACES).state is State.FAILING)
        health = snapshot.health_of(NAMESPACES)
        assert set(snapshot.records[NAMESPACES]) == {"a"}
        assert health.error == "refused"
        assert health.next_try == NOON + timedelta(seconds=12)
        assert health.read_at == NOON
        source.say(Heard("namespaces"))
        healed = await until(monitor, lambda s: s.health_of(NAMESPACES).state is State.FRESH)
        assert healed.health_of(NAMESPACES).error == ""


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (Reason.FORBIDDEN, State.FORBIDDEN),
        (Reason.ABSENT, State.ABSENT),
        (Reason.TIMED_OUT, State.FAILING),
    ],
)
@in_virtual_time
async def test_each_reason_is_a_state_of_its_own(reason: Reason, state: State) -> None:
    source = Told()
    source.say(Failed("namespaces", reason, "because", None))
    async with running(Feed(source)) as monitor:
        snapshot = await until(monitor, lambda s: s.health_of(NAMESPACES).error != "")
        assert snapshot.health_of(NAMESPACES).state is state
        assert not snapshot.health_of(NAMESPACES).known


@in_virtual_time
async def test_silence_makes_a_source_stale() -> None:
    source, clock = Told(), Hands()
    source.say(replaced("a"))
    async with running(Feed(source, stale_after=60), clock=clock) as monitor:
        await until(monitor, lambda s: bool(s.records[NAMESPACES]))
        clock.now += timedelta(seconds=61)
        snapshot = await until(monitor, lambda s: s.health_of(NAMESPACES).state is State.STALE)
        assert snapshot.health_of(NAMESPACES).since == clock.now
        assert set(snapshot.records[NAMESPACES]) == {"a"}


@in_virtual_time
async def test_publications_are_bounded_and_none_comes_without_a_change() -> None:
    source = Told()
    async with running(Feed(source)) as monitor:
        loop = asyncio.get_running_loop()
        started, seen = loop.time(), 0
        source.say(*(Upserted("namespaces", namespace(str(i))) for i in range(3000)))
        async with asyncio.timeout(5):
            async for snapshot in monitor.snapshots():
                seen += 1
                if len(snapshot.records[NAMESPACES]) == 3000:
                    break
        assert seen <= (loop.time() - started) * RATE + 3
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext_snapshot(monitor), timeout=1.2)


async def anext_snapshot(monitor: Monitor) -> Snapshot:
    stream = monitor.snapshots()
    await anext(stream)
    return await anext(stream)


@in_virtual_time
async def test_an_on_demand_source_runs_only_while_it_is_wanted() -> None:
    source = Told()
    async with running(Feed(source, on_demand=True)) as monitor:
        assert monitor.snapshot.health_of(NAMESPACES).state is State.OFF
        with monitor.demand(NAMESPACES), monitor.demand(NAMESPACES):
            source.say(replaced("a"))
            await until(monitor, lambda s: bool(s.records[NAMESPACES]))
        off = await until(monitor, lambda s: s.health_of(NAMESPACES).state is State.OFF)
        assert set(off.records[NAMESPACES]) == {"a"}
        await eventually(lambda: source.ended == 1)
        with monitor.demand(NAMESPACES):
            again = await until(monitor, lambda s: s.health_of(NAMESPACES).state is not State.OFF)
            assert again.health_of(NAMESPACES).state is State.STALE
            await eventually(lambda: source.started == 2)


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until it is so; only for what ends without an event of its own."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


@in_virtual_time
async def test_a_stream_is_bounded_and_keeps_its_order() -> None:
    source = Told("operator_log", "operator log")
    count = STREAM_LENGTH + 10
    source.say(Appended("operator_log", tuple(namespace(f"{i:06}") for i in range(count))))
    async with running(Feed(source)) as monitor:
        snapshot = await until(monitor, lambda s: bool(s.records[OPERATOR_LOG]))
        keys = list(snapshot.records[OPERATOR_LOG])
        assert len(keys) == STREAM_LENGTH
        assert keys == sorted(keys)
        assert keys[-1] == f"{count - 1:06}"


@in_virtual_time
async def test_an_attached_source_is_forgotten_when_it_is_detached() -> None:
    source = Told("agent_logs", "agent log talos-cp-1")
    async with running() as monitor:
        detach = monitor.attach(Feed(source))
        source.say(Heard("agent_logs"))
        await until(monitor, lambda s: s.health_of(AGENT_LOGS).state is State.FRESH)
        detach()
        snapshot = await until(monitor, lambda s: "agent log talos-cp-1" not in s.health)
        assert snapshot.health_of(AGENT_LOGS).state is State.OFF
        await eventually(lambda: source.ended == 1)


@in_virtual_time
async def test_a_source_that_two_attach_runs_once_until_neither_wants_it() -> None:
    source = Told("agent_logs", "agent log talos-cp-1")
    async with running() as monitor:
        first, second = monitor.attach(Feed(source)), monitor.attach(Feed(source))
        source.say(Heard("agent_logs"))
        await until(monitor, lambda s: s.health_of(AGENT_LOGS).state is State.FRESH)
        first()
        source.say(Failed("agent_logs", Reason.FORBIDDEN, "no", None))
        await until(monitor, lambda s: s.health_of(AGENT_LOGS).state is State.FORBIDDEN)
        second()
        await until(monitor, lambda s: "agent log talos-cp-1" not in s.health)
        assert source.started == 1
        await eventually(lambda: source.ended == 1)


@in_virtual_time
async def test_two_sources_of_one_name_are_a_mistake_that_is_told() -> None:
    with pytest.raises(ValueError, match="'namespaces'"):
        Monitor([Feed(Told()), Feed(Told())], lambda: NOON)


@in_virtual_time
async def test_settled_waits_for_an_answer_or_a_failure_of_each() -> None:
    first, second = Told("namespaces"), Told("nodes")
    async with running(Feed(first), Feed(second)) as monitor:
        first.say(replaced("a"))
        waiting = asyncio.create_task(monitor.settled([NAMESPACES, NODES], 5))
        await until(monitor, lambda s: bool(s.records[NAMESPACES]))
        assert not waiting.done()
        second.say(Failed("nodes", Reason.FORBIDDEN, "no", 300.0))
        snapshot = await waiting
        assert snapshot.health_of(NODES).state is State.FORBIDDEN


@in_virtual_time
async def test_settled_waits_for_what_was_demanded_just_now() -> None:
    """It is told as off until the next publication."""
    source, other = Told(), Told("nodes")
    async with running(Feed(source, on_demand=True), Feed(other)) as monitor:
        other.say(Failed("nodes", Reason.FORBIDDEN, "no", 300.0))
        await until(monitor, lambda s: s.health_of(NODES).state is State.FORBIDDEN)
        assert (await monitor.settled([NAMESPACES], 5)).health_of(NAMESPACES).state is State.OFF
        with monitor.demand(NAMESPACES):
            source.say(replaced("a"))
            assert set((await monitor.settled([NAMESPACES], 5)).records[NAMESPACES]) == {"a"}


@in_virtual_time
async def test_settled_gives_up_at_its_deadline() -> None:
    async with running(Feed(Told())) as monitor:
        snapshot = await monitor.settled([NAMESPACES], 0.05)
        assert snapshot.health_of(NAMESPACES).state is State.LOADING


@in_virtual_time
async def test_refresh_reaches_the_sources_of_the_kinds() -> None:
    first, second = Told("namespaces"), Told("nodes")
    async with running(Feed(first), Feed(second)) as monitor:
        monitor.refresh([NODES])
        assert (first.refreshed, second.refreshed) == (0, 1)
        monitor.refresh()
        assert (first.refreshed, second.refreshed) == (1, 2)


@in_virtual_time
async def test_an_exception_out_of_a_source_is_a_bug_and_comes_out() -> None:
    class Broken(Told):
        async def updates(self) -> AsyncIterator[Update]:
            async for update in super().updates():
                if update.kind == self.kind:
                    raise RuntimeError(f"a bug in {update.kind}")
                yield update

    source = Broken()
    source.say(replaced())
    monitor = Monitor([Feed(source)], lambda: NOON)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(monitor.run(), 5)
    assert "a bug in namespaces" in repr(caught.value.exceptions)


@in_virtual_time
async def test_a_source_whose_heartbeat_fails_is_stale_however_open_its_stream() -> None:
    pulse, log = Told("version", "API server"), Told("operator_log", "operator log")
    async with running(Feed(pulse), Feed(log, heartbeat="API server")) as monitor:
        pulse.say(Heard("version"))
        log.say(Heard("operator_log"))
        await until(monitor, lambda s: s.health_of(OPERATOR_LOG).state is State.FRESH)
        pulse.say(Failed("version", Reason.TIMED_OUT, "no answer", 10.0))
        await until(monitor, lambda s: s.health_of(OPERATOR_LOG).state is State.STALE)
        log.say(Heard("operator_log"))
        await until(monitor, lambda s: s.health_of(VERSION).state is State.FAILING)
        assert monitor.snapshot.health_of(OPERATOR_LOG).state is State.STALE
        pulse.say(Heard("version"))
        await until(monitor, lambda s: s.health_of(OPERATOR_LOG).state is State.FRESH)


@in_virtual_time
async def test_until_it_runs_what_is_still_to_be_set_up_is_loading_and_not_off() -> None:
    monitor = Monitor((), lambda: NOON, setting_up=True)
    assert monitor.snapshot.health_of(NAMESPACES).state is State.LOADING
    source = Told()
    monitor.attach(Feed(source))
    running_monitor = asyncio.create_task(monitor.run())
    source.say(replaced("a"))
    snapshot = await until(monitor, lambda s: bool(s.records[NAMESPACES]))
    assert snapshot.health_of(NODES).state is State.OFF
    running_monitor.cancel()
    await asyncio.gather(running_monitor, return_exceptions=True)
