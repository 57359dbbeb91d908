"""Configuration: key parameters, versions, BGP objects, and what is read with which rights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from app.model.finding import Ref
from app.report.columns import Column
from app.report.lines import Line, Span, wrapped
from app.state.kinds import CONFIG_MAPS, PODS, VERSION, Kind
from screens import config_access, config_bgp, config_parameters, config_versions
from screens.base.cluster_handle import ClusterLink
from screens.base.detail_screen import DetailScreen
from screens.base.equivalents import kubectl
from screens.base.selection import Equivalent, Selection
from screens.config_section import Entry, Section
from screens.widgets.live_table import LiveTable, Opening

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Part:
    """One of the parts that the screen shows in turn."""

    name: str
    title: str
    key: str
    columns: tuple[Column, ...]
    make: Callable[[Snapshot, Diagnoser], Section]
    reads: tuple[Kind[object], ...]
    """Kinds it is made of; () for all."""
    sources: tuple[Kind[object], ...]
    """Kinds whose age stands beside the title."""


PARTS = (
    Part(
        "parameters",
        "parameters",
        "1",
        config_parameters.COLUMNS,
        config_parameters.section,
        config_parameters.READS,
        (CONFIG_MAPS,),
    ),
    Part(
        "versions",
        "versions",
        "2",
        config_versions.COLUMNS,
        config_versions.section,
        config_versions.READS,
        (VERSION, PODS),
    ),
    Part(
        "bgp",
        "BGP",
        "3",
        config_bgp.COLUMNS,
        config_bgp.section,
        config_bgp.READS,
        config_bgp.OBJECTS[:3],
    ),
    Part("access", "access", "4", config_access.COLUMNS, config_access.section, (), ()),
)
"""The parts in their order."""

_PART_OF: Mapping[str, str] = {
    "ConfigMap": "parameters",
    "Setting": "parameters",
    "Source": "access",
    "Pod": "versions",
    **dict.fromkeys(config_bgp.KINDS, "bgp"),
}


class ConfigurationScreen(DetailScreen[Section]):
    """The parts of the configuration, one at a time, and the selected row in full."""

    title_text = "Configuration"
    tells_ages = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(part.key, f"part('{part.name}')", part.title, id=f"configuration.{part.name}")
            for part in PARTS
        ),
    ]
    _section: Section | None = None

    def __init__(self, link: ClusterLink) -> None:
        """It begins with the parameters."""
        super().__init__(link)
        self.part = PARTS[0]
        """What is shown."""
        self._wished: Ref | None = None

    def make_table(self, opens: Opening) -> LiveTable:
        """The rows of the part that is shown."""
        return LiveTable(config_parameters.COLUMNS, opens=opens, id="parameters")

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

    def draw_detail(self) -> None:
        """Show the selected row in full."""
        entry = self._entry()
        key = f"{self.part.name} {self.table.selected}"
        lines = entry.lines if entry else ()
        self.text.show_text(partial(_laid_out, lines), key)

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
        name = _PART_OF.get(ref.kind)
        if name is None:
            return
        self._wished = ref
        if name != self.part.name or self._section is None:
            self.action_part(name)
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
        entry, snapshot = self._entry(), self.snapshot
        own = entry.equivalents if entry else ()
        namespace = snapshot.cilium_namespace
        whole = {
            "parameters": Equivalent(
                "the running configuration",
                kubectl(snapshot, f"get configmap cilium-config -n {namespace} -o yaml"),
            ),
            "versions": Equivalent(
                "the images that run", kubectl(snapshot, f"get pods -n {namespace} -o yaml")
            ),
            "bgp": Equivalent(
                "all objects of BGP",
                kubectl(
                    snapshot,
                    "get ciliumbgpclusterconfigs,ciliumbgppeerconfigs,ciliumbgpadvertisements"
                    " --show-labels",
                ),
            ),
            "access": Equivalent("what is allowed", kubectl(snapshot, "auth can-i --list")),
        }
        return (*own, whole[self.part.name])

    def _entry(self) -> Entry | None:
        return self._section.entries.get(self.table.selected) if self._section else None


def _laid_out(lines: tuple[Line, ...], width: int) -> list[Line]:
    return [piece for line in lines for piece in (wrapped(line, width, 3) if line else [()])]
