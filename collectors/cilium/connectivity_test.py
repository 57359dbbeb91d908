"""Run `cilium connectivity test` and clean up after it: the one thing that changes a cluster.

Nothing else here writes, so this asks for more than a call: a `Consent`, which only somebody who
was asked can have given, and one run for each. It does not begin where namespaces of the test's
names exist already: they are another's run, or its remains, and neither is ours to remove.

It is the one command that takes minutes. It is started and ended as every command is
(`collectors.process`: a session of its own, a deadline, the whole group ended, `end_all`), but its
output is read line by line, and it is stopped as an operator does it, with SIGINT, and with time to
clean up.

A run ends in one of three ways, and in each of them no process is left. It ends by itself, or it is
cancelled with `cancel`: then the namespaces are removed and `CleanedUp` is the last record. Or its
reader goes away (its task is cancelled, the program is ended by a signal): then there is no time to
remove anything, and `left_behind` says what is left and how to remove it.

The program leaves its namespaces behind, on purpose, however it ends. `--cleanup` removes them and
exits with 0 even when it could not, so whether they are gone is read from the API. For programs
older than that option, kubectl removes them if it is installed. What cannot be removed is named
with the command that does it by hand.

Source: cilium/cilium, cilium-cli/connectivity/suite.go; #44075; cilium/cilium-cli#67.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

from collectors.cilium import connectivity
from collectors.cilium.answer import exit_text, shortened
from collectors.kubernetes.answers import Undecodable, decode_page
from collectors.kubernetes.api import ApiSession
from collectors.kubernetes.records import Namespace
from collectors.process import GRACE, Child, CommandFailure, OutputTooLarge, Stream, end, place, run
from collectors.sanitize import printable_bytes
from collectors.source import ReadError

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


DEADLINE = 180.0
"""Seconds for one command that removes; pods have 30 s to end, and namespaces wait for them."""

PAUSE = 1.0
"""Seconds between two looks at what is still there."""

_UNKNOWN_FLAG = "unknown flag: --cleanup"
_INCOMPLETE = "Cleanup encountered errors"

Namespaces: TypeAlias = Callable[[], Awaitable[frozenset[str]]]
"""The names of the cluster's namespaces, those being deleted included. Raises ReadError."""


def namespaces_of(session: ApiSession) -> Namespaces:
    """The namespaces of the cluster that a session reads."""

    async def names() -> frozenset[str]:
        answer = await session.get("/api/v1/namespaces")
        try:
            page = decode_page(answer.body, Namespace)
        except Undecodable as problem:
            raise Undecodable(f"the list of namespaces: {problem}") from None
        if page.problems:
            raise Undecodable(f"the list of namespaces: {page.problems[0]}")
        return frozenset(each.name for each in page.records)

    return names


@dataclass(frozen=True, slots=True)
class Cleanup:
    """How one run's namespaces are removed."""

    plan: connectivity.ConnectivityPlan
    program: tuple[str, ...]
    """The `cilium` program with the options that name the cluster."""
    kubeconfig: str | None
    context: str | None
    namespaces: Namespaces

    @property
    def command(self) -> tuple[str, ...]:
        """What is run, and what an operator can run."""
        return (*self.program, *self.plan.cleanup_argv)

    def by_hand(self, made: Collection[str]) -> str:
        """The command that removes exactly these namespaces."""
        return shlex.join(connectivity.deletion(made, self.kubeconfig, self.context))

    async def remove(self, made: Collection[str]) -> connectivity.CleanedUp:
        """Remove what a run has made. Cancelling it ends the command, and leaves the rest."""
        if not made:
            return connectivity.CleanedUp(True, "nothing was created, so nothing is left")
        problem = await self._commanded(made)
        try:
            left = await self._left(made, 0.0 if problem else DEADLINE)
        except ReadError as error:
            if problem:
                return self._remaining(made, problem)
            unseen = f"{_listed(made)} should be gone: the command says so, and {error.message}"
            return connectivity.CleanedUp(True, unseen)
        if left:
            return self._remaining(left, problem or "being deleted, and that is not over")
        return connectivity.CleanedUp(
            True, f"{_listed(made)} {'are' if len(made) > 1 else 'is'} gone"
        )

    def _remaining(self, left: Collection[str], problem: str) -> connectivity.CleanedUp:
        return connectivity.CleanedUp(
            False,
            f"{_listed(left)} {'are' if len(left) > 1 else 'is'} still there ({problem});"
            f" remove with: {self.by_hand(left)}",
        )

    async def _commanded(self, made: Collection[str]) -> str:
        """Run the command that removes; what it complained of, "" where it did not."""
        problem = await _complaint(self.command)
        if _UNKNOWN_FLAG not in problem:
            return problem
        complaint = await _complaint(connectivity.deletion(made, self.kubeconfig, self.context))
        return f"this cilium program has no --cleanup, and {complaint}" if complaint else ""

    async def _left(self, made: Collection[str], patience: float) -> frozenset[str]:
        """What is still there when it is gone or the patience, in seconds, has run out."""
        clock = asyncio.get_running_loop()
        until = clock.time() + patience
        while left := await self.namespaces() & frozenset(made):
            if clock.time() >= until:
                return left
            await asyncio.sleep(PAUSE)
        return frozenset()


async def _complaint(words: tuple[str, ...]) -> str:
    try:
        completed = await run(*words, timeout=DEADLINE)
    except CommandFailure as problem:
        return str(problem)
    if completed.code:
        return shortened(completed.err) or exit_text(completed.code)
    said = printable_bytes(completed.out).splitlines()
    return next((shortened(line) for line in said if _INCOMPLETE in line), "")


