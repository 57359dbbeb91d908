"""The part of the dashboard that shows snapshots: the newest, at a bounded rate, or a still one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from textual import on, work
from textual.app import App
from textual.timer import Timer
from textual.worker import Worker

from app.dashboard.clusters import OpenCluster
from app.dashboard.theme import Look
from app.pipeline.session_losses import count_losses
from app.state.snapshot import Snapshot
from screens.cluster_screen import ClusterScreen

REPAINT = 0.25
"""Seconds between two repaints at least."""

TICK = 5.0
"""Seconds between two changes of the ages on screen at least: idle must cost next to nothing."""

FAREWELL = 3.0
"""Seconds that the sources of a cluster get to end before those of the next one begin."""


class DrawingApp(App[None], inherit_bindings=False):
    """Reads one cluster and shows it on whichever screen is up."""

    look: Look
    """What it wears."""

    def show_cluster(self, cluster: OpenCluster) -> None:
        """Have this cluster from now on."""
        self._cluster = cluster
        self.link = cluster.link
        self.monitor = cluster.link.monitor
        self.frame = cluster.link.frame
        self._told_at = cluster.clock()
        self._told: tuple[Snapshot, Snapshot] | None = None
        self._still: Snapshot | None = None
        self._still_since = 0.0
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._still_timer: Timer | None = None
        self._at_work: list[Worker[None]] = []

    @property
    def shown_screen(self) -> ClusterScreen[object] | None:
        """The screen of the dashboard that is up, or lies under the help."""
        stack = reversed(self.screen_stack)
        return next((screen for screen in stack if isinstance(screen, ClusterScreen)), None)

    def begin(self, after: Awaitable[None] | None = None) -> None:
        """Begin to draw, now that a first frame stands, and to read once `after` is over."""
        self._at_work = [self._run_sources(after), self._listen(), self._count(), self._draw()]

    def end_cluster(self) -> Awaitable[None]:
        """Read and draw the cluster no more; the result can be waited for."""
        for worker in self._at_work:
            worker.cancel()
        return _ended(self._at_work)

    # --- the loop

    @work(description="")
    async def _run_sources(self, after: Awaitable[None] | None) -> None:
        if after is not None:
            await after
        await self._cluster.read()

    @work(description="")
    async def _listen(self) -> None:
        async for _ in self.monitor.snapshots():
            self._dirty.set()

    @work(description="")
    async def _count(self) -> None:
        await count_losses(self.monitor, self.link.losses, self._dirty.set)

    @work(description="")
    async def _draw(self) -> None:
        """Draw at most once in REPAINT, sooner when a screen comes up and waits for it."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._urgent.clear()
            started = time.monotonic()
            await self._show()
            pause = REPAINT - (time.monotonic() - started)
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):
                        await self._urgent.wait()
                except TimeoutError:
                    pass

    async def _show(self) -> None:
        """The newest snapshot on the screen that is up, as of the last tick."""
        now = self._cluster.clock()
        if now - self._told_at >= timedelta(seconds=TICK):
            self._told_at = now
        self.look.put_on(self, self.monitor.snapshot.context)
        screen = self.shown_screen
        if screen is not None:
            await screen.show(self.current)

    @property
    def current(self) -> Snapshot:
        """What is to be shown: the newest snapshot as of the last tick, or one that stands still.

        Asked again it is the same object as long as nothing is new, so that it is judged once.
        """
        if self._still is not None:
            return self._still
        newest = self.monitor.snapshot
        if self._told is None or self._told[0] is not newest or not self._is_told():
            self._told = (newest, replace(newest, taken_at=self._told_at))
        return self._told[1]

    def _is_told(self) -> bool:
        return self._told is not None and self._told[1].taken_at == self._told_at

    def tick(self) -> None:
        """Time has passed."""
        self._dirty.set()

    @on(ClusterScreen.Wanted)
    def _show_soon(self) -> None:
        self._dirty.set()
        self._urgent.set()

    # --- standing still

    def action_freeze(self) -> None:
        """Let the picture stand still while everything is read on, or let it go on."""
        if self._still is None:
            self._still, self._still_since = self.current, time.monotonic()
            self.link.losses.hold()
            self._tell_still()
            self._still_timer = self.set_interval(1.0, self._tell_still)
        else:
            self.thaw()
            self._show_soon()

    def thaw(self) -> None:
        """Stand still no more."""
        self._still = None
        self.link.losses.release()
        if self._still_timer is not None:
            self._still_timer.stop()
            self._still_timer = None
        self._tell_still()

    def _tell_still(self) -> None:
        seconds = int(time.monotonic() - self._still_since)
        told = f"{seconds // 60:02}:{seconds % 60:02}" if self._still is not None else ""
        self.frame.frozen = told
        if self.shown_screen is not None:
            self.shown_screen.redraw_header()


async def _ended(workers: list[Worker[None]]) -> None:
    waits = (worker.wait() for worker in workers)
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await asyncio.gather(*waits, return_exceptions=True)
