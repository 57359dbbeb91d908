"""Clusters changed by one field, and BGP objects by hand, for the tests of the BGP rules."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec import inspect, structs

from app.diagnosis.catalog import linked
from app.diagnosis.rules.bgp_config import RULES
from app.model.case import Case
from app.model.finding import Finding, Severity
from app.state.kinds import CONFIG_MAPS, SERVICES
from app.state.snapshot import Snapshot, State
from collectors.cilium.records import (
    Advertisement,
    CiliumNode,
    ClusterConfig,
    NodeConfig,
    NodeConfigOverride,
    PeerConfig,
    PeeringPolicy,
)
from collectors.kubernetes.records import Condition, LabelSelector, Metadata, Object
from collectors.source import Keyed
from tests.recorded import changed, records_of, snapshot_of

NODE_NAMES = ("talos-cp-1", "talos-cp-2", "talos-cp-3")
WITHOUT_KEY = 'instance-64512: failed to fetch secret "bgp-auth": missing password key'
CONDITIONS = (
    "cilium.io/NoMatchingNode",
    "cilium.io/MissingPeerConfigs",
    "cilium.io/ConflictingClusterConfig",
    "cilium.io/MissingAuthSecret",
    "cilium.io/BGPReconcileError",
)
BAD = (Severity.FAIL, Severity.WARN)


@cache
def recording(name: str) -> Snapshot:
    """A recording as a snapshot."""
    return asyncio.run(snapshot_of(name))


def found(snapshot: Snapshot) -> tuple[Finding, ...]:
    """What the rules on the BGP configuration say, with causes."""
    case = Case(snapshot)
    return linked(finding for rule in RULES for finding in rule(case))


def told(snapshot: Snapshot, code: str) -> list[Finding]:
    """The findings of one code."""
    return [finding for finding in found(snapshot) if finding.code == code]


def bad_roots(snapshot: Snapshot) -> dict[str, Severity]:
    """Codes and severity of the fails and warnings that nothing explains."""
    return {f.code: f.severity for f in found(snapshot) if f.severity in BAD and f.root}


def put(snapshot: Snapshot, kind: str, *records: Keyed) -> Snapshot:
    """The snapshot with these records of a kind added or replaced."""
    known = records_of(snapshot, kind)
    return only(snapshot, kind, *{**known, **{r.key: r for r in records}}.values())


def only(snapshot: Snapshot, kind: str, *records: Keyed) -> Snapshot:
    """The snapshot with these records of a kind and no others."""
    return changed(snapshot, **{kind: MappingProxyType({r.key: r for r in records})})


def spec(record: Object, **fields: object) -> Object:
    """A record with fields of its spec replaced."""
    return structs.replace(record, spec=structs.replace(record.spec, **fields))  # type: ignore[attr-defined]


def respec(snapshot: Snapshot, kind: str, **fields: object) -> Snapshot:
    """The snapshot with fields of the spec of every record of a kind replaced."""
    return put(snapshot, kind, *(spec(r, **fields) for r in records_of(snapshot, kind).values()))


def relabelled(record: Object, **labels: str) -> Object:
    """A record with exactly these labels."""
    return structs.replace(record, metadata=structs.replace(record.metadata, labels=labels))


def renamed(record: Object, name: str) -> Object:
    """A copy of a record under another name."""
    return structs.replace(record, metadata=structs.replace(record.metadata, name=name))


def with_condition(record: Object, type_: str, status: str, message: str = "") -> Object:
    """A record whose status has this condition alone, with a reason that says nothing."""
    condition = Condition(type=type_, status=status, reason="Same", message=message)
    status_ = structs.replace(record.status, conditions=(condition,))  # type: ignore[attr-defined]
    return structs.replace(record, status=status_)


def configured(snapshot: Snapshot, **settings: str) -> Snapshot:
    """The snapshot with settings of `cilium-config`; `_` stands for `-`."""
    (config,) = snapshot.records[CONFIG_MAPS].values()
    data = {**config.data, **{key.replace("_", "-"): value for key, value in settings.items()}}
    return put(snapshot, "config_maps", structs.replace(config, data=data))


def health(snapshot: Snapshot, kind: str, state: State) -> Snapshot:
    """The snapshot with the source of a kind in another state; never read unless fresh or stale."""
    ever = state in (State.FRESH, State.STALE)
    changed_ = {
        label: replace(each, state=state, read_at=each.read_at if ever else None)
        if each.kind.name == kind
        else each
        for label, each in snapshot.health.items()
    }
    return changed(snapshot, health=MappingProxyType(changed_))


def unread(snapshot: Snapshot, kind: str, state: State = State.FORBIDDEN) -> Snapshot:
    """The snapshot without what this kind's source would have told."""
    return health(only(snapshot, kind), kind, state)


