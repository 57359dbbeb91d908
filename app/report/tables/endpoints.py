"""Endpoints: the pods as Cilium has them, each with the policies that select it."""

from __future__ import annotations

from typing import Never

from app.model.wording import age
from app.report.columns import UNKNOWN, Column, Table, TableColumn, listed, sign
from app.report.json import Item, item, seconds_since
from app.report.tables.policies import selecting
from app.state.kinds import CILIUM_ENDPOINTS, POLICIES
from app.state.snapshot import Snapshot
from collectors.cilium.records import CiliumEndpoint, EndpointPolicy, Enforcement


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


def endpoint_items(snapshot: Snapshot) -> tuple[EndpointItem, ...]:
    """The endpoints, each with the policies that select it."""
    known = any(snapshot.health_of(kind).known for kind in POLICIES)
    return tuple(
        _item(snapshot, endpoint, selecting(snapshot, endpoint) if known else None)
        for _, endpoint in sorted(snapshot.records[CILIUM_ENDPOINTS].items())
    )


def _item(
    snapshot: Snapshot, endpoint: CiliumEndpoint, selected_by: tuple[str, ...] | None
) -> EndpointItem:
    status = endpoint.status
    policy = status.policy or EndpointPolicy()
    pairs = ((each.ipv4, each.ipv6) for each in status.networking.addressing)
    return item(
        EndpointItem,
        endpoint,
        number=status.id,
        state=status.state,
        identity=status.identity.id,
        labels=status.identity.labels,
        addresses=tuple(address for pair in pairs for address in pair if address),
        node_address=status.networking.node,
        ingress_enforced=_enforced(policy.ingress),
        egress_enforced=_enforced(policy.egress),
        health=status.health.overall_health if status.health else None,
        policies=selected_by,
        age=seconds_since(endpoint.metadata.creation_timestamp, snapshot),
    )


def _enforced(found: Enforcement | None) -> bool | None:
    return None if found is None else found.enforcing


COLUMNS: tuple[TableColumn[EndpointItem, Never], ...] = (
    TableColumn(Column("namespace", "NAMESPACE"), get=lambda e: e.namespace),
    TableColumn(Column("name", "NAME"), get=lambda e: e.name),
    TableColumn(Column("state", "STATE"), get=lambda e: e.state or UNKNOWN),
    TableColumn(
        Column("identity", "IDENTITY", right=True), get=lambda e: str(e.identity or UNKNOWN)
    ),
    TableColumn(Column("addresses", "ADDRESSES"), get=lambda e: listed(e.addresses)),
    TableColumn(Column("node_address", "NODE ADDRESS"), get=lambda e: e.node_address or UNKNOWN),
    TableColumn(
        Column("policies", "POLICIES", right=True),
        get=lambda e: UNKNOWN if e.policies is None else str(len(e.policies)),
    ),
    TableColumn(Column("selected_by", "SELECTED BY"), wide=True, get=lambda e: listed(e.policies)),
    TableColumn(
        Column("ingress", "INGRESS ENFORCED"), wide=True, get=lambda e: sign(e.ingress_enforced)
    ),
    TableColumn(
        Column("egress", "EGRESS ENFORCED"), wide=True, get=lambda e: sign(e.egress_enforced)
    ),
    TableColumn(Column("health", "HEALTH"), wide=True, get=lambda e: e.health or "-"),
    TableColumn(Column("labels", "LABELS"), wide=True, get=lambda e: listed(e.labels)),
    TableColumn(Column("age", "AGE", right=True), get=lambda e: age(e.age)),
)
TABLE = Table(
    kind="Endpoints",
    needs=(CILIUM_ENDPOINTS, *POLICIES),
    items=endpoint_items,
    columns=COLUMNS,
)
