"""When a cluster is read to the end: not before the logs that are needed, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.model.finding import Ref, Severity
from app.pipeline.settle import QUIET, settled
from app.state.kinds import AGENT_LOGS, CILIUM_ENDPOINTS
from app.state.monitor import Feed, Monitor
from app.state.snapshot import State
from collectors.cilium.records import CiliumPolicy
from collectors.kubernetes.records import Metadata
from collectors.logs.lines import LogEntry, LogLine
from collectors.source import Appended, Heard, Replaced, Update
from tests.lab_reading import read_here
from tests.recorded import Said, feeds, taken_at
from tests.verdicts import found_in
from tests.virtual_time import in_virtual_time


class Silent:
    """A source that never answers."""

    kind = "pools"
    label = "another source of pools"

    async def updates(self) -> AsyncIterator[Update]:
        await asyncio.Event().wait()
        yield Heard(self.kind)


class Slow:
    """An agent's log that can be read at once and whose lines come a little later."""

    kind = AGENT_LOGS.name

    def __init__(self, node: str) -> None:
        self.label = f"agent log {node}"

    async def updates(self) -> AsyncIterator[Update]:
        yield Heard(self.kind)
        for number in range(3):
            await asyncio.sleep(QUIET / 2)
            line = LogLine(taken_at("router-killed"), raw=f"{self.label} {number}")
            yield Appended(self.kind, (LogEntry(f"{self.label}{number}", "p", "c", line),))
        await asyncio.Event().wait()


@asynccontextmanager
async def running(name: str, *more: Feed) -> AsyncIterator[Monitor]:
    moment = taken_at(name)
    monitor = Monitor([*feeds(name), *more], lambda: moment, context=name)
    task = asyncio.create_task(monitor.run())
    try:
        yield monitor
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@in_virtual_time
async def test_a_cluster_is_read_as_soon_as_all_have_answered() -> None:
    async with running("no-bgp-config") as monitor:
        begun = asyncio.get_running_loop().time()
        snapshot = await settled(monitor, 30)
        assert asyncio.get_running_loop().time() - begun < 15
        assert {health.state for health in snapshot.health.values()} <= {State.FRESH, State.ABSENT}


@in_virtual_time
async def test_a_source_that_does_not_answer_is_failing_when_the_time_is_over() -> None:
    async with running("no-bgp-config", Feed(Silent())) as monitor:
        snapshot = await settled(monitor, 2)
        health = snapshot.health["another source of pools"]
        assert (health.state, health.error) == (State.FAILING, "no answer within 2 s")
        assert monitor.snapshot.health["another source of pools"].state is State.LOADING


@in_virtual_time
async def test_sessions_in_trouble_are_not_judged_before_their_logs_are_there() -> None:
    async with running("router-killed") as monitor:
        begun = asyncio.get_running_loop().time()
        await settled(monitor, 3)
        assert asyncio.get_running_loop().time() - begun >= 3


@in_virtual_time
async def test_a_log_is_read_to_its_end() -> None:
    logs = [Feed(Slow(f"talos-cp-{i}")) for i in (1, 2, 3)]
    async with running("router-killed", *logs) as monitor:
        snapshot = await settled(monitor, 30)
        assert len(snapshot.records[AGENT_LOGS]) == 9


@in_virtual_time
async def test_what_policies_are_enforced_on_is_waited_for_where_there_is_one() -> None:
    """Nobody asks for it here, so that it never comes."""
    policy = CiliumPolicy(Metadata("p", "home"))
    found = Said("cilium policies", Replaced("cilium_policies", (policy,), 0.0))
    endpoints = Said("cilium endpoints", Replaced(CILIUM_ENDPOINTS.name, (), 0.0))
    moment, clock = taken_at("healthy"), asyncio.get_running_loop().time
    monitor = Monitor([Feed(found), Feed(endpoints, on_demand=True)], lambda: moment)
    task, begun = asyncio.create_task(monitor.run()), clock()
    with suppress(asyncio.CancelledError):
        await settled(monitor, 3 * QUIET)
        assert clock() - begun >= 3 * QUIET
        with monitor.demand(CILIUM_ENDPOINTS):
            begun = clock()
            await settled(monitor, 30)
            assert clock() - begun < 15
        task.cancel()
        await task


async def test_an_agent_that_hangs_is_told_of_within_the_deadline() -> None:
    """`cilium bgp` would wait for it for 30 s, `cilium status` for a minute."""
    snapshot = await read_here("agent-frozen", deadline=10)
    (found,) = [finding for finding in found_in(snapshot) if finding.code == "CS106"]
    assert (found.severity, found.subject) == (Severity.FAIL, Ref("Node", "talos-cp-2"))
    assert "it was waited for" in found.summary
    assert not any(health.error.startswith("no answer") for health in snapshot.health.values())
    assert "had not ended after 9 s" in snapshot.health["cilium status"].error
