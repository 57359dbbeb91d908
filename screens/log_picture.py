"""What the Logs screen shows of a snapshot: rows, what they stand for, and why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from app.model.health import cilium_version
from app.model.lbipam import LOGS_ALLOCATIONS, transitions
from app.report.columns import Column
from app.report.lines import plain
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
from screens.base.empty_state import content
from screens.log_detail import LineTold
from screens.log_filter import OPERATOR, TOGETHER, Choice
from screens.log_fold import Fold, folds
from screens.log_rows import COLUMNS, EVENT, GAPS, all_rows, transition_key
from screens.widgets.columns import Content

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot
    from collectors.logs.joining import LogEntry

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
    told: Mapping[str, LineTold] = field(default_factory=dict)
    """What each row stands for, by its key."""

    @property
    def lines(self) -> Mapping[str, Sequence[str]]:
        """The keys of the lines that each row stands for; a condition stands for none."""
        return {key: [entry.key for entry in told.entries] for key, told in self.told.items()}


def kinds_of(choice: Choice) -> tuple[Kind[object], ...]:
    """The kinds of the logs that are shown."""
    return (OPERATOR_LOG,) * choice.operator + (AGENT_LOGS,) * choice.agents


def reads_of(choice: Choice) -> tuple[Kind[object], ...]:
    """All kinds that what is shown is made of."""
    told = READS[True] * choice.operator + READS[False] * choice.agents
    return tuple(dict.fromkeys(told))


def picture(snapshot: Snapshot, choice: Choice) -> LogsPicture:
    """The lines that are wanted; where no allocation is logged, the conditions beside them."""
    now, read = snapshot.taken_at, _entries(snapshot, choice)
    entries = _with_markers_between(
        [read[key] for key in sorted(read) if choice.wants(read[key], now)]
    )
    silent = choice.operator and (0, 0) < cilium_version(snapshot) < LOGS_ALLOCATIONS
    found = transitions(snapshot) if silent else ()
    changes = [each for each in found if choice.wants_change(each, now)]
    rows = all_rows(entries, changes, now, choice.times)
    lines = folds(rows) if choice.folds else tuple(Fold((row,)) for row in rows)
    told = {transition_key(each): LineTold(change=each) for each in changes}
    for fold in lines:
        if fold.key not in told:
            told[fold.key] = LineTold(tuple(read[row.key] for row in fold.rows))
    log = content(
        snapshot,
        (fold.row(EVENT) for fold in lines),
        kinds_of(choice),
        "",
        none=_none(choice, len(read)),
    )
    if silent:
        version = ".".join(map(str, cilium_version(snapshot)))
        said = f"Cilium {version} logs no allocations; those here are from services' conditions"
        log = replace(log, notice=(*log.notice, plain(said)))
    return LogsPicture(log, choice, told)


def columns_of(choice: Choice) -> tuple[Column, ...]:
    """Who wrote a line has a column where several logs are shown."""
    if choice.node == TOGETHER:
        return COLUMNS
    return tuple(replace(c, chosen=False) if c.key == "node" else c for c in COLUMNS)


def _entries(snapshot: Snapshot, choice: Choice) -> Mapping[str, LogEntry]:
    if choice.node == OPERATOR:
        return snapshot.records[OPERATOR_LOG]
    if choice.node == TOGETHER:
        return dict(
            chain(snapshot.records[OPERATOR_LOG].items(), snapshot.records[AGENT_LOGS].items())
        )
    return {key: e for key, e in snapshot.records[AGENT_LOGS].items() if e.node == choice.node}


def _with_markers_between(entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
    """The lines with the markers among them; none where there are only markers."""
    return entries if any(entry.marker not in GAPS for entry in entries) else ()


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
