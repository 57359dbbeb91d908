"""Switches from one cluster to another, by the contexts of the kubeconfig."""

from __future__ import annotations

import asyncio
import difflib
from contextlib import suppress

from app.dashboard.clusters import Contexts, Unreadable
from app.dashboard.navigator import Navigator
from app.dashboard.refresh import RefreshLoop
from app.dashboard.runbooks import RunbookController
from screens.contexts import ContextsScreen


class ContextSwitcher:
    """Lists the contexts and switches to the cluster of another one."""

    def __init__(
        self,
        contexts: Contexts | None,
        loop: RefreshLoop,
        navigator: Navigator,
        runbooks: RunbookController,
    ) -> None:
        """`contexts`: None if there is no other cluster than this one."""
        self._contexts = contexts
        self._loop = loop
        self._navigator = navigator
        self._runbooks = runbooks
        self.known: tuple[str, ...] = ()
        """The names that were read last, for completion."""

    async def learn(self) -> None:
        """Read the names for completion; if they cannot be read, another place says so."""
        if self._contexts is not None:
            with suppress(Unreadable):
                self.known = await asyncio.to_thread(self._contexts.names)

    async def show(self) -> None:
        """List the contexts."""
        if (names := await self._names()) is not None:
            await self._navigator.open_screen(ContextsScreen(self._loop.link, names))

    async def switch(self, name: str) -> None:
        """Switch to the cluster of a context at once; the old one ends in the background."""
        if await self._switch(name):
            self._navigator.flash(f"now {name}")

    async def ensure(self, name: str) -> bool:
        """Whether the cluster of this context is shown now, after a switch where one is needed."""
        if self._contexts is not None and name == self._loop.current.context:
            return True
        return await self._switch(name)

    async def _switch(self, name: str) -> bool:
        names = await self._names()
        if names is None or self._contexts is None:
            return False
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            hint = f"near it: {', '.join(near)}" if near else f"there are {', '.join(names)}"
            self._navigator.flash(f"there is no context {name!r}; {hint}")
            return False
        if self._runbooks.test_runs:
            self._navigator.flash(
                "the connectivity test runs in this cluster; stop it first, with 1"
            )
            return False
        cluster = self._contexts.open(name)
        self._runbooks.show_cluster(cluster)
        await self._navigator.show_cluster(cluster)
        return True

    async def _names(self) -> tuple[str, ...] | None:
        if self._contexts is None:
            self._navigator.flash("there are no other contexts here")
            return None
        try:
            self.known = await asyncio.to_thread(self._contexts.names)
        except Unreadable as problem:
            self._navigator.flash(str(problem))
            return None
        return self.known
