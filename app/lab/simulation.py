"""The machinery of a simulated cluster: time, and components that react to what changed.

It moves from event to event: entries of the calendar, and what operator, agents and sessions do by
themselves. Who fills the calendar decides what cluster it is (`app.lab.world` from a scenario).
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from random import Random
from types import MappingProxyType

from app.lab.agents import Agent
from app.lab.cilium import CiliumCommand
from app.lab.endpoints import Endpoints
from app.lab.fields import mapping, name_of, seconds, text
from app.lab.operator import Operator
from app.lab.plane import (
    ADVERTISEMENTS,
    CILIUM_NODES,
    ENDPOINT_SLICES,
    LEASES,
    NAMESPACE,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    PODS,
    SECRETS,
    SERVICES,
    Plane,
    ResourceKey,
    matters,
)
from app.lab.prefixes import Prefixes
from app.lab.resources import resources
from app.lab.routers import Router
from app.lab.store import Answer, Clock, Cluster, JsonObject, Logs, Store, stamp
from app.lab.workloads import Workloads, container_runs, container_started

STEP = 0.5
"""Longest wall time between two looks at what is due, in seconds."""

_AGENT_INPUTS: tuple[ResourceKey, ...] = (
    NODE_CONFIGS,
    PEER_CONFIGS,
    ADVERTISEMENTS,
    PEERING_POLICIES,
    SERVICES,
    ENDPOINT_SLICES,
    CILIUM_NODES,
    SECRETS,
)


class Simulation:
    """A cluster's objects, components and routers, and a calendar of what is to happen."""

    def __init__(
        self,
        cilium: str,
        routers: Iterable[Router],
        *,
        started: datetime,
        seed: int,
        clock: Clock,
        crds: Mapping[str, bool] = MappingProxyType({}),
    ) -> None:
        self._source = clock
        self.loaded = clock()
        """The moment up to which the history is told before the cluster is shown."""
        self._inside = True
        self._calendar: list[tuple[datetime, int, Callable[[], None]]] = []
        self._entries = 0
        self._seen = 0
        self.store = Store(self.clock)
        chance = Random(seed)  # noqa: S311 (a seeded simulation, no secret)
        horizon = self.loaded - seconds(3600)
        self.plane = Plane(self.store, Logs(), cilium, chance, started, horizon)
        for resource in resources(cilium, crds):
            self.store.register(resource)
        self.routers = {router.address: router for router in routers}
        self.prefixes = Prefixes(self.plane)
        self.operator = Operator(self.plane)
        self.workloads = Workloads(self.plane)
        self.endpoints = Endpoints(self.plane)
        self.agents: dict[str, Agent] = {}
        """By pod name."""
        self.dark: set[str] = set()
        """Nodes that are switched off or cut off."""
        self.exec_errors: dict[str, tuple[str, float]] = {}
        """What an exec on a node fails with, and after how many seconds."""
        self.lease_stuck = False
        """Whether the leader cannot renew its lease."""
        self.forbidden: frozenset[str] = frozenset()
        """What the user may not do, as `Cluster.forbidden`."""
        self.cli: tuple[int, ...] = (0, 19, 7)
        """Version of cilium-cli."""
        self._started: dict[str, datetime] = {}

    # Time

    def clock(self) -> datetime:
        """The cluster's time: the event's while one happens, else the clock's."""
        return self.plane.time if self._inside else self._source()

    def at(self, time: datetime, act: Callable[[], None]) -> None:
        """Enter something in the calendar."""
        self._entries += 1
        heapq.heappush(self._calendar, (time, self._entries, act))

    def advance(self, to: datetime) -> None:
        """Let everything happen that is due up to a moment."""
        self._inside = True
        self._settle()
        while (due := self._next()) is not None and due <= to:
            self.plane.time = max(due, self.plane.time)
            while self._calendar and self._calendar[0][0] <= self.plane.time:
                heapq.heappop(self._calendar)[2]()
            self._settle()
            for agent in list(self.agents.values()):
                if (time := agent.due) is not None and time <= self.plane.time:
                    agent.step()
            self._settle()
        self.plane.time = max(to, self.plane.time)
        self._inside = False

    async def run(self) -> None:
        """Live until cancelled."""
        while True:
            self.advance(self._source())
            try:
                await asyncio.wait_for(self.store.changed(), STEP)
            except TimeoutError:
                continue

    def cluster(self, release: str) -> Cluster:
        """What the server shows, as Kubernetes `release` (such as v1.34.2)."""
        command = CiliumCommand(self)
        parts = release.removeprefix("v").split(".")

        def cilium(argv: Sequence[str]) -> Answer:
            self.advance(self._source())
            return command.answer(argv)

        return Cluster(
            store=self.store,
            logs=self.plane.logs,
            clock=self.clock,
            kubernetes={
                "major": parts[0],
                "minor": parts[1] if len(parts) > 1 else "0",
                "gitVersion": release,
                "gitTreeState": "clean",
                "compiler": "gc",
                "platform": "linux/amd64",
            },
            cilium=cilium,
            run=self.run,
            forbidden=self.forbidden,
        )

    def _next(self) -> datetime | None:
        dues = [agent.due for agent in self.agents.values()]
        dues += [self._calendar[0][0]] if self._calendar else []
        return min((due for due in dues if due is not None), default=None)

    # Reacting

    def _settle(self) -> None:
        """Let operator and agents react until nothing changes any more."""
        while self._seen != self.store.version:
            since, self._seen = self._seen, self.store.version
            self._follow_pods(since)
            self.operator.sync()
            if any(
                matters(event)
                for resource in _AGENT_INPUTS
                for event in self.plane.changes(resource, since)
            ):
                self.prefixes.forget()
                for agent in self.agents.values():
                    agent.reconcile()

    def _follow_pods(self, since: int) -> None:
        """Agents and the operator run where their pods do."""
        if not self.plane.changes(PODS, since):
            return
        pods = self.workloads.pods("k8s-app", "cilium")
        for gone in set(self.agents) - {name_of(pod) for pod in pods}:
            self.agents.pop(gone).stop()
        for pod in pods:
            self._follow_agent(pod)
        self._follow_operator()
        self.endpoints.follow({each.node for each in self.agents.values() if each.running})

    def _follow_agent(self, pod: JsonObject) -> None:
        name, node = name_of(pod), text(pod, "spec", "nodeName")
        agent = self.agents.get(name)
        if agent is None:
            agent = Agent(self.plane, self.prefixes, self.routers, node, name)
            self.agents[name] = agent
        runs = container_runs(pod) and node not in self.dark
        started = container_started(pod)
        if agent.running and (not runs or started != self._started.get(name, started)):
            agent.stop()
        if runs and not agent.running:
            self._started[name] = started
            agent.start()

    def _follow_operator(self) -> None:
        leaders = [
            pod
            for pod in self.workloads.pods("io.cilium/app", "operator")
            if container_runs(pod) and text(pod, "spec", "nodeName") not in self.dark
        ]
        if not leaders:
            if self.operator.running:
                self.renew_lease()
                self.operator.stop()
            return
        leader = name_of(leaders[0])
        started = container_started(leaders[0])
        if self.operator.running and self._started.get("operator") == started:
            return
        self._started["operator"] = started
        self.plane.operator_pod = leader
        self._acquire_lease(text(leaders[0], "spec", "nodeName"))
        self.operator.start()

    def _acquire_lease(self, node: str) -> None:
        known = self.plane.get(LEASES, "cilium-operator-resource-lock", NAMESPACE)
        transitions = mapping(known, "spec").get("leaseTransitions")
        now = stamp(self.plane.time, micro=True)
        count = transitions + 1 if isinstance(transitions, int) else 0
        self.plane.put(
            LEASES,
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": "cilium-operator-resource-lock",
                    "namespace": NAMESPACE,
                },
                "spec": {
                    "holderIdentity": f"{node}-{self.workloads.suffix(10)}",
                    "leaseDurationSeconds": 15,
                    "acquireTime": now,
                    "renewTime": now,
                    "leaseTransitions": count,
                },
            },
            "cilium-operator-generic",
        )

    def renew_lease(self) -> None:
        """The leader, if there is one, says that it still leads."""
        lease = self.plane.get(LEASES, "cilium-operator-resource-lock", NAMESPACE)
        if lease is not None and self.operator.running and not self.lease_stuck:
            spec = {**mapping(lease, "spec"), "renewTime": stamp(self.plane.time, micro=True)}
            self.plane.put(LEASES, {**lease, "spec": spec}, "cilium-operator-generic")

    def routers_changed(self) -> None:
        """A router behaves differently from now on."""
        for agent in self.agents.values():
            agent.routers_changed()
