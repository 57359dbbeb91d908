"""A snapshot under diagnosis, with what several rules derive from it computed once.

A rule asks the case, not the world. Whether an input could be read is asked first: a rule whose
inputs are not known yields nothing, and CS801 and CS802 tell what could therefore not be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from app.config.expected_settings import ExpectedSetting
from app.model.configuration import CONFIG_MAP, config_map
from app.model.finding import Evidence, Ref
from app.model.health import CiliumPod, Version, cilium_pods, cilium_version, pod_ready
from app.model.lbipam import (
    LoadBalancer,
    PoolUsage,
    balancers_by_service,
    load_balancers,
    pool_usages,
)
from app.model.sessions import Session, sessions
from app.state.derived import Key, Memo
from app.state.kinds import VERSION, Kind, Records
from app.state.snapshot import Snapshot, State
from collectors.kubernetes.records import Object, Pod

CLOCKS_AGREE = 5.0
"""Seconds by which the local clock and the API server's may differ without a word about it."""


@dataclass(frozen=True, eq=False)
class Case:
    """A snapshot and what is expected of it."""

    snapshot: Snapshot
    expected: tuple[ExpectedSetting, ...] = ()
    reachable: Mapping[str, str] = field(default_factory=dict)
    """Outcome of an opt-in TCP probe by address, "" when it connected."""
    memo: Memo = field(default_factory=Memo)
    """What earlier diagnoses of the same cluster left; the same one for all that follow it."""

    @property
    def now(self) -> datetime:
        """The snapshot's time; there is no other clock here."""
        return self.snapshot.taken_at

    @property
    def records(self) -> Records:
        """What was read, by kind and key."""
        return self.snapshot.records

    @property
    def namespace(self) -> str:
        """The namespace that Cilium runs in."""
        return self.snapshot.cilium_namespace

    @property
    def config_ref(self) -> Ref:
        """The ConfigMap that the running Cilium is configured by."""
        return Ref("ConfigMap", CONFIG_MAP, self.namespace)

    @cached_property
    def version(self) -> Version:
        """Cilium's version, (0, 0) when not known."""
        return cilium_version(self.snapshot)

    @cached_property
    def sessions(self) -> tuple[Session, ...]:
        """Every session."""
        return sessions(self.snapshot)

    @cached_property
    def balancers(self) -> tuple[LoadBalancer, ...]:
        """Every service of type LoadBalancer."""
        return load_balancers(self.snapshot)

    @cached_property
    def usages(self) -> tuple[PoolUsage, ...]:
        """Every pool."""
        return pool_usages(self.snapshot)

    @cached_property
    def pods(self) -> tuple[CiliumPod, ...]:
        """Every pod of Cilium."""
        return cilium_pods(self.snapshot)

    @cached_property
    def config(self) -> Mapping[str, str] | None:
        """The running `cilium-config`; None when it is not known."""
        found = config_map(self.snapshot)
        return found.data if found else None

    def balancers_where(
        self, key: Key[LoadBalancer], wanted: Callable[[LoadBalancer], bool]
    ) -> tuple[LoadBalancer, ...]:
        """The services of type LoadBalancer that are wanted; `wanted` judges by the service alone.

        It is asked of those alone that changed: where hardly any is wanted of very many, a rule
        need not look at all of them again.
        """
        balancers = balancers_by_service(self.snapshot)
        made = self.memo.by_key(
            key, (balancers,), (), lambda service: tuple(filter(wanted, balancers[service]))
        )
        return made.values

    def setting(self, key: str, default: str) -> str | None:
        """A setting in force, its default where the key is absent; None when not known."""
        return None if self.config is None else self.config.get(key, default)

    def enabled(self, key: str, default: str) -> bool | None:
        """Whether a switch of `cilium-config` is on; None when that is not known."""
        value = self.setting(key, default)
        return None if value is None else value.strip().lower() in ("true", "t", "1")

    def known(self, *kinds: Kind[object]) -> bool:
        """Whether all these kinds have been read, so that what is not there does not exist.

        A kind that is not served counts as read: there is nothing of it.
        """
        return all(self._read(kind) for kind in kinds)

    def agent(self, node: str) -> Pod | None:
        """The agent pod of a node."""
        return self.snapshot.agents_by_node.get(node)

    def agent_speaks(self, node: str) -> bool:
        """Whether the node has an agent that is Ready: only then is its status in the API alive."""
        agent = self.agent(node)
        return agent is not None and pod_ready(agent)

    def saw(
        self, kind: Kind[object], of: str | Ref | Object, field: str, value: object
    ) -> Evidence:
        """An observation of a record of this kind, with its source's label and age."""
        name = f"{kind.object_kind} {of.key}" if isinstance(of, Object) else str(of)
        health = self.snapshot.health_of(kind)
        return Evidence(health.label, name, field, str(value), self.age(health.read_at))

    def saw_names(self, kind: Kind[object]) -> Evidence:
        """Which records of this kind there are."""
        names = ", ".join(sorted(self.records[kind])) or "none exists"
        return self.saw(kind, kind.object_kind, "metadata.name", names)

    def age(self, moment: datetime | None) -> float | None:
        """Seconds from a moment to the snapshot's; None for None."""
        return None if moment is None else max(0.0, (self.now - moment).total_seconds())

    @cached_property
    def clock_skew(self) -> float | None:
        """Seconds the API server's clock is ahead of ours; None when it is not known."""
        version = next(iter(self.snapshot.records[VERSION].values()), None)
        return None if version is None else version.clock_skew

    def heard(self, *kinds: Kind[object]) -> datetime:
        """The moment, by the API server's clock, for which what is known of these kinds holds.

        That is when the one that is silent for longest was last heard, not now: what a pod was when
        the connection broke says nothing of how long it stayed so.
        """
        read = [self.snapshot.health_of(kind).read_at for kind in kinds]
        oldest = min((moment for moment in read if moment is not None), default=self.now)
        skew = self.clock_skew or 0.0
        return min(oldest, self.now) + timedelta(seconds=skew if abs(skew) > CLOCKS_AGREE else 0.0)

    def _read(self, kind: Kind[object]) -> bool:
        health = self.snapshot.health_of(kind)
        return health.known or health.state is State.ABSENT
