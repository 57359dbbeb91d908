"""Pods: every pod of Cilium, how it is, how it last ended, and which operator leads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from app.diagnosis.facts import pod_health
from app.diagnosis.health import CiliumPod, cilium_pods
from screens.absence import content
from screens.cluster_screen import ClusterScreen
from screens.format import LEADER, NOTHING, SIGN, age_of, count
from screens.widgets.columns import Cell, Column, Content, Row
from screens.widgets.lines import plain
from screens.widgets.live_table import LiveTable

if TYPE_CHECKING:
    from app.snapshot import Snapshot

COLUMNS = (
    Column("component", "COMPONENT", least=9),
    Column("name", "NAME", cut_to=12),
    Column("ready", "READY", right=True, spare=1),
    Column("status", "STATUS", least=9, cut_to=9),
    Column("restarts", "RESTARTS", right=True),
    Column("last", "LAST EXIT", extra=True),
    Column("node", "NODE", cut_to=10),
    Column("version", "VERSION", extra=True),
    Column("age", "AGE", right=True, least=3, spare=2),
)


@dataclass(frozen=True)
class PodsPicture:
    """What the screen shows."""

    headline: str
    pods: Content


def picture(snapshot: Snapshot) -> PodsPicture:
    """The pods of Cilium as rows."""
    pods = cilium_pods(snapshot)
    ready = sum(found.ready for found in pods)
    return PodsPicture(
        headline=f"{ready} of {count(len(pods), 'pod')} ready" if pods else "",
        pods=content(
            snapshot,
            (_row(found, snapshot.taken_at) for found in pods),
            ("pods",),
            f"pods of Cilium in namespace {snapshot.cilium_namespace}",
            beside=("leases",),
        ),
    )


def _row(found: CiliumPod, now: datetime) -> Row:
    pod = found.pod
    health = pod_health(found)
    tone = "" if health == "ok" else health
    cells = (
        Cell(f"{found.component}{f' {LEADER}' if found.leader else ''}"),
        Cell(pod.name),
        Cell(f"{found.ready_containers}/{found.containers}", tone=tone),
        Cell(f"{SIGN[health]} {found.status}", tone=health),
        Cell(str(found.restarts), found.restarts),
        Cell(_last_exit(found, now)),
        Cell(pod.spec.node_name or NOTHING),
        Cell(found.version or NOTHING),
        Cell(age_of(pod.metadata.creation_timestamp, now)),
    )
    return Row(pod.key, cells)


def _last_exit(found: CiliumPod, now: datetime) -> str:
    last = found.last_exit
    if last is None:
        return NOTHING
    when = f" {age_of(last.at, now)} ago" if last.at else ""
    return f"{last.code} {last.reason}{when}".replace("  ", " ")


class PodsScreen(ClusterScreen[PodsPicture]):
    """The pods of Cilium."""

    title_text = "Pods"
    reads = ("pods", "leases")

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(COLUMNS, id="pods")

    def picture(self, snapshot: Snapshot) -> PodsPicture:
        """The pods of Cilium as rows."""
        return picture(snapshot)

    def draw(self, picture: PodsPicture) -> None:
        """Fill the table."""
        self.set_headline(plain(picture.headline))
        self.query_one("#pods", LiveTable).show(picture.pods)
