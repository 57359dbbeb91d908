"""Clusters from scenarios: the whole past is told event by event, then time goes on.

Loading replays the history (objects at their age, changes, faults, life) with the same code that
runs the cluster afterwards, so that statuses, conditions, sessions and logs are those of a cluster
that has been there for weeks.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from app.lab import defaults as furnishing
from app.lab import faults
from app.lab.fields import address_of, labels_of, merged, name_of, objects, seconds, text
from app.lab.plane import NAMESPACE, PODS, SERVICES, ResourceKey, release
from app.lab.prefixes import check_advertisement
from app.lab.routers import Router
from app.lab.scenario import (
    ChangePlan,
    FaultPlan,
    RouterPlan,
    Scenario,
    ScenarioError,
    duration,
    identity,
    read_scenario,
    scenario_list,
)
from app.lab.simulation import Simulation
from app.lab.store import Clock, Cluster, JsonObject
from app.lab.workloads import container_runs

__all__ = ["World", "load_scenario", "scenario_list"]


def load_scenario(name_or_path: str, seed: int = 0) -> Cluster:
    """A cluster from a scenario, settled as of now; a seed other than 0 replaces the scenario's.

    Raises ScenarioError.
    """
    scenario = read_scenario(name_or_path)
    world = World(scenario, seed or scenario.seed, _utc_now)
    return world.cluster(scenario.kubernetes)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _ahead(clock: Clock, by: timedelta) -> Clock:
    return lambda: clock() + by


def _router(plan: RouterPlan) -> Router:
    return Router(
        plan.name,
        plan.address,
        plan.asn,
        plan.hold,
        plan.families,
        dict(plan.routes),
        plan.password,
        plan.hops,
        dict(plan.holds),
    )


class World(Simulation):
    """The cluster of one scenario."""

    def __init__(self, scenario: Scenario, seed: int, clock: Clock) -> None:
        self.scenario = scenario
        if scenario.clock:
            clock = _ahead(clock, duration(scenario.clock, f"{scenario.name}: clock"))
        started = clock() - duration(scenario.history, f"{scenario.name}: history")
        super().__init__(
            scenario.cilium,
            map(_router, scenario.routers),
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
        self.at(started, lambda: furnishing.found(self.plane, scenario))
        self.at(installed, lambda: furnishing.install(self.plane, self.workloads, scenario))
        manifests = [*scenario.manifests, *furnishing.generated(scenario)]
        for number, manifest in enumerate(manifests):
            later = seconds(300 + 2 * min(number, 30))
            self.at(self._created(manifest, installed + later), self._creation(manifest))
        for change in scenario.changes:
            self._plan_change(change)
        for plan in scenario.faults:
            self._plan_fault(plan)
        self._plan_life()
        self.at(self.loaded - seconds(10), self._renew)
        self.at(self.loaded - seconds(130), self._report_nodes)

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

    def _creation(self, manifest: JsonObject) -> Callable[[], None]:
        return lambda: self.create(manifest)

    def create(self, manifest: JsonObject) -> None:
        """Create an object as a user does, with what the API server and controllers add.

        Raises ScenarioError for what an API server would refuse.
        """
        obj = furnishing.admitted(self.plane, manifest)
        resource = self._resource(obj)
        try:
            check_advertisement(obj)
        except ValueError as error:
            raise ScenarioError(f"{self.scenario.name}: {identity(obj)}: {error}") from error
        stored = self.plane.put(resource, obj, "kubectl-client-side-apply")
        if resource == SERVICES:
            self._back(stored)

    def _back(self, service: JsonObject) -> None:
        """Give a service the endpoints that the scenario wants it to have."""
        nodes = self.scenario.backends.get("/".join(address_of(service)))
        if nodes is not None:
            furnishing.back(self.plane, self.workloads, service, nodes)
        elif labels_of(service).get("io.cilium/lb-ipam-pool") == furnishing.GENERATED_POOL:
            names = [node.name for node in furnishing.nodes_of(self.scenario)]
            node = names[len(self.plane.all(SERVICES)) % len(names)]
            furnishing.back_generated(self.plane, self.workloads, service, node)

    def _resource(self, obj: JsonObject) -> ResourceKey:
        kind = text(obj, "kind")
        for key, resource in self.store.resources.items():
            if resource.kind == kind:
                return key
        raise ScenarioError(
            f"{self.scenario.name}: this cluster does not serve {identity(obj)}; "
            f"Cilium {self.scenario.cilium} has no such kind, or the lab does not know it"
        )

    def _plan_change(self, change: ChangePlan) -> None:
        where = f"{self.scenario.name}: changes"
        time = self.loaded + duration(change.at, where)
        self.at(time, lambda: self._change(change))

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
                    self.store.delete(resource, *address_of(obj))
                    self._collect(text(obj, "metadata", "uid"))

    def _plan_fault(self, plan: FaultPlan) -> None:
        where = f"{self.scenario.name}: faults"
        nodes = [node.name for node in furnishing.nodes_of(self.scenario)]
        faults.check(plan, self.scenario, nodes, where)
        at = self.loaded + duration(plan.at, where)
        every = duration(plan.every, where) if plan.every else None
        lasts = duration(plan.lasts, where) if plan.lasts else None

        def happen(time: datetime) -> None:
            undo = faults.apply(self, plan)
            if lasts is not None:
                self.at(time + lasts, undo)
            if every is not None:
                self.at(time + every, lambda: happen(time + every))

        self.at(at, lambda: happen(at))

    def _plan_life(self) -> None:
        life = self.scenario.life
        where = f"{self.scenario.name}: life"
        since = self.loaded + duration(life.since, where)
        if life.restarts:
            self._recur(since, duration(life.restarts, where), self._restart_some_pod)
        for flaps in life.flaps:
            plan = FaultPlan(fault="session-reset", node=flaps.node)
            self._recur(since, duration(flaps.every, where), partial(self._happen_once, plan))

    def _happen_once(self, plan: FaultPlan) -> None:
        faults.apply(self, plan)

    def _recur(self, since: datetime, every: timedelta, act: Callable[[], None]) -> None:
        """About every so often, a third more or less."""

        def happen(time: datetime) -> None:
            act()
            plan(time)

        def plan(time: datetime) -> None:
            following = time + every * self.plane.random.uniform(0.67, 1.33)
            self.at(following, lambda: happen(following))

        plan(since)

    def _restart_some_pod(self) -> None:
        apart = ("cilium-agent", "cilium-operator")
        pods = [
            pod
            for pod in self.store.all(PODS, NAMESPACE)
            if container_runs(pod) and labels_of(pod).get("app.kubernetes.io/name") not in apart
        ]
        if pods:
            self.workloads.restart(self.plane.random.choice(pods))

    def _renew(self) -> None:
        """The lease is renewed every 2 s, as client-go's leader election does by default."""
        self.renew_lease()
        self.at(self.plane.time + seconds(2), self._renew)

    def _report_nodes(self) -> None:
        """Kubelets repeat an unchanged status every five minutes."""
        for node in furnishing.nodes_of(self.scenario):
            if node.name not in self.dark:
                self.workloads.node_seen(node.name)
        self.at(self.plane.time + timedelta(minutes=5), self._report_nodes)
