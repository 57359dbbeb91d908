"""Real commands that behave badly, each to its end, and nothing of them left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import process
from collectors.process import (
    AT_ONCE,
    ERROR_LIMIT,
    CommandMissing,
    CommandNotStarted,
    CommandTimedOut,
    OutputTooLarge,
    end_all,
    run,
)
from tests.patience import FOREVER, PATIENCE
from tests.searching import examples

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def members(group: int) -> list[int]:
    """Processes of a group that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended while we looked
        if int(pgrp) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def assert_gone(group: int) -> None:
    """Nothing of the group runs; a killed process may need a moment to go."""
    deadline = time.monotonic() + PATIENCE
    while members(group) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert members(group) == []


def written(file: Path) -> str:
    """The whole line in a file, "" until it is there."""
    text = file.read_text() if file.exists() else ""
    return text if text.endswith("\n") else ""


async def group_in(file: Path) -> int:
    """The number a command writes to a file once it runs."""
    async with asyncio.timeout(PATIENCE):
        while not (number := written(file)):  # noqa: ASYNC110 - an outside process
            await asyncio.sleep(0.01)
    return int(number)


async def test_exit_code_output_and_error_text_are_the_answer() -> None:
    completed = await run("sh", "-c", "echo out; echo err >&2; exit 3", timeout=PATIENCE)
    assert (completed.code, completed.out, completed.err) == (3, b"out\n", "err\n")
    assert 0 < completed.took < 10


async def test_a_command_ended_by_a_signal_has_a_negative_code() -> None:
    assert (await run("sh", "-c", "kill -9 $$", timeout=PATIENCE)).code == -9


async def test_the_command_has_a_session_of_its_own_and_no_terminal_and_no_input() -> None:
    script = (
        "import os,sys\n"
        "print(os.getpid() == os.getpgrp() == os.getsid(0), *map(os.isatty, (0, 1, 2)))\n"
        "print(repr(sys.stdin.read()), os.environ['NO_COLOR'], os.environ['EXTRA'])\n"
        "try: open('/dev/tty')\n"
        "except OSError: print('no tty')\n"
    )
    completed = await run(
        sys.executable, "-S", "-c", script, timeout=PATIENCE, env={"EXTRA": "here"}
    )
    assert completed.out.decode().splitlines() == [
        "True False False False",
        "'' 1 here",
        "no tty",
    ]


@settings(max_examples=examples(25))
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
        max_size=4,
    )
)
def test_arguments_arrive_as_they_are(arguments: list[str]) -> None:
    script = 'for each in "$@"; do printf "%s\\0" "$each"; done'
    completed = asyncio.run(run("sh", "-c", script, "name", *arguments, timeout=PATIENCE))
    assert completed.out.decode().split("\0")[:-1] == arguments


async def test_a_program_that_is_not_there_is_missing() -> None:
    with pytest.raises(CommandMissing, match="no-such-program is not installed, or not in PATH"):
        await run("no-such-program", timeout=PATIENCE)


async def test_a_path_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandMissing, match="there is no program"):
        await run(str(tmp_path / "nothing"), timeout=PATIENCE)


async def test_a_file_that_may_not_be_executed_is_missing_and_says_so(tmp_path: Path) -> None:
    program = tmp_path / "cilium"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(CommandMissing, match=r"cilium is not executable$"):
        await run(str(program), timeout=PATIENCE)


async def test_a_program_for_another_machine_cannot_be_started(tmp_path: Path) -> None:
    program = tmp_path / "cilium"
    program.write_bytes(b"\x7fELF nothing that runs here")
    program.chmod(0o755)
    with pytest.raises(CommandNotStarted, match=r"cilium cannot be started: OSError:.*format"):
        await run(str(program), timeout=PATIENCE)


async def test_a_command_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {file}; sleep 5000 & sleep 5000; sleep 5000"
    begun = time.monotonic()
    with pytest.raises(CommandTimedOut, match=r"sh had not ended after 0\.5 s"):
        await run("sh", "-c", script, timeout=0.5)
    assert time.monotonic() - begun < PATIENCE
    assert_gone(int(file.read_text()))


