"""Pods: every pod of Cilium, how it is and how it last ended, and all that is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from app.model.finding import Ref
from app.model.lbipam import condition_of
from app.report.format import count
from app.report.lines import Line, Span, Tone
from app.state.kinds import (
    CILIUM_STATUS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NODES,
    PODS,
    Kind,
)
from screens.base.detail_screen import DetailScreen
from screens.base.empty_state import content
from screens.base.selection import Equivalent, Selection
from screens.pod_commands import pod_commands
from screens.pod_detail import PodPage, pod_lines
from screens.pod_events import Events, events_by_object, events_of
from screens.pod_rows import COLUMNS, ORDER, KeptRow, pod_rows
from screens.pod_status import PodTold, told_of_pods
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable, Opening

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.state.snapshot import Snapshot
    from screens.base.cluster_handle import ClusterLink

SHOWN = (PODS, LEASES, EVENTS)
"""What tells of pods, of who leads, and of what happened."""
READS = (*SHOWN, NODES, DAEMON_SETS, DEPLOYMENTS, CONFIG_MAPS, CILIUM_STATUS)

_YOUNG = timedelta(minutes=2)
"""The time for which an age is told in seconds."""
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class PodsPicture:
    """What the screen shows."""

    headline: Line = ()
    pods: Content = field(default_factory=Content)
    told: Mapping[str, PodTold] = field(default_factory=dict)
    events: Events = field(default_factory=dict)


def picture(snapshot: Snapshot, judge: Diagnoser) -> PodsPicture:
    """The pods of Cilium as rows, and what is to be said of each."""
    table = partial(
        content,
        snapshot,
        kinds=(PODS,),
        what=f"pods of Cilium in namespace {snapshot.cilium_namespace}",
        beside=(LEASES,),
    )
    if snapshot.setting_up or not snapshot.health_of(PODS).known:
        return PodsPicture(pods=table(rows=()))
    case = judge.case(snapshot)
    told = told_of_pods(case, judge.verdict(snapshot).findings)
    events = snapshot.records[EVENTS]
    kept: dict[str, KeptRow] = case.memo.shelf("rows of pods", dict)
    return PodsPicture(
        headline=_headline(told, snapshot),
        pods=table(rows=pod_rows(told, snapshot.taken_at, kept)),
        told=told,
        events=case.memo.of(
            "events by object", (events,), lambda: events_by_object(events.values())
        ),
    )


def _headline(told: Mapping[str, PodTold], snapshot: Snapshot) -> Line:
    """`8 of 9 pods ready`, how many are not well, and nodes that are NotReady."""
    pods = [each.pod for each in told.values() if each.pod is not None]
    wanted = len(pods) + sum(each.lacking for each in told.values())
    if not told:
        return ()
    spans = [Span(f"{sum(pod.ready for pod in pods)} of {count(wanted, 'pod')} ready")]
    kinds: tuple[tuple[Tone, str], ...] = (
        ("fail", "broken"),
        ("warn", "to look at"),
        ("unknown", "not known"),
    )
    for health, words in kinds:
        number = sum(each.health == health for each in told.values())
        if number:
            spans += [Span(" · "), Span(f"{number} {words}", health)]
    down = _nodes_down(snapshot)
    if down:
        spans += [
            Span(" · "),
            Span(f"{down} of {count(len(snapshot.records[NODES]), 'node')} NotReady", "fail"),
        ]
    return tuple(spans)


def _nodes_down(snapshot: Snapshot) -> int:
    """How many nodes are not Ready."""
    ready = (
        condition_of(node.status.conditions, "Ready") for node in snapshot.records[NODES].values()
    )
    return sum(each is not None and each.status != "True" for each in ready)


class PodsScreen(DetailScreen[PodsPicture]):
    """The pods of Cilium, and all that is known of the selected one."""

    title_text = "Pods"
    tells_ages = False
    reads = READS

    def __init__(self, link: ClusterLink) -> None:
        """A screen on the cluster of this link."""
        super().__init__(link)
        self._picture = PodsPicture()

    def make_table(self, opens: Opening) -> LiveTable:
        """The pods."""
        return LiveTable(COLUMNS, order=ORDER, opens=opens, id="pods")

    def picture(self, snapshot: Snapshot) -> PodsPicture:
        """The pods of Cilium as rows."""
        return picture(snapshot, self.link.judge)

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Also when time alone may have changed a verdict, or an age."""
        since = new.taken_at - drawn.taken_at
        told = self._picture.told.values()
        odd = any(each.health not in ("ok", "none") for each in told)
        ticks = odd or any(_young(each, drawn) for each in told)
        return since >= _MINUTE or (bool(since) and ticks) or super().differs(new, drawn)

    def draw(self, picture: PodsPicture) -> None:
        """Fill list and detail."""
        self._picture = picture
        self.set_headline(picture.headline)
        self.show_rows(picture.pods)
        self.draw_detail()

    def draw_detail(self) -> None:
        """Show what is known of the selected pod."""
        told = self._told
        if told is None:
            self.text.show_text(lambda _: (), "")
            return
        about = told.ref if told.pod is not None else told.workload
        page = PodPage(told, events_of(self._picture.events, about), self.snapshot)
        self.text.show_text(partial(pod_lines, page, whole=self.roomy), told.key)

    def shown_sources(self) -> tuple[Kind[object], ...]:
        """What tells of pods."""
        return SHOWN

    def selection(self) -> Selection | None:
        """The selected pod; where it is missing, what should have it."""
        told = self._told
        if told is None:
            return None
        question = (told.findings[0].code,) if told.findings else ()
        return Selection(ref=told.ref, question=question, node=told.node)

    def select_object(self, ref: Ref) -> None:
        """Select a pod; of a node its agent, of a workload the worst, of the lease who leads."""
        told = self._picture.told
        rows = [told[row.key] for row in self.table.rows if row.key in told]
        match ref.kind:
            case "Pod":
                found = [each for each in rows if each.ref == ref]
            case "Node":
                found = [r for r in rows if r.node == ref.name]
                found.sort(key=lambda each: each.component != "agent")
            case "Lease":
                found = [each for each in rows if each.component == "operator"]
                found.sort(key=lambda each: each.pod is None or not each.pod.leader)
            case _:
                found = [each for each in rows if each.workload == ref]
        if found:
            self.table.select(found[0].key)

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows the selected pod by hand, then all of them."""
        return pod_commands(self._told, self.snapshot)

    @property
    def _told(self) -> PodTold | None:
        return self._picture.told.get(self.table.selected)


def _young(told: PodTold, drawn: Snapshot) -> bool:
    """Whether an age of it is told in seconds."""
    if told.pod is None:
        return False
    last = told.pod.last_exit
    moments = (told.pod.pod.metadata.creation_timestamp, last.at if last else None)
    return any(moment is not None and drawn.taken_at - moment < _YOUNG for moment in moments)
