"""Run one command that takes minutes, and read its lines while it runs.

Started and ended as every command is (`collectors.process`: a session of its own, a deadline, the
whole group ended, `end_all`). What differs: its output is read line by line, and it is stopped
as an operator does it, with SIGINT, and with time to clean up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator

from collectors.process import GRACE, Child, OutputTooLarge, Stream, end, place

LIMIT = 16 * 1024 * 1024
"""Bytes of standard output that the command may print."""

MAX_LINE = 64 * 1024
"""Bytes kept of one line; the rest of it is dropped."""


class LineSplitter:
    """Lines out of chunks, wherever these are cut."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes, without their newlines."""
        *whole, rest = chunk.split(b"\n")
        lines = []
        for piece in whole:
            self._add(piece)
            lines.append(self.flush())
        self._add(rest)
        return lines

    def flush(self) -> bytes:
        """The rest after the last newline, which is kept no longer."""
        line = bytes(self._rest)
        self._rest.clear()
        return line

    def _add(self, piece: bytes) -> None:
        self._rest += piece[: MAX_LINE - len(self._rest)]


class StreamedCommand:
    """One run of a program. Must be used from one event loop."""

    def __init__(self, program: str, *arguments: str, patience: float) -> None:
        """`patience`: seconds that it has to end by itself after it was interrupted."""
        self._program = program
        self._patience = patience
        self._child = Child(program, arguments)
        self._news = asyncio.Event()
        self._lines: deque[bytes] = deque()
        self._interrupted_at: float | None = None
        self._over = False
        self.timed_out = False
        """Whether it was interrupted because its time had run out."""
        self.code: int | None = None
        """Its exit code, or minus the signal that ended it; None while nobody knows it."""
        self.took = 0.0
        """Seconds from start to end."""

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does; `lines` goes on until it has."""
        if self._interrupted_at is None and not self._over:
            self._interrupted_at = asyncio.get_running_loop().time()
            self._child.interrupt()
            self._news.set()

    def kill(self) -> None:
        """Kill the whole group, now or as soon as it exists."""
        if not self._over:
            self._child.kill()

    async def lines(self, timeout: float) -> AsyncGenerator[bytes, None]:
        """Its lines, of both outputs as they come, until it and all it started are gone.

        After `timeout` seconds it is interrupted. Raises CommandMissing, CommandNotStarted or
        OutputTooLarge. Closing or cancelling it ends the whole process group.
        """
        loop = asyncio.get_running_loop()
        async with place(loop):
            begun = loop.time()
            splitters = LineSplitter(), LineSplitter()
            out, err = self._child.streams(
                LIMIT,
                lambda chunk: self._take(splitters[0], chunk),
                lambda chunk: self._take(splitters[1], chunk),
            )
            ended = self._child.start(loop, out, err)
            ended.add_done_callback(lambda _: self._news.set())
            try:
                while await self._wait(begun + timeout, ended, out, err):
                    for _ in range(len(self._lines)):  # more may come while these are read
                        yield self._lines.popleft()
            finally:
                # A group that is gone may be another's by the time somebody interrupts.
                self._over = True
                await end(self._child, ended, out, err)
                self.took = loop.time() - begun
            if out.overflowed:
                raise OutputTooLarge(f"{self._program} printed more than {LIMIT} bytes")
            if ended.done():
                self.code = ended.result()
            self._lines.extend(filter(None, (each.flush() for each in splitters)))
            while self._lines:
                yield self._lines.popleft()

    def _take(self, splitter: LineSplitter, chunk: bytes) -> None:
        self._lines.extend(splitter.feed(chunk))
        self._news.set()

    async def _wait(
        self, deadline: float, ended: asyncio.Future[int], out: Stream, err: Stream
    ) -> bool:
        """Wait for something to tell; False when the command has ended or must be ended."""
        if ended.done():  # what it left behind may hold its output for ever
            await asyncio.wait({out.ended, err.ended}, timeout=GRACE)
            return False
        asked = self._interrupted_at
        limit = deadline if asked is None else asked + self._patience
        left = limit - asyncio.get_running_loop().time()
        if left <= 0 and asked is not None:
            return False
        if left <= 0:
            self.timed_out = True
            self.interrupt()
        elif not self._lines:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)
        return True
