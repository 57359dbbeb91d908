"""Switches from one cluster to another, by the contexts of the kubeconfig."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from app.dashboard.clusters import Contexts, OpenCluster, Unreadable
from app.dashboard.navigator import Navigator
from app.dashboard.refresh import RefreshLoop
from screens.contexts import ContextsScreen


@dataclass(slots=True)
class ContextSwitcher:
    """Lists the contexts and switches to the cluster of another one."""

    contexts: Contexts | None
    """None: there is no other cluster than this one."""
    loop: RefreshLoop
    navigator: Navigator
    obstacle: Callable[[], str]
    """Why the cluster must not be left now; "" if it may be."""
    switching: Callable[[OpenCluster], None]
    """Called before each switch."""
    known: tuple[str, ...] = ()
    """The names that were read last, for completion."""

    async def learn(self) -> None:
        """Read the names for completion; if they cannot be read, another place says so."""
        if self.contexts is not None:
            with suppress(Unreadable):
                self.known = await asyncio.to_thread(self.contexts.names)

    async def show(self) -> None:
        """List the contexts."""
        if (names := await self._names()) is not None:
            await self.navigator.open_screen(ContextsScreen(self.loop.link, names))

    async def switch(self, name: str) -> None:
        """Switch to the cluster of a context at once; the old one ends in the background."""
        if await self._switch(name):
            self.navigator.flash(f"now {name}")

    async def ensure(self, name: str) -> bool:
        """Whether the cluster of this context is shown now, after a switch where one is needed."""
        if self.contexts is not None and name == self.loop.current.context:
            return True
        return await self._switch(name)

    async def _switch(self, name: str) -> bool:
        names = await self._names()
        if names is None or self.contexts is None:
            return False
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            hint = f"near it: {', '.join(near)}" if near else f"there are {', '.join(names)}"
            self.navigator.flash(f"there is no context {name!r}; {hint}")
            return False
        if why := self.obstacle():
            self.navigator.flash(why)
            return False
        cluster = self.contexts.open(name)
        self.switching(cluster)
        await self.navigator.show_cluster(cluster)
        return True

    async def _names(self) -> tuple[str, ...] | None:
        if self.contexts is None:
            self.navigator.flash("there are no other contexts here")
            return None
        try:
            self.known = await asyncio.to_thread(self.contexts.names)
        except Unreadable as problem:
            self.navigator.flash(str(problem))
            return None
        return self.known
