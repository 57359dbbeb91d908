"""The controllers of the dashboard, wired together; and the commands after `:`, which reach them.

Importing this takes as long as all that the first frame needs, so it is imported after that.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from textual.app import App

from app.config.state_dir import state_folder
from app.dashboard.actions import Actions
from app.dashboard.clusters import Contexts, RefreshLoop
from app.dashboard.navigator import ContextSwitcher, Navigator
from app.dashboard.practice import PracticeRecorder
from app.dashboard.practice_path import TASK, Practice
from app.dashboard.runbooks import RunbookController
from app.dashboard.terminal import use_mouse
from app.diagnosis.catalog import CODES
from app.diagnosis.explain import FORMS, BadQuestion, question, who_question
from app.diagnosis.explain import Question as ExplainQuery
from app.diagnosis.inputs import CATEGORIES, NoCategory, categories_of
from app.state.kinds import SERVICES
from screens import texts
from screens.base.cluster_screen import Place
from screens.base.selection import in_namespace, named, selection_of
from screens.findings import FindingsScreen
from screens.logs.picture import Wish, wish_of
from screens.logs.screen import LogsScreen
from screens.overview import OverviewScreen
from screens.registry import (
    INFO,
    Behind,
    Names,
    all_words,
    behind,
    completions,
    meant,
    place_of,
    spelled,
)
from screens.themes import THEMES
from screens.widgets.command_line import Question
from screens.widgets.live_table import LiveTable


class Controllers:
    """Everything that keys and commands reach: the controllers, the prompts, the commands."""

    def __init__(
        self,
        app: App[None],
        loop: RefreshLoop,
        root: OverviewScreen,
        *,
        contexts: Contexts | None,
        clipboard: str,
        config: Path | None,
        practice: Practice | None,
    ) -> None:
        """The parameters are those of the application."""
        self.app = app
        self.loop = loop
        self.navigator = navigator = Navigator(app, loop, root)
        self.actions = Actions(app, loop, navigator, clipboard)
        self.runbooks = RunbookController(app, loop, navigator, self.actions.save_text, config)
        self.contexts = ContextSwitcher(
            contexts, loop, navigator, self.runbooks.obstacle, self.runbooks.show_cluster
        )
        self.practice: PracticeRecorder | None = None
        """None: not in practice mode."""
        if practice is not None:
            self.practice = PracticeRecorder(
                practice, app, loop, navigator, self.runbooks.library, self.runbooks.actor
            )
            navigator.handled.append(self.practice.event_handled)
            navigator.opened.append(self.practice.object_opened)
            self.runbooks.run_shown.append(self.practice.run_shown)
            self.runbooks.run_changed.append(self.practice.run_changed)
            navigator.flash(TASK)

    # --- the prompts

    def ask_command(self) -> None:
        """Ask for a command."""
        self.navigator.close_help()
        screen = self.loop.shown_screen
        if screen is None:
            return
        names = Names(
            contexts=self.contexts.known,
            themes=sorted(THEMES),
            codes=CODES,
            categories=CATEGORIES,
            runbooks=lambda: self.runbooks.library().names(),
        )
        screen.ask(
            Question(
                sign=":",
                hint="a word; Tab completes it",
                entered=self.run,
                completions=lambda typed: completions(typed, self.loop.current, names),
                history=self.loop.frame.history,
            )
        )

    def ask_filter(self) -> None:
        """Ask for a filter, or in a text for a search; it applies as it is typed."""
        screen = self.loop.shown_screen
        if screen is None or self.navigator.helping:
            return

        def narrow(text: str) -> None:
            problem = screen.narrow(text)
            screen.flash(problem) if problem else screen.end_flash()

        async def entered(text: str) -> None:
            narrow(text)

        rows = "what rows match: regex  !inverse  -l label=value  -f fuzzy"
        table = None if screen.searched else screen.panel
        screen.ask(
            Question(
                sign="/",
                hint="what to search in this text; n and N go on" if screen.searched else rows,
                entered=entered,
                changed=narrow,
                left=lambda: narrow(""),
                history=self.loop.frame.filters,
                text=table.filter_text if isinstance(table, LiveTable) else "",
            )
        )

    async def run(self, command: str) -> None:
        """Run a command, or say what is wrong with it."""
        word, *rest = command.split()
        meanings = meant(word.lower())
        if len(meanings) > 1 and not rest:
            begun = ", ".join(spelled(each, word.lower()) for each in meanings)
            self.navigator.flash(f"{word!r} begins {begun}; Tab completes")
        elif len(meanings) != 1:
            near = difflib.get_close_matches(word.lower(), all_words(), n=1)
            hint = f"did you mean :{near[0]}?" if near else "? lists them"
            self.navigator.flash(f"there is no command {command!r}; {hint}")
        elif isinstance(meaning := meanings[0], Place):
            await self.show_place(meaning, word, rest)
        elif rest and not meaning.takes:
            self.navigator.flash(f"{meaning.words[0]!r} takes nothing behind it")
        else:
            running = COMMANDS[meaning.name](self, rest)
            if running is not None:
                await running

    # --- words of screens

    async def show_place(self, place: Place, word: str, rest: Sequence[str]) -> None:
        """Show a screen with the filter after its word; without one, unfiltered."""
        asked = self._in_namespace(place, behind(rest))
        logs = self.navigator.places["logs"] if place.name == "logs" else None
        wish = self._wish(asked) if logs is not None else Wish()
        if isinstance(wish, str):
            self.navigator.flash(wish)
        elif asked.filter is None or (asked.words and logs is None):
            forms = "/regex, !/regex, k=v, -l k=v, -f letters or @context"
            self.navigator.flash(f"{word!r} takes {forms}, not {' '.join(rest)!r}")
        elif asked.context is None or await self.contexts.ensure(asked.context):
            await self.navigator.go(place.name)
            screen = self.navigator.places[place.name]
            screen.show_all()
            if isinstance(screen, LogsScreen):
                screen.show_wish(wish)
            if asked.filter and (problem := screen.narrow(asked.filter)):
                self.navigator.flash(problem)
            elif asked.context is not None:
                self.navigator.flash(f"now {asked.context}")

    def _in_namespace(self, place: Place, asked: Behind) -> Behind:
        """A namespace after the word of the services, as part of the filter."""
        if place.name != "services" or len(asked.words) != 1 or asked.filter is None:
            return asked
        if all(
            asked.words[0] != each.namespace
            for each in self.loop.current.records[SERVICES].values()
        ):
            return asked
        text = in_namespace(asked.filter, asked.words[0])
        return asked if text is None else replace(asked, words=(), filter=text)

    def _wish(self, asked: Behind) -> Wish | str:
        """The log that the words name; the nodes of another cluster are not known yet."""
        nodes = self.loop.current.agents_by_node if asked.context is None else ()
        return wish_of(asked.words, nodes)

    async def _get(self, rest: Sequence[str]) -> None:
        place = place_of(rest[0].lower()) if rest else None
        if rest and rest[0].lower() in INFO.words:
            await self.run(" ".join((INFO.words[0], *rest[1:])))
        elif place is None:
            self.navigator.flash(
                "get takes pods, nodes, sessions, routes, services, pools, logs, config, sources"
            )
        else:
            await self.show_place(place, rest[0], rest[1:])

    # --- words of the program's subcommands

    async def _check(self, rest: Sequence[str]) -> None:
        try:
            categories = categories_of(rest)
        except NoCategory as problem:
            near = ", ".join(problem.near)
            hint = f"near it: {near}" if near else "Tab offers those there are"
            self.navigator.flash(f"{problem}; {hint}")
            return
        await self.navigator.open_screen(FindingsScreen(self.loop.link, categories))

    async def _explain(self, rest: Sequence[str]) -> None:
        if not rest:
            self.navigator.flash(f"explain takes {FORMS}")
        else:
            await self._answer(lambda: question(rest[0], rest[1:]))

    async def _answer(self, parse: Callable[[], ExplainQuery]) -> None:
        try:
            query = parse()
        except BadQuestion as problem:
            self.navigator.flash(str(problem))
            return
        if query.kind == "code":
            text = texts.code_page(query.names[0], self.loop.current)
        else:
            ref = named(query.kind, "/".join(query.names))
            about = replace(selection_of(ref), question=(query.kind, *query.names))
            text = texts.why(self.loop.link, about)
        await self.actions.open_text(text)

    async def _info(self) -> None:
        await self.actions.open_text(texts.info_page(self._facts))

    def _facts(self) -> Mapping[str, str]:
        size, current = self.app.size, self.loop.current
        return {
            "ciliscope": version("ciliscope"),
            "context": current.context or "(none)",
            "namespace": current.cilium_namespace,
            "terminal": f"{os.environ.get('TERM', '(not told)')}, {size.width}x{size.height}, "
            f"{self.app.console.color_system or 'no'} colours, theme {self.app.theme}",
            "files": str(state_folder(os.environ)),
        }

    # --- words of the dashboard alone

    async def _context(self, rest: Sequence[str]) -> None:
        if len(rest) > 1:
            self.navigator.flash("ctx takes one context")
        elif rest:
            await self.contexts.switch(rest[0])
        else:
            await self.contexts.show()

    def _mouse(self, rest: Sequence[str]) -> None:
        if list(rest) not in (["on"], ["off"]):
            self.navigator.flash("mouse takes on or off")
        elif use_mouse(self.app._driver, on=rest[0] == "on"):
            whose = "is ciliscope's; shift selects" if rest[0] == "on" else "is the terminal's"
            self.navigator.flash(f"the mouse {whose}")
        else:
            self.navigator.flash("this terminal has no mouse to give")

    def _theme(self, rest: Sequence[str]) -> None:
        if len(rest) == 1 and rest[0] in THEMES:
            self.app.theme = rest[0]
            self.navigator.flash(f"theme {rest[0]}")
            return
        known = sorted(THEMES)
        near = difflib.get_close_matches(" ".join(rest), known, n=3)
        self.navigator.flash(f"themes are {', '.join(near or known)}")

    def show_aliases(self) -> None:
        """Show the commands, and the keys after them."""
        self.navigator.close_help()
        self.navigator.open_help(words_first=True)

    def refresh(self) -> None:
        """Make every source read again now."""
        self.loop.monitor.refresh()
        self.navigator.flash("reading everything again")

    async def _solve(self) -> None:
        if self.practice is None:
            self.navigator.flash(
                "there is nothing to solve here; ciliscope lab --practice has something"
            )
        else:
            await self.practice.solve()


COMMANDS: Mapping[str, Callable[[Controllers, Sequence[str]], Awaitable[None] | None]] = {
    "check": Controllers._check,
    "explain": Controllers._explain,
    "get": Controllers._get,
    "who": lambda to, rest: to._answer(lambda: who_question(rest)),
    "run": lambda to, rest: to.runbooks.start_named(rest),
    "info": lambda to, _: to._info(),
    "ctx": Controllers._context,
    "mouse": Controllers._mouse,
    "theme": Controllers._theme,
    "aliases": lambda to, _: to.show_aliases(),
    "help": lambda to, _: to.navigator.open_help(),
    "refresh": lambda to, _: to.refresh(),
    "solve": lambda to, _: to._solve(),
    "quit": lambda to, _: to.runbooks.quit(),
}
"""What each command does with the words after it, by its first word."""
