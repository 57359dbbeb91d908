"""Where one stream of a container's log ended, and how the next one joins it: no gap, no duplicate.

A follow is closed whenever the API server, the kubelet or the network likes. The only way back is
`sinceTime`, which is inclusive, in whole seconds, and compares times that lines may share. So the
end that was read is kept, line by line, and what a new stream brings is held against it: the same
lines are dropped, and if none of them is there, lines are missing in between.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

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
