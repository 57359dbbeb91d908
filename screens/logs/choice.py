"""Which lines of which logs are shown: by the keys of the screen, and the words after `:logs`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from app.model.finding import Ref
from app.report.tables.logs import GAPS, Times, health_of, is_event, names
from collectors.logs.excerpts import topic

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
        return is_event(entry) and self.preset in ("events", topic(entry.line))


def _minutes(window: timedelta) -> str:
    minutes = round(window.total_seconds() / 60)
    return f"{minutes // 60}h" if minutes >= 60 else f"{minutes}m"


_LOGS: Mapping[str, str] = {"operator": OPERATOR, "together": TOGETHER}
_PRESETS: Mapping[str, Preset] = {
    "ipam": "ipam",
    "bgp": "bgp",
    "errors": "errors",
    "all": "all",
    "events": "events",
}
WORDS = (*_PRESETS, *_LOGS)
"""What there is beside the nodes, as the keys have it."""

_ALL = "ipam bgp errors all operator together or a node"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the words ask for; None: as it is."""

    preset: Preset | None = None
    node: str | None = None
    """A node, `OPERATOR` or `TOGETHER`."""


def wish_of(words: Sequence[str], nodes: Collection[str]) -> Wish | str:
    """What words ask for where agents run on these nodes; one sentence where they mean nothing.

    A word may be cut short while it means one thing, and a node may stand behind `agent/`.
    """
    wish = Wish()
    for word in words:
        found = _meant(word.lower().removeprefix("agent/"), nodes)
        if not found:
            near = difflib.get_close_matches(word.lower(), (*WORDS, *sorted(nodes)))
            hint = f"near it: {', '.join(near)}" if near else _ALL
            return f"there is no log {word!r}; {hint}"
        if len(found) > 1:
            return f"{word!r} begins {', '.join(found[:4])}; Tab completes"
        wish = _with(wish, found[0])
    return wish


def _meant(word: str, nodes: Collection[str]) -> Sequence[str]:
    known = (*WORDS, *sorted(nodes))
    return (word,) if word in known else [each for each in known if each.startswith(word)]


def _with(wish: Wish, word: str) -> Wish:
    if word in _PRESETS:
        return replace(wish, preset=_PRESETS[word])
    return replace(wish, node=_LOGS.get(word, word))
