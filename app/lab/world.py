"""A simulated cluster: its whole past event by event from a scenario, then time goes on.

It moves from event to event: entries of the calendar, and what operator, agents and sessions do by
themselves. Loading replays the history (objects at their age, changes, faults, life) with the same
code that runs the cluster afterwards, so that statuses, conditions, sessions and logs are those of
a cluster that has been there for weeks.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from types import MappingProxyType

from msgspec import structs

from app.lab import defaults, faults, kinds, workloads
from app.lab.agents import Agent
from app.lab.cilium import CiliumCommand
from app.lab.cilium_stub import Answer
from app.lab.fields import (
    integer,
    key_of,
    labels_of,
    made,
    mapping,
    merged,
    name_of,
    objects,
    seconds,
    text,
)
from app.lab.operator import Operator
from app.lab.plane import NAMESPACE, Plane, release
from app.lab.prefixes import Prefixes, check_advertisement
from app.lab.resources import resources
from app.lab.scenario import (
    ChangePlan,
    FaultPlan,
    Scenario,
    ScenarioError,
    duration,
    identity,
    read_scenario,
)
from app.lab.sessions import Router
from app.lab.store import Clock, Cluster, JsonObject, Logs, ResourceKey, Store, stamp

_STEP = 0.5
"""Longest wall time between two looks at what is due, in seconds."""

_LEASE = "cilium-operator-resource-lock"

_AGENT_INPUTS: tuple[ResourceKey, ...] = (
    kinds.NODE_CONFIGS,
    kinds.PEER_CONFIGS,
    kinds.ADVERTISEMENTS,
    kinds.PEERING_POLICIES,
    kinds.SERVICES,
    kinds.ENDPOINT_SLICES,
    kinds.CILIUM_NODES,
    kinds.SECRETS,
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
        """The moment up to which the history is replayed before the cluster is shown."""
        self._inside = True
        self._calendar: list[tuple[datetime, int, Callable[[], object]]] = []
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
        self.workloads = workloads.Workloads(self.plane)
        self.endpoints = workloads.CiliumEndpoints(self.plane)
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

    def at(self, time: datetime, act: Callable[[], object]) -> None:
        """Enter something in the calendar."""
        self._entries += 1
        heapq.heappush(self._calendar, (time, self._entries, act))

    def repeat(
        self, time: datetime, wait: Callable[[], timedelta], act: Callable[[], object]
    ) -> None:
        """Enter something that happens again and again, each time after a wait."""

        def happen() -> None:
            act()
            self.repeat(time + wait(), wait, act)

        self.at(time, happen)

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
                await asyncio.wait_for(self.store.changed(), _STEP)
            except TimeoutError:
                continue

    def cluster(self, release: str) -> Cluster:
        """What the server shows, as Kubernetes `release` (such as v1.34.2)."""
        command = CiliumCommand(self)
        major, *rest = release.removeprefix("v").split(".")

        def cilium(argv: Sequence[str]) -> Answer:
            self.advance(self._source())
            return command.answer(argv)

        return Cluster(
            store=self.store,
            logs=self.plane.logs,
            clock=self.clock,
            kubernetes=made("Version", major=major, minor=[*rest, "0"][0], release=release),
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
            if any(self.plane.matters(resource, since) for resource in _AGENT_INPUTS):
                self.prefixes.forget()
                for agent in self.agents.values():
                    agent.reconcile()

    def _follow_pods(self, since: int) -> None:
        """Agents and the operator run where their pods do."""
        if not self.plane.changes(kinds.PODS, since):
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
        runs = workloads.container_runs(pod) and node not in self.dark
        started = workloads.container_started(pod)
        if agent.running and (not runs or started != self._started.get(name, started)):
            agent.stop()
        if runs and not agent.running:
            self._started[name] = started
            agent.start()

    def _follow_operator(self) -> None:
        leaders = [
            pod
            for pod in self.workloads.pods("io.cilium/app", "operator")
            if workloads.container_runs(pod) and text(pod, "spec", "nodeName") not in self.dark
        ]
        if not leaders:
            if self.operator.running:
                self.renew_lease()
                self.operator.stop()
            return
        leader = name_of(leaders[0])
        started = workloads.container_started(leaders[0])
        if self.operator.running and self._started.get("operator") == started:
            return
        self._started["operator"] = started
        self.plane.operator_pod = leader
        self._acquire_lease(text(leaders[0], "spec", "nodeName"))
        self.operator.start()

    def _acquire_lease(self, node: str) -> None:
        known = self.plane.get(kinds.LEASES, _LEASE, NAMESPACE)
        lease = made(
            "Lease",
            holder=f"{node}-{self.workloads.suffix(10)}",
            now=stamp(self.plane.time, digits=6),
            transitions=integer(known, "spec", "leaseTransitions", default=-1) + 1,
        )
        self.plane.put(kinds.LEASES, lease, "cilium-operator-generic")

    def renew_lease(self) -> None:
        """The leader, if there is one, says that it still leads."""
        lease = self.plane.get(kinds.LEASES, _LEASE, NAMESPACE)
        if lease is not None and self.operator.running and not self.lease_stuck:
            spec = {**mapping(lease, "spec"), "renewTime": stamp(self.plane.time, digits=6)}
            self.plane.put(kinds.LEASES, {**lease, "spec": spec}, "cilium-operator-generic")

    def routers_changed(self) -> None:
        """A router behaves differently from now on."""
        for agent in self.agents.values():
            agent.routers_changed()


def load_scenario(name_or_path: str, seed: int = 0) -> Cluster:
    """A cluster from a scenario, settled as of now; a seed other than 0 replaces the scenario's.

    Raises ScenarioError.
    """
    scenario = read_scenario(name_or_path)
    world = World(scenario, seed or scenario.seed, lambda: datetime.now(UTC))
    return world.cluster(scenario.kubernetes)


def _ahead(clock: Clock, by: timedelta) -> Clock:
    return lambda: clock() + by


class World(Simulation):
    """The cluster of one scenario."""

    def __init__(self, scenario: Scenario, seed: int, clock: Clock) -> None:
        self.scenario = scenario
        self._nodes = [node.name for node in defaults.nodes_of(scenario)]
        if scenario.clock:
            clock = _ahead(clock, duration(scenario.clock, f"{scenario.name}: clock"))
        started = clock() - duration(scenario.history, f"{scenario.name}: history")
        super().__init__(
            scenario.cilium,
            [Router(**structs.asdict(plan)) for plan in scenario.routers],
            started=started,
            seed=seed,
            clock=clock,
            crds=scenario.crds,
        )
        self.forbidden = frozenset(scenario.forbidden)
        self.cli = release(scenario.cli)
        self._plan(started)
        self.advance(self.loaded)

    def _plan(self, started: datetime) -> None:
        """Enter the whole scenario: objects at their age, changes, faults, life."""
        scenario = self.scenario
        installed = started + timedelta(minutes=5)
        self.at(started, lambda: defaults.create_cluster(self.workloads, scenario))
        self.at(installed, lambda: defaults.install_cilium(self.workloads, scenario))
        manifests = [*scenario.manifests, *defaults.generated(scenario)]
        for number, manifest in enumerate(manifests):
            later = seconds(300 + 2 * min(number, 30))
            self.at(self._created(manifest, installed + later), partial(self.create, manifest))
        for change in scenario.changes:
            time = self.loaded + duration(change.at, f"{scenario.name}: changes")
            self.at(time, partial(self._change, change))
        for plan in scenario.faults:
            self._plan_fault(plan)
        self._plan_life()
        # The lease is renewed every 2 s, as client-go's leader election does by default; kubelets
        # repeat an unchanged status every five minutes.
        self.repeat(self.loaded - seconds(10), lambda: seconds(2), self.renew_lease)
        self.repeat(self.loaded - seconds(130), lambda: seconds(300), self._report_nodes)

    def _created(self, manifest: JsonObject, default: datetime) -> datetime:
        """When an object is made: `metadata.creationTimestamp` is an offset or a time."""
        words = text(manifest, "metadata", "creationTimestamp")
        if not words:
            return default
        where = f"{self.scenario.name}: {identity(manifest)}"
        if not words.endswith("Z"):
            return self.loaded + duration(words, where)
        try:
            return datetime.fromisoformat(words)
        except ValueError as error:
            raise ScenarioError(f"{where}: {words!r} is no time: {error}") from error

    def create(self, manifest: JsonObject) -> None:
        """Create an object as a user does, with what the API server and controllers add.

        Raises ScenarioError for what an API server would refuse.
        """
        obj = defaults.admitted(self.plane, manifest)
        resource = self._resource(obj)
        try:
            check_advertisement(obj)
        except ValueError as error:
            raise ScenarioError(f"{self.scenario.name}: {identity(obj)}: {error}") from error
        stored = self.plane.put(resource, obj, "kubectl-client-side-apply")
        if resource == kinds.SERVICES:
            self._back(stored)

    def _back(self, service: JsonObject) -> None:
        """Give a service its endpoints in this scenario."""
        nodes = self.scenario.backends.get("/".join(key_of(service)))
        if nodes is not None:
            workloads.back(self.workloads, service, nodes)
        elif labels_of(service).get("io.cilium/lb-ipam-pool") == defaults.GENERATED_POOL:
            place = len(self.plane.all(kinds.SERVICES)) % len(self._nodes)
            workloads.back_generated(self.workloads, service, self._nodes[place])

    def _resource(self, obj: JsonObject) -> ResourceKey:
        kind = text(obj, "kind")
        for key, resource in self.store.resources.items():
            if resource.kind == kind:
                return key
        raise ScenarioError(
            f"{self.scenario.name}: this cluster does not serve {identity(obj)}; "
            f"Cilium {self.scenario.cilium} has no such kind, or the lab does not know it"
        )

    def _change(self, change: ChangePlan) -> None:
        for manifest in change.manifests:
            resource = self._resource(manifest)
            namespace = text(manifest, "metadata", "namespace")
            known = self.plane.get(resource, name_of(manifest), namespace)
            if known is None:
                self.create(manifest)
            else:
                self.plane.put(resource, merged(known, manifest), "kubectl-edit")
        for address in change.remove:
            kind, *place = address.split("/")
            resource = self._resource({"kind": kind})
            namespace, name = place if len(place) == 2 else ("", place[0])
            gone = self.store.delete(resource, namespace, name)
            if gone is None:
                raise ScenarioError(f"{self.scenario.name}: changes: there is no {address}")
            self._collect(text(gone, "metadata", "uid"))

    def _collect(self, owner: str) -> None:
        """Delete what an object owned that is gone, as the garbage collector does."""
        for resource in self.store.resources:
            for obj in self.store.all(resource):
                owners = objects(obj, "metadata", "ownerReferences")
                if any(text(each, "uid") == owner for each in owners):
                    self.store.delete(resource, *key_of(obj))
                    self._collect(text(obj, "metadata", "uid"))

    def _plan_fault(self, plan: FaultPlan) -> None:
        where = f"{self.scenario.name}: faults"
        faults.check(plan, self.scenario, self._nodes, where)
        at = self.loaded + duration(plan.at, where)
        every = duration(plan.every, where) if plan.every else None
        lasts = duration(plan.lasts, where) if plan.lasts else None

        def happen() -> None:
            undo = faults.apply(self, plan)
            if lasts is not None:
                self.at(self.plane.time + lasts, undo)

        if every is None:
            self.at(at, happen)
        else:
            self.repeat(at, lambda: every, happen)

    def _plan_life(self) -> None:
        life = self.scenario.life
        where = f"{self.scenario.name}: life"
        since = self.loaded + duration(life.since, where)
        if life.restarts:
            self._recur(since, duration(life.restarts, where), self._restart_some_pod)
        for flaps in life.flaps:
            plan = FaultPlan(fault="session-reset", node=flaps.node)
            self._recur(since, duration(flaps.every, where), partial(faults.apply, self, plan))

    def _recur(self, since: datetime, every: timedelta, act: Callable[[], object]) -> None:
        """About every so often, a third more or less."""

        def wait() -> timedelta:
            return every * self.plane.random.uniform(0.67, 1.33)

        self.repeat(since + wait(), wait, act)

    def _restart_some_pod(self) -> None:
        apart = ("cilium-agent", "cilium-operator")
        pods = [
            pod
            for pod in self.store.all(kinds.PODS, NAMESPACE)
            if workloads.container_runs(pod)
            and labels_of(pod).get("app.kubernetes.io/name") not in apart
        ]
        if pods:
            self.workloads.restart(self.plane.random.choice(pods))

    def _report_nodes(self) -> None:
        for name in self._nodes:
            if name not in self.dark:
                self.workloads.node_seen(name)
