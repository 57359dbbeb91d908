"""The lines of one followed container as entries: keyed, in order, with markers where we know more.

A key is the same whenever the same line is read, so reading a log again changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, TypeAlias
from urllib.parse import quote

import msgspec

from collectors.log_lines import LogLine, parse_line
from collectors.log_seam import NANOS, Seam, StampedLine, moment, split_stamp
from collectors.log_targets import Target

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
