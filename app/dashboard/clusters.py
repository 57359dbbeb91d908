"""The clusters that the dashboard can show: set up after the first frame, read until cancelled."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.diagnosis.diagnoser import Diagnoser
from app.state.monitor import Clock, Monitor
from collectors.kubernetes.kubeconfig import context_names
from screens.base.cluster_screen import ClusterLink

if TYPE_CHECKING:
    from app.config.expected_settings import ExpectedSetting
    from app.config.settings import Settings
    from app.model.finding import Ref
    from app.pipeline.sources import Wiring
    from app.state.monitor import Feed
    from collectors.kubernetes.records import Pod


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


class Contexts:
    """The contexts of the kubeconfig, each opened with the same settings otherwise."""

    def __init__(self, settings: Settings, expected: Sequence[ExpectedSetting] = ()) -> None:
        """Settings and expectations that every cluster gets."""
        self._settings = settings
        self._expected = expected

    def names(self) -> tuple[str, ...]:
        """All contexts, in the order of the files. Blocks on files; raises ApiError."""
        return context_names(self._settings.kubeconfig, os.environ)

    def open(self, context: str) -> OpenCluster:
        """The cluster of a context; nothing is read yet."""
        return LiveCluster(replace(self._settings, context=context), self._expected).opened
