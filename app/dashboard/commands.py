"""The commands behind `:`, obeyed: every word of the program's subcommands, and a few of k9s."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from app.config.state_dir import state_folder
from app.dashboard.mouse import use_mouse
from app.dashboard.runbooks import GuidingApp
from app.diagnosis.categories import CATEGORIES, NoCategory, categories_of
from app.model.finding import Ref
from screens import text_pages as texts
from screens.command_table import (
    ALIASES,
    CHECK,
    CTX,
    EXPLAIN,
    GET,
    HELP,
    INFO,
    MOUSE,
    QUIT,
    REFRESH,
    RUN,
    THEME,
    WHO,
    Place,
    Word,
    all_words,
    meant,
    place_of,
    spelled,
)
from screens.completion import Names, completions
from screens.findings import FindingsScreen
from screens.help import HelpScreen
from screens.selection import Selection
from screens.text_view import TextScreen
from screens.themes import THEMES
from screens.widgets.command_line import Question
from screens.widgets.filtering import filtering

if TYPE_CHECKING:
    from app.diagnosis.explain_query import Question as Asked


class CommandingApp(GuidingApp, inherit_bindings=False):
    """Asks for commands and filters, and obeys them."""

    def action_prompt(self) -> None:
        """Ask for a command."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        if self.shown_screen is None:
            return
        names = self._names()
        self.shown_screen.ask(
            Question(
                sign=":",
                hint="a word; Tab completes it",
                entered=self.action_obey,
                completions=lambda typed: completions(typed, self.current, names),
                history=self.frame.history,
            )
        )

    def action_filter(self) -> None:
        """Ask for a filter, or in a text for what to search; it works as it is typed."""
        screen = self.shown_screen
        if screen is None or isinstance(self.screen, HelpScreen):
            return

        def narrow(text: str) -> None:
            problem = screen.narrow(text)
            screen.flash(problem) if problem else screen.end_flash()

        async def entered(text: str) -> None:
            narrow(text)

        rows = "what rows match: regex  !inverse  -l label=value  -f fuzzy"
        table = None if screen.searches else filtering(screen.panel)
        screen.ask(
            Question(
                sign="/",
                hint="what to search in this text; n and N go on" if screen.searches else rows,
                entered=entered,
                changed=narrow,
                left=lambda: narrow(""),
                history=self.frame.filters,
                text=table.filter_text if table else "",
            )
        )

    async def action_obey(self, command: str) -> None:
        """Do what a command asks, or say what that is."""
        word, *rest = command.split()
        found = meant(word.lower())
        if len(found) == 1:
            await self._obey(found[0], word, rest)
        elif found and not rest:
            begun = ", ".join(spelled(each, word.lower()) for each in found)
            self.flash(f"{word!r} begins {begun}; Tab completes")
        else:
            near = difflib.get_close_matches(word.lower(), all_words(), n=1)
            hint = f"did you mean :{near[0]}?" if near else "? lists them"
            self.flash(f"there is no command {command!r}; {hint}")

    async def _obey(self, meaning: Place | Word, word: str, rest: Sequence[str]) -> None:
        if isinstance(meaning, Place):
            await self.show_place(meaning, word, rest)
        elif meaning in (QUIT, HELP, REFRESH, ALIASES, INFO) and rest:
            self.flash(f"{meaning.words[0]!r} takes nothing behind it")
        elif meaning is QUIT:
            await self.action_quit()
        elif meaning is HELP:
            self.action_help()
        elif meaning is ALIASES:
            self.action_aliases()
        elif meaning is REFRESH:
            self.action_refresh_all()
        elif meaning is INFO:
            await self.open_screen(TextScreen(self.link, texts.info(self._facts)))
        elif meaning is GET:
            await self._get(rest)
        elif meaning is CHECK:
            await self._check(rest)
        elif meaning is EXPLAIN:
            await self._explain(rest)
        elif meaning is WHO:
            await self._who(rest)
        elif meaning is RUN:
            await self.run_runbook(rest)
        elif meaning is CTX:
            await self.show_contexts(rest)
        elif meaning is MOUSE:
            self._mouse(rest)
        elif meaning is THEME:
            self._theme(rest)

    async def _get(self, rest: Sequence[str]) -> None:
        place = place_of(rest[0].lower()) if rest else None
        if rest and rest[0].lower() in INFO.words:
            await self._obey(INFO, INFO.words[0], rest[1:])
        elif place is None:
            self.flash(
                "get takes pods, nodes, sessions, routes, services, pools, logs, config, sources"
            )
        else:
            await self.show_place(place, rest[0], rest[1:])

    async def _check(self, rest: Sequence[str]) -> None:
        try:
            categories = categories_of(rest)
        except NoCategory as problem:
            near = ", ".join(problem.near)
            self.flash(f"{problem}; {f'near it: {near}' if near else 'Tab offers those there are'}")
            return
        await self.open_screen(FindingsScreen(self.link, categories))

    async def _explain(self, rest: Sequence[str]) -> None:
        from app.diagnosis.explain_query import FORMS, question

        if not rest:
            self.flash(f"explain takes {FORMS}")
        else:
            await self._answer(lambda: question(rest[0], rest[1:]))

    async def _who(self, rest: Sequence[str]) -> None:
        from app.diagnosis.explain_query import who_question

        await self._answer(lambda: who_question(rest))

    async def _answer(self, asked: Callable[[], Asked]) -> None:
        from app.diagnosis.explain_query import BadQuestion

        try:
            question = asked()
        except BadQuestion as problem:
            self.flash(str(problem))
            return
        if question.kind == "code":
            text = texts.code(question.names[0], self.current)
        else:
            text = texts.why(self.link, _asked_about(question.kind, question.names))
        await self.open_screen(TextScreen(self.link, text))

    # --- the terminal

    def _mouse(self, rest: Sequence[str]) -> None:
        if list(rest) not in (["on"], ["off"]):
            self.flash("mouse takes on or off")
        elif use_mouse(self._driver, on=rest[0] == "on"):
            told = "is ciliscope's; shift selects" if rest[0] == "on" else "is the terminal's"
            self.flash(f"the mouse {told}")
        else:
            self.flash("this terminal has no mouse to give")

    def _theme(self, rest: Sequence[str]) -> None:
        known = sorted(THEMES)
        if len(rest) == 1 and rest[0] in known:
            self.theme = rest[0]
            self.flash(f"theme {rest[0]}")
            return
        near = difflib.get_close_matches(" ".join(rest), known, n=3)
        self.flash(f"themes are {', '.join(near or known)}")

    def action_help(self) -> None:
        """Show the keys that work on this screen, and the words behind `:`."""
        self._help(words_first=False)

    def action_aliases(self) -> None:
        """Show the words behind `:`, and the keys after them."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        self._help(words_first=True)

    def _help(self, *, words_first: bool) -> None:
        screen = self.shown_screen
        if screen is not None and screen is self.screen:
            screen.close_prompt()
            bindings = tuple(screen.active_bindings.values())
            self.push_screen(HelpScreen(screen.title_text, bindings, words_first=words_first))

    def action_refresh_all(self) -> None:
        """Make every source read again now."""
        self.monitor.refresh()
        self.flash("reading everything again")

    # --- what is known

    def _names(self) -> Names:
        from app.diagnosis.catalog import CODES

        return Names(
            contexts=self.known_contexts,
            themes=sorted(THEMES),
            codes=CODES,
            categories=CATEGORIES,
            runbooks=lambda: self._library.names(),
        )

    def _facts(self) -> Mapping[str, str]:
        from importlib.metadata import version

        size = self.size
        return {
            "ciliscope": version("ciliscope"),
            "context": self.current.context or "(none)",
            "namespace": self.current.cilium_namespace,
            "terminal": f"{os.environ.get('TERM', '(not told)')}, {size.width}x{size.height}, "
            f"{self.console.color_system or 'no'} colours, theme {self.theme}",
            "files": str(state_folder(os.environ)),
        }


def _asked_about(kind: str, names: Sequence[str]) -> Selection:
    match kind:
        case "service":
            namespace, _, name = names[0].partition("/")
            ref = Ref("Service", name, namespace)
        case "session":
            ref = Ref("Session", "/".join(names))
        case "pool":
            ref = Ref("CiliumLoadBalancerIPPool", names[0])
        case _:
            ref = Ref("Prefix", names[0])
    node = names[0] if kind == "session" else ""
    return Selection(ref=ref, question=(kind, *names), node=node)
