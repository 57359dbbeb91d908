"""Services: every service of type LoadBalancer, its addresses, and who announces them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Never

from app.model.durations import age
from app.model.lbipam import LoadBalancer, load_balancers
from app.model.routes import Prefix, announcers, announcers_of, routes_known
from app.model.selectors import selects, service_labels
from app.model.service_endpoints import backends
from app.report.columns import TableColumn
from app.report.json import Item, seconds_since
from app.report.table import NONE, UNKNOWN, Table, listed
from app.state.kinds import ADVERTISED, ENDPOINT_SLICES, POOLS, SERVICES, SESSION_KINDS
from app.state.snapshot import Snapshot


class AddressItem(Item, frozen=True):
    """An address of a service."""

    ip: str
    pool: str | None
    announced_by: tuple[str, ...] | None


class ConditionItem(Item, frozen=True):
    """A condition."""

    status: str
    reason: str
    message: str
    since: datetime | None


class EndpointsItem(Item, frozen=True):
    """The endpoints of a service."""

    ready: int
    total: int
    nodes: tuple[str, ...]


class ServiceItem(Item, frozen=True):
    """A service of type LoadBalancer."""

    namespace: str
    name: str
    load_balancer_class: str | None
    addresses: tuple[AddressItem, ...]
    hostnames: tuple[str, ...]
    satisfied: bool | None
    condition: ConditionItem | None
    selected_by: tuple[str, ...] | None
    external_traffic_policy: str
    endpoints: EndpointsItem | None
    labels: dict[str, str]
    age: float | None


def service_items(snapshot: Snapshot) -> tuple[ServiceItem, ...]:
    """The services of type LoadBalancer."""
    announced = announcers(snapshot)
    return tuple(_item(snapshot, found, announced) for found in load_balancers(snapshot))


def _item(
    snapshot: Snapshot, balancer: LoadBalancer, announced: Mapping[Prefix, tuple[str, ...]]
) -> ServiceItem:
    service, condition = balancer.service, balancer.condition
    behind = backends(snapshot, service.key)
    labels = service_labels(service)
    return ServiceItem(
        namespace=service.namespace,
        name=service.name,
        load_balancer_class=service.spec.load_balancer_class,
        addresses=tuple(
            AddressItem(
                ip=str(address),
                pool=pool or None,
                announced_by=announcers_of(address, announced)
                if routes_known(snapshot, address.version)
                else None,
            )
            for address, pool in zip(balancer.addresses, balancer.pools, strict=True)
        ),
        hostnames=balancer.hostnames,
        satisfied=balancer.satisfied,
        condition=ConditionItem(
            condition.status, condition.reason, condition.message, condition.last_transition_time
        )
        if condition
        else None,
        selected_by=tuple(
            key
            for key, pool in sorted(snapshot.records[POOLS].items())
            if pool.spec.service_selector is None or selects(pool.spec.service_selector, labels)
        )
        if snapshot.health_of(POOLS).known
        else None,
        external_traffic_policy=service.spec.external_traffic_policy,
        endpoints=EndpointsItem(behind.ready, behind.total, behind.nodes) if behind else None,
        labels=service.metadata.labels,
        age=seconds_since(service.metadata.creation_timestamp, snapshot),
    )


def _addresses(service: ServiceItem) -> str:
    return ",".join([a.ip for a in service.addresses] + [*service.hostnames]) or "<pending>"


def _pools(service: ServiceItem) -> str:
    if not service.addresses:
        return "-"
    return listed(list(dict.fromkeys(a.pool or NONE for a in service.addresses)))


def _endpoints(service: ServiceItem) -> str:
    found = service.endpoints
    return UNKNOWN if found is None else f"{found.ready}/{found.total}"


def _announced(service: ServiceItem) -> str:
    nodes = (address.announced_by for address in service.addresses)
    return ",".join(UNKNOWN if each is None else str(len(each)) for each in nodes) or "-"


def _announcing_nodes(service: ServiceItem) -> str:
    nodes = {n for address in service.addresses for n in address.announced_by or ()}
    return listed(sorted(nodes))


def _condition(service: ServiceItem) -> str:
    found = service.condition
    if found is None:
        return "no verdict"
    if found.status == "True":
        return found.reason or "satisfied"
    return found.message or found.reason or found.status


def _selected_by(service: ServiceItem) -> str:
    return UNKNOWN if service.selected_by is None else listed(service.selected_by)


COLUMNS: tuple[TableColumn[ServiceItem, Never], ...] = (
    TableColumn("namespace", "NAMESPACE", get=lambda s: s.namespace),
    TableColumn("name", "NAME", get=lambda s: s.name),
    TableColumn("address", "ADDRESS", get=_addresses),
    TableColumn("pool", "POOL", get=_pools),
    TableColumn("endpoints", "ENDPOINTS", right=True, get=_endpoints),
    TableColumn("policy", "POLICY", get=lambda s: s.external_traffic_policy or "-"),
    TableColumn("announced", "ANNOUNCED BY", right=True, get=_announced),
    TableColumn("selected_by", "SELECTED BY", wide=True, get=_selected_by),
    TableColumn("nodes", "NODES", wide=True, get=_announcing_nodes),
    TableColumn("class", "CLASS", wide=True, get=lambda s: s.load_balancer_class or NONE),
    TableColumn("age", "AGE", right=True, get=lambda s: age(s.age)),
    TableColumn("condition", "LB-IPAM", get=_condition),
)
TABLE = Table(
    kind="Services",
    needs=(SERVICES, POOLS, ENDPOINT_SLICES, *ADVERTISED.values(), *SESSION_KINDS),
    items=service_items,
    columns=COLUMNS,
)
