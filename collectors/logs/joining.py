"""The lines of one followed container as entries: keyed, in order, with no gap and no duplicate.

A key is the same whenever the same line is read, so reading a log again changes nothing.

A follow is closed whenever the API server, the kubelet or the network likes. The only way back is
`sinceTime`, which is inclusive, in whole seconds, and compares times that lines may share. So the
last lines that were read are kept, and a new stream is compared with them: the same lines are
dropped, and if none of them is there, lines are missing in between.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from collectors.logs.lines import LogLine, parse_line
from collectors.logs.targets import Target

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


Marker: TypeAlias = Literal["", "gap", "restart", "previous", "moved"]
"""`previous`: a line of the container before its restart. `gap`, `restart`, `moved`: no line of the
container but a note of ours that lines are missing here, that a new container begins, that another
pod is followed from here on. "": a line."""


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """A line of a container's log, or a marker between lines."""

    key: str
    """Sorts as the log was written, and by time among several containers."""
    pod: str
    container: str
    line: LogLine
    """Of a marker: when, and a sentence that says what happened."""
    node: str = ""
    marker: Marker = ""


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
