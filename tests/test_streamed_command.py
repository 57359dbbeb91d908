"""Real commands that run for a while: read as they go, asked to stop, and nothing of them left."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium import connectivity_test as streamed_command
from collectors.cilium.connectivity_test import MAX_LINE, LineSplitter, StreamedCommand
from collectors.process import CommandMissing, OutputTooLarge, end_all
from tests.patience import FOREVER, PATIENCE
from tests.test_command import assert_gone, members

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def shell(script: str, patience: float = 10.0) -> StreamedCommand:
    return StreamedCommand("sh", "-c", script, patience=patience)


async def everything(command: StreamedCommand, timeout: float = 30.0) -> list[bytes]:
    async with aclosing(command.lines(timeout)) as lines:
        return [line async for line in lines]


async def test_lines_come_while_the_command_runs(tmp_path: Path) -> None:
    fifo = tmp_path / "go on"
    os.mkfifo(fifo)
    command = shell(f"echo first; read word < '{fifo}'; echo $word")
    async with aclosing(command.lines(FOREVER)) as lines:
        assert await anext(lines) == b"first"
        await asyncio.to_thread(fifo.write_text, "second\n")  # it waits for this
        assert [line async for line in lines] == [b"second"]
    assert command.code == 0
    assert 0 < command.took < 10


async def test_both_outputs_are_told_and_a_last_line_needs_no_newline() -> None:
    command = shell("echo one; printf two; printf three >&2; exit 3")
    assert sorted(await everything(command)) == [b"one", b"three", b"two"]
    assert command.code == 3


async def test_an_interrupted_command_may_tidy_up_and_tells_of_it() -> None:
    command = shell("trap 'echo tidied; exit 7' INT; echo ready; while :; do sleep 0.05; done")
    told = []
    async with aclosing(command.lines(FOREVER)) as lines:
        async for line in lines:
            told.append(line)
            command.interrupt()
    assert told == [b"ready", b"tidied"]
    assert (command.code, command.timed_out) == (7, False)


async def test_one_that_does_not_stop_is_killed_with_its_children() -> None:
    command = shell("trap '' INT TERM; echo $$; sleep 5000 & sleep 5000; sleep 5000", patience=0.2)
    told = []
    begun = time.monotonic()
    async with aclosing(command.lines(FOREVER)) as lines:
        async for line in lines:
            told.append(line)
            command.interrupt()
    assert time.monotonic() - begun < PATIENCE
    assert command.code == -signal.SIGKILL
    assert_gone(int(told[0]))


async def test_one_that_prints_faster_than_it_is_read_is_killed_in_time_too() -> None:
    command = shell("trap '' INT TERM; while :; do echo x; sleep 0.001; done", patience=0.2)
    begun = time.monotonic()
    async with aclosing(command.lines(FOREVER)) as lines:
        async for _ in lines:
            command.interrupt()
            if command.code is None:
                await asyncio.sleep(0.02)  # a reader that is slow
    assert time.monotonic() - begun < PATIENCE
    assert command.code == -signal.SIGKILL


async def test_interrupting_before_the_start_stops_it_at_once() -> None:
    command = StreamedCommand("sleep", "5000", patience=10.0)  # a starting dash loses signals
    command.interrupt()
    assert await everything(command) == []
    assert command.code == -signal.SIGINT


async def test_interrupting_after_the_end_reaches_nobody() -> None:
    command = shell("exit 0")
    await everything(command)
    command.interrupt()
    assert command.code == 0


async def test_a_command_whose_time_is_over_is_interrupted_first() -> None:
    command = shell("trap 'echo tidied; exit 1' INT; while :; do sleep 0.05; done")
    assert await everything(command, timeout=0.5) == [b"tidied"]
    assert command.timed_out


async def test_a_grandchild_that_holds_the_output_is_not_waited_for() -> None:
    command = shell("(while echo more; do sleep 0.01; done) & echo $$")
    told = await everything(command)
    assert command.took < PATIENCE
    assert_gone(int(next(line for line in told if line != b"more")))


async def test_closing_the_lines_ends_the_group() -> None:
    command = shell("trap '' INT; echo $$; sleep 5000 & sleep 5000")
    async with aclosing(command.lines(FOREVER)) as lines:
        group = int(await anext(lines))
        assert members(group)
    assert_gone(group)


async def test_cancelling_the_reader_ends_the_group() -> None:
    group: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with aclosing(shell("echo $$; sleep 5000 & sleep 5000").lines(30)) as lines:
            async for line in lines:
                group.set_result(int(line))

    reading = asyncio.create_task(read())
    await group
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert_gone(group.result())


async def test_end_all_ends_it_and_its_lines_end() -> None:
    command = shell("trap '' TERM; echo $$; sleep 5000; sleep 5000")
    async with aclosing(command.lines(FOREVER)) as lines:
        group = int(await anext(lines))
        end_all()
        assert [line async for line in lines] == []
    assert command.code == -signal.SIGKILL
    assert_gone(group)


async def test_output_without_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_command, "LIMIT", 100_000)
    with pytest.raises(OutputTooLarge):
        await everything(shell("yes"))


async def test_a_program_that_is_not_there_is_missing() -> None:
    with pytest.raises(CommandMissing):
        await everything(StreamedCommand("no-such-program", patience=1))


async def test_nothing_is_left_open() -> None:
    await everything(shell("true"))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for script in ("echo x", "sleep 0 & echo y >&2"):
        await everything(shell(script))
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"a\nb", b"\r\n"])))
def test_lines_are_the_same_wherever_the_chunks_are_cut(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    assert b"\n".join([*lines, splitter.flush()]) == b"".join(chunks)


def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    splitter = LineSplitter()
    assert [splitter.feed(b"x" * 50_000) for _ in range(4)] == [[]] * 4
    assert splitter.feed(b"y\nnext\n") == [b"x" * MAX_LINE, b"next"]
