"""The real program on a real terminal: what it survives, and how it leaves the terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent
PROGRAM = """
import os, signal, sys, time
from app.dashboard.terminal import restored_terminal
from tests.dashboards import recorded_dashboard
app = recorded_dashboard("healthy", ascii_only="ascii" in sys.argv)
if "stuck" in sys.argv:
    from app.dashboard.controllers import Controllers
    Controllers.refresh = lambda _: (os.write(2, b"stuck now"), time.sleep(5_000))
if "continued" in sys.argv:
    type(app).on_unmount = lambda self: os.kill(os.getpid(), signal.SIGCONT)
with restored_terminal(app.end, lambda: None) as received:
    app.run(mouse=False)
sys.exit(128 + received[0] if received else 0)
"""
ALTERNATE_SCREEN, MAIN_SCREEN, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
REVERSE = re.compile(rb"\x1b\[(?:[0-9]+;)*7(?:;[0-9]+)*m")
MOUSE = re.compile(rb"\x1b\[\?(?:1000|1002|1003|1006|1015)h")


class Terminal:
    """A process on a pseudo terminal, and everything it wrote."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.attributes = termios.tcgetattr(self.slave)
        self.written = b""
        plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            cwd=ROOT,
            env={**plain, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )

    def type(self, keys: bytes) -> None:
        """Send what a keyboard would send."""
        os.write(self.master, keys)

    async def until(self, true: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Read what is written until something is so."""
        loop = asyncio.get_running_loop()
        os.set_blocking(self.master, False)
        arrived = asyncio.Event()
        loop.add_reader(self.master, arrived.set)
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    try:
                        self.written += os.read(self.master, 65_536)
                    except BlockingIOError:
                        arrived.clear()
                        try:
                            async with asyncio.timeout(0.05):
                                await arrived.wait()
                        except TimeoutError:
                            continue
                    except OSError:  # the other side is closed
                        await asyncio.sleep(0.01)
        finally:
            loop.remove_reader(self.master)

    async def shows(self, text: str) -> None:
        """Wait until this was written (in one piece)."""
        await self.until(lambda: text.encode() in self.written)

    async def writes(self, total: int) -> None:
        """Wait until so many bytes were written in all."""
        await self.until(lambda: len(self.written) >= total)

    async def ended(self) -> int:
        """Wait for the end of the process; its exit code."""
        await self.until(lambda: self.process.poll() is not None)
        while True:  # its last words
            try:
                self.written += os.read(self.master, 65_536)
            except OSError:
                break
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def terminal(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """A dashboard that shows its first rows."""
    shown = Terminal(arguments, environment or {})
    try:
        await shown.shows("talos-cp-3")
        yield shown
    finally:
        if shown.process.poll() is None:
            shown.process.kill()
        shown.process.wait()
        os.close(shown.slave)
        os.close(shown.master)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_and_leaves_the_terminal_whole(signum: signal.Signals) -> None:
    """How soon is what the benchmark measures."""
    async with terminal() as shown:
        shown.process.send_signal(signum)
        assert await shown.ended() == 128 + signum
        assert shown.written.rindex(MAIN_SCREEN) > shown.written.rindex(ALTERNATE_SCREEN)
        assert shown.written.rindex(SHOW_CURSOR) > shown.written.rindex(ALTERNATE_SCREEN)
        assert termios.tcgetattr(shown.slave) == shown.attributes


async def test_even_a_stuck_dashboard_ends_and_leaves_the_terminal_whole() -> None:
    async with terminal("stuck") as shown:
        shown.type(b"\x12")  # ctrl-r, which sleeps in this one
        await shown.shows("stuck now")
        started = time.monotonic()
        shown.process.send_signal(signal.SIGTERM)
        assert await shown.ended() == 128 + signal.SIGTERM
        assert time.monotonic() - started < PATIENCE
        assert shown.written.rindex(MAIN_SCREEN) > shown.written.rindex(ALTERNATE_SCREEN)
        assert termios.tcgetattr(shown.slave) == shown.attributes


async def test_bytes_that_are_no_utf8_are_survived() -> None:
    async with terminal() as shown:
        shown.type(b"\xff\xfe\x80\xc3(\xf0\x9f")
        shown.type(b"q")
        await shown.shows("ctrl-c or :q quits")
        shown.type(b"\x03")
        assert await shown.ended() == 0


async def test_a_terminal_that_is_taken_away_ends_it() -> None:
    async with terminal() as shown:
        os.close(shown.slave)
        os.close(shown.master)
        shown.master, shown.slave = pty.openpty()
        await asyncio.to_thread(shown.process.wait, PATIENCE)


async def test_a_terminal_that_hangs_up_while_it_is_being_left_does_not_keep_it_alive() -> None:
    async with terminal("continued") as shown:  # as the kernel does after SIGHUP
        shown.type(b"\x03")
        assert await shown.ended() == 0
        assert shown.written.rindex(MAIN_SCREEN) > shown.written.rindex(ALTERNATE_SCREEN)
        assert termios.tcgetattr(shown.slave) == shown.attributes


async def test_it_goes_on_after_it_was_stopped() -> None:
    async with terminal() as shown:
        shown.process.send_signal(signal.SIGSTOP)
        shown.process.send_signal(signal.SIGCONT)
        await shown.until(lambda: shown.written.count(ALTERNATE_SCREEN) == 2)
        shown.type(b"q")
        await shown.shows("ctrl-c or :q quits")
        shown.type(b"\x03")
        assert await shown.ended() == 0
        assert termios.tcgetattr(shown.slave) == shown.attributes


async def test_without_colour_no_colour_is_written_and_no_mouse_is_asked_for() -> None:
    async with terminal(environment={"NO_COLOR": "1"}) as shown:
        assert not COLOUR.search(shown.written)
        assert not MOUSE.search(shown.written)
        assert REVERSE.search(shown.written), "the cursor is told otherwise"


async def test_an_empty_no_color_is_none() -> None:
    async with terminal(environment={"NO_COLOR": ""}) as shown:
        assert COLOUR.search(shown.written)


async def test_sixteen_colours_are_the_terminals_own() -> None:
    async with terminal(environment={"TERM": "xterm"}) as shown:
        assert COLOUR.search(shown.written)
        assert b"38;5;" not in shown.written
        assert b"38;2;" not in shown.written


async def test_in_ascii_only_ascii_is_written() -> None:
    async with terminal("ascii") as shown:
        for key in (b"\x1bOQ", b"\x1bOR", b"\x1bOS"):
            enough = len(shown.written) + 200
            shown.type(key)
            await shown.writes(enough)
        assert shown.written.isascii()


def test_the_dashboard_loads_nothing_that_speaks_with_the_world() -> None:
    code = (
        "import sys, app.dashboard.app;"
        "heavy = ('sh', 'kubernetes', 'aiohttp', 'yaml', 'requests');"
        "print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert out.stdout.decode().strip() == "[]"


async def test_the_mouse_is_asked_for_when_it_is_wanted_and_given_back() -> None:
    async with terminal() as shown:
        assert not MOUSE.search(shown.written)
        shown.type(b":mouse on\r")
        await shown.shows("\x1b[?1003h")
        shown.type(b":mouse off\r")
        await shown.shows("\x1b[?1003l")
        shown.type(b":mouse on\r")
        await shown.until(lambda: shown.written.count(b"\x1b[?1003h") == 2)
        shown.type(b"\x03")
        assert await shown.ended() == 0
        assert shown.written.rindex(b"\x1b[?1003l") > shown.written.rindex(b"\x1b[?1003h")
