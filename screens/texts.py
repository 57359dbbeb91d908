"""What is asked about a thing, on a screen of its own: why, a description, an object; its commands.

A text is made of the snapshot, again and again while it is open, so that it stays true. An object
of the API is read once; what is known of it is described from what was read anyway.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from typing_extensions import override

from app.diagnosis.explain import ABOUT, NoSuchThing
from app.model.finding import Finding, Ref
from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.explanation import code_lines, explanation_lines
from app.report.finding_lines import SCREEN, section
from app.report.lines import NOTHING, Line, Span, Tone, age_of, lines_of, plain, time_of_day
from app.state.kinds import EVENTS, NODE_CONFIGS, OF_OBJECT
from app.state.snapshot import Snapshot, State
from collectors.kubernetes.records import (
    Condition,
    ContainerState,
    ContainerStatus,
    Event,
    Object,
    Pod,
)
from screens.base.cluster_screen import ClusterLink, ClusterScreen
from screens.base.selection import Equivalent, Selection, ciliscope, explain_command, kubectl
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText
from screens.widgets.scroll_text import TextPane

_EXPECTED = {
    **dict.fromkeys(("Ready", "ContainersReady", "Initialized", "PodScheduled"), "True"),
    **dict.fromkeys(("MemoryPressure", "DiskPressure", "PIDPressure"), "False"),
}
_REPEATED = "kubectl.kubernetes.io/last-applied-configuration"
"""An annotation that says the whole object once more."""


def record_of(snapshot: Snapshot, ref: Ref) -> Object | None:
    """The object that is meant, if it was read."""
    kind = OF_OBJECT.get(ref.kind)
    if kind is None:
        return None
    key = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    kept: Mapping[str, Object] = snapshot.records[kind]
    return kept.get(key)


def describe(snapshot: Snapshot, ref: Ref, findings: Sequence[Finding] = ()) -> list[Line]:
    """Identity, labels, conditions, containers, events and what is wrong."""
    lines: list[Line] = [plain(f" {ref}", "strong")]
    record = record_of(snapshot, ref)
    if record is not None:
        lines += [*_identity(record, snapshot.taken_at), *_parts(snapshot, ref, record)]
    elif ref.kind in OF_OBJECT:
        health = snapshot.health_of(OF_OBJECT[ref.kind])
        why = f"It was not read: {health.error or health.state}"
        lines += [(), plain(f"   {'There is none.' if health.known else why}", "unknown")]
    if findings:
        lines += [(), *lines_of(section(findings, SCREEN))]
    return lines


def _parts(snapshot: Snapshot, ref: Ref, record: Object) -> Iterator[Line]:
    now = snapshot.taken_at
    if isinstance(record, Pod):
        yield from _pod(record, now)
    status = getattr(record, "status", None)
    conditions: Sequence[Condition] = getattr(status, "conditions", ())
    if conditions:
        yield from _conditions(conditions, now)
    yield from _events(snapshot, ref)


def _identity(record: Object, now: datetime) -> Iterator[Line]:
    metadata = record.metadata
    born = metadata.creation_timestamp
    yield ()
    yield _fact("age", f"{age_of(born, now)}{f' (since {time_of_day(born, now)})' if born else ''}")
    if metadata.deletion_timestamp is not None:
        yield _fact("deletion", f"asked for {age_of(metadata.deletion_timestamp, now)} ago", "warn")
    if metadata.generation:
        yield _fact("generation", str(metadata.generation))
    if metadata.uid:
        yield _fact("uid", metadata.uid)
    for owner in metadata.owner_references:
        yield _fact("owner", f"{owner.kind} {owner.name}")
    yield from _pairs("labels", metadata.labels)
    kept = {name: value for name, value in metadata.annotations.items() if name != _REPEATED}
    yield from _pairs("annotations", kept)


def _pod(pod: Pod, now: datetime) -> Iterator[Line]:
    status = pod.status
    yield ()
    yield _fact("phase", " ".join(filter(None, (status.phase, status.reason, status.message))))
    yield _fact("node", pod.spec.node_name or NOTHING)
    yield _fact("addresses", f"pod {status.pod_ip or NOTHING}, host {status.host_ip or NOTHING}")
    for title, found in (
        ("Init containers", status.init_container_statuses),
        ("Containers", status.container_statuses),
    ):
        if found:
            yield ()
            yield plain(f" {title}", "strong")
            for container in found:
                yield from _container(container, now)


def _container(container: ContainerStatus, now: datetime) -> Iterator[Line]:
    ended = container.state.terminated
    well = container.ready or (ended is not None and ended.exit_code == 0)
    tone: Tone = "ok" if well else "fail"
    yield (
        Span(f"   {'✓' if well else '✗'} ", tone),
        Span(f"{container.name}  ", "strong"),
        Span(_state(container.state, now)),
    )
    yield _fact("  image", container.image or NOTHING)
    if container.restart_count:
        yield _fact("  restarts", str(container.restart_count), "warn")
    if container.last_state.terminated is not None:
        yield _fact("  last exit", _state(container.last_state, now), "warn")


def _state(state: ContainerState, now: datetime) -> str:
    if state.running is not None:
        return f"runs since {_when(state.running.started_at, now)}"
    if state.waiting is not None:
        reason = ": ".join(filter(None, (state.waiting.reason, state.waiting.message)))
        return f"waits: {reason or 'no reason given'}"
    if state.terminated is not None:
        ended = state.terminated
        how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.exit_code}"
        said = ": ".join(filter(None, (ended.reason, ended.message.strip())))
        return f"ended with {how} {_when(ended.finished_at, now)}{f', {said}' if said else ''}"
    return "state not told"


def _conditions(conditions: Sequence[Condition], now: datetime) -> Iterator[Line]:
    yield ()
    yield plain(" Conditions", "strong")
    widest = max(len(each.type) for each in conditions)
    for each in conditions:
        since = f"{age_of(each.last_transition_time, now):>5}"
        said = ": ".join(filter(None, (each.reason, each.message)))
        expected = _EXPECTED.get(each.type)
        tone: Tone = "" if expected in (None, each.status) else "fail"
        yield (Span(f"   {each.type:<{widest}}  {each.status:<7}  {since}  ", tone), Span(said))


def _events(snapshot: Snapshot, ref: Ref) -> Iterator[Line]:
    if not snapshot.health_of(EVENTS).known:
        return
    found = [event for event in snapshot.records[EVENTS].values() if _is_about(event, ref)]
    if not found:
        return
    found.sort(
        key=lambda event: event.last_seen or datetime.min.replace(tzinfo=snapshot.taken_at.tzinfo)
    )
    yield ()
    yield plain(" Events", "strong")
    for event in found:
        times = max(event.count, event.series.count if event.series else 0)
        often = f" ({times} times)" if times > 1 else ""
        tone: Tone = "warn" if event.type == "Warning" else ""
        when = f"   {age_of(event.last_seen, snapshot.taken_at):>5} ago  "
        yield (Span(when), Span(f"{event.reason}{often}  ", tone), Span(event.message))


def _is_about(event: Event, ref: Ref) -> bool:
    about = event.involved_object
    return (about.kind, about.name) == (ref.kind, ref.name) and (
        not ref.namespace or about.namespace in ("", ref.namespace)
    )


def _when(moment: datetime | None, now: datetime) -> str:
    return f"{time_of_day(moment, now)} ({age_of(moment, now)} ago)" if moment else "(not told)"


def _pairs(name: str, pairs: Mapping[str, str]) -> Iterable[Line]:
    if not pairs:
        return [_fact(name, "none")]
    texts = [f"{key}={value}" for key, value in sorted(pairs.items())]
    return [_fact(name if place == 0 else "", each) for place, each in enumerate(texts)]


def _fact(name: str, value: str, tone: Tone = "") -> Line:
    return (Span(f"   {name:<12} ", "accent"), Span(value, tone))


MakeLines = Callable[[Snapshot], Sequence[Line]]

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


def _way(screen: ClusterScreen[Any], about: Selection | None) -> tuple[str, ...]:
    names = (screen.snapshot.context, about.name if about else "")
    return (*filter(None, names), screen.title_text)


class TextScreen(ClusterScreen[Sequence[Line]]):
    """One text, as long as it may be."""

    AUTO_FOCUS = "TextPane"
    reads_anything = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_all", "copy", id="text.copy"),
    ]

    _costly = True  # judging takes its time, and what it needs is heavy at first

    def __init__(self, link: ClusterLink, text: Text) -> None:
        """A screen for this text."""
        super().__init__(link)
        self.content = text
        self.arrived = asyncio.Event()
        """Set when the text that is being read is there."""
        self.title_text = text.title
        self.shows_ages = text.live

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
        return _way(self, self.content.about)

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
    snapshot = link.monitor.snapshot
    commands = (explain_command(about.question, snapshot),) if about.question else ()
    lines = partial(_explained, link, about)
    return Text(title="why", lines=lines, about=about, equivalents=commands)


def description(link: ClusterLink, about: Selection) -> Text:
    """What is known of an object, without its YAML."""
    command = _kubectl(link, "describe {}", "its description", about.ref)
    lines = partial(_described, link, about)
    return Text(title="description", lines=lines, about=about, equivalents=(command,))


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
    command = ciliscope(snapshot, "this page", "explain", name)
    return Text(
        title=name, lines=lambda _: lines_of(code_lines(name)), live=False, equivalents=(command,)
    )


def info_page(facts: Callable[[], Mapping[str, str]]) -> Text:
    """What is read, how each source is, and where files are kept."""
    return Text(title="Info", lines=lambda snapshot: _info_lines(snapshot, facts()))


def object_of(about: Selection, snapshot: Snapshot) -> Ref | None:
    """The object of the API that stands for a thing; None where there is none."""
    if about.ref.kind in OF_OBJECT:
        return about.ref
    node = about.ref.name.split("/", 1)[0]
    if about.ref.kind == "Session" and node in snapshot.records[NODE_CONFIGS]:
        return Ref("CiliumBGPNodeConfig", node)
    return None


def _explained(link: ClusterLink, about: Selection, snapshot: Snapshot) -> Sequence[Line]:
    what, *names = about.question or ("",)
    if what in ABOUT and not snapshot.setting_up:
        case, findings = link.judge.case(snapshot), link.judge.verdict(snapshot).findings
        try:
            return lines_of(explanation_lines(ABOUT[what](case, findings, names), SCREEN))
        except NoSuchThing as problem:
            return [plain(f" {problem}", "unknown")]
    lines = _described(link, about, snapshot)
    if what == "code" and not snapshot.setting_up:
        return [*lines, (), *lines_of(code_lines(names[0]))]
    return lines


def _described(link: ClusterLink, about: Selection, snapshot: Snapshot) -> Sequence[Line]:
    if snapshot.setting_up:
        return [plain(" Nothing is read yet.", "none")]
    findings = link.judge.verdict(snapshot).concerning([about.ref])
    return describe(snapshot, about.ref, findings)


def _kubectl(link: ClusterLink, words: str, shows: str, ref: Ref) -> Equivalent:
    """A command about an object, which stands for `{}` in its words."""
    name = f"{ref.kind.lower()} {shlex.quote(ref.name)}"
    return kubectl(link.monitor.snapshot, shows, words.format(name), ref.namespace)


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


_COMMAND_COLUMNS = (Column("command", "COMMAND", cut_to=40),)


class CommandsScreen(ClusterScreen[Content]):
    """Commands to be copied."""

    shows_ages = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_command", "copy", priority=True, id="commands.copy"),
    ]

    def __init__(
        self,
        link: ClusterLink,
        title: str,
        commands: Sequence[Equivalent],
        about: Selection | None,
    ) -> None:
        """The commands of the screen of this title, with what was selected there."""
        super().__init__(link)
        self.title_text = f"{title} by hand"
        self._commands: dict[str, Equivalent] = {}
        for each in commands:  # what the screen says of one comes before what is true of all
            self._commands.setdefault(each.command, each)
        self._about = about

    def body(self) -> ComposeResult:
        """The commands, and the selected one in full."""
        yield LiveTable(_COMMAND_COLUMNS, opens=self._copy, id="commands")
        yield LiveText(indent=5, id="detail")

    @override
    def picture(self, snapshot: Snapshot) -> Content:
        """A row for each command."""
        rows = (Row(each.command, (Cell(each.command),)) for each in self._commands.values())
        return Content(tuple(rows), plain("no command shows this", "none"))

    def draw(self, picture: Content) -> None:
        """Fill the table."""
        self.query_one("#commands", LiveTable).show(picture)
        self._draw_detail()

    def way(self) -> tuple[str, ...]:
        """The way to what was selected, and that this is about doing it by hand."""
        return _way(self, self._about)

    def selection(self) -> Selection | None:
        """What was selected where the commands were asked for."""
        return self._about

    async def action_copy_command(self) -> None:
        """Copy the selected command."""
        await self._copy(self.query_one("#commands", LiveTable).selected)

    async def _copy(self, command: str) -> None:
        if command:
            await self.app.run_action(("app", "copy", (command, "the command")))

    @on(LiveTable.Selected, "#commands")
    def _draw_detail(self) -> None:
        each = self._commands.get(self.query_one("#commands", LiveTable).selected)
        lines = [plain(f" {each.shows}:", "strong"), plain(f"   {each.command}")] if each else []
        self.query_one("#detail", LiveText).show(lines)
