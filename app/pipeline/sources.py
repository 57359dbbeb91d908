"""Which sources there are, how long each may be silent, and which run only when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from app.config.settings import Settings
from app.model.finding import Ref
from app.model.health import operator_lease
from app.state.kinds import AGENT_LOGS, KINDS, LEASES, OPERATOR_LOG, PODS, Kind
from app.state.monitor import Clock, Feed, Monitor
from app.state.snapshot import Snapshot
from collectors.cilium.answer import CiliumCommand
from collectors.cilium.cli import CiliumCli, PolledCommand
from collectors.cilium.commands import PEERS, ROUTES, STATUS, VERSION_COMMAND
from collectors.kubernetes.api import ApiSession
from collectors.kubernetes.objects import read_object
from collectors.kubernetes.records import Pod
from collectors.kubernetes.reflector import Reflector, VersionSource
from collectors.kubernetes.resources import resources
from collectors.logs.follow import FollowedLog
from collectors.logs.targets import AGENT_CONTAINER, OPERATOR_CONTAINER, Aim, leader_pod, target_of
from collectors.process import end_all
from collectors.source import ReadError

WATCH_SILENCE = 150.0
"""Seconds; an API server sends a bookmark about every minute where nothing changes."""
LOG_SILENCE = 30.0
"""Seconds; a quiet log that is being followed is heard of every few seconds."""
VERSION_SILENCE = 30.0
"""Seconds; the API server is asked for its version every 10."""

IN_TIME = 0.9
"""Part of that time that a command may take; the rest is for ending and reading it."""


def wall_clock() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def cilium_cli(settings: Settings) -> CiliumCli:
    """The `cilium` command, as the settings want it."""
    return CiliumCli(
        settings.cilium,
        kubeconfig=settings.kubeconfig,
        context=settings.context,
        namespace=settings.namespace,
    )


class Wiring:
    """The sources of one cluster, as the settings want them, and the monitor that runs them.

    Nothing is connected and no command runs before `run`.
    """

    def __init__(self, settings: Settings, patience: float | None = None) -> None:
        """`patience`: seconds that somebody waits for the first answers; None: nobody does."""
        self.settings = settings
        self._patience = patience
        self._session = ApiSession(settings.kubeconfig, settings.context)
        self._operator = Aim()
        self._agents: dict[str, tuple[Aim, FollowedLog]] = {}
        at = settings.at
        self.clock: Clock = wall_clock if at is None else lambda: at
        """What time it is: now, or the moment that the settings name."""

    def monitor(self, kinds: Collection[Kind[object]] | None = None) -> Monitor:
        """A monitor of the sources that feed these kinds; of all, for None."""
        return Monitor(
            (feed for feed in self.feeds() if kinds is None or KINDS[feed.source.kind] in kinds),
            self.clock,
            context=self._session.context,
            cilium_namespace=self.settings.namespace,
        )

    async def run(self, monitor: Monitor) -> None:
        """Read everything until cancelled; then no connection and no command is left."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(monitor.run())
                group.create_task(self._name(monitor))
                group.create_task(self._steer(monitor))
        finally:
            end_all()
            await self._session.close()

    def agent_log(self, pod: Pod) -> Feed:
        """The source of the agent's log on this pod's node, to be attached to the monitor.

        One per node: it moves on when the pod is replaced, and when it is followed again after a
        pause it resumes where it stopped.
        """
        node = pod.spec.node_name
        if node not in self._agents:
            aim = Aim()
            aim.move(target_of(pod, AGENT_CONTAINER))
            label = f"agent log {node}"
            source = FollowedLog(self._session, aim, kind=AGENT_LOGS.name, label=label)
            self._agents[node] = (aim, source)
        return Feed(self._agents[node][1], LOG_SILENCE, heartbeat=VersionSource.label)

    async def read_object(self, ref: Ref) -> str:
        """One object as printable YAML; where it cannot be read, a sentence that says why."""
        try:
            return await read_object(self._session, ref.kind, ref.namespace, ref.name)
        except ReadError as problem:
            return f"{problem.message}\n"

    def feeds(self) -> Iterator[Feed]:
        """Every source, in the order in which they are told of."""
        session, namespace = self._session, self.settings.namespace
        pulse = VersionSource(session, clock=self.clock)
        yield Feed(pulse, VERSION_SILENCE)
        for resource in resources(namespace):
            yield Feed(
                Reflector(session, resource),
                WATCH_SILENCE,
                on_demand=resource.on_demand,
                heartbeat=pulse.label,
            )
        log = FollowedLog(session, self._operator, kind=OPERATOR_LOG.name, label="operator log")
        yield Feed(log, LOG_SILENCE, heartbeat=pulse.label)
        if self.settings.cli:
            yield from self._commands()

    def own_version(self) -> Iterator[Feed]:
        """The version of the `cilium` command, which nothing is judged by; none where it is off."""
        if self.settings.cli:
            limit = 1.5 * VERSION_COMMAND.interval + VERSION_COMMAND.deadline
            yield Feed(PolledCommand(cilium_cli(self.settings), VERSION_COMMAND), stale_after=limit)

    def _commands(self) -> Iterator[Feed]:
        settings, cli = self.settings, cilium_cli(self.settings)
        polled = [(PEERS, settings.peers_interval), (STATUS, settings.status_interval)]
        polled += [(command, settings.routes_interval) for command in ROUTES]
        for command, interval in polled:
            deadline = self._deadline(command)
            source = PolledCommand(cli, command, interval=interval, deadline=deadline)
            # One run may take its whole deadline, and the next begins an interval later.
            limit = 1.5 * interval + deadline
            yield Feed(source, stale_after=limit, on_demand=command in ROUTES)

    def _deadline(self, command: CiliumCommand) -> float:
        """Seconds that a run may take. An agent that hangs is to be told of while one waits."""
        if self._patience is None:
            return command.deadline
        return min(command.deadline, IN_TIME * self._patience)

    async def _name(self, monitor: Monitor) -> None:
        """Tell the monitor which context it reads; the kubeconfig may name it only when read."""
        try:
            await self._session.identify()
        except ReadError:
            return  # every source will say so
        monitor.name(self._session.context)

    async def _steer(self, monitor: Monitor) -> None:
        """Point each log at the pod whose log it is, whenever that changes."""
        seen: tuple[object, object] = (None, None)
        async for snapshot in monitor.snapshots():
            if not (snapshot.health_of(PODS).known and _answered(snapshot, LEASES)):
                continue
            if seen[0] is snapshot.records[PODS] and seen[1] is snapshot.records[LEASES]:
                continue
            seen = (snapshot.records[PODS], snapshot.records[LEASES])
            leader = leader_pod(operator_lease(snapshot), snapshot.records[PODS].values())
            self._operator.move(target_of(leader, OPERATOR_CONTAINER) if leader else None)
            for node, (aim, _) in self._agents.items():
                agent = snapshot.agents_by_node.get(node)
                aim.move(target_of(agent, AGENT_CONTAINER) if agent else None)


def _answered(snapshot: Snapshot, kind: Kind[object]) -> bool:
    health = snapshot.health_of(kind)
    return health.known or bool(health.error)
