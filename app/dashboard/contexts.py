"""The part of the dashboard that obeys the words of screens: what is on them, and whose."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence
from dataclasses import replace

from app.dashboard.actions import AskingApp
from app.dashboard.clusters import Contexts, Unreadable
from app.state.kinds import SERVICES
from screens.command_table import Behind, Place, behind
from screens.contexts import ContextsScreen
from screens.log_arguments import Wish, wish_of
from screens.logs import LogsScreen
from screens.used_by import in_namespace


class PlacingApp(AskingApp, inherit_bindings=False):
    """Shows the screen of a word, and the clusters that there are."""

    contexts: Contexts | None
    """The clusters to choose from; None: there is only this one."""
    known_contexts: tuple[str, ...] = ()
    """Contexts that completion offers; read in the background."""

    async def show_place(self, place: Place, word: str, rest: Sequence[str]) -> None:
        """Show a screen with what stands behind its word; without a filter with none."""
        asked = self._in_namespace(place, behind(rest))
        logs = self.places["logs"] if place.name == "logs" else None
        wish = self._wish(asked) if isinstance(logs, LogsScreen) else Wish()
        if isinstance(wish, str):
            self.flash(wish)
        elif asked.filter is None or (asked.words and logs is None):
            told = "/regex, !/regex, k=v, -l k=v, -f letters or @context"
            self.flash(f"{word!r} takes {told}, not {' '.join(rest)!r}")
        elif asked.context is None or await self._at_context(asked.context):
            await self.action_go(place.name)
            screen = self.places[place.name]
            screen.show_all()
            if isinstance(screen, LogsScreen):
                screen.show_wish(wish)
            if asked.filter and (problem := screen.narrow(asked.filter)):
                self.flash(problem)
            elif asked.context is not None:
                self.flash(f"now {asked.context}")

    def _in_namespace(self, place: Place, asked: Behind) -> Behind:
        """A namespace behind the word of services, as part of the filter."""
        if place.name != "services" or len(asked.words) != 1 or asked.filter is None:
            return asked
        if all(
            asked.words[0] != each.namespace for each in self.current.records[SERVICES].values()
        ):
            return asked
        text = in_namespace(asked.filter, asked.words[0])
        return asked if text is None else replace(asked, words=(), filter=text)

    def _wish(self, asked: Behind) -> Wish | str:
        """What is asked of the logs; of another cluster no node is known yet."""
        nodes = self.current.agents_by_node if asked.context is None else ()
        return wish_of(asked.words, nodes)

    # --- another cluster

    async def show_contexts(self, rest: Sequence[str]) -> None:
        """Show the cluster of a context, or which contexts there are."""
        if len(rest) > 1:
            self.flash("ctx takes one context")
        elif rest:
            await self.action_switch_context(rest[0])
        elif (names := await self._context_names()) is not None:
            await self.open_screen(ContextsScreen(self.link, names))

    async def action_switch_context(self, name: str) -> None:
        """Show the cluster of another context at once; what the old one runs ends behind it."""
        if await self._switch_context(name):
            self.flash(f"now {name}")

    async def _at_context(self, name: str) -> bool:
        """Whether the cluster of this context is shown now: it was before, or could be opened."""
        if self.contexts is not None and name == self.current.context:
            return True
        return await self._switch_context(name)

    async def _switch_context(self, name: str) -> bool:
        names = await self._context_names()
        if names is None or self.contexts is None:
            return False
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            hint = f"near it: {', '.join(near)}" if near else f"there are {', '.join(names)}"
            self.flash(f"there is no context {name!r}; {hint}")
            return False
        await self.replace_cluster(self.contexts.open(name))
        return True

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
