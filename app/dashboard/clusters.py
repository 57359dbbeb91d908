"""The clusters that the dashboard can show, and the loop that reads and draws the one shown.

A cluster is set up after the first frame, read until cancelled, and drawn at a bounded rate.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from textual.app import App
from textual.timer import Timer
from textual.worker import Worker

from app.config.expected_settings import ExpectedSetting
from app.config.settings import Settings
from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Ref
from app.pipeline.followers import count_losses
from app.pipeline.sources import Wiring
from app.state.monitor import Clock, Feed, Monitor
from app.state.snapshot import Snapshot
from collectors.kubernetes.kubeconfig import context_names
from collectors.kubernetes.records import Pod
from screens.base.cluster_screen import ClusterLink, ClusterScreen
from screens.themes import ThemeSwitch


def wall_clock() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCluster:
    """One cluster that the dashboard shows."""

    link: ClusterLink
    read: Callable[[], Awaitable[None]] | None = None
    """Reads its sources until cancelled, and leaves nothing running; None: the monitor's `run`."""
    clock: Clock = wall_clock
    """The time by which ages are computed; for a recording it is fixed."""
    settings: Settings | None = None
    """How it is reached; None: by nothing that could be run there."""


class LiveCluster:
    """The sources of one cluster, set up when `read` begins: what they import is heavy."""

    def __init__(self, settings: Settings, expected: Sequence[ExpectedSetting] = ()) -> None:
        """Nothing is read before `read`."""
        self._settings = settings
        self._wiring: Wiring | None = None
        at = settings.at
        self.clock: Clock = wall_clock if at is None else lambda: at
        self.monitor = Monitor(
            (),
            self.clock,
            context=settings.context or "",
            cilium_namespace=settings.namespace,
            setting_up=True,
            follows_logs=True,
        )
        self.link = ClusterLink(
            monitor=self.monitor,
            judge=Diagnoser(expected),
            agent_log=self.agent_log,
            read_object=self.read_object,
        )

    @property
    def opened(self) -> OpenCluster:
        """As the dashboard takes it."""
        return OpenCluster(
            link=self.link, read=self.read, clock=self.clock, settings=self._settings
        )

    async def read(self) -> None:
        """Set the sources up and read them until cancelled."""
        wiring, read_all = await asyncio.to_thread(self._set_up)
        self._wiring = wiring
        await read_all(wiring, self.monitor)

    def agent_log(self, pod: Pod) -> Feed:
        """As `Wiring.agent_log`; a pod is known only when the sources are set up."""
        if self._wiring is None:
            raise RuntimeError("no source is set up yet")
        return self._wiring.agent_log(pod)

    async def read_object(self, ref: Ref) -> str:
        """As `Wiring.read_object`."""
        if self._wiring is None:
            return "nothing can be read yet\n"
        return await self._wiring.read_object(ref)

    def _set_up(self) -> tuple[Wiring, Callable[[Wiring, Monitor], Awaitable[None]]]:
        from app.pipeline import followers as agent_logs
        from app.pipeline import sources

        return sources.Wiring(self._settings), agent_logs.read_all


@dataclass(frozen=True)
class Contexts:
    """The contexts of the kubeconfig, each opened with the same settings otherwise."""

    settings: Settings
    expected: Sequence[ExpectedSetting] = ()

    def names(self) -> tuple[str, ...]:
        """All contexts, in the order of the files. Blocks on files; raises ApiError."""
        return context_names(self.settings.kubeconfig, os.environ)

    def open(self, context: str) -> OpenCluster:
        """The cluster of a context; nothing is read yet."""
        return LiveCluster(replace(self.settings, context=context), self.expected).opened


REPAINT = 0.25
"""Least seconds between two repaints."""

TICK = 5.0
"""Least seconds between two changes of the ages on screen: idle must cost next to nothing."""

FAREWELL = 3.0
"""Seconds that the sources of a cluster get to end before those of the next one start."""


