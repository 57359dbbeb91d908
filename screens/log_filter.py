"""Which lines of which logs are shown, and how: what the keys of the Logs screen change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from app.model.finding import Ref
from collectors.logs.excerpts import topic
from screens.log_refs import names
from screens.log_rows import GAPS, Times, health_of, tells

if TYPE_CHECKING:
    from app.model.lbipam import Transition
    from collectors.logs.joining import LogEntry

Preset: TypeAlias = Literal["events", "ipam", "bgp", "errors", "all"]

PRESETS: Mapping[Preset, str] = {
    "events": "LB-IPAM and BGP",
    "ipam": "LB-IPAM",
    "bgp": "BGP",
    "errors": "errors and warnings",
    "all": "every line",
}
"""What is shown of a log, by the word for it."""

WINDOWS: Mapping[str, timedelta] = {
    "2": timedelta(minutes=1),
    "3": timedelta(minutes=5),
    "4": timedelta(minutes=15),
    "5": timedelta(minutes=30),
    "6": timedelta(hours=1),
}
"""How far back is shown, by the key that k9s has for it."""

OPERATOR, TOGETHER = "", "*"
"""In place of a node: the leading operator's log; all logs together."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown."""

    node: str = OPERATOR
    """Whose log: a node's agent, `OPERATOR` or `TOGETHER`."""
    preset: Preset = "events"
    window: timedelta | None = None
    """None: everything that was read."""
    about: Ref | None = None
    """Only lines that name this."""
    before: bool = False
    """Only lines of containers that have ended."""
    times: Times = "time"
    folds: bool = True

    @property
    def operator(self) -> bool:
        """Whether the operator's log is shown."""
        return self.node in (OPERATOR, TOGETHER)

    @property
    def agents(self) -> bool:
        """Whether an agent's log is shown."""
        return self.node != OPERATOR

    @property
    def changes_with_time(self) -> bool:
        """Whether time alone changes what is shown."""
        return self.window is not None or self.times == "age"

    @property
    def words(self) -> str:
        """What it leaves, in words."""
        parts = [PRESETS[self.preset]]
        parts += [f"naming {self.about}"] if self.about else []
        parts += [f"last {_minutes(self.window)}"] if self.window else []
        parts += ["before the restart"] if self.before else []
        return ", ".join(parts)

    def wants(self, entry: LogEntry, now: datetime) -> bool:
        """Whether a line is shown. Markers stand wherever they fall."""
        if self.before and entry.marker != "previous":
            return False
        if not self._recent(entry.line.time, now) or not self._preset_wants(entry):
            return False
        return self.about is None or entry.marker in GAPS or names(entry, self.about)

    def wants_change(self, found: Transition, now: datetime) -> bool:
        """Whether the change of a condition is shown, among lines of the operator."""
        if self.before or not self.operator or self.preset == "bgp":
            return False
        if self.preset == "errors" and found.satisfied:
            return False
        namespace, _, name = found.service.partition("/")
        named = self.about is None or self.about == Ref("Service", name, namespace)
        return named and self._recent(found.at, now)

    def _recent(self, moment: datetime, now: datetime) -> bool:
        return self.window is None or now - moment <= self.window

    def _preset_wants(self, entry: LogEntry) -> bool:
        if self.preset == "all" or entry.marker in GAPS:
            return True
        if self.preset == "errors":
            return health_of(entry) in ("fail", "warn")
        return tells(entry) and self.preset in ("events", topic(entry.line))


def _minutes(window: timedelta) -> str:
    minutes = round(window.total_seconds() / 60)
    return f"{minutes // 60}h" if minutes >= 60 else f"{minutes}m"
