"""A cluster as the dashboard has it: set up behind its first frame, and ended in the background."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from app.diagnosis.diagnoser import Judge
from app.state.kinds import ROUTES
from app.state.monitor import Clock, Monitor
from screens.cluster_handle import ClusterLink

if TYPE_CHECKING:
    from app.config.expected_settings import Expected
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
    read: Callable[[], Awaitable[None]]
    """Reads its sources until cancelled; nothing of it is left then."""
    clock: Clock
    """Tells the time by which ages are told; for a recording it stands still."""
    settings: Settings | None = None
    """How it is reached; None: by nothing that could be run there."""


class Contexts(Protocol):
    """The clusters that there are to choose from."""

    def names(self) -> tuple[str, ...]:
        """All contexts. Blocks on files; raises Unreadable."""
        ...

    def open(self, context: str) -> OpenCluster:
        """The cluster of a context; nothing is read yet."""
        ...


class Unreadable(Exception):
    """The contexts cannot be told; one sentence that says why."""


class LiveCluster:
    """The sources of one cluster, set up when its first frame stands: what they need is heavy."""

    def __init__(self, settings: Settings, expected: Sequence[Expected] = ()) -> None:
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
            judge=Judge(expected),
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
        wiring = self._wiring = await asyncio.to_thread(self._wired)
        for feed in (*wiring.feeds(), *wiring.own_version()):
            self.monitor.attach(feed)
        from app.pipeline.agent_logs import follow_suspects

        # Every verdict is about what is announced as well, on whichever screen it stands.
        with self.monitor.demand(*ROUTES):
            async with asyncio.TaskGroup() as group:
                group.create_task(wiring.run(self.monitor))
                group.create_task(follow_suspects(wiring, self.monitor))

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

    def _wired(self) -> Wiring:
        import app.pipeline.agent_logs  # noqa: F401 - heavy, and this is a thread
        from app.pipeline.sources import Wiring

        return Wiring(self._settings)


class KubeconfigContexts:
    """The contexts of the kubeconfig, each to be opened with the same settings otherwise."""

    def __init__(self, settings: Settings, expected: Sequence[Expected] = ()) -> None:
        """Settings and expectations that every cluster gets."""
        self._settings = settings
        self._expected = expected

    def names(self) -> tuple[str, ...]:
        """All contexts, in the order of the files."""
        from collectors.kubernetes.errors import ApiError
        from collectors.kubernetes.kubeconfig import context_names

        try:
            return context_names(self._settings.kubeconfig, os.environ)
        except ApiError as problem:
            raise Unreadable(problem.message) from None

    def open(self, context: str) -> OpenCluster:
        """The cluster of a context."""
        return LiveCluster(replace(self._settings, context=context), self._expected).opened


def end_commands() -> None:
    """No command is left running."""
    if "collectors.process" in sys.modules:  # else none was ever started
        from collectors.process import end_all

        end_all()
