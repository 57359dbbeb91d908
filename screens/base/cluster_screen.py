"""What every screen of the dashboard has: header, sources, body, keys; and how it is drawn.

A screen is two functions: `picture`, pure, makes of a snapshot what is to be shown, and `draw` puts
that into the widgets. The picture is made again only when something it reads has changed, and in a
thread once it has turned out to be costly, so that keys are never kept waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Ref
from app.model.session_history import FlapLedger
from app.report.lines import Line, Span, plain
from app.state.kinds import Kind
from app.state.snapshot import Snapshot, State
from screens.base.header import PROMPT_KEYS, identity, keys_line, tiers, title
from screens.base.selection import Equivalent, Selection
from screens.widgets.command_line import CommandLine, Question
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import TONE_CLASSES, EdgeLine
from screens.widgets.scroll_text import ScrolledLines, TextPane

if TYPE_CHECKING:
    from app.state.monitor import Feed, Monitor
    from collectors.kubernetes.records import Pod


@dataclass(slots=True)
class Frame:
    """How the screens are framed; they all share one."""

    history: list[str] = field(default_factory=list)
    """The commands entered on any screen, newest first."""
    filters: list[str] = field(default_factory=list)
    """The filters entered on any screen, newest first."""
    crumbs: bool = True
    """Whether the title tells the way to the selected object, where that fits."""
    frozen: str = ""
    """For how long the picture has stood still, `00:41`; "" while it is live."""


LogFeed = Callable[["Pod"], "Feed"]
"""Makes a feed of the kind `agent_logs` that follows the log of one agent."""
ObjectReader = Callable[["Ref"], Awaitable[str]]
"""Reads an object of the API as printable YAML; where it cannot, one sentence that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLink:
    """One cluster, as every screen gets it."""

    monitor: Monitor
    judge: Diagnoser = field(default_factory=Diagnoser)
    agent_log: LogFeed | None = None
    """None: no agent's log can be read."""
    read_object: ObjectReader | None = None
    """None: no object can be read."""
    losses: FlapLedger = field(default_factory=FlapLedger)
    """How often each session was lost; the dashboard counts, whatever it shows."""
    thinking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a costly picture is made: two at once would only slow each other down."""
    frame: Frame = field(default_factory=Frame)
    """What frames the screens; the screens of another cluster share it."""


Picture = TypeVar("Picture")

_SHEETS = Path(__file__).parents[1] / "styles"
STYLES = (
    _SHEETS / "base.tcss",
    *sorted(path for path in _SHEETS.glob("*.tcss") if path.name != "base.tcss"),
)
"""The style sheets of all screens, for the application that shows them; the common one first."""

COSTLY = 0.015
"""Seconds after which making a picture would be felt at the keys; the next one leaves the loop."""

_MINUTE = timedelta(minutes=1)

FLASH = 6.0
"""Seconds for which a passing word is shown in place of the keys."""

SMALLEST = (60, 15)
"""Columns and lines below which nothing but a sentence fits."""

_WIDTHS = [(0, "-tiny-width"), (SMALLEST[0], "-narrow"), (120, "-wide")]
_HEIGHTS = [(0, "-tiny-height"), (SMALLEST[1], "-lowest"), (20, "-low"), (30, "-high")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A screen and how to reach it; the module of the screen ends in one, called `PLACE`."""

    make: type[ClusterScreen[Any]]
    key: str
    words: tuple[str, ...]
    """What is typed after `:`; they may be cut short while they mean one thing."""
    shows: str
    """What it shows, for the help."""
    kinds: tuple[str, ...] = ()
    """Names that kubectl has for what is on it; they must be spelled out."""
    completions: Callable[[Snapshot, Sequence[str]], Sequence[str]] = lambda _snapshot, _words: ()
    """The words that may follow these, which were typed after its own."""

    @property
    def name(self) -> str:
        """Its name in actions and in the history: its first word."""
        return self.words[0]

    @property
    def title(self) -> str:
        """What the screen is called."""
        return self.make.title_text


