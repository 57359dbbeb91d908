"""A text on a screen of its own: why, a description, an object, a code, what is read.

The text is made of the snapshot, again and again while it is open, so that it stays true. An object
of the API is read once.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from app.diagnosis.explain import ABOUT, NoSuchThing
from app.model.finding import Ref
from app.model.wording import count
from app.report.explanation_lines import code_lines, explanation_lines
from app.report.finding_lines import SCREEN
from app.report.format import age_of
from app.report.lines import Line, Span, Tone, lines_of, plain
from app.state.kinds import NODE_CONFIGS, OF_OBJECT
from app.state.snapshot import Snapshot, State
from screens.base.cluster_handle import ClusterLink
from screens.base.cluster_screen import ClusterScreen
from screens.base.equivalents import ciliscope, explain_command, kubectl
from screens.base.selection import Equivalent, Selection
from screens.describe import describe
from screens.widgets.scroll_text import TextPane

if TYPE_CHECKING:
    from app.model.case import Case


MakeLines = Callable[[Snapshot], Sequence[Line]]

_NOTHING_YET = (plain(" Nothing is read yet.", "none"),)

OBJECT_WAIT = 0.5
"""Seconds for which the key waits for an object; what comes later fills the text in."""
_TONE: dict[State, Tone] = {
    State.FRESH: "ok",
    State.STALE: "warn",
    State.FAILING: "fail",
    State.FORBIDDEN: "fail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a text screen shows."""

    title: str
    """What it is: `why`, `yaml`, `description`."""
    lines: MakeLines
    """Makes its lines. Pure; may run in a thread."""
    about: Selection | None = None
    """What it is about, for the keys that act on that."""
    live: bool = True
    """Whether it is made again when anything changes."""
    wrap: bool = True
    """Whether long lines go on below at first."""
    equivalents: tuple[Equivalent, ...] = ()
    """The commands that show the same by hand."""


def fixed(text: str) -> MakeLines:
    """A text that does not depend on the snapshot."""
    lines = [plain(f" {line}".rstrip()) for line in text.rstrip("\n").split("\n")]
    return lambda _: lines


class TextScreen(ClusterScreen[Sequence[Line]]):
    """One text, as long as it may be."""

    AUTO_FOCUS = "TextPane"
    reads_anything = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_all", "copy", id="text.copy"),
    ]

    def __init__(self, link: ClusterLink, text: Text) -> None:
        """A screen for this text."""
        super().__init__(link)
        self.content = text
        self.arrived = asyncio.Event()
        """Set when the text that is being read is there."""
        self.title_text = text.title
        self.shows_ages = text.live
        self._costly = True  # judging takes its time, and what it needs is heavy at first

    def body(self) -> ComposeResult:
        """The text."""
        yield TextPane(wrap=self.content.wrap, id="text")

    def picture(self, snapshot: Snapshot) -> Sequence[Line]:
        """The lines."""
        return self.content.lines(snapshot)

    def draw(self, picture: Sequence[Line]) -> None:
        """Show them."""
        self.pane.show(picture)

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """A text that is read once does not change."""
        return self.content.live and super().differs(new, drawn)

    def fill(self, lines: MakeLines) -> None:
        """Show the text that was being read."""
        self.content = replace(self.content, lines=lines)
        self._drawn = None
        self.arrived.set()
        self.post_message(self.Wanted())

    def selection(self) -> Selection | None:
        """What the text is about."""
        return self.content.about

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The commands that show the same by hand."""
        return self.content.equivalents

    def way(self) -> tuple[str, ...]:
        """The way from the context over the thing to its text."""
        about = self.content.about
        return (
            *filter(None, (self.snapshot.context, about.name if about else "")),
            self.title_text,
        )

    @property
    def pane(self) -> TextPane:
        """The text's window."""
        return self.query_one(TextPane)

    async def action_copy_all(self) -> None:
        """Copy the whole text."""
        await self.app.run_action(("app", "copy", (self.pane.text, self.title_text)))

    @on(TextPane.Searched)
    def _tell_search(self) -> None:
        searched = self.pane.searched
        self.set_headline(plain(searched, "accent") if searched else ())


