"""Run one command to its end, whatever it does, without blocking the event loop.

`sh` starts the child and reaps it; everything that can go wrong around that is here. A command may
ignore SIGTERM, leave a grandchild behind that holds its output, close its output and run on, print
without end, or never return: in every case what was started is gone when `run` returns, raises or
is cancelled, and `end_all` makes sure of it when the program ends.

The child has a session of its own (no terminal to draw on or ask at; its pid is its group), nothing
on stdin, and NO_COLOR. Its streams come through pipes read by the event loop, not by `sh`: `sh`
would look at them ten times a second and wait a whole second for an exit it has missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from collectors.sanitize import one_line, printable_bytes
from collectors.source import ReadError, Reason

if TYPE_CHECKING:
    import sh

DEFAULT_LIMIT = 64 * 1024 * 1024
"""Bytes of standard output that a command may print."""

ERROR_LIMIT = 1024 * 1024
"""Bytes of standard error that are kept; the rest is read and dropped, and the cut is marked."""

AT_ONCE = 8
"""Commands that run at the same time; one more waits, and its time does not count."""

GRACE = 0.5
"""Seconds a group has to go after SIGTERM, and a stream to end after its command."""

_REAP = 1.0
"""Seconds until a killed child is given up on: only the kernel can hold it now."""

_CHUNK = 256 * 1024
_ANY_CODE = tuple(range(-64, 256))

_threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="command")
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class CommandFailure(ReadError):
    """A command gave no answer."""

    cause: ClassVar[Reason]

    def __init__(self, message: str) -> None:
        super().__init__(self.cause, message)


class CommandMissing(CommandFailure):
    """The program is not installed, or what has its name is not executable."""

    cause = Reason.ABSENT


class CommandNotStarted(CommandFailure):
    """The program is there and the system cannot start it: wrong architecture, no memory."""

    cause = Reason.REFUSED


class CommandTimedOut(CommandFailure):
    """The command was still running when its time ran out; its process group was ended."""

    cause = Reason.TIMED_OUT


class OutputTooLarge(CommandFailure):
    """The command printed more than it may; its process group was killed at that moment."""

    cause = Reason.UNREADABLE


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended by itself. An exit code other than 0 is an answer too."""

    code: int
    """The exit code, or minus the number of the signal that ended it."""
    out: bytes
    err: str
    """Standard error, printable and bounded."""
    took: float
    """Seconds from start to end."""


