"""Leases: who leads."""

from __future__ import annotations

from textual.app import ComposeResult

from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.lines import plain
from app.state.kinds import LEASES
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import ClusterScreen, Place
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable

COLUMNS = (Column("name", "NAME", cut_to=20), Column("holder", "HOLDER", cut_to=20))


class LeasesScreen(ClusterScreen[Content]):
    """A row for each lease."""

    title_text = "Leases"
    reads = (LEASES,)

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(COLUMNS, id="leases")

    def picture(self, snapshot: Snapshot) -> Content:
        """The leases and their holders."""
        leases = sorted(snapshot.records[LEASES].items())
        rows = (
            Row(key, (Cell(each.name), Cell.of(each.spec.holder_identity))) for key, each in leases
        )
        return Content(tuple(rows), plain("no lease", "none"))

    def draw(self, picture: Content) -> None:
        """Fill the table."""
        self.set_headline(plain(count(len(picture.rows), "lease")))
        self.query_one("#leases", LiveTable).show(picture)


PLACE = Place(make=LeasesScreen, key="f9", words=("leases",), shows="who leads", kinds=("lease",))