def why(link: ClusterLink, about: Selection) -> Text:
    """Why a thing is as it is: what `ciliscope explain` prints, made again on every change."""

    def lines(snapshot: Snapshot) -> Sequence[Line]:
        return _NOTHING_YET if snapshot.setting_up else _explained(link, snapshot, about)

    snapshot = link.monitor.snapshot
    commands = (explain_command(about.question, snapshot),) if about.question else ()
    return Text(title="why", lines=lines, about=about, equivalents=commands)


def description(link: ClusterLink, about: Selection) -> Text:
    """What is known of an object, without its YAML."""

    def lines(snapshot: Snapshot) -> Sequence[Line]:
        return _NOTHING_YET if snapshot.setting_up else _described(link, snapshot, about)

    return Text(
        title="description",
        lines=lines,
        about=about,
        equivalents=(_kubectl(link, "describe {}", "its description", about.ref),),
    )


def yaml_of(link: ClusterLink, about: Selection, ref: Ref) -> Text:
    """An object that is being read; the text is filled in when it is there."""
    return Text(
        title="yaml",
        lines=lambda _: [plain(f" reading {ref} …", "none")],
        about=about,
        live=False,
        wrap=False,
        equivalents=(_kubectl(link, "get {} -o yaml", "its YAML", ref),),
    )


def code_page(name: str, snapshot: Snapshot) -> Text:
    """What a code means."""

    def lines(_: Snapshot) -> Sequence[Line]:
        return lines_of(code_lines(name))

    command = ciliscope(snapshot, "this page", "explain", name)
    return Text(title=name, lines=lines, live=False, equivalents=(command,))


def info_page(facts: Callable[[], Mapping[str, str]]) -> Text:
    """What is read, how each source is, and where files are kept."""

    def lines(snapshot: Snapshot) -> Sequence[Line]:
        return _info_lines(snapshot, facts())

    return Text(title="Info", lines=lines)


def object_of(about: Selection, snapshot: Snapshot) -> Ref | None:
    """The object of the API that stands for a thing; None where there is none."""
    if about.ref.kind in OF_OBJECT:
        return about.ref
    node = about.ref.name.split("/", 1)[0]
    if about.ref.kind == "Session" and node in snapshot.records[NODE_CONFIGS]:
        return Ref("CiliumBGPNodeConfig", node)
    return None


def _explained(link: ClusterLink, snapshot: Snapshot, about: Selection) -> Sequence[Line]:
    case: Case = link.judge.case(snapshot)
    findings = link.judge.verdict(snapshot).findings
    what, *names = about.question or ("",)
    if what in ABOUT:
        try:
            return lines_of(explanation_lines(ABOUT[what](case, findings, names), SCREEN))
        except NoSuchThing as problem:
            return [plain(f" {problem}", "unknown")]
    lines = _described(link, snapshot, about)
    return [*lines, (), *lines_of(code_lines(names[0]))] if what == "code" else lines


def _described(link: ClusterLink, snapshot: Snapshot, about: Selection) -> list[Line]:
    findings = link.judge.verdict(snapshot).concerning([about.ref])
    return describe(snapshot, about.ref, findings)


def _kubectl(link: ClusterLink, words: str, shows: str, ref: Ref) -> Equivalent:
    """A command about an object, which stands for `{}` in its words."""
    name = f"{ref.kind.lower()} {shlex.quote(ref.name)}"
    return Equivalent(shows, kubectl(link.monitor.snapshot, words.format(name), ref.namespace))


def _info_lines(snapshot: Snapshot, facts: Mapping[str, str]) -> list[Line]:
    """The facts, then every source with its state, its age and what it could not tell."""
    width = max((len(name) for name in facts), default=0)
    lines: list[Line] = [
        (Span(f"   {name:<{width}}  ", "accent"), Span(value)) for name, value in facts.items()
    ]
    lines += [(), plain(f" {count(len(snapshot.health), 'source')}", "strong")]
    widest = max((len(health.label) for health in snapshot.health.values()), default=0)
    for health in snapshot.health.values():
        age = age_of(health.read_at, snapshot.taken_at)
        took = f"{health.took:.2f}s" if health.took is not None else ""
        lines.append(
            (
                Span(f"   {health.label:<{widest}}  "),
                Span(f"{health.state:<9}  ", _TONE.get(health.state, "none")),
                Span(f"{age:>5} {took:>7}  "),
                Span("; ".join(filter(None, (health.error, *health.problems))), "warn"),
            )
        )
    return lines
