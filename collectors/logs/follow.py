"""Follows the log of one container through the API, across closed streams, restarts and leaders.

What is shown is what was written, in order, with no gap and no duplicate. A follow is closed
whenever the API server, the kubelet or the network likes. The only way back is `sinceTime`, which
is inclusive, in whole seconds, and compares times that lines may share. So the last lines that were
read are kept, and a new stream is compared with them: the same lines are dropped, and if none of
them is there, lines are missing in between. They are fetched, and where they cannot be had a marker
stands in the gap. A key is the same whenever the same line is read, so reading a log again changes
nothing. Source: Kubernetes API reference, "read log of the specified Pod"; kubelet,
pkg/kubelet/kuberuntime/logs/logs.go.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

from collectors.kubernetes.answers import ApiError
from collectors.kubernetes.api import ApiSession, Pacing, Timing
from collectors.logs.lines import LogEntry, LogLine, Marker, parse_line
from collectors.logs.targets import Aim, Target
from collectors.source import Appended, Failed, Heard, Reason, Update

NANOS = 1_000_000_000
"""Nanoseconds of a second: the kubelet's resolution, finer than `datetime`'s."""


class StampedLine(NamedTuple):
    """One line as the API sends it with `timestamps=true`, taken apart."""

    nanos: int
    """When the kubelet took it, in nanoseconds since 1970."""
    raw: bytes


def split_stamp(line: bytes) -> tuple[int | None, bytes]:
    """The time before a line in nanoseconds since 1970, and the line itself.

    None, and the whole line, when no sensible time stands there: the kubelet writes its own
    complaints into the stream ("unable to retrieve container logs for ...") without one.
    """
    stamp = _STAMP.match(line)
    if stamp is None:
        return None, line
    try:
        seconds = int(datetime.fromisoformat((stamp[1] + stamp[3]).decode()).timestamp())
    except ValueError:
        return None, line
    if not 0 <= seconds < _END_OF_TIME:
        return None, line
    fraction = (stamp[2] or b"").ljust(9, b"0")
    return seconds * NANOS + int(fraction), line[stamp.end() :]


def moment(nanos: int) -> datetime:
    """The time in UTC, cut to microseconds."""
    seconds, rest = divmod(nanos, NANOS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


class Seam:
    """The end of what was read of one container's log."""

    def __init__(self, depth: int = 4096) -> None:
        self._lines: deque[tuple[int, int]] = deque(maxlen=depth)

    def note(self, line: StampedLine) -> None:
        """This line was read, after all noted before."""
        self._lines.append((line.nanos, hash(line)))

    @property
    def last(self) -> int | None:
        """When the last line was taken, in nanoseconds since 1970; None before the first."""
        return self._lines[-1][0] if self._lines else None

    @property
    def since(self) -> str:
        """`sinceTime` that brings the last line again, "" before the first."""
        last = self.last
        return "" if last is None else moment(last).strftime("%Y-%m-%dT%H:%M:%SZ")

    def join(self) -> Join:
        """Ready to take the lines of a new stream."""
        return Join(self._lines)


JoinState: TypeAlias = Literal["undecided", "joined", "broken"]


class Join:
    """Holds the lines of a new stream against the end of what was read before."""

    def __init__(self, seen: deque[tuple[int, int]]) -> None:
        self._seen = Counter(line for _, line in seen)
        self._horizon = max((nanos for nanos, _ in seen), default=-1)
        self._pending: list[StampedLine] = []
        self.state: JoinState = "undecided" if seen else "joined"
        """`joined`: nothing is missing. `broken`: what was read last is not in this stream."""

    def feed(self, line: StampedLine) -> list[StampedLine]:
        """The lines known to be new now that this one came, in order."""
        if self._seen[hash(line)] > 0:
            self._seen[hash(line)] -= 1
            self._pending.clear()  # they stand before a line that was read: so were they
            if self.state == "undecided":
                self.state = "joined"
            return []
        if self.state != "undecided":
            return [line]
        self._pending.append(line)
        return self.settle() if line.nanos > self._horizon else []

    def settle(self) -> list[StampedLine]:
        """Decide with what came so far, as nothing more comes for now: the lines that are new."""
        new, self._pending = self._pending, []
        if new:
            self.state = "broken"
        return new


_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)(?: |$)")
_END_OF_TIME = 1 << 33
"""Seconds since 1970, in the year 2242: later than any kubelet, and any datetime can hold it."""


