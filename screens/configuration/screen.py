"""Configuration: key parameters, versions, BGP objects, and what is read with which rights."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from app.model.finding import Ref
from app.report.lines import Span
from app.state.kinds import Kind
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import Place
from screens.base.detail_screen import DetailScreen
from screens.base.selection import Equivalent, Selection
from screens.configuration.bgp import BGP
from screens.configuration.parts import ACCESS, PARAMETERS, VERSIONS, Entry, Section, detail_lines
from screens.widgets.live_table import LiveTable
from screens.widgets.scroll_text import Layout

PARTS = (PARAMETERS, VERSIONS, BGP, ACCESS)
"""The parts in their order."""


class ConfigurationScreen(DetailScreen[Section]):
    """The parts of the configuration, one at a time, and the selected row in full."""

    title_text = "Configuration"
    new_table = staticmethod(partial(LiveTable, PARAMETERS.columns, id="parameters"))
    shows_ages = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(part.key, f"part('{part.name}')", part.title, id=f"configuration.{part.name}")
            for part in PARTS
        ),
    ]
    part = PARTS[0]
    """What is shown."""
    _section: Section | None = None
    _wished: Ref | None = None

    def picture(self, snapshot: Snapshot) -> Section:
        """The part that is shown."""
        return self.part.make(snapshot, self.link.judge)

    def draw(self, picture: Section) -> None:
        """Fill list and detail."""
        if picture.columns is not self.part.columns:  # the part was left while it was made
            self._drawn = None
            self.post_message(self.Wanted())
            return
        self._section = picture
        self.table.show_columns(picture.columns)
        self.table.show(picture.content)
        gap = (Span(" · "),) if picture.headline else ()
        self.set_headline((Span(self.part.title, "accent"), *gap, *picture.headline))
        if self._wished is not None:
            self._go_to(self._wished)
        self.draw_detail()

    def detail(self) -> Layout | None:
        """The selected row in full."""
        return partial(detail_lines, self._entry() or Entry())

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """What is read has its ages, and is about every source."""
        if self.part.name == "access":
            return new.taken_at != drawn.taken_at or new.health != drawn.health
        return super().differs(new, drawn)

    def reads_now(self) -> tuple[Kind[object], ...]:
        """What the part that is shown is made of."""
        return self.part.reads

    def shown_sources(self) -> tuple[Kind[object], ...]:
        """Whose age matters to the part that is shown."""
        return self.part.sources

    def action_part(self, name: str) -> None:
        """Show this part."""
        self.part = next(part for part in PARTS if part.name == name)
        self._section, self._drawn = None, None
        self.set_headline((Span(self.part.title, "accent"),))
        self.post_message(self.Wanted())

    def selection(self) -> Selection | None:
        """The object that the selected row is about."""
        entry = self._entry()
        if entry is None or entry.ref is None:
            return None
        return Selection(ref=entry.ref, question=entry.question, node=entry.node)

    def select_object(self, ref: Ref) -> None:
        """Show the part that has this, and select its row; a setting by its key."""
        part = next((part for part in PARTS if ref.kind in part.kinds), None)
        if part is None:
            return
        self._wished = ref
        if part is not self.part or self._section is None:
            self.action_part(part.name)
        else:
            self._go_to(ref)

    def _go_to(self, ref: Ref) -> None:
        self._wished = None
        entries = self._section.entries if self._section else {}
        found = [key for key, entry in entries.items() if entry.ref == ref]
        key = ref.name if ref.kind == "Setting" else next(iter(found), "")
        self.table.select(key)

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows the selected row by hand, then the part as a whole."""
        entry = self._entry()
        own = entry.equivalents if entry else ()
        return (*own, self.part.command(self.snapshot))

    def _entry(self) -> Entry | None:
        return self._section.entries.get(self.table.selected) if self._section else None


PLACE = Place(
    make=ConfigurationScreen,
    key="f8",
    words=("configuration", "config"),
    shows="the key parameters",
    kinds=("cm", "cbgpcluster", "cbgppeer", "cbgpadvert", "bgpp", "ciliumbgpclusterconfigs"),
)