def _listed(names: Collection[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last


PATIENCE = 30.0
"""Seconds that the program has to tidy up after SIGINT: it takes back the policies of the test it
is in, one request each."""

MARGIN = 60.0
"""Seconds beyond its own time limit until it is interrupted."""

_UNKNOWN = ("unknown command", "unknown flag", "Error: unknown command", "Error: unknown flag")
_HELP = {"Usage:", "Available Commands:"}
_LAST = 200
"""Lines that are remembered for the reason of a failure."""


class ConnectivityRun:
    """One run of the test. Must be used from one event loop."""

    def __init__(self, cleanup: Cleanup, consent: connectivity.Consent) -> None:
        """Nothing is started before `progress`. Raises ValueError for a consent by nobody."""
        if not consent.by.strip() or consent.asked_at.tzinfo is None:
            raise ValueError("a consent names who gave it, and when with a time zone")
        self.consent = consent
        self.command: tuple[str, ...] = (*cleanup.program, *cleanup.plan.argv)
        """What is run."""
        self._cleanup = cleanup
        self._running = StreamedCommand(*self.command, patience=PATIENCE)
        self._made: set[str] = set()
        self._begun = False
        self._cancelled = False
        self._settled = True

    def cancel(self) -> None:
        """Stop it: SIGINT first, then by force. Read `progress` on to its end."""
        self._cancelled = True
        if not self._settled:
            self._running.interrupt()

    def abandon(self) -> None:
        """Kill what runs, at once; for when nobody reads on. `left_behind` has what is left."""
        self._running.kill()

    def left_behind(self) -> str:
        """What this run may have left in the cluster, and how to remove it; "" for nothing."""
        if self._settled:
            return ""
        made = self._made or self._cleanup.plan.namespaces
        return (
            "cilium connectivity test was cut short; remove what it left with: "
            f"{self._cleanup.by_hand(made)}"
        )

    async def progress(self) -> AsyncGenerator[connectivity.Progress, None]:
        """Run it and report how it goes; the last record is Refused, or Ended and CleanedUp.

        Never raises for what the program or the cluster does. Raises RuntimeError the second time:
        one consent is for one run. Close it (`contextlib.aclosing`) when it is not read to its end.
        """
        if self._begun:
            raise RuntimeError("a consent is for one run")
        self._begun = True
        try:
            before = await self._cleanup.namespaces()
        except ReadError as error:
            yield connectivity.Refused(
                f"what is in the cluster now cannot be told: {error.message}"
            )
            return
        if standing := before & frozenset(self._cleanup.plan.namespaces):
            yield connectivity.Refused(self._standing(standing))
            return
        if self._cancelled:
            yield connectivity.Refused("it was cancelled before it began")
            return
        self._settled = False
        last: connectivity.Refused | connectivity.Ended | None = None
        async with aclosing(self._run()) as records:
            async for each in records:
                if isinstance(each, connectivity.NamespaceMade):
                    self._made.add(each.name)
                if isinstance(each, connectivity.Refused | connectivity.Ended):
                    last = each
                yield each
        if isinstance(last, connectivity.Refused):
            self._settled = True
            return
        cleaned = await self._cleanup.remove(await self._ours(before))
        self._settled = True
        yield cleaned

    async def _run(
        self,
    ) -> AsyncGenerator[connectivity.Output | connectivity.Refused | connectivity.Ended, None]:
        """The program from its start to its end."""
        output = connectivity.ConnectivityOutput()
        said: deque[str] = deque(maxlen=_LAST)
        limit = self._cleanup.plan.minutes * 60 + MARGIN
        try:
            async with aclosing(self._running.lines(limit)) as lines:
                async for raw in lines:
                    for each in output.read(raw):
                        if isinstance(each, connectivity.Line) and each.text.strip():
                            said.append(each.text.strip())
                        yield each
        except OutputTooLarge as problem:
            yield connectivity.Ended(None, self._running.took, str(problem))
            return
        except CommandFailure as problem:
            yield connectivity.Refused(str(problem))
            return
        yield self._verdict(tuple(said))

    def _verdict(self, said: tuple[str, ...]) -> connectivity.Refused | connectivity.Ended:
        code, took = self._running.code, self._running.took
        unknown = next((line for line in said if line.startswith(_UNKNOWN)), "")
        if set(said) >= _HELP:
            unknown = "it printed its help"
        if unknown and not self._made:
            words = shlex.join(self._cleanup.plan.argv)
            return connectivity.Refused(
                f"the cilium program does not know `{words}`: {shortened(unknown)}"
            )
        if self._cancelled:
            return connectivity.Ended(code, took, "cancelled")
        if self._running.timed_out:
            return connectivity.Ended(code, took, f"stopped after {took:.0f} s, its time was over")
        if code == 0:
            return connectivity.Ended(code, took)
        last = shortened(said[-1]) if said else "it failed without a word"
        return connectivity.Ended(code, took, last if code is None or code > 0 else exit_text(code))

    async def _ours(self, before: frozenset[str]) -> frozenset[str]:
        """The namespaces that the run made: those it named, and those of its names that are new.

        Older programs make some without a word.
        """
        named = frozenset(self._made)
        try:
            now = await self._cleanup.namespaces()
        except ReadError:
            return named - before
        return (now & (named | frozenset(self._cleanup.plan.namespaces))) - before

    def _standing(self, names: frozenset[str]) -> str:
        listed = ", ".join(sorted(names))
        return (
            f"{listed}: another run of the test made this, or left it, so it is not touched; if"
            f" nobody needs it, remove it with: {self._cleanup.by_hand(names)}"
        )
