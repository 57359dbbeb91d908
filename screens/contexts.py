"""The contexts of the kubeconfig: which cluster is shown, and which could be."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult

from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.lines import LEADER, plain
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import ClusterLink, ClusterScreen
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable

COLUMNS = (Column("now", "", least=1), Column("context", "CONTEXT", least=20))


class ContextsScreen(ClusterScreen[Content]):
    """A row for each context; one is opened with Enter."""

    title_text = "Contexts"
    shows_ages = False

    def __init__(self, link: ClusterLink, contexts: Sequence[str]) -> None:
        """These contexts, of which the link's is shown."""
        super().__init__(link)
        self._contexts = tuple(contexts)

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(COLUMNS, opens=self._open, id="contexts")

    def picture(self, snapshot: Snapshot) -> Content:
        """The contexts, the one that is shown with a sign."""
        rows = (Row(name, (_now(name == snapshot.context), Cell(name))) for name in self._contexts)
        return Content(tuple(rows), plain("the kubeconfig has no contexts", "none"))

    def draw(self, picture: Content) -> None:
        """Fill the table; the cursor begins on the one that is shown."""
        self.set_headline(plain(count(len(self._contexts), "context")))
        table = self.query_one("#contexts", LiveTable)
        first = not table.rows
        table.show(picture)
        if first:
            table.select(self.snapshot.context)

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Only which one is shown can change."""
        return new.context != drawn.context

    async def _open(self, context: str) -> None:
        await self.app.run_action(("app", "switch_context", (context,)))


def _now(shown: bool) -> Cell:
    return Cell(LEADER if shown else "", value=shown)