class RefreshLoop:
    """Draws one cluster on whichever screen is up: its newest snapshot, or a frozen one."""

    def __init__(self, app: App[None], cluster: OpenCluster, look: ThemeSwitch) -> None:
        """`look` gives the application the theme of the cluster once its context is known."""
        self._app = app
        self._look = look
        self.show_cluster(cluster)

    def show_cluster(self, cluster: OpenCluster) -> None:
        """Switch to this cluster; nothing is read or drawn before `start`."""
        self.cluster = cluster
        self.link = cluster.link
        self.monitor = cluster.link.monitor
        self.frame = cluster.link.frame
        self._ticked_at = cluster.clock()
        self._dated: tuple[Snapshot, Snapshot] | None = None
        """The newest snapshot, and the same as of the last tick."""
        self._frozen: Snapshot | None = None
        self._frozen_at = 0.0
        self._frozen_timer: Timer | None = None
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._workers: list[Worker[None]] = []

    @property
    def shown_screen(self) -> ClusterScreen[object] | None:
        """The topmost screen that shows the cluster; help and dialogs may lie over it."""
        stack = reversed(self._app.screen_stack)
        return next((screen for screen in stack if isinstance(screen, ClusterScreen)), None)

    @property
    def current(self) -> Snapshot:
        """What to show: the newest snapshot as of the last tick, or the frozen one.

        The object is the same as long as nothing is new, so that it is diagnosed once.
        """
        if self._frozen is not None:
            return self._frozen
        newest = self.monitor.snapshot
        dated = self._dated
        if dated is None or dated[0] is not newest or dated[1].taken_at != self._ticked_at:
            dated = self._dated = (newest, replace(newest, taken_at=self._ticked_at))
        return dated[1]

    def start(self, after: Awaitable[None] | None = None) -> None:
        """Start to draw, and to read once `after` is over."""
        coroutines = (self._read(after), self._listen(), self._count(), self._draw())
        self._workers = [self._app.run_worker(each, description="") for each in coroutines]

    def stop(self) -> Awaitable[None]:
        """Stop to read and to draw; the result waits until that is over."""
        for worker in self._workers:
            worker.cancel()
        return _ended(self._workers)

    def tick(self) -> None:
        """Time has passed: the ages on screen may be old."""
        self._dirty.set()

    def draw_now(self) -> None:
        """Draw without a pause: a screen came up and waits for it."""
        self._dirty.set()
        self._urgent.set()

    async def _read(self, after: Awaitable[None] | None) -> None:
        if after is not None:
            await after
        await (self.cluster.read or self.monitor.run)()

    async def _listen(self) -> None:
        async for _ in self.monitor.snapshots():
            self._dirty.set()

    async def _count(self) -> None:
        await count_losses(self.monitor.snapshots(), self.link.losses, self._dirty.set)

    async def _draw(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._urgent.clear()
            started = time.monotonic()
            await self._show()
            pause = REPAINT - (time.monotonic() - started)
            if pause > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._urgent.wait()

    async def _show(self) -> None:
        now = self.cluster.clock()
        if now - self._ticked_at >= timedelta(seconds=TICK):
            self._ticked_at = now
        self._look.put_on(self._app, self.monitor.snapshot.context)
        screen = self.shown_screen
        if screen is not None:
            await screen.show(self.current)

    # --- frozen

    def toggle_freeze(self) -> None:
        """Keep showing the current snapshot while reading continues, or go on with the newest."""
        if self._frozen is None:
            self._frozen, self._frozen_at = self.current, time.monotonic()
            self.link.losses.hold()
            self._show_frozen()
            self._frozen_timer = self._app.set_interval(1.0, self._show_frozen)
        else:
            self.thaw()
            self.draw_now()

    def thaw(self) -> None:
        """Show the newest snapshot again."""
        self._frozen = None
        self.link.losses.release()
        if self._frozen_timer is not None:
            self._frozen_timer.stop()
            self._frozen_timer = None
        self._show_frozen()

    def _show_frozen(self) -> None:
        seconds = int(time.monotonic() - self._frozen_at)
        still = self._frozen is not None
        self.frame.frozen = f"{seconds // 60:02}:{seconds % 60:02}" if still else ""
        if self.shown_screen is not None:
            self.shown_screen.draw_header()


async def _ended(workers: list[Worker[None]]) -> None:
    waits = (worker.wait() for worker in workers)
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await asyncio.gather(*waits, return_exceptions=True)
