"""What is known of the cluster at one moment: records by kind, and how each source is doing.

A snapshot never changes. The next one shares every mapping whose kind did not change, so
"did it change?" is `is`. Nothing here knows what a value means; that is the diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Never

from app.state.derived import Key, Memo, grouped
from app.state.kinds import ENDPOINT_SLICES, PODS, Kind, Records

if TYPE_CHECKING:
    # Named in annotations alone; reading them takes a third of the way to the first frame.
    from collectors.kubernetes.records import EndpointSlice, Pod


class State(StrEnum):
    """How a source is doing. Absence is data: none of these means "nothing is there"."""

    LOADING = "loading"
    """Asked, and no answer yet."""
    FRESH = "fresh"
    """Answered, and recently enough."""
    STALE = "stale"
    """Answered once; nothing was heard for longer than it should be quiet."""
    FORBIDDEN = "forbidden"
    """We lack the right."""
    ABSENT = "absent"
    """The kind is not served, the program is not installed."""
    FAILING = "failing"
    """The last attempt failed; another will be made."""
    OFF = "off"
    """Not read: switched off, or nothing needs it."""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How one source is doing, and how old what it last said is."""

    label: str
    """The source, in the operator's words."""
    kind: Kind[object]
    """What it feeds."""
    state: State
    since: datetime
    """When it came into this state."""
    read_at: datetime | None = None
    """When it last answered, or was heard to be alive; None: never."""
    took: float | None = None
    """Seconds its last full reading took."""
    error: str = ""
    """What went wrong last, while it is not fresh."""
    problems: tuple[str, ...] = ()
    """What its last reading could not tell; the reading is partial when there are any."""
    next_try: datetime | None = None
    """When it will be tried again, if it failed and waits."""

    @property
    def known(self) -> bool:
        """Whether it ever answered, so that its records (or their absence) mean something."""
        return self.read_at is not None


def _empty() -> Mapping[str, Never]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """Everything known at `taken_at`. Each mapping is by the record's key."""

    taken_at: datetime
    context: str = ""
    """The kubeconfig context it was read from."""
    cilium_namespace: str = "kube-system"
    setting_up: bool = False
    """Whether sources are still to come: none of those that are missing is switched off."""
    follows_logs: bool = False
    """Whether the log of an agent with a session in trouble is read as soon as there is one."""
    health: Mapping[str, SourceHealth] = field(default_factory=_empty)
    """By label, in the order in which the sources were set up."""

    records: Records = field(default_factory=Records)
    """What was read, by kind and key: `snapshot.records[PODS]`."""
    memo: Memo = field(default_factory=Memo, repr=False)
    """What was worked out from the snapshots before this one; `replace` hands it on."""

    def health_of(self, kind: Kind[object]) -> SourceHealth:
        """How the source of a kind is doing; the worst one where several feed it."""
        state = State.LOADING if self.setting_up else State.OFF
        return self._health_by_kind.get(kind) or SourceHealth(
            label=kind.name, kind=kind, state=state, since=self.taken_at
        )

    @cached_property
    def _health_by_kind(self) -> Mapping[Kind[object], SourceHealth]:
        worst: dict[Kind[object], SourceHealth] = {}
        for health in self.health.values():
            known = worst.get(health.kind)
            if known is None or _BADNESS[health.state] > _BADNESS[known.state]:
                worst[health.kind] = health
        return worst

    @cached_property
    def agents_by_node(self) -> Mapping[str, Pod]:
        """The agent pod of each node that has one; the newest where several are left over."""
        pods = self.records[PODS]
        agents = self.memo.by_key(_AGENTS, (pods,), (), partial(_agent, pods)).values
        return self.memo.of(_AGENTS_BY_NODE, (agents,), lambda: _by_node(agents))

    @cached_property
    def slices_by_service(self) -> Mapping[str, tuple[EndpointSlice, ...]]:
        """Endpoint slices by the key of their service; what did not change is the same object."""
        slices = self.records[ENDPOINT_SLICES]
        found = self.memo.of(_GROUPED, (slices,), lambda: _by_service(slices.values()))
        return self.memo.by_key(_SLICES, (found,), (), found.__getitem__).by_key


_AGENTS: Key[Pod] = Key()
_AGENTS_BY_NODE: Key[Mapping[str, Pod]] = Key()
_GROUPED: Key[Mapping[str, tuple[EndpointSlice, ...]]] = Key()
_SLICES: Key[EndpointSlice] = Key()

_BADNESS = {
    State.FRESH: 0,
    State.OFF: 1,
    State.LOADING: 2,
    State.STALE: 3,
    State.ABSENT: 4,
    State.FAILING: 5,
    State.FORBIDDEN: 6,
}


def _agent(pods: Mapping[str, Pod], key: str) -> tuple[Pod, ...]:
    """The pod, where it is an agent on a node."""
    pod = pods[key]
    is_agent = pod.metadata.labels.get("k8s-app") == "cilium" and pod.spec.node_name
    return (pod,) if is_agent else ()


def _by_node(agents: Iterable[Pod]) -> Mapping[str, Pod]:
    found: dict[str, Pod] = {}
    for pod in agents:
        known = found.get(pod.spec.node_name)
        if known is None or _created(pod) > _created(known):
            found[pod.spec.node_name] = pod
    return found


def _by_service(found: Iterable[EndpointSlice]) -> Mapping[str, tuple[EndpointSlice, ...]]:
    return grouped((each.service_key, each) for each in found)


def _created(pod: Pod) -> float:
    created = pod.metadata.creation_timestamp
    return created.timestamp() if created else 0.0
