"""Random clusters for hypothesis: real ones with parts taken away, made up, or never read.

Records are made up from their own types, with words that mean something to the rules, so that the
wildest combinations occur; nothing that a record cannot hold is made.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from types import MappingProxyType
from typing import get_args, get_type_hints

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec import inspect

from app.state import kinds
from app.state.derived import Memo
from app.state.kinds import KINDS, Kind
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.cilium import command_records
from collectors.cilium import records as cilium_records
from collectors.kubernetes import records as kubernetes_records
from collectors.logs import lines
from collectors.source import Keyed
from tests.recorded import NAMES, changed, snapshot_of

BASES = NAMES
"""Recordings that random clusters begin as."""

_NAMES = ("grafana", "bgp-default", "talos-cp-1", "talos-cp-2", "udm-pro", "router", "cilium", "x")
_NAMESPACES = ("home", "kube-system", "media", "")
_ADDRESSES = (
    "172.29.51.1",
    "172.29.51.11",
    "172.29.52.100",
    "172.29.52.200",
    "fd47:25e1:2f96:52::a",
    "::ffff:172.29.52.100",
    "",
    "not an address",
)
_PREFIXES = (
    "172.29.52.96/27",
    "172.29.52.100/32",
    "fd47:25e1:2f96:52::/64",
    "fd47:25e1:2f96:52::a/128",
    "0.0.0.0/0",
    "10.0.0.5/8",
    "",
    "300.1.1.1/99",
)
_LABELS = ("io.cilium/lb-ipam-pool", "app", "advertise", "k8s-app", "io.kubernetes.service.name")
_VALUES = ("bgp-default", "bgp-defualt", "bgp", "grafana", "cilium", "cilium-operator", "")
_TYPES = (
    "LoadBalancer",
    "ClusterIP",
    "Ready",
    "Service",
    "PodCIDR",
    "InternalIP",
    "cilium.io/IPAMRequestSatisfied",
    "cilium.io/PoolConflict",
    "cilium.io/IPsTotal",
    "cilium.io/IPsAvailable",
    "cilium.io/MissingPeerConfigs",
    "cilium.io/BGPReconcileError",
    "Valid",
)
_STATUSES = ("True", "False", "Unknown")
_OTHER = (
    *("Local", "Cluster", "established", "active", "idle", "ipv4", "ipv6", "unicast"),
    *("In", "NotIn", "Exists", "DoesNotExist", "LoadBalancerIP", "ExternalIP", "TCP", "3", "0"),
    *("io.cilium/bgp-control-plane", "kubernetes", "CrashLoopBackOff", "OOMKilled"),
    *("Ingress", "Egress", "k8s:app=grafana", "reserved:world", "world"),
)
_NAMESPACED = frozenset(
    {
        *("pods", "services", "endpoint_slices", "events", "config_maps", "daemon_sets"),
        *("deployments", "leases", "network_policies", "cilium_policies", "cilium_endpoints"),
    }
)
_WORDS = (
    # what a field is called, and what stands there
    (re.compile(r"prefix|cidr|nlri"), _PREFIXES),
    (re.compile(r"address|^ip|ips$|neighbor|hop|start|stop|cluster_ip"), _ADDRESSES),
    (re.compile(r"namespace"), _NAMESPACES),
    (re.compile(r"^type$"), _TYPES),
    (re.compile(r"status"), _STATUSES),
    (re.compile(r"name|node|peer|pod|kind|holder"), _NAMES),
)

Keys = SearchStrategy[str]


@cache
def base(name: str) -> Snapshot:
    """A recording as a snapshot."""
    return asyncio.run(snapshot_of(name))


@cache
def record_types() -> Mapping[str, type]:
    """The record of each kind that a snapshot holds."""
    found = {}
    # The registry names its records for the type checker alone; their modules have them.
    names = {
        **vars(command_records),
        **vars(lines),
        "cilium": cilium_records,
        "kubernetes": kubernetes_records,
    }
    for name, hint in get_type_hints(kinds, localns=names).items():
        if isinstance(kind := getattr(kinds, name), Kind):
            (found[kind.name],) = get_args(hint)
    assert found.keys() == KINDS.keys()
    return found


@cache
def records(kind: str) -> SearchStrategy[Keyed]:
    """Made-up records of a kind."""
    record = record_types()[kind]

    def made(document: object) -> Keyed:
        if isinstance(document, dict) and isinstance(metadata := document.get("metadata"), dict):
            metadata["name"] = metadata["name"] or "x"
            metadata["namespace"] = metadata.get("namespace") or "home"
            if kind not in _NAMESPACED:
                del metadata["namespace"]
        return msgspec.convert(document, record, strict=False)

    return _strategy(inspect.type_info(record), "").map(made)


class Cluster:
    """A random cluster; shown by what was made up, for a whole snapshot is long."""

    def __init__(self, snapshot: Snapshot, like: str, story: str) -> None:
        self.snapshot = snapshot
        self._story = f"like {like}: {story}"

    def __repr__(self) -> str:
        return self._story[:8_000]


@st.composite
def clusters(draw: DrawFn) -> Cluster:
    """A real cluster, with some kinds made up, thinned out, or never read."""
    like = draw(st.sampled_from(BASES))
    snapshot = base(like)
    touched = draw(st.lists(st.sampled_from(sorted(record_types())), max_size=6, unique=True))
    kinds: dict[str, object] = {}
    for kind in touched:
        known = snapshot.records[KINDS[kind]]
        left = draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
        made = draw(st.lists(records(kind), max_size=3))
        mixed = {key: known[key] for key in left} | {record.key: record for record in made}
        kinds[kind] = MappingProxyType(mixed)
    silent = draw(st.dictionaries(st.sampled_from(sorted(snapshot.health)), _states(), max_size=5))
    health = {
        label: _silenced(each, silent[label]) if label in silent else each
        for label, each in snapshot.health.items()
    }
    for each in health.values():
        if each.read_at is None:
            kinds[each.kind.name] = MappingProxyType({})
    altered = changed(snapshot, health=MappingProxyType(health), memo=Memo(), **kinds)
    shown = {kind: tuple(altered.records[KINDS[kind]].values())[-3:] for kind in touched}
    return Cluster(altered, like, f"{shown} {silent}")


def permuted(snapshot: Snapshot, order: int) -> Snapshot:
    """The same snapshot, seen anew, with the records of every kind in another order."""
    kinds: dict[str, object] = {}
    for kind in (*record_types(), "health"):
        found = snapshot.health if kind == "health" else snapshot.records[KINDS[kind]]
        items = list(found.items())
        turned = items[order % max(1, len(items)) :] + items[: order % max(1, len(items))]
        kinds[kind] = MappingProxyType(dict(turned[::-1] if order % 2 else turned))
    return changed(snapshot, memo=Memo(), **kinds)


def _states() -> SearchStrategy[tuple[State, bool]]:
    return st.tuples(st.sampled_from(State), st.booleans())


def _silenced(health: SourceHealth, how: tuple[State, bool]) -> SourceHealth:
    state, ever = how
    read_at = health.read_at if ever or state is State.FRESH else None
    return SourceHealth(
        health.label, health.kind, state, health.since, read_at=read_at, error="it does not answer"
    )


def _strategy(info: inspect.Type, name: str) -> SearchStrategy[object]:
    match info:
        case inspect.StructType() | inspect.DataclassType():
            return _struct(info)
        case inspect.StrType():
            return _text(name)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.sampled_from((0, 1, 2, 3, 30, 90, 179, 64512, 64513))
        case inspect.FloatType():
            return st.sampled_from((0.0, 1.5, 30.0, 86_400.0))
        case inspect.NoneType():
            return st.none()
        case inspect.DateTimeType():
            return _moments()
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.UnionType():
            return st.one_of(*(_strategy(each, name) for each in info.types))
        case inspect.VarTupleType() | inspect.ListType() | inspect.CollectionType():
            return st.lists(_strategy(info.item_type, name), max_size=2)
        case inspect.TupleType():
            return st.tuples(*(_strategy(each, name) for each in info.item_types))
        case inspect.DictType() if name == "labels":
            return st.dictionaries(st.sampled_from(_LABELS), st.sampled_from(_VALUES), max_size=3)
        case inspect.DictType():
            return st.dictionaries(_text("key"), _strategy(info.value_type, name), max_size=2)
        case inspect.BytesType():
            return st.just("")
        case inspect.EnumType():
            return st.sampled_from([each.value for each in info.cls])
    raise NotImplementedError(f"{name}: {info}")


def _struct(info: inspect.StructType | inspect.DataclassType) -> SearchStrategy[object]:
    needed, free = {}, {}
    for each in info.fields:
        strategy = _later(each.type, each.name)
        if each.required or each.name in ("spec", "status", "labels"):
            needed[each.encode_name] = strategy
        else:
            free[each.encode_name] = strategy
    return st.fixed_dictionaries(needed, optional=free)


def _later(info: inspect.Type, name: str) -> SearchStrategy[object]:
    """Types contain each other: made when it is first drawn from."""
    return st.deferred(lambda: _strategy(info, name))


@cache
def _text(name: str) -> SearchStrategy[str]:
    words = next((words for pattern, words in _WORDS if pattern.search(name)), _OTHER)
    everything = (*_NAMES, *_ADDRESSES, *_PREFIXES, *_LABELS, *_VALUES, *_TYPES, *_OTHER)
    # Mostly what may stand there; at times what stands elsewhere.
    return st.one_of(*[st.sampled_from(words)] * 6, st.sampled_from(everything))


@cache
def _moments() -> SearchStrategy[object]:
    now = base("healthy").taken_at
    return st.sampled_from((-86_400, -600, -45, -5, 0, 5)).map(
        lambda seconds: (now + timedelta(seconds=seconds)).isoformat()
    )
