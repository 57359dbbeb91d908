"""Actions on the selected item: explain, describe, YAML, commands, used by, logs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from textual.app import App

from app.dashboard.navigator import Navigator
from app.dashboard.refresh import RefreshLoop
from app.model.finding import Ref
from screens import texts
from screens.base.equivalents import equivalents_of
from screens.base.selection import Selection, use_of
from screens.equivalents_screen import CommandsScreen
from screens.texts import Text, TextScreen, fixed

_LOGGED = frozenset({"Pod", "Session", "Node", "CiliumBGPNodeConfig"})
"""Kinds that a pod or an agent logs about."""


@dataclass(frozen=True, slots=True)
class SelectionActions:
    """Opens texts, lists and logs about the item that the cursor is on."""

    app: App[None]
    loop: RefreshLoop
    navigator: Navigator

    async def open_text(self, text: Text) -> TextScreen:
        """Open a text."""
        screen = TextScreen(self.loop.link, text)
        await self.navigator.open_screen(screen)
        return screen

    async def explain(self) -> None:
        """Explain the selected item, hop by hop."""
        if (about := self._subject("explained")) is not None:
            await self.open_text(texts.why(self.loop.link, about))

    async def describe(self) -> None:
        """Describe the selected object."""
        if (about := self._subject("described")) is not None:
            await self.open_text(texts.description(self.loop.link, about))

    async def show_yaml(self) -> None:
        """Show the selected object as YAML."""
        about = self._subject("shown as YAML")
        if about is None:
            return
        ref = texts.object_of(about, self.loop.current)
        if ref is None:
            self.navigator.flash(
                f"{about.ref.kind} {about.name} is no object of the API; v explains it"
            )
        elif self.loop.link.read_object is None:
            self.navigator.flash("no object can be read here")
        else:
            screen = await self.open_text(texts.yaml_of(self.loop.link, about, ref))
            self.app.run_worker(self._read_object(screen, ref), description="")
            with suppress(TimeoutError):
                async with asyncio.timeout(texts.OBJECT_WAIT):
                    await screen.arrived.wait()
                    await screen.show(self.loop.current)

    async def show_commands(self) -> None:
        """List the equivalent kubectl and cilium commands of this screen."""
        screen = self.loop.shown_screen
        if screen is None or self.navigator.helping or isinstance(self.app.screen, CommandsScreen):
            return
        about = screen.at_cursor
        kinds = () if screen.reads_anything else screen.reads_now()
        commands = (*screen.by_hand, *equivalents_of(kinds, self.loop.current, about))
        await self.navigator.open_screen(
            CommandsScreen(self.loop.link, screen.title_text, commands, about)
        )

    async def show_users(self) -> None:
        """List what uses the selected item."""
        about = self._subject("used by anything")
        if about is None:
            return
        use = use_of(about.ref)
        if use is None:
            self.navigator.flash(f"nothing that is shown here refers to {about.ref}")
        elif use.filter:
            await self.navigator.go(use.place)
            place = self.navigator.places[use.place]
            place.show_all()
            self.navigator.flash(place.narrow(use.filter) or f"{use.shows}; Esc shows all")
        else:
            await self.navigator.open(use.place, about.ref)

    async def show_logs(self) -> None:
        """Show the log of the selected pod, or of the agent of the selected item."""
        if (ref := self._logged()) is not None:
            await self.navigator.open("logs", ref)

    async def show_previous_logs(self) -> None:
        """Show what the selected pod logged before its last restart."""
        if (ref := self._logged()) is None:
            self.navigator.flash("only pods and what an agent does have a log")
            return
        await self.navigator.open("logs", ref)
        self.navigator.places["logs"].select_previous(ref)

    def has_logs(self) -> bool:
        """Whether there is a log of what the cursor is on."""
        return self._logged() is not None

    def _subject(self, participle: str) -> Selection | None:
        """What the cursor is on; a message says if that is nothing."""
        about = self.navigator.selected
        if about is None and not self.navigator.helping:
            self.navigator.flash(f"nothing is selected that could be {participle}")
        return about

    def _logged(self) -> Ref | None:
        about = self.navigator.selected
        if about is None or self.loop.shown_screen is self.navigator.places["logs"]:
            return None
        if about.ref.kind in _LOGGED:
            return about.ref
        return Ref("Node", about.node) if about.node else None

    async def _read_object(self, screen: TextScreen, ref: Ref) -> None:
        if self.loop.link.read_object is not None:
            screen.fill(fixed(await self.loop.link.read_object(ref)))