def without_balancers(snapshot: Snapshot) -> Snapshot:
    """The snapshot without services of type LoadBalancer."""
    left = [s for s in snapshot.records[SERVICES].values() if s.spec.type != "LoadBalancer"]
    return only(snapshot, "services", *left)


def served_by_another(snapshot: Snapshot) -> Snapshot:
    """The snapshot with another make serving the LoadBalancer services: no pool, no verdict."""
    services = [
        structs.replace(s, status=structs.replace(s.status, conditions=()))
        for s in snapshot.records[SERVICES].values()
    ]
    return only(only(snapshot, "services", *services), "pools")


def labels(**wanted: str) -> LabelSelector:
    """A selector of labels."""
    return LabelSelector(match_labels=wanted)


def meta(name: str, **labels_: str) -> Metadata:
    """Metadata of a cluster-scoped object."""
    return Metadata(name=name, labels=labels_)


def turned(snapshot: Snapshot) -> Snapshot:
    """The same snapshot with the BGP objects in the opposite order."""
    for kind in BGP_KINDS:
        snapshot = only(snapshot, kind, *list(records_of(snapshot, kind).values())[::-1])
    return snapshot


BGP_KINDS: dict[str, type[Object]] = {
    "cluster_configs": ClusterConfig,
    "peer_configs": PeerConfig,
    "advertisements": Advertisement,
    "node_configs": NodeConfig,
    "node_config_overrides": NodeConfigOverride,
    "peering_policies": PeeringPolicy,
    "cilium_nodes": CiliumNode,
}
_NAMES = ("talos-bgp", "router", "bgp", "instance-64512", *NODE_NAMES, "", "x y/z")
_WORDS = ("advertise", "bgp", "kubernetes.io/os", "linux", "")
_TYPES = ("Service", "PodCIDR", "CiliumPodIPPool", "odd", "LoadBalancerIP", "ExternalIP")
_ADDRESSES = ("172.29.51.1", "172.29.51.1/32", "fd00::1", "", "no address")


def texts(field: str) -> st.SearchStrategy[str]:
    """Words that may stand in a field, and at times what may not."""
    words = {
        "address": _ADDRESSES,
        "operator": ("In", "NotIn", "Exists", "DoesNotExist", "Like"),
        "afi": ("ipv4", "ipv6", "l2vpn"),
        "status": ("True", "False", "Unknown"),
        "message": ("", WITHOUT_KEY, "two\nlines"),
    }
    if field == "type":
        return st.sampled_from(CONDITIONS)
    for part, fitting in words.items():
        if part in field:
            return st.sampled_from(fitting)
    return st.sampled_from(_NAMES if "name" in field else (*_TYPES, *_WORDS, *CONDITIONS))


@st.composite
def clusters(draw: DrawFn) -> Snapshot:
    """A real cluster with some BGP objects that nobody would write."""
    snapshot = recording(draw(st.sampled_from(["healthy", "v1-healthy", "v2alpha1-healthy"])))
    change = draw(st.sampled_from([put, only]))
    for kind in draw(st.lists(st.sampled_from(sorted(BGP_KINDS)), max_size=4, unique=True)):
        records = draw(st.lists(_records(BGP_KINDS[kind]), max_size=2))
        snapshot = change(snapshot, kind, *records)
    return snapshot


@cache
def _records(record: type[Object]) -> st.SearchStrategy[Object]:
    return _values(inspect.type_info(record), "").map(
        lambda value: msgspec.convert(value, record, strict=False)
    )


def _values(info: inspect.Type, field: str) -> st.SearchStrategy[object]:
    match info:
        case inspect.StructType():
            needed: dict[str, st.SearchStrategy[object]] = {}
            free: dict[str, st.SearchStrategy[object]] = {}
            for each in info.fields:
                if each.name in ("managed_fields", "annotations", "uid", "namespace"):
                    continue
                wanted = each.required or each.name in ("spec", "status", "name")
                (needed if wanted else free)[each.encode_name] = _values(each.type, each.name)
            return st.fixed_dictionaries(needed, optional=free)
        case inspect.UnionType():
            return st.one_of(*(_values(each, field) for each in info.types))
        case inspect.VarTupleType():
            return st.lists(_values(info.item_type, field), max_size=2)
        case inspect.DictType():
            return st.dictionaries(texts("label"), texts("label"), max_size=2)
        case inspect.IntType():
            return st.sampled_from((0, 1, 179, 64512, 64513))
        case inspect.BoolType():
            return st.booleans()
        case inspect.DateTimeType():
            return st.sampled_from(("2026-11-23T04:00:00Z", "2026-11-22T04:00:00Z"))
        case inspect.NoneType():
            return st.none()
        case _:
            return texts(field)
