"""The runbooks there are: those that fit what is wrong now, then all of them; Enter begins one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.lines import plain
from app.state.kinds import Kind
from app.state.snapshot import Snapshot
from screens.base.cluster_handle import ClusterLink
from screens.base.cluster_screen import ClusterScreen
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable

if TYPE_CHECKING:
    from app.model.finding import Health
    from app.runbooks.library import LibraryEntry

COLUMNS = (
    Column("name", "RUNBOOK", least=16),
    Column("why", "WHY NOW", cut_to=20),
    Column("title", "WHAT IT IS FOR", cut_to=20),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A runbook that fits what is wrong now, or that was begun already."""

    key: str
    """What `begins` takes."""
    name: str
    why: str
    """`start here: CS402 …`, `go on: step 3`."""
    fits: bool = True
    """Whether something is wrong that it fits."""


class RunbooksScreen(ClusterScreen[Content]):
    """A row for each runbook, what fits now before the others."""

    title_text = "Runbooks"
    AUTO_FOCUS = "#runbooks"
    reads_anything = True

    def __init__(
        self,
        link: ClusterLink,
        entries: Sequence[LibraryEntry],
        offers: Callable[[Snapshot], Sequence[Offer]],
        begins: Callable[[str], Awaitable[None]],
    ) -> None:
        """`offers` tells what fits a snapshot; `begins` opens one by its key, or by its name."""
        super().__init__(link)
        self._entries = tuple(entries)
        self._offers = offers
        self._begins = begins
        self._costly = True

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(COLUMNS, opens=self._begins, id="runbooks")

    def picture(self, snapshot: Snapshot) -> Content:
        """The runbooks."""
        offers = () if snapshot.setting_up else tuple(self._offers(snapshot))
        return Content(tuple(self._rows(offers)), plain("there is no runbook", "none"))

    def draw(self, picture: Content) -> None:
        """Fill the table."""
        self.set_headline(plain(count(len(self._entries), "runbook")))
        table = self.query_one("#runbooks", LiveTable)
        table.show(picture)
        # What fits now may be known only when more is read; whoever waits is to be on it.
        table.offer_worst(last=False)

    def shown_sources(self) -> Sequence[Kind[object]]:
        """None of them stands out."""
        return ()

    def _rows(self, offers: Sequence[Offer]) -> Iterator[Row]:
        titles = {entry.name: entry.runbook.title for entry in self._entries if entry.runbook}
        for offer in offers:
            health: Health = "fail" if offer.fits else "none"
            why = Cell(offer.why, tone="accent")
            yield Row(
                offer.key, (Cell(offer.name), why, Cell(titles.get(offer.name, ""))), "", health
            )
        for entry in self._entries:
            own = "yours" if entry.own else ""
            if entry.runbook is None:
                problem = Cell(f"cannot be used: {entry.problem}", tone="warn")
                yield Row(entry.name, (Cell(entry.name), Cell(own), problem), health="warn")
            else:
                cells = (Cell(entry.name), Cell(own), Cell(entry.runbook.title))
                yield Row(entry.name, cells)