class ClusterScreen(Screen[None], Generic[Picture], inherit_bindings=False):
    """A screen that shows the newest snapshot."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    AUTO_FOCUS = "LiveTable"
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "next panel", show=False, id="screen.next"),
        Binding("shift+tab", "app.focus_previous", "previous panel", show=False, id="screen.back"),
    ]

    title_text: str = ""
    """What the screen is called."""
    reads: ClassVar[tuple[Kind[object], ...]] = ()
    """Kinds that the picture is made of; their sources are shown with their ages."""
    sources: ClassVar[tuple[Kind[object], ...] | None] = None
    """Kinds whose sources stand beside the title; None: all that it reads."""
    shows_ages: bool = True
    """Whether the picture changes with time alone, even while all sources are fresh."""
    tells_minutes: ClassVar[bool] = False
    """Whether it changes with time alone, though not often: every minute, or while it `ticks`."""
    reads_anything: ClassVar[bool] = False
    """Whether anything that is read may be in the picture: no kind says more than others."""
    demands: tuple[Kind[object], ...] = ()
    """Kinds that are read only while somebody asks, and that this screen asks for while shown."""

    class Wanted(Message):
        """The screen came up and wants the newest snapshot."""

    _costly = False
    """Whether to make the picture in a thread."""
    _drawn: Snapshot | None = None
    _before_prompt: Widget | None = None
    _headline: Line = ()
    _flash_ends = 0.0

    def __init__(self, link: ClusterLink) -> None:
        """A screen on the cluster of this link."""
        super().__init__()
        self.link = link
        self.monitor = link.monitor
        self._held = ExitStack()
        self._snapshot = link.monitor.snapshot
        self._drawing = asyncio.Lock()
        self.built = asyncio.Event()
        """Set when its widgets are there."""
        self._answers: Mapping[str, Callable[[], None]] = {}

    # --- for each screen to define

    def body(self) -> ComposeResult:
        """The widgets between header and footer."""
        raise NotImplementedError

    def picture(self, snapshot: Snapshot) -> Picture:
        """What is to be shown. Pure; may run in a thread."""
        raise NotImplementedError

    def draw(self, picture: Picture) -> None:
        """Put the picture into the widgets."""
        raise NotImplementedError

    def selection(self) -> Selection | None:
        """What the cursor is on; None: nothing that keys could act on."""
        return None

    @property
    def at_cursor(self) -> Selection | None:
        """What the cursor is on; None also while there is no picture yet."""
        return self.selection() if self._drawn is not None and self._stands else None

    @property
    def by_hand(self) -> tuple[Equivalent, ...]:
        """The commands of the screen; none while there is no picture yet."""
        return self.equivalents() if self._drawn is not None and self._stands else ()

    def select_object(self, ref: Ref) -> None:
        """Move the cursor to this object, if the screen shows it."""

    def select_previous(self, ref: Ref) -> None:
        """Show what this object said before its last restart, where the screen keeps that."""
        namespace = f" -n {ref.namespace}" if ref.namespace else ""
        self.flash(f"by hand: kubectl{namespace} logs {ref.name} --previous")

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The commands that show by hand what this screen shows, what the cursor is on first."""
        return ()

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Whether anything that the picture depends on is not what it was."""
        since = new.taken_at - drawn.taken_at
        if self.tells_minutes and (since >= _MINUTE or (since and self.ticks())):
            return True
        kinds = self.reads_now()
        health = [new.health_of(kind) for kind in kinds]
        waits = any(h.state not in (State.FRESH, State.OFF, State.ABSENT) for h in health)
        if new.taken_at != drawn.taken_at and (self.shows_ages or waits):
            return True
        if any(new.records[kind] is not drawn.records[kind] for kind in kinds):
            return True
        return health != [drawn.health_of(kind) for kind in kinds]

    def ticks(self) -> bool:
        """Whether what is drawn may change within a minute with time alone."""
        return False

    # --- what they share

    def compose(self) -> ComposeResult:
        """Header, title with sources, body, prompt, keys."""
        yield EdgeLine(id="header")
        yield EdgeLine(id="title")
        yield from self.body()
        yield CommandLine(self._prompt_closed, id="prompt")
        yield EdgeLine(id="keys")
        width, height = SMALLEST
        yield Static(
            f"This terminal is too small; ciliscope needs {width} columns and {height} lines.",
            id="too-small",
            markup=False,
        )

    async def show(self, snapshot: Snapshot) -> None:
        """Draw the snapshot, as far as it differs from what is drawn."""
        async with self._drawing:
            await self._show(snapshot)

    @property
    def _stands(self) -> bool:
        """Whether its widgets are there: all of them already, and still.

        Before a screen goes its widgets do, one after another, and before an application ends.
        """
        ends = self._closing or not self.app.is_running
        return self.built.is_set() and self.is_attached and not ends

    async def _show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.draw_header()
        if self._drawn is not None and not self.differs(snapshot, self._drawn):
            return
        started = time.perf_counter()
        if self._costly:
            async with self.link.thinking:
                started = time.perf_counter()
                picture = await asyncio.to_thread(self.picture, snapshot)
        else:
            picture = self.picture(snapshot)
        self._costly = time.perf_counter() - started > COSTLY
        if self._stands:
            self._drawn = snapshot
            self.draw(picture)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that is drawn: what a key adds tells the same ages as what stands there."""
        return self._drawn or self._snapshot

    def offer_worst(self, table: LiveTable) -> None:
        """Have the cursor on what is worst until somebody moves it, or all is read."""
        states = {self.snapshot.health_of(kind).state for kind in self.reads}
        table.offer_worst(last=State.LOADING not in states)

    def set_headline(self, line: Line) -> None:
        """Say something in a few words beside the title."""
        self._headline = line
        self.draw_header()

    def flash(self, text: str) -> None:
        """Show a passing word in place of the keys."""
        keys = self.query_one_optional("#keys", EdgeLine)
        if keys is None:  # it is being taken down
            return
        keys.show_whole(plain(f" {text}", "strong"))
        self._flash_ends = time.monotonic() + FLASH
        self.set_timer(FLASH, self._flash_over)

    def show_keys(self) -> None:
        """Show the keys that work here."""
        keys = self.query_one_optional("#keys", EdgeLine)
        if keys is None or time.monotonic() < self._flash_ends or not self._stands:
            return
        if isinstance(self.focused, CommandLine):
            keys.show_edges(PROMPT_KEYS)
            return
        bindings = self.active_bindings.values()
        keys.show_edges(keys_line(bindings, self.app.get_key_display, keys.size.width))

    def ask(self, question: Question) -> None:
        """Ask for a text at the bottom."""
        prompt = self.query_one(CommandLine)
        if not prompt.display:
            self._before_prompt = self.focused
        prompt.ask(question)

    def close_prompt(self) -> None:
        """Ask no more."""
        self.query_one(CommandLine).close()

    def choose(self, question: str, answers: Mapping[str, Callable[[], None]]) -> None:
        """Let the next key decide: one of the answers, or any other for none of them."""
        self.flash(question)
        self._answers = answers

    def chosen(self, key: str) -> bool:
        """Whether a choice was open, which this key has decided."""
        answers, self._answers = self._answers, {}
        if answers and (answer := answers.get(key)) is not None:
            answer()
        return bool(answers)

    @property
    def panel(self) -> LiveTable | TextPane | None:
        """The table or text that has the keys, or had them before the prompt, else the first."""
        candidates = (self.focused, self._before_prompt, *self.query("LiveTable, TextPane"))
        for widget in candidates:
            if isinstance(widget, LiveTable | TextPane) and widget.display:
                return widget
        return None

    @property
    def searched(self) -> ScrolledLines | None:
        """The text that is searched; None where a list is filtered."""
        return self.panel if isinstance(self.panel, TextPane) else None

    def narrow(self, text: str) -> str:
        """Show in the panel only what matches, or mark it where the panel is a text.

        Returns "" or what is wrong with the text.
        """
        panel = self.searched or self.panel
        if isinstance(panel, ScrolledLines):
            panel.search(text)
            return ""
        return panel.filter_by(text) if panel else "nothing here can be filtered"

    def show_all(self) -> None:
        """Show its lists, whole: without their filters."""
        for table in self.query(LiveTable):
            if table.filter_text:
                table.filter_by("")

    @property
    def narrowed(self) -> str:
        """What the panel is narrowed by; "" for nothing."""
        panel = self.searched or self.panel
        if isinstance(panel, ScrolledLines):
            return panel.searched
        return panel.filter_text if panel else ""

    def end_flash(self) -> None:
        """Show the keys again where a passing word stands."""
        if self._flash_ends:
            self._flash_ends = 0.0
            self.show_keys()

    def focus_body(self) -> None:
        """Give the keys to the first panel that takes them, if nothing has them.

        What was hidden because the terminal was too small has lost them.
        """
        if self.focused is not None or not self._stands:
            return
        for widget in self.query(self.AUTO_FOCUS or "LiveTable").results(Widget):
            if widget.focusable and widget.display:
                self.set_focus(widget)
                return

    def on_mount(self) -> None:
        """The widgets are there."""
        self.built.set()
        self.draw_header()

    def on_screen_resume(self) -> None:
        """Read what only this screen needs, and ask for the newest snapshot."""
        self._held.close()
        if self.demands:
            self._held.enter_context(self.monitor.demand(*self.demands))
        self.post_message(self.Wanted())
        self.call_after_refresh(self.show_keys)

    def on_unmount(self) -> None:
        """Stop reading what only this screen needs."""
        self._held.close()

    on_screen_suspend = on_unmount

    def on_resize(self) -> None:
        """The sources may have more room now, or less, and so may the keys."""
        self.call_after_refresh(self.draw_header)
        self.call_after_refresh(self.show_keys)
        self.call_after_refresh(self.focus_body)

    @on(Resize)
    def _drop_old_size(self, event: Resize) -> None:
        """Textual would lay out a size of a while ago and the present one by turns, for ever."""
        if event.size != self.app.size:
            event.prevent_default()

    def on_descendant_focus(self) -> None:
        """Other keys may work now."""
        self.call_after_refresh(self.show_keys)

    @on(LiveTable.Selected)
    def _tell_way(self) -> None:
        """The way to the selected object is another one."""
        if self.link.frame.crumbs:
            self.draw_header()

    def _prompt_closed(self) -> None:
        """The keys go where they went before."""
        if isinstance(self.focused, CommandLine):
            self.set_focus(self._before_prompt)
        self._before_prompt = None
        self.focus_body()

    def _flash_over(self) -> None:
        if time.monotonic() >= self._flash_ends - 0.05:
            self._answers = {}
            self.end_flash()

    def draw_header(self) -> None:
        """Draw what frames the screen: whose it is, what it shows, how old that is."""
        if not self._stands:
            return
        snapshot, frame = self._snapshot, self.link.frame
        still = (Span(f"FROZEN {frame.frozen}  ", "warn"),) if frame.frozen else ()
        header = self.query_one_optional("#header", EdgeLine)
        line = self.query_one_optional("#title", EdgeLine)
        if header is None or line is None:  # it is being taken down
            return
        header.show_edges(identity(snapshot), (*still, *tiers(snapshot), Span(" ")))
        way = self.way() if frame.crumbs else ()
        kinds = self.shown_sources()
        line.show_edges(
            *title(way, self.title_text, self._headline, snapshot, kinds, line.size.width)
        )

    def way(self) -> tuple[str, ...]:
        """The way from the context to what the cursor is on."""
        selected = self.at_cursor
        last = () if selected is None else (selected.name,)
        return (*filter(None, (self._snapshot.context, self.title_text)), *last)

    def reads_now(self) -> Sequence[Kind[object]]:
        """Kinds that the picture is made of at the moment."""
        return self.all_kinds if self.reads_anything else self.reads

    @property
    def all_kinds(self) -> tuple[Kind[object], ...]:
        """Every kind that is read."""
        return tuple(dict.fromkeys(health.kind for health in self._snapshot.health.values()))

    def shown_sources(self) -> Sequence[Kind[object]]:
        """Kinds whose sources stand beside the title."""
        return self.reads if self.sources is None else self.sources