class ContainerLog:
    """What is known of the log of one container while it is followed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.seam = Seam()
        self.restarts = 0
        """Restarts whose previous log was looked at."""
        self._stamp = time.time_ns()
        self._place = (0, 0)

    @property
    def path(self) -> str:
        """Where the API serves it."""
        namespace, pod = quote(self.target.namespace, safe=""), quote(self.target.pod, safe="")
        return f"/api/v1/namespaces/{namespace}/pods/{pod}/log"

    def query(self, **options: str) -> tuple[tuple[str, str], ...]:
        """The request for this container's log with these options, always with times."""
        always = {"container": self.target.container, "timestamps": "true"}
        return tuple({**always, **options}.items())

    def stamped(self, line: bytes) -> StampedLine:
        """A line of the stream; one without a time has that of the line before."""
        nanos, raw = split_stamp(line)
        if nanos is not None:
            self._stamp = nanos
        return StampedLine(self._stamp, raw)

    def read(self, lines: Iterable[StampedLine]) -> tuple[LogEntry, ...]:
        """Entries for new lines, which the next stream is joined to."""
        entries = []
        for line in lines:
            self.seam.note(line)
            entries.append(self._entry(line, ""))
        return tuple(entries)

    def previous(self, lines: Iterable[StampedLine]) -> list[LogEntry]:
        """Entries for lines of the container before its restart."""
        return [self._entry(line, "previous") for line in lines]

    def before_restart(
        self, lines: Sequence[StampedLine], started: datetime | None
    ) -> list[LogEntry]:
        """The same, at least one, before all else that is read, and a marker after them.

        The marker stands at when the present container began: it may have been long silent before.
        Where that is not known it stands behind the last line.
        """
        entries = self.previous(lines)
        began = int(started.timestamp()) * NANOS if started else lines[-1].nanos
        entries.append(self.marked("restart", began))
        # What the new container writes comes behind it, whatever its clock says.
        self._place = max(self._place, (began, 0))
        return entries

    def _entry(self, line: StampedLine, marker: Marker) -> LogEntry:
        nanos, number = self._place
        # A clock that is set back must not put a line before one that was written earlier.
        self._place = (nanos, number + 1) if line.nanos <= nanos else (line.nanos, 1)
        key = f"{self._place[0]:020d}.{self._place[1]:06d} {self._name}"
        parsed = parse_line(line.raw, moment(line.nanos))
        return LogEntry(
            key, self.target.pod, self.target.container, parsed, self.target.node, marker
        )

    def marked(self, marker: Literal["gap", "restart", "moved"], nanos: int) -> LogEntry:
        """A marker after all entries made, before the line of that time."""
        place = self._place if nanos <= self._place[0] else (nanos, 0)
        text = {
            "gap": "lines are missing here: the log was rotated, or too much was written, "
            "while it could not be read",
            "restart": f"the container {self.target.container} restarted; its new log begins here",
            "moved": f"from here on {self._name} on {self.target.node or 'an unknown node'}",
        }[marker]
        level = "info" if marker == "moved" else "warning"
        line = LogLine(moment(nanos), level, text, raw=text)
        key = f"{place[0]:020d}.{place[1]:06d}~{marker} {self._name}"
        return LogEntry(key, self.target.pod, self.target.container, line, self.target.node, marker)

    @property
    def _name(self) -> str:
        return f"{self.target.namespace}/{self.target.pod}/{self.target.container}"


MAX_BATCH = 500
"""Entries in one `Appended`."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds."""

    batch: float = 0.1
    """Lines that arrive within this time are given together."""
    heard: float = 5.0
    """A quiet open stream is reported this often."""
    quiet: float = 120.0
    """A stream that is quiet for so long is opened anew: a dead connection is quiet, too."""


