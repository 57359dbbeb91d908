"""What changed just now: `check` waits for what time will tell, and never calls it well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest

from app.cli.check import FOUND, UNJUDGED, Request, exit_code, once
from app.state.monitor import Feed, Monitor
from collectors.cilium.cli import COMMANDS
from collectors.kubernetes.records import EndpointSlice, ManagedField
from collectors.source import Replaced, Update
from tests.recorded import Said, feeds, taken_at
from tests.test_paths import GRAFANA
from tests.virtual_time import in_virtual_time

NAME = "no-bgp-config"  # no session, so no log of a suspect to wait for
LATER = 120.0
"""Seconds after which nothing in the recording is young any more."""


class Polled:
    """A source that says the same again whenever it is asked."""

    def __init__(self, said: Said) -> None:
        self.kind, self.label = said.kind, said.label
        self._said = said
        self._wanted = asyncio.Event()

    def refresh(self) -> None:
        self._wanted.set()

    async def updates(self) -> AsyncIterator[Update]:
        while True:
            async for update in self._said.updates():
                yield update
                break
            await self._wanted.wait()
            self._wanted.clear()


class Emptied:
    """Endpoint slices, of which those of one service were emptied at a moment."""

    def __init__(self, said: Said, at: datetime) -> None:
        self.kind, self.label = said.kind, said.label
        self._said, self._at = said, at

    async def updates(self) -> AsyncIterator[Update]:
        async for update in self._said.updates():
            assert isinstance(update, Replaced)
            records = tuple(self._emptied(record) for record in update.records)
            yield replace(update, records=records)

    def _emptied(self, record: object) -> EndpointSlice:
        assert isinstance(record, EndpointSlice)
        if record.service_key != GRAFANA:
            return record
        fields = (ManagedField(manager="kcm", time=self._at),)
        metadata = msgspec.structs.replace(record.metadata, managed_fields=fields)
        return msgspec.structs.replace(record, metadata=metadata, endpoints=())


@asynccontextmanager
async def emptied(seconds_ago: float) -> AsyncIterator[Monitor]:
    """A cluster whose clock runs, in which a service lost its endpoints a moment ago."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    moment = taken_at(NAME) + timedelta(seconds=LATER)
    sources: list[Feed] = []
    for feed in feeds(NAME):
        said = feed.source
        assert isinstance(said, Said)
        if said.kind == "endpoint_slices":
            sources.append(Feed(Emptied(said, moment - timedelta(seconds=seconds_ago))))
        else:
            sources.append(Feed(Polled(said)) if said.kind in COMMANDS else feed)
    monitor = Monitor(sources, lambda: moment + timedelta(seconds=clock() - begun))
    task = asyncio.create_task(monitor.run())
    try:
        yield monitor
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def judged(seconds_ago: float, deadline: float) -> tuple[str, int]:
    """What is said of the service, and the exit code."""
    request = Request(categories=("workload",), deadline=deadline)
    async with emptied(seconds_ago) as monitor:
        verdict = await once(monitor, request)
    (found,) = verdict.findings
    assert (found.code, found.subject.name) == ("CS601", "grafana")
    return str(found.severity), exit_code(verdict, request, held=False)


@pytest.mark.parametrize("seconds_ago", [22, 29.9])
@in_virtual_time
async def test_what_can_be_told_within_the_deadline_is_waited_for(seconds_ago: float) -> None:
    """At 29.9 s time has told when all has been read, and only the routes are older than that."""
    assert await judged(seconds_ago, deadline=20) == ("fail", FOUND)


@in_virtual_time
async def test_what_cannot_be_told_in_time_is_unknown_and_not_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await judged(2, deadline=12) == ("unknown", UNJUDGED)
    assert capsys.readouterr().err == ""
