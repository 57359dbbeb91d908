"""The polled command against programs that really run: recorded answers, and every way to fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collectors.cilium.answer import CiliumCommand, Reading
from collectors.cilium.cli import COMMANDS, RETRY_DENIED, RETRY_MISSING, CiliumCli, PolledCommand
from collectors.cilium.commands import (
    PEERS,
    ROUTES,
    STATUS,
    VERSION_COMMAND,
)
from collectors.process import CommandTimedOut
from collectors.source import Failed, Reason, Replaced, Source, Update
from tests.cilium_runs import NAMES, answer_of, calls, recorded, stand_in
from tests.patience import FOREVER, PATIENCE
from tests.test_command import assert_gone, group_in, members


def script(folder: Path, body: str) -> str:
    """A program that does this."""
    program = folder / "cilium"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


@asynccontextmanager
async def reading_of(updates: AsyncIterator[Update]) -> AsyncIterator[AsyncIterator[Update]]:
    """The updates, closed at the end of the block."""
    try:
        yield updates
    finally:
        assert isinstance(updates, AsyncGenerator)
        await updates.aclose()


async def first(source: PolledCommand) -> Update:
    """The first update of a source."""
    async with reading_of(source.updates()) as updates:
        return await anext(updates)


async def failure(
    program: str, command: CiliumCommand = PEERS, deadline: float = PATIENCE
) -> Failed:
    """The first update of a source whose command does not succeed."""
    update = await first(PolledCommand(CiliumCli(program), command, deadline=deadline))
    assert isinstance(update, Failed), update
    return update


def test_a_polled_command_is_a_source() -> None:
    source: Source = PolledCommand(CiliumCli(), PEERS)
    assert (source.kind, source.label) == ("bgp_peers", "cilium bgp peers")


def test_these_six_commands_are_run_and_no_other() -> None:
    assert {command.label for command in COMMANDS.values()} == {
        "cilium status",
        "cilium bgp peers",
        "cilium bgp routes available ipv4 unicast",
        "cilium bgp routes available ipv6 unicast",
        "cilium bgp routes advertised ipv4 unicast",
        "cilium bgp routes advertised ipv6 unicast",
    }


def test_beside_them_the_command_is_asked_for_its_own_version() -> None:
    words = CiliumCli("cilium", "/kc", "home").command_line(*VERSION_COMMAND.argv, timeout=5)
    assert words[-2:] == ("version", "--client")
    assert VERSION_COMMAND.label == "cilium version --client"


@pytest.mark.parametrize(
    "argv", [(), ("bgp",), ("sysdump",), ("bgp", "peers", "-o", "json", "; rm"), ("status",)]
)
async def test_nothing_else_is_ever_run(argv: tuple[str, ...], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(ValueError, match="is not one of the commands that are run"):
        await CiliumCli(script(tmp_path, f"touch {marker}")).run(*argv, timeout=5)
    assert not marker.exists()


@pytest.mark.parametrize("name", NAMES)
async def test_every_recording_through_a_real_program(name: str, tmp_path: Path) -> None:
    cli = CiliumCli(str(stand_in(tmp_path, name)))
    for command in (STATUS, PEERS, ROUTES[-1]):
        expected = answer_of(command.parse, recorded(name, *command.argv))
        update = await first(PolledCommand(cli, command))
        if isinstance(expected, Reading):
            assert isinstance(update, Replaced)
            assert update == Replaced(
                command.kind, expected.records, update.took, expected.problems
            )
            assert 0 < update.took < 30
        else:
            assert isinstance(update, Failed)
            assert (update.kind, update.reason) == (command.kind, expected.reason)
            assert update.message == expected.message


async def test_the_command_line_names_the_cluster_of_the_dashboard(tmp_path: Path) -> None:
    program = stand_in(tmp_path, "healthy")
    cli = CiliumCli(str(program), "/a/kube config", "admin@home", "cilium-system")
    for command in (PEERS, STATUS, ROUTES[0]):
        await first(PolledCommand(cli, command))
    cluster = ["--kubeconfig", "/a/kube config", "--context", "admin@home"]
    cluster += ["--namespace", "cilium-system"]
    wait = ["--wait-duration", "30s"]
    routes = ["bgp", "routes", "available", "ipv4", "unicast", "-o", "json"]
    assert calls(program) == [
        [*cluster, "bgp", "peers", "-o", "json", *wait],
        [*cluster, "status", "-o", "json"],
        [*cluster, *routes, *wait],
    ]


async def test_what_is_not_given_is_left_to_the_program(tmp_path: Path) -> None:
    program = stand_in(tmp_path, "healthy")
    await CiliumCli(str(program)).run(*STATUS.argv, timeout=PATIENCE)
    assert calls(program) == [["--namespace", "kube-system", "status", "-o", "json"]]


def test_the_wait_of_the_command_ends_before_our_own() -> None:
    for timeout, wait in ((40, "30s"), (18, "13.5s"), (0.9, "0.7s")):
        line = CiliumCli("c").command_line(*PEERS.argv, timeout=timeout)
        assert line[-2:] == ("--wait-duration", wait)


async def test_a_program_that_is_not_installed_is_absent_and_looked_for_every_minute() -> None:
    update = await failure("no-such-cilium")
    assert update.reason is Reason.ABSENT
    assert update.message == (
        "the program no-such-cilium is not installed, or not in PATH;"
        " install cilium-cli 0.18.6 or later, or use --no-cli"
    )
    assert update.retry_in is not None
    assert RETRY_MISSING <= update.retry_in <= 1.1 * RETRY_MISSING


async def test_a_program_that_cannot_be_started_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "cilium"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    update = await failure(str(program))
    assert update.reason is Reason.REFUSED
    assert "cannot be started" in update.message


async def test_a_command_that_hangs_is_timed_out(tmp_path: Path) -> None:
    begun = time.monotonic()
    update = await failure(script(tmp_path, f"sleep {FOREVER}"), STATUS, deadline=0.3)
    assert time.monotonic() - begun < PATIENCE
    assert update.reason is Reason.TIMED_OUT
    assert update.message == "cilium status had not ended after 0.3 s and was ended"


async def test_output_that_is_cut_short_is_unreadable(tmp_path: Path) -> None:
    update = await failure(script(tmp_path, """printf '{"talos-cp-1": [{"local'"""))
    assert update.reason is Reason.UNREADABLE
    assert "truncated" in update.message


async def test_output_without_end_is_unreadable(tmp_path: Path) -> None:
    update = await failure(script(tmp_path, "exec yes"))
    assert update.reason is Reason.UNREADABLE
    assert "printed more than" in update.message


async def test_a_command_that_is_forbidden_is_not_asked_often(tmp_path: Path) -> None:
    update = await failure(str(stand_in(tmp_path, "rights-no-exec")))
    assert update.reason is Reason.FORBIDDEN
    assert update.retry_in is not None
    assert RETRY_DENIED <= update.retry_in <= 1.1 * RETRY_DENIED


async def test_failures_slow_the_polling_down_and_a_success_ends_that(tmp_path: Path) -> None:
    good = tmp_path / "good"
    program = script(tmp_path, f"test -e {good} && echo '{{}}' || exit 1")
    source = PolledCommand(CiliumCli(program), PEERS, interval=10)
    pauses: list[float] = []
    async with reading_of(source.updates()) as updates:
        for _ in range(4):
            update = await anext(updates)
            assert isinstance(update, Failed)
            assert update.retry_in is not None
            pauses.append(update.retry_in)
            source.refresh()
        good.touch()
        assert isinstance(await anext(updates), Replaced)
        good.unlink()
        source.refresh()
        update = await anext(updates)
    assert isinstance(update, Failed)
    for pause, least in zip([*pauses, update.retry_in or 0], [10, 20, 40, 40, 10], strict=True):
        assert least <= pause <= 1.1 * least


async def test_the_next_run_begins_an_interval_after_the_end_of_the_last(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = script(tmp_path, f"date +%s%N >>{log}; sleep 0.2; date +%s%N >>{log}; echo '{{}}'")
    source = PolledCommand(CiliumCli(program), PEERS, interval=0.3)
    async with reading_of(source.updates()) as updates:
        for _ in range(4):
            assert isinstance(await anext(updates), Replaced)
    times = [int(line) / 1e9 for line in log.read_text().splitlines()]
    gaps = [begun - ended for ended, begun in zip(times[1::2], times[2::2], strict=False)]
    assert len(gaps) == 3
    assert min(gaps) >= 0.9 * 0.3
    assert len(set(gaps)) == 3


async def test_refresh_runs_the_command_now(tmp_path: Path) -> None:
    source = PolledCommand(CiliumCli(str(stand_in(tmp_path, "healthy"))), PEERS, interval=3600)
    async with asyncio.timeout(PATIENCE), reading_of(source.updates()) as updates:
        await anext(updates)
        source.refresh()
        assert isinstance(await anext(updates), Replaced)
        with pytest.raises(TimeoutError):  # and once is enough
            await asyncio.wait_for(anext(updates), 0.3)


async def test_a_refresh_while_the_command_runs_runs_it_once_more(tmp_path: Path) -> None:
    going = tmp_path / "going"
    program = script(
        tmp_path,
        f"echo x >>{going}; while ! test -e {tmp_path}/go; do sleep 0.01; done; echo '{{}}'",
    )
    source = PolledCommand(CiliumCli(program), PEERS, interval=3600)
    async with asyncio.timeout(PATIENCE), reading_of(source.updates()) as updates:
        reading = asyncio.ensure_future(anext(updates))
        while not going.exists():  # noqa: ASYNC110 - an outside process
            await asyncio.sleep(0.01)
        source.refresh()
        (tmp_path / "go").touch()
        await reading
        await anext(updates)
    assert going.read_text() == "x\nx\n"


async def test_the_same_command_never_runs_twice_at_once(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = script(tmp_path, f"mkdir {lock} || exit 7; sleep 0.1; rmdir {lock}; echo '{{}}'")
    cli = CiliumCli(program)
    done = await asyncio.gather(*(cli.run(*PEERS.argv, timeout=PATIENCE) for _ in range(4)))
    assert [completed.code for completed in done] == [0, 0, 0, 0]


async def test_different_commands_run_at_the_same_time(tmp_path: Path) -> None:
    # Each waits until the other has begun.
    both = f"test -e {tmp_path}/status -a -e {tmp_path}/bgp"
    body = f"touch {tmp_path}/$3; while ! {both}; do sleep 0.01; done"
    cli = CiliumCli(script(tmp_path, body))
    runs = (cli.run(*command.argv, timeout=PATIENCE) for command in (PEERS, STATUS))
    done = await asyncio.gather(*runs)
    assert [completed.code for completed in done] == [0, 0]


async def test_waiting_for_the_same_command_does_not_count_as_time(tmp_path: Path) -> None:
    cli = CiliumCli(script(tmp_path, f"while ! test -e {tmp_path}/go; do sleep 0.1; done"))
    with pytest.raises(CommandTimedOut):
        await cli.run(*PEERS.argv, timeout=0.1)
    first = asyncio.create_task(cli.run(*PEERS.argv, timeout=PATIENCE))
    await asyncio.sleep(0)
    second = asyncio.create_task(cli.run(*PEERS.argv, timeout=5))
    await asyncio.sleep(5.5)
    (tmp_path / "go").touch()
    assert [(await each).code for each in (first, second)] == [0, 0]


async def test_closing_the_source_ends_the_command(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    program = script(tmp_path, f"echo $$ >{file}; sleep {FOREVER}")
    source = PolledCommand(CiliumCli(program), PEERS)

    async def read() -> None:
        async with reading_of(source.updates()) as updates:
            await anext(updates)

    reading = asyncio.create_task(read())
    group = await group_in(file)
    assert members(group)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert_gone(group)