class FollowedLog:
    """A source that follows the container its `Aim` points at.

    It begins with the last `tail` lines. After a break, and when `updates` is run again, it goes on
    where it stopped; at most `resume` lines are asked for then: if more came, that is a gap.
    """

    def __init__(
        self,
        session: ApiSession,
        aim: Aim,
        *,
        kind: str,
        label: str,
        tail: int = 1000,
        resume: int = 5000,
        pace: Pace = Pace(),
        timing: Timing | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._session = session
        self._aim = aim
        self.kind = kind
        """`operator_log` or `agent_logs`."""
        self.label = label
        """`operator log`, or `agent log NODE`."""
        self._tail = tail
        self._resume = resume
        self._pace = pace
        self._timing = timing or Timing()
        self._pacing = Pacing(session, self._timing, jitter)
        self._log: ContainerLog | None = None

    def refresh(self) -> None:
        """Try again now, if it failed and waits."""
        self._pacing.wake()

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Follow until cancelled, wherever the aim points."""
        while True:
            target = await self._aim.known()
            if target is None:
                yield Failed(self.kind, Reason.ABSENT, "there is no pod to follow", None)
                await self._aim.leaves(None)
                continue
            log = self._log
            if log is None or not log.target.same_log(target):
                log, before = ContainerLog(target), log
                self._log = log
                if before is not None:
                    yield Appended(self.kind, (log.marked("moved", time.time_ns()),))
            async with aclosing(self._followed(log)) as updates:
                async for update in updates:
                    yield update

    async def _followed(self, log: ContainerLog) -> AsyncGenerator[Update, None]:
        """One stream after the other, until the aim leaves the container."""
        while log.target.same_log(self._aim.target):
            problem: ApiError | None = None
            opened = time.monotonic()
            try:
                async with aclosing(self._stream(log)) as updates:
                    async for update in updates:
                        if isinstance(update, Appended):
                            self._pacing.succeeded()
                        yield update
            except ApiError as error:
                problem = error
            if not log.target.same_log(self._aim.target):
                return
            if time.monotonic() - opened > self._timing.longest_pause:
                self._pacing.succeeded()
            pause = self._pause(problem)
            if problem is not None:
                yield self._failed(problem, log.target, pause)
            await self._rest(pause, problem)

    async def _stream(self, log: ContainerLog) -> AsyncGenerator[Update, None]:
        """One stream from its request to its end. Raises ApiError when it ends with one."""
        if log.seam.last is None:
            for some in _batches(await self._before_restart(log)):
                yield Appended(self.kind, some)
        inbox: asyncio.Queue[bytes | _Signal] = asyncio.Queue(2 * MAX_BATCH)
        pump = asyncio.create_task(self._pump(log, inbox))
        watch = asyncio.create_task(self._watch(log.target, pump, inbox))
        try:
            join, mended = log.seam.join(), False
            while (first := await self._opened(log, inbox)) is None:
                yield Heard(self.kind)
            ended = first is _Signal.ENDED
            # A log of which nothing is known would pass for read before its first line has come.
            if not ended and log.seam.last is not None:
                yield Heard(self.kind)
            while not ended:
                lines, ended = await self._gather(inbox)
                new = [line for raw in lines for line in join.feed(log.stamped(raw))]
                if ended or not lines:
                    new += join.settle()
                if new and join.state == "broken" and not mended:
                    for some in _batches(await self._mend(log, new[0].nanos)):
                        yield Appended(self.kind, some)
                    mended = True
                for taken in _batches(new):
                    yield Appended(self.kind, log.read(taken))
                if not lines and not ended:
                    yield Heard(self.kind)
        finally:
            pump.cancel()
            watch.cancel()
            await asyncio.wait((pump, watch))
        if not pump.cancelled() and (error := pump.result()) is not None:
            raise error

    async def _pump(
        self, log: ContainerLog, inbox: asyncio.Queue[bytes | _Signal]
    ) -> ApiError | None:
        """Moves lines from the network to the inbox; the error that ended it, if one did."""
        tail = {"sinceTime": log.seam.since, "tailLines": str(self._resume)}
        if not log.seam.since:
            tail = {"tailLines": str(self._tail)}
        query = log.query(follow="true", **tail)
        try:
            async with self._session.lines(log.path, query, idle=self._pace.quiet) as lines:
                await inbox.put(_Signal.OPENED)
                async for line in lines:
                    await inbox.put(line)
        except ApiError as error:
            if error.reason is not Reason.TIMED_OUT:  # only quiet, so far as is known: look again
                return error
        return None

    async def _opened(
        self, log: ContainerLog, inbox: asyncio.Queue[bytes | _Signal]
    ) -> bytes | _Signal | None:
        """Wait for the answer to begin; None while it does not, although the log can be read.

        The API server sends not even the head of its answer before there is a first line, so an
        empty log looks like a dead server. A second request, that does not follow, tells. Raises
        ApiError when the log cannot be read.
        """
        try:
            async with asyncio.timeout(self._pace.heard):
                return await inbox.get()
        except TimeoutError:
            await self._session.get(log.path, log.query(tailLines="1"))
            return None

    async def _watch(
        self,
        target: Target,
        pump: asyncio.Task[ApiError | None],
        inbox: asyncio.Queue[bytes | _Signal],
    ) -> None:
        """Puts an end into the inbox, after all lines, when the stream ends or the aim leaves."""
        leaving = asyncio.create_task(self._aim.leaves_log(target))
        try:
            await asyncio.wait((leaving, pump), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        await inbox.put(_Signal.ENDED)

    async def _gather(self, inbox: asyncio.Queue[bytes | _Signal]) -> tuple[list[bytes], bool]:
        """Lines that arrive together, none when it was quiet, and whether the stream has ended."""
        lines: list[bytes] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.heard) as limit:
                while len(lines) < MAX_BATCH:
                    line = await inbox.get()
                    if isinstance(line, _Signal):
                        return lines, True
                    lines.append(line)
                    if len(lines) == 1:
                        limit.reschedule(asyncio.get_running_loop().time() + self._pace.batch)
        return lines, False

    async def _before_restart(self, log: ContainerLog) -> list[LogEntry]:
        """The end of the log before the last restart, for a container of which nothing is known.

        One that is held back has no new log: its last words are what is read as its log (kubelet,
        `validateContainerLogStatus`), and would come twice.
        """
        target = self._aim.target
        if target is None or target.held_back or target.restarts <= log.restarts:
            return []
        lines = await self._previous(log, tailLines=str(self._tail))
        log.restarts = target.restarts
        return log.before_restart(lines, target.started) if lines else []

    async def _mend(self, log: ContainerLog, at: int) -> list[LogEntry]:
        """What stands between the last line read and a stream that does not contain it.

        If the log of the previous container has that line, or later ones, there was a restart; if
        not, the log was rotated away.
        """
        join = log.seam.join()
        since = log.seam.since
        found = await self._previous(log, sinceTime=since, tailLines=str(self._resume))
        missed = [line for each in found for line in join.feed(each)] + join.settle()
        entries: list[LogEntry] = []
        if join.state != "joined":
            entries.append(log.marked("gap", missed[0].nanos if missed else at))
        entries += log.previous(missed)
        if join.state != "undecided" or self._restarts() > log.restarts:
            log.restarts = max(log.restarts + 1, self._restarts())
            entries.append(log.marked("restart", at))
        return entries

    async def _previous(self, log: ContainerLog, **query: str) -> list[StampedLine]:
        """Lines of the container before its restart; none when there was none or it is deleted."""
        try:
            response = await self._session.get(log.path, log.query(previous="true", **query))
        except ApiError as error:
            if error.status in (400, 404):
                return []
            raise
        stamped = (split_stamp(line) for line in response.body.split(b"\n"))
        return [StampedLine(nanos, raw) for nanos, raw in stamped if nanos is not None]

    def _restarts(self) -> int:
        target = self._aim.target
        return target.restarts if target else 0

    def _pause(self, problem: ApiError | None) -> float:
        """Seconds until the next attempt; a pod that is gone may be back sooner than a kind."""
        if problem is None or problem.status == 404:
            return self._pacing.back_off()
        return self._pacing.after(problem)

    async def _rest(self, seconds: float, problem: ApiError | None) -> None:
        """Wait, but not longer than until something has happened that may change the outcome."""
        with suppress(TimeoutError):
            async with self._pacing.interruptible(seconds):
                if problem is not None and problem.reason is Reason.UNAUTHORIZED:
                    await self._session.credentials_changed()
                else:
                    await self._aim.leaves(self._aim.target)
        self._pacing.woken = False

    def _failed(self, problem: ApiError, target: Target, pause: float) -> Failed:
        message = problem.message
        if problem.reason is Reason.FORBIDDEN:
            message += f"; grant `get` on pods/log in the namespace {target.namespace}"
        elif problem.status == 404:
            message = f"the pod {target.namespace}/{target.pod} is gone: {message}"
        return Failed(self.kind, problem.reason, message, pause)


class _Signal(Enum):
    OPENED = "opened"
    ENDED = "ended"


Item = TypeVar("Item")


def _batches(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    for first in range(0, len(items), MAX_BATCH):
        yield tuple(items[first : first + MAX_BATCH])
