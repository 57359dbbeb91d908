"""Everything that is wrong, root causes first: what `ciliscope check` finds, one row each."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult

from app.diagnosis.diagnoser import category_of
from app.model.finding import Finding, Ref, health_of, rank
from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.finding_lines import SCREEN, finding_lines
from app.report.lines import Line, lines_of, plain
from app.state.kinds import Kind
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import ClusterLink, ClusterScreen
from screens.base.detail_screen import Items
from screens.base.selection import Equivalent, Selection, ciliscope, selection_by
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText

COLUMNS = (
    Column("severity", "", least=1),
    Column("code", "CODE", least=5),
    Column("subject", "ABOUT", cut_to=16, spare=1),
    Column("summary", "WHAT IS WRONG", cut_to=30),
)


Findings = Items[tuple[Finding, list[Line]]]
"""The findings, and each in full."""


class FindingsScreen(ClusterScreen[Findings]):
    """The findings of all categories, or of some."""

    title_text = "Check"
    _costly = True

    def __init__(self, link: ClusterLink, categories: Sequence[str] = ()) -> None:
        """`categories`: the only ones to show; () for all."""
        super().__init__(link)
        self._categories = tuple(categories)
        self.title_text = " ".join(("Check", *categories))

    def body(self) -> ComposeResult:
        """The findings, and the selected one with its proof."""
        yield LiveTable(COLUMNS, opens=self._open, id="findings")
        yield LiveText(indent=15, id="detail")

    def picture(self, snapshot: Snapshot) -> Findings:
        """Roots first, each followed by what follows from it."""
        if snapshot.setting_up:
            return Items(content=Content(absence=plain("nothing is read yet", "none")))
        verdict = self.link.judge.verdict(snapshot)
        ordered: list[tuple[Finding, bool]] = []
        for top in sorted(verdict.tops, key=lambda finding: rank(health_of(finding.severity))):
            ordered += [(top, True), *((each, False) for each in verdict.follow(top))]
        shown = {
            finding.id: (finding, root)
            for finding, root in ordered
            if not self._categories or category_of(finding) in self._categories
        }
        rows = tuple(_row(finding, root) for finding, root in shown.values())
        where = f" in {', '.join(self._categories)}" if self._categories else ""
        none = f"nothing is wrong{where}"
        if not verdict.complete:
            none = f"nothing found{where}; not all could be judged"
        roots = sum(root for _, root in shown.values())
        words = f"{count(roots, 'cause')}, {count(len(rows), 'finding')}"
        return Items(
            headline=plain(words) if rows else (),
            content=Content(rows, plain(none, "ok" if verdict.complete else "unknown")),
            details={
                key: (finding, lines_of(finding_lines(finding, SCREEN, verdict.causes(finding))))
                for key, (finding, _) in shown.items()
            },
        )

    def draw(self, picture: Findings) -> None:
        """Fill the table."""
        self._picture = picture
        self.set_headline(picture.headline)
        self.query_one("#findings", LiveTable).show(picture.content)
        self._draw_detail()

    def reads_now(self) -> Sequence[Kind[object]]:
        """Everything is judged."""
        return self.all_kinds

    def selection(self) -> Selection | None:
        """What the selected finding is about."""
        finding, _ = self._selected()
        return selection_by(finding) if finding else None

    def select_object(self, ref: Ref) -> None:
        """Move to the first finding about it."""
        for key, (finding, _) in self._picture.details.items():
            if ref in (finding.subject, *finding.about):
                self.query_one("#findings", LiveTable).select(key)
                return

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The command of the selected finding, and the check itself."""
        finding, _ = self._selected()
        own = [Equivalent(finding.summary, finding.command)] if finding and finding.command else []
        return (*own, ciliscope(self.snapshot, "what is wrong", "check", *self._categories))

    async def _open(self, _key: str) -> None:
        await self.app.run_action(("app", "explain", ()))

    @on(LiveTable.Selected, "#findings")
    def _draw_detail(self) -> None:
        _, lines = self._selected()
        self.query_one("#detail", LiveText).show(lines)

    def _selected(self) -> tuple[Finding | None, list[Line]]:
        """The selected finding, and it in full."""
        key = self.query_one("#findings", LiveTable).selected
        return self._picture.details.get(key, (None, []))


def _row(finding: Finding, root: bool) -> Row:
    health = health_of(finding.severity)
    cells = (
        Cell.state(health, ""),
        Cell(finding.code),
        Cell(str(finding.subject)),
        Cell(finding.summary if root else f"  follows: {finding.summary}"),
    )
    return Row(finding.id, cells, health=health)
