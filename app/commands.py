"""The commands behind `:`, obeyed: every word of the program's subcommands, and a few of k9s."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Mapping, Sequence

from app import texts
from app.asking import AskingApp
from app.clusters import Contexts, Unreadable
from app.diagnosis.finding import Ref
from app.keeping import state_folder
from app.mouse import use_mouse
from screens.completion import Names, completions
from screens.contexts import ContextsScreen
from screens.findings import FindingsScreen
from screens.help import HelpScreen
from screens.selection import Selection
from screens.text_view import TextScreen
from screens.themes import THEMES
from screens.widgets.command_line import Question
from screens.widgets.filtering import filtering
from screens.words import (
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
    THEME,
    WHO,
    Place,
    Word,
    all_words,
    filter_of,
    meant,
    place_of,
    spelled,
)


class CommandingApp(AskingApp, inherit_bindings=False):
    """Asks for commands and filters, and obeys them."""

    contexts: Contexts | None
    """The clusters to choose from; None: there is only this one."""
    known_contexts: tuple[str, ...] = ()
    """Contexts that completion offers; read in the background."""

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

        screen.ask(
            Question(
                sign="/",
                hint="what rows match: regex  !inverse  -l label=value  -f fuzzy",
                entered=entered,
                changed=narrow,
                left=lambda: narrow(""),
                history=self.frame.filters,
                text=table.filter_text if (table := filtering(screen.panel)) else "",
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
            await self._show_place(meaning, word, " ".join(rest))
        elif meaning in (QUIT, HELP, REFRESH, ALIASES, INFO) and rest:
            self.flash(f"{meaning.words[0]!r} takes nothing behind it")
        elif meaning is QUIT:
            self.exit()
        elif meaning is HELP or meaning is ALIASES:
            self.action_help()
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
            await self._explain(["ip", *rest])
        elif meaning is CTX:
            await self._contexts(rest)
        elif meaning is MOUSE:
            self._mouse(rest)
        elif meaning is THEME:
            self._theme(rest)

    async def _show_place(self, place: Place, word: str, rest: str) -> None:
        wanted = filter_of(rest) if rest else ""
        if wanted is None:
            self.flash(f"{word!r} takes /filter or label=value behind it, not {rest!r}")
            return
        await self.action_go(place.name)
        if wanted and (problem := self.places[place.name].narrow(wanted)):
            self.flash(problem)

    async def _get(self, rest: Sequence[str]) -> None:
        place = place_of(rest[0].lower()) if rest else None
        if rest and rest[0].lower() in INFO.words:
            await self._obey(INFO, INFO.words[0], rest[1:])
        elif place is None:
            self.flash(
                "get takes pods, nodes, sessions, routes, services, pools, logs, config, sources"
            )
        else:
            await self._show_place(place, rest[0], " ".join(rest[1:]))

    async def _check(self, rest: Sequence[str]) -> None:
        from app.diagnosis.catalog import CATEGORIES

        wanted = rest[0].lower() if rest else ""
        if len(rest) > 1 or (wanted and wanted not in CATEGORIES.values()):
            known = ", ".join(CATEGORIES.values())
            self.flash(f"there is no category {' '.join(rest)!r}; there are {known}")
        else:
            await self.open_screen(FindingsScreen(self.link, wanted))

    async def _explain(self, rest: Sequence[str]) -> None:
        from app.questions import FORMS, BadQuestion, question

        if not rest:
            self.flash(f"explain takes {FORMS}")
            return
        try:
            asked = question(rest[0], rest[1:])
        except BadQuestion as problem:
            self.flash(str(problem))
            return
        if asked.kind == "code":
            await self.open_screen(TextScreen(self.link, texts.code(asked.names[0], self.current)))
        else:
            about = _asked_about(asked.kind, asked.names)
            await self.open_screen(TextScreen(self.link, texts.why(self.link, about)))

    # --- another cluster

    async def _contexts(self, rest: Sequence[str]) -> None:
        if len(rest) > 1:
            self.flash("ctx takes one context")
        elif rest:
            await self.action_switch_context(rest[0])
        elif (names := await self._context_names()) is not None:
            await self.open_screen(ContextsScreen(self.link, names))

    async def action_switch_context(self, name: str) -> None:
        """Show the cluster of another context at once; what the old one runs ends behind it."""
        names = await self._context_names()
        if names is None or self.contexts is None:
            return
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            hint = f"near it: {', '.join(near)}" if near else f"there are {', '.join(names)}"
            self.flash(f"there is no context {name!r}; {hint}")
            return
        await self.replace_cluster(self.contexts.open(name))
        self.flash(f"now {name}")

    async def _context_names(self) -> tuple[str, ...] | None:
        if self.contexts is None:
            self.flash("there are no other contexts here")
            return None
        try:
            self.known_contexts = await asyncio.to_thread(self.contexts.names)
        except Unreadable as problem:
            self.flash(str(problem))
            return None
        return self.known_contexts

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
        """Show the keys that work on this screen."""
        screen = self.shown_screen
        if screen is not None and screen is self.screen:
            screen.close_prompt()
            bindings = screen.active_bindings.values()
            self.push_screen(HelpScreen(screen.title_text, tuple(bindings)))

    def action_refresh_all(self) -> None:
        """Make every source read again now."""
        self.monitor.refresh()
        self.flash("reading everything again")

    # --- what is known

    def _names(self) -> Names:
        from app.diagnosis.catalog import CATEGORIES, CODES

        return Names(
            contexts=self.known_contexts,
            themes=sorted(THEMES),
            codes=tuple(CODES),
            categories=tuple(CATEGORIES.values()),
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
