"""What `get policies` and `get endpoints` tell of each thing, and in which columns."""

from __future__ import annotations

from collections.abc import Mapping

from app.model.durations import age
from app.model.policies import Policy, labels_of, policies
from app.report.items import Item, age_of
from app.report.table import UNKNOWN, Column, listed, sign
from app.state.kinds import CILIUM_ENDPOINTS
from app.state.kinds import POLICIES as KINDS_OF_POLICY
from app.state.snapshot import Snapshot
from collectors.cilium.records import CiliumEndpoint, EndpointPolicy, Enforcement


class DirectionItem(Item, frozen=True):
    """What a policy is about in one direction."""

    rules: bool
    """Whether it has anything to say of it."""
    default_deny: bool
    """Whether it denies what no policy allows."""


class PolicyItem(Item, frozen=True):
    """A network policy of any kind."""

    kind: str
    namespace: str | None
    name: str
    selector: str
    valid: bool | None
    message: str
    ingress: DirectionItem
    egress: DirectionItem
    endpoints: int | None
    age: float | None


class EndpointItem(Item, frozen=True):
    """A pod as Cilium has it."""

    namespace: str
    name: str
    number: int
    state: str
    identity: int
    labels: tuple[str, ...]
    addresses: tuple[str, ...]
    node_address: str
    ingress_enforced: bool | None
    egress_enforced: bool | None
    health: str | None
    policies: tuple[str, ...] | None
    age: float | None


def policy_items(snapshot: Snapshot) -> tuple[PolicyItem, ...]:
    """The policies."""
    counts = _counts(snapshot) if snapshot.health_of(CILIUM_ENDPOINTS).known else None
    return tuple(_policy_item(snapshot, policy, counts) for policy in policies(snapshot))


def endpoint_items(snapshot: Snapshot) -> tuple[EndpointItem, ...]:
    """The endpoints, each with the policies that select it."""
    known = any(snapshot.health_of(kind).known for kind in KINDS_OF_POLICY)
    return tuple(
        _endpoint_item(snapshot, endpoint, _selecting(snapshot, endpoint) if known else None)
        for _, endpoint in sorted(snapshot.records[CILIUM_ENDPOINTS].items())
    )


def _counts(snapshot: Snapshot) -> Mapping[str, int]:
    """How many endpoints each policy selects."""
    counts: dict[str, int] = {}
    for endpoint in snapshot.records[CILIUM_ENDPOINTS].values():
        for name in _selecting(snapshot, endpoint):
            counts[name] = counts.get(name, 0) + 1
    return counts


def _selecting(snapshot: Snapshot, endpoint: CiliumEndpoint) -> tuple[str, ...]:
    labels = labels_of(endpoint)
    return tuple(
        _name(policy)
        for policy in policies(snapshot)
        if any(policy.selected(endpoint.namespace, labels))
    )


def _name(policy: Policy) -> str:
    return f"{policy.kind} {policy.record.key}"


def _policy_item(
    snapshot: Snapshot, policy: Policy, counts: Mapping[str, int] | None
) -> PolicyItem:
    rules = policy.subjects
    return PolicyItem(
        kind=policy.kind,
        namespace=policy.record.namespace or None,
        name=policy.record.name,
        selector=policy.selector,
        valid=False if policy.fault else policy.valid,
        message=policy.fault,
        ingress=DirectionItem(
            any(each.about_ingress for each in rules), any(each.denies_ingress for each in rules)
        ),
        egress=DirectionItem(
            any(each.about_egress for each in rules), any(each.denies_egress for each in rules)
        ),
        endpoints=None if counts is None else counts.get(_name(policy), 0),
        age=age_of(snapshot, policy.record),
    )


def _endpoint_item(
    snapshot: Snapshot, endpoint: CiliumEndpoint, selecting: tuple[str, ...] | None
) -> EndpointItem:
    status = endpoint.status
    policy = status.policy or EndpointPolicy()
    pairs = ((each.ipv4, each.ipv6) for each in status.networking.addressing)
    return EndpointItem(
        namespace=endpoint.namespace,
        name=endpoint.name,
        number=status.id,
        state=status.state,
        identity=status.identity.id,
        labels=status.identity.labels,
        addresses=tuple(address for pair in pairs for address in pair if address),
        node_address=status.networking.node,
        ingress_enforced=_enforced(policy.ingress),
        egress_enforced=_enforced(policy.egress),
        health=status.health.overall_health if status.health else None,
        policies=selecting,
        age=age_of(snapshot, endpoint),
    )


def _enforced(told: Enforcement | None) -> bool | None:
    return None if told is None else told.enforcing


def _direction(told: DirectionItem) -> str:
    if not told.rules:
        return "-"
    return "default deny" if told.default_deny else "rules"


POLICIES = (
    Column[PolicyItem]("KIND", lambda p: p.kind),
    Column[PolicyItem]("NAMESPACE", lambda p: p.namespace or "-"),
    Column[PolicyItem]("NAME", lambda p: p.name),
    Column[PolicyItem]("VALID", lambda p: sign(p.valid)),
    Column[PolicyItem]("INGRESS", lambda p: _direction(p.ingress)),
    Column[PolicyItem]("EGRESS", lambda p: _direction(p.egress)),
    Column[PolicyItem](
        "ENDPOINTS", lambda p: UNKNOWN if p.endpoints is None else str(p.endpoints), right=True
    ),
    Column[PolicyItem]("SELECTS", lambda p: p.selector),
    Column[PolicyItem]("AGE", lambda p: age(p.age), wide=True, right=True),
    Column[PolicyItem]("MESSAGE", lambda p: p.message or "-", wide=True),
)
ENDPOINTS = (
    Column[EndpointItem]("NAMESPACE", lambda e: e.namespace),
    Column[EndpointItem]("NAME", lambda e: e.name),
    Column[EndpointItem]("STATE", lambda e: e.state or UNKNOWN),
    Column[EndpointItem]("IDENTITY", lambda e: str(e.identity or UNKNOWN), right=True),
    Column[EndpointItem]("ADDRESSES", lambda e: listed(e.addresses)),
    Column[EndpointItem]("NODE ADDRESS", lambda e: e.node_address or UNKNOWN),
    Column[EndpointItem](
        "POLICIES", lambda e: UNKNOWN if e.policies is None else str(len(e.policies)), right=True
    ),
    Column[EndpointItem](
        "SELECTED BY",
        lambda e: UNKNOWN if e.policies is None else listed(e.policies),
        wide=True,
    ),
    Column[EndpointItem]("INGRESS ENFORCED", lambda e: sign(e.ingress_enforced), wide=True),
    Column[EndpointItem]("EGRESS ENFORCED", lambda e: sign(e.egress_enforced), wide=True),
    Column[EndpointItem]("HEALTH", lambda e: e.health or "-", wide=True),
    Column[EndpointItem]("LABELS", lambda e: listed(e.labels), wide=True),
    Column[EndpointItem]("AGE", lambda e: age(e.age), right=True),
)
