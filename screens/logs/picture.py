"""What the Logs screen shows: which lines, of which logs, why there are none; one line in full."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Literal, TypeAlias

from app.model.finding import Ref
from app.model.health import cilium_version
from app.model.lbipam import LOGS_ALLOCATIONS, Transition, transitions
from app.model.wording import further
from app.report.columns import Column
from app.report.lines import SIGN, Line, Span, Tone, age_of, plain, time_of_day, wrapped
from app.report.tables.logs import (
    GAPS,
    SCREEN,
    LogRow,
    Times,
    drawn,
    folds,
    full_time,
    health_of,
    is_event,
    log_rows,
    names,
)
from app.state.kinds import (
    AGENT_LOGS,
    DAEMON_SETS,
    LEASES,
    OPERATOR_LOG,
    PODS,
    POOLS,
    SERVICES,
    Kind,
)
from app.state.snapshot import Snapshot
from collectors.logs.lines import LogEntry, event, topic
from screens.base.empty_state import content
from screens.widgets.columns import Content

Preset: TypeAlias = Literal["events", "ipam", "bgp", "errors", "all"]

PRESETS: Mapping[Preset, str] = {
    "ipam": "LB-IPAM",
    "bgp": "BGP",
    "errors": "errors and warnings",
    "all": "every line",
    "events": "LB-IPAM and BGP",
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
WORDS = (*PRESETS, *_LOGS)
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
    preset = next((each for each in PRESETS if each == word), None)
    if preset is not None:
        return replace(wish, preset=preset)
    return replace(wish, node=_LOGS.get(word, word))


MANY = 100
"""Lines of a fold that are listed at most: the first and the last of them."""

_NAMES = 9
"""Cells for the name of a fact."""


def short_lines(row: LogRow, now: datetime, width: int) -> list[Line]:
    """The line as it was written, and when it was said before where it was."""
    if row.change is not None:
        return _change_lines(row.change, now, width)
    last = row.entries[-1]
    return [
        *wrapped(plain(f" {last.line.raw}"), width, 3),
        *(wrapped(_repeated(row, now), width, 3) if len(row.entries) > 1 else []),
    ]


def full_lines(row: LogRow, now: datetime, width: int) -> list[Line]:
    """All that is known of the line."""
    if row.change is not None:
        return _change_lines(row.change, now, width)
    last = row.entries[-1]
    health = health_of(last)
    tone: Tone = health if health in ("fail", "warn") else "strong"
    sign = f"{SIGN[health]} " if tone != "strong" else ""
    lines = wrapped(plain(f" {sign}{_sentence(last)}", tone), width, 3)
    for name, text in _facts(last, now):
        lines += wrapped((Span(f" {name:<{_NAMES}} ", "none"), Span(text)), width, _NAMES + 2)
    if last.marker not in GAPS:
        lines.append(())
        lines += wrapped(plain(f" {last.line.raw}"), width, 3)
    if len(row.entries) > 1:
        lines.append(())
        lines += wrapped(_repeated(row, now), width, 3)
        lines += [plain(f"   {text}") for text in _moments(row)]
    return lines


def _sentence(entry: LogEntry) -> str:
    return entry.line.message if entry.marker in GAPS else event(entry.line)


def _facts(entry: LogEntry, now: datetime) -> Iterator[tuple[str, str]]:
    line = entry.line
    yield "when", f"{full_time(line.time)}, {age_of(line.time, now)} ago"
    where = f"{entry.pod} / {entry.container}" + (f" on {entry.node}" if entry.node else "")
    yield "where", where if entry.marker != "previous" else f"{where}, before its restart"
    if entry.marker in GAPS:
        return
    things = LogRow((entry,)).things
    if things:
        yield "names", ", ".join(map(str, things))
    if line.level:
        yield "level", line.level
    if line.module:
        yield "module", line.module
    yield from line.fields


def _repeated(row: LogRow, now: datetime) -> Line:
    first, last = row.entries[0].line.time, row.entries[-1].line.time
    span = f"{time_of_day(first, now)} to {time_of_day(last, now)}"
    return (Span(f" {len(row.entries)} times the same: ", "strong"), Span(f"{span} (z: unfold)"))


def _moments(row: LogRow) -> Iterator[str]:
    moments = [f"{entry.line.time.astimezone():%H:%M:%S.%f}"[:-3] for entry in row.entries]
    if len(moments) <= MANY:
        yield from moments
        return
    yield from moments[: MANY // 2]
    yield f"… {further(len(moments) - MANY)}"
    yield from moments[-(MANY // 2) :]


def _change_lines(change: Transition, now: datetime, width: int) -> list[Line]:
    when = f"{full_time(change.at)}, {age_of(change.at, now)} ago"
    text = f" Service {change.service}, condition cilium.io/IPAMRequestSatisfied since {when}"
    source = " not logged: the last change of the condition on the service tells it"
    return [
        *wrapped(plain(f" {change.text}", "" if change.satisfied else "warn"), width, 3),
        *wrapped(plain(text), width, 3),
        *wrapped(plain(source, "none"), width, 3),
    ]


READS: Mapping[bool, tuple[Kind[object], ...]] = {
    True: (OPERATOR_LOG, SERVICES, POOLS, DAEMON_SETS, PODS, LEASES),
    False: (AGENT_LOGS, PODS),
}
"""What the lines of the operator, and those of agents, are made of."""


@dataclass(frozen=True)
class LogsPicture:
    """What the screen shows."""

    log: Content
    choice: Choice = field(default_factory=Choice)
    rows: Mapping[str, LogRow] = field(default_factory=dict)
    """By their keys."""

    @property
    def lines(self) -> Mapping[str, Sequence[str]]:
        """The keys of the lines that each row stands for; a condition stands for none."""
        return {key: [entry.key for entry in row.entries] for key, row in self.rows.items()}


def kinds_of(choice: Choice) -> tuple[Kind[object], ...]:
    """The kinds of the logs that are shown."""
    return (OPERATOR_LOG,) * choice.operator + (AGENT_LOGS,) * choice.agents


def reads_of(choice: Choice) -> tuple[Kind[object], ...]:
    """All kinds that what is shown is made of."""
    kinds = READS[True] * choice.operator + READS[False] * choice.agents
    return tuple(dict.fromkeys(kinds))


def picture(snapshot: Snapshot, choice: Choice) -> LogsPicture:
    """The lines that are wanted; where no allocation is logged, the conditions beside them."""
    now, read = snapshot.taken_at, _entries(snapshot, choice)
    entries = [read[key] for key in sorted(read) if choice.wants(read[key], now)]
    if all(entry.marker in GAPS for entry in entries):  # they stand among lines, never alone
        entries = []
    silent = choice.operator and (0, 0) < cilium_version(snapshot) < LOGS_ALLOCATIONS
    found = transitions(snapshot) if silent else ()
    changes = [each for each in found if choice.wants_change(each, now)]
    rows = log_rows(entries, changes, now, choice.times)
    rows = folds(rows) if choice.folds else rows
    log = content(
        snapshot,
        drawn(rows),
        kinds_of(choice),
        "",
        none=_none(choice, len(read)),
    )
    if silent:
        version = ".".join(map(str, cilium_version(snapshot)))
        said = f"Cilium {version} logs no allocations; those here are from services' conditions"
        log = replace(log, notice=(*log.notice, plain(said)))
    return LogsPicture(log, choice, {row.key: row for row in rows})


def columns_of(choice: Choice) -> tuple[Column, ...]:
    """Who wrote a line has a column where several logs are shown."""
    if choice.node == TOGETHER:
        return SCREEN.columns
    return tuple(replace(c, chosen=False) if c.key == "node" else c for c in SCREEN.columns)


def _entries(snapshot: Snapshot, choice: Choice) -> Mapping[str, LogEntry]:
    if choice.node == OPERATOR:
        return snapshot.records[OPERATOR_LOG]
    if choice.node == TOGETHER:
        return dict(
            chain(snapshot.records[OPERATOR_LOG].items(), snapshot.records[AGENT_LOGS].items())
        )
    return {key: e for key, e in snapshot.records[AGENT_LOGS].items() if e.node == choice.node}


def _none(choice: Choice, read: int) -> str:
    """Why nothing is shown of what was read, and which key shows more."""
    whose = {OPERATOR: "the operator's log", TOGETHER: "the logs"}.get(
        choice.node, f"the log of the agent on {choice.node}"
    )
    if choice.before:
        return f"no line of {whose} from before a restart can be read (B: back)"
    if choice.window is not None and read:
        return f"no such line in {whose}: {choice.words}; {read} lines were read (0: any time)"
    if choice.about is not None:
        return f"no line of {whose} names {choice.about}; {read} lines were read (r: every line)"
    events = {
        "events": "LB-IPAM or BGP event",
        "ipam": "LB-IPAM event",
        "bgp": "BGP event",
        "errors": "error or warning",
    }
    if choice.node not in (OPERATOR, TOGETHER) and choice.preset == "events":
        return f"no BGP event in what was read of {whose}"
    return f"no {events.get(choice.preset, 'line')} in what was read of {whose}"