async def run(
    program: str,
    *arguments: str,
    timeout: float,
    env: Mapping[str, str] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Completed:
    """Run `program` in a session of its own and wait until it and its output have ended.

    `timeout` is in seconds, `env` is added to the environment, `limit` is in bytes of standard
    output. Raises CommandMissing, CommandNotStarted, CommandTimedOut or OutputTooLarge, each a
    CommandFailure. Cancelling it ends the command's whole process group.
    """
    loop = asyncio.get_running_loop()
    async with place(loop):
        begun = loop.time()
        child = Child(program, arguments, env)
        out, err = child.streams(limit)
        ended = child.start(loop, out, err)
        try:
            await asyncio.wait({ended}, timeout=timeout)
            in_time = ended.done()
            if in_time:
                await asyncio.wait({out.ended, err.ended}, timeout=GRACE)
        finally:
            await end(child, ended, out, err)
        if out.overflowed:
            raise OutputTooLarge(f"{program} printed more than {limit} bytes and was killed")
        if not in_time:
            raise CommandTimedOut(f"{program} had not ended after {timeout:g} s and was killed")
        said = printable_bytes(err.content)
        if err.overflowed:
            said += f"\n… (cut after {ERROR_LIMIT} bytes)"
        return Completed(ended.result(), out.content, said, loop.time() - begun)


def _heed_interrupts() -> None:
    """In the child: SIGINT ends it, also where whoever started us in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def place(loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
    """One of the places for commands that run at the same time; wait for it, and leave it."""
    return _slots.setdefault(loop, asyncio.Semaphore(AT_ONCE))


def end_all() -> None:
    """Kill every command still running. For the end of the program, whatever ends it."""
    for child in tuple(_live):
        child.kill()


class Child:
    """One command: started and reaped in a thread, ended from the event loop."""

    def __init__(
        self, program: str, arguments: tuple[str, ...], env: Mapping[str, str] | None = None
    ) -> None:
        """`env` is added to the environment."""
        self._program = program
        self._arguments = arguments
        self._env = env or {}
        self._group: int | None = None
        self._asked: set[signal.Signals] = set()

    def streams(
        self,
        limit: int,
        on_out: Callable[[bytes], None] | None = None,
        on_error: Callable[[bytes], None] | None = None,
    ) -> tuple[Stream, Stream]:
        """Standard output, up to `limit` bytes, and standard error. Raises CommandNotStarted.

        What is handed to `on_out` and `on_error` as it comes is not kept.
        """
        try:
            out = Stream(limit, self.kill, on_out)
            try:
                return out, Stream(ERROR_LIMIT, None, on_error)
            except OSError:
                out.close()
                raise
        except OSError as problem:
            raise CommandNotStarted(f"{self._program} cannot be started: {problem}") from None

    def start(
        self, loop: asyncio.AbstractEventLoop, out: Stream, err: Stream
    ) -> asyncio.Future[int]:
        """Start the command; its exit code is there when it has ended. `end` must follow."""
        _live.add(self)
        return loop.run_in_executor(_threads, self._execute, out, err)

    def _execute(self, out: Stream, err: Stream) -> int:
        # Runs in a thread until the command has ended.
        with out.write_end, err.write_end:
            running = self._start(out.write_end, err.write_end)
        # `await running` would poll once a second; waitpid answers at once.
        return running.wait().exit_code

    def _start(self, out: FileIO, err: FileIO) -> sh.RunningCommand:
        import sh  # takes 64 ms, so not at the top, and here it is not on the event loop

        try:
            command = sh.Command(self._program)
        except sh.CommandNotFound:
            raise CommandMissing(_why_missing(self._program)) from None
        try:
            with open(os.devnull, "rb") as nothing:
                running: sh.RunningCommand = command(
                    *self._arguments,
                    _async=True,
                    _return_cmd=True,
                    _in=nothing,
                    _out=out,
                    _err=err,
                    _no_pipe=True,
                    _tty_out=False,
                    _new_session=True,
                    _ok_code=_ANY_CODE,
                    _preexec_fn=_heed_interrupts,
                    _env={**os.environ, "NO_COLOR": "1", **self._env},
                )
        except (sh.ForkException, OSError) as problem:
            # A ForkException carries the child's traceback; its last line is the error.
            reason = one_line(str(problem).strip().rpartition("\n")[2])
            raise CommandNotStarted(f"{self._program} cannot be started: {reason}") from None
        self._group = running.pid
        for number in tuple(self._asked):  # what came while there was no group yet
            self._deliver(number)
        return running

    def interrupt(self) -> None:
        """Interrupt the group as Ctrl-C does, now or as soon as it exists."""
        self._signal(signal.SIGINT)

    def terminate(self) -> None:
        """Ask the group to end, now or as soon as it exists."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the group, now or as soon as it exists."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        self._asked.add(number)
        self._deliver(number)

    def _deliver(self, number: signal.Signals) -> None:
        if self._group is not None:
            # EPERM is what macOS says of a group of zombies.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)


_live: set[Child] = set()


class Stream:
    """One output of a child, read by the event loop to its end, up to `limit` bytes of it."""

    def __init__(
        self,
        limit: int,
        on_overflow: Callable[[], None] | None = None,
        on_chunk: Callable[[bytes], None] | None = None,
    ) -> None:
        """What is read is kept, or given to `on_chunk`, which may not raise."""
        self._loop = asyncio.get_running_loop()
        self._room = limit
        self._on_overflow = on_overflow
        self._on_chunk = on_chunk
        self._chunks: list[bytes] = []
        self._read_end, write_end = os.pipe()
        self.write_end = FileIO(write_end, "wb")
        self.overflowed = False
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self._read)

    @property
    def content(self) -> bytes:
        """What was kept."""
        return b"".join(self._chunks)

    def _read(self) -> None:
        try:
            chunk = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self.close()
            return
        if len(chunk) > self._room:
            self.overflowed = True
            if self._on_overflow:
                self._on_overflow()
        kept = chunk[: self._room]
        self._room -= len(kept)
        if self._on_chunk:
            self._on_chunk(kept)
        else:
            self._chunks.append(kept)

    def close(self) -> None:
        """Read no more."""
        if not self.ended.done():
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            self.ended.set_result(None)
        self.write_end.close()


async def end(child: Child, ended: asyncio.Future[int], out: Stream, err: Stream) -> None:
    """End a started command for sure: asked first, then killed with all it left behind."""
    try:
        if not ended.done():
            child.terminate()
            await asyncio.wait({ended}, timeout=GRACE)
    finally:
        child.kill()  # also when the command has ended: what it left behind goes with it
    try:
        await asyncio.wait({ended}, timeout=_REAP)
    finally:
        out.close()
        err.close()
        _live.discard(child)
        if ended.done() and not ended.cancelled():
            ended.exception()  # looked at, or asyncio logs an error that nothing waits for


def _why_missing(program: str) -> str:
    path = Path(program)
    if os.sep not in program:
        return f"the program {program} is not installed, or not in PATH"
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return f"there is no program {program}"
    return f"{program} is not executable" if regular else f"{program} is not a program"