@pytest.mark.parametrize("timeout", [0.2, 0.0], ids=["running", "not yet begun"])
async def test_a_command_that_obeys_sigterm_is_not_waited_for_any_longer(
    monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    monkeypatch.setattr(process, "GRACE", FOREVER)
    begun = time.monotonic()
    with pytest.raises(CommandTimedOut):
        await run("sleep", "5000", timeout=timeout)
    assert time.monotonic() - begun < PATIENCE


async def test_a_grandchild_that_holds_the_output_is_not_waited_for() -> None:
    completed = await run("sh", "-c", "sleep 5000 & echo $$", timeout=PATIENCE)
    assert completed.code == 0
    assert completed.took < PATIENCE
    assert_gone(int(completed.out))


async def test_a_grandchild_that_closed_the_output_does_not_stay() -> None:
    completed = await run("sh", "-c", "sleep 5000 >/dev/null 2>&1 & echo $$", timeout=PATIENCE)
    assert completed.took < PATIENCE
    assert_gone(int(completed.out))


async def test_a_command_that_closes_its_output_and_runs_on_times_out(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with pytest.raises(CommandTimedOut):
        await run("sh", "-c", f"echo $$ > {file}; exec >&- 2>&-; sleep 5000", timeout=0.5)
    assert_gone(int(file.read_text()))


async def test_fifty_megabytes_come_whole() -> None:
    completed = await run("head", "-c", "50000000", "/dev/zero", timeout=PATIENCE)
    assert completed.out == bytes(50_000_000)


async def test_output_up_to_the_limit_is_whole_and_one_byte_more_is_too_large() -> None:
    assert (
        await run("head", "-c", "1000", "/dev/zero", timeout=PATIENCE, limit=1000)
    ).out == bytes(1000)
    with pytest.raises(OutputTooLarge, match="head printed more than 999 bytes"):
        await run("head", "-c", "1000", "/dev/zero", timeout=PATIENCE, limit=999)


async def test_a_command_that_prints_without_end_is_killed_when_it_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    begun = time.monotonic()
    with pytest.raises(OutputTooLarge):
        await run("sh", "-c", f"echo $$ > {file}; yes", timeout=PATIENCE, limit=1_000_000)
    assert time.monotonic() - begun < PATIENCE
    assert_gone(int(file.read_text()))


async def test_error_text_without_end_is_cut_and_does_not_hold_up_the_command() -> None:
    script = "head -c 5000000 /dev/zero | tr '\\0' x >&2; echo done"
    completed = await run("sh", "-c", script, timeout=PATIENCE)
    assert completed.out == b"done\n"
    assert len(completed.err) < ERROR_LIMIT
    assert completed.err.endswith(f"(cut after {ERROR_LIMIT} bytes)")


async def test_output_is_bytes_and_error_text_is_printable() -> None:
    script = r"printf '\377\376'; printf '\377 \033]52;c;eA==\007' >&2"
    completed = await run("sh", "-c", script, timeout=PATIENCE)
    assert completed.out == b"\xff\xfe"
    assert completed.err == "\ufffd \ufffd]52;c;eA==\ufffd"


async def test_cancelling_ends_the_whole_group(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {file}; sleep 5000 & sleep 5000; sleep 5000"
    running = asyncio.create_task(run("sh", "-c", script, timeout=FOREVER))
    group = await group_in(file)
    assert members(group)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert_gone(group)


async def test_cancelling_twice_kills_at_once(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    running = asyncio.create_task(
        run("sh", "-c", f"trap '' TERM; echo $$ > {file}; sleep 5000; sleep 5000", timeout=FOREVER)
    )
    group = await group_in(file)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert_gone(group)


async def test_cancelling_before_the_command_has_started_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    running = asyncio.create_task(run("sh", "-c", f"echo $$ > {file}; sleep 5000", timeout=FOREVER))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    if number := written(file):
        assert_gone(int(number))


async def test_end_all_kills_what_still_runs(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {file}; sleep 5000; sleep 5000"
    running = asyncio.create_task(run("sh", "-c", script, timeout=FOREVER))
    group = await group_in(file)
    end_all()
    assert (await running).code == -signal.SIGKILL
    assert_gone(group)


def test_a_program_that_calls_end_all_leaves_nothing_when_it_is_terminated(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {file}; sleep 5000 & sleep 5000; sleep 5000"
    program = (
        "import asyncio, signal, sys\n"
        "from collectors.process import end_all, run\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        f"try: asyncio.run(run('sh', '-c', {script!r}, timeout={FOREVER}))\n"
        "finally: end_all()\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[1])
    try:
        group = asyncio.run(group_in(file))
        running.terminate()
        assert running.wait(timeout=PATIENCE) == 5
        assert_gone(group)
    finally:
        running.kill()
        running.wait()


async def test_no_more_than_eight_run_at_once(tmp_path: Path) -> None:
    script = f"mkdir {tmp_path}/$$; ls {tmp_path} | wc -l; sleep 0.1; rmdir {tmp_path}/$$"
    completed = await asyncio.gather(
        *(run("sh", "-c", script, timeout=PATIENCE) for _ in range(20))
    )
    assert max(int(each.out) for each in completed) <= AT_ONCE
    assert all(each.code == 0 for each in completed)


async def test_waiting_for_a_free_place_does_not_count_as_time(tmp_path: Path) -> None:
    script = f"while ! test -e {tmp_path}/go; do sleep 0.1; done"
    others = [
        asyncio.create_task(run("sh", "-c", script, timeout=PATIENCE)) for _ in range(AT_ONCE)
    ]
    await asyncio.sleep(0)
    last = asyncio.create_task(run("true", timeout=5))
    await asyncio.sleep(5.5)
    (tmp_path / "go").touch()
    assert (await last).code == 0
    await asyncio.gather(*others)


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    await run("true", timeout=PATIENCE)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        await run("sh", "-c", "sleep 0 & echo x", timeout=PATIENCE)
        with pytest.raises(CommandMissing):
            await run("no-such-program", timeout=PATIENCE)
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


def test_importing_the_module_does_not_import_sh() -> None:
    program = "import sys, collectors.process; sys.exit('sh' in sys.modules)"
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0
