"""Policies: network policies of all kinds, and how many endpoints each selects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Never

from app.model.policies import Policy, labels_of, policies
from app.model.wording import age
from app.report.columns import Column, Table, TableColumn, optional, sign
from app.report.json import Item, item, seconds_since
from app.state.kinds import CILIUM_ENDPOINTS, POLICIES
from app.state.snapshot import Snapshot
from collectors.cilium.records import CiliumEndpoint


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


def policy_items(snapshot: Snapshot) -> tuple[PolicyItem, ...]:
    """The policies."""
    counts = _counts(snapshot) if snapshot.health_of(CILIUM_ENDPOINTS).known else None
    return tuple(_item(snapshot, policy, counts) for policy in policies(snapshot))


def _counts(snapshot: Snapshot) -> Mapping[str, int]:
    """How many endpoints each policy selects."""
    counts: dict[str, int] = {}
    for endpoint in snapshot.records[CILIUM_ENDPOINTS].values():
        for name in selecting(snapshot, endpoint):
            counts[name] = counts.get(name, 0) + 1
    return counts


def selecting(snapshot: Snapshot, endpoint: CiliumEndpoint) -> tuple[str, ...]:
    """The policies that select an endpoint: `CiliumNetworkPolicy home/web`."""
    labels = labels_of(endpoint)
    return tuple(
        _name(policy)
        for policy in policies(snapshot)
        if any(policy.selected(endpoint.namespace, labels))
    )


def _name(policy: Policy) -> str:
    return f"{policy.kind} {policy.record.key}"


def _item(snapshot: Snapshot, policy: Policy, counts: Mapping[str, int] | None) -> PolicyItem:
    rules = policy.subjects
    return item(
        PolicyItem,
        policy,
        namespace=policy.record.namespace or None,
        name=policy.record.name,
        valid=False if policy.fault else policy.valid,
        message=policy.fault,
        ingress=DirectionItem(
            any(each.about_ingress for each in rules), any(each.denies_ingress for each in rules)
        ),
        egress=DirectionItem(
            any(each.about_egress for each in rules), any(each.denies_egress for each in rules)
        ),
        endpoints=None if counts is None else counts.get(_name(policy), 0),
        age=seconds_since(policy.record.metadata.creation_timestamp, snapshot),
    )


def _direction(found: DirectionItem) -> str:
    if not found.rules:
        return "-"
    return "default deny" if found.default_deny else "rules"


COLUMNS: tuple[TableColumn[PolicyItem, Never], ...] = (
    TableColumn(Column("kind", "KIND"), get=lambda p: p.kind),
    TableColumn(Column("namespace", "NAMESPACE"), get=lambda p: p.namespace or "-"),
    TableColumn(Column("name", "NAME"), get=lambda p: p.name),
    TableColumn(Column("valid", "VALID"), get=lambda p: sign(p.valid)),
    TableColumn(Column("ingress", "INGRESS"), get=lambda p: _direction(p.ingress)),
    TableColumn(Column("egress", "EGRESS"), get=lambda p: _direction(p.egress)),
    TableColumn(Column("endpoints", "ENDPOINTS", right=True), get=lambda p: optional(p.endpoints)),
    TableColumn(Column("selects", "SELECTS"), get=lambda p: p.selector),
    TableColumn(Column("age", "AGE", right=True), wide=True, get=lambda p: age(p.age)),
    TableColumn(Column("message", "MESSAGE"), wide=True, get=lambda p: p.message or "-"),
)
TABLE = Table(
    kind="Policies",
    needs=(*POLICIES, CILIUM_ENDPOINTS),
    items=policy_items,
    columns=COLUMNS,
)
