"""Services: every service of type LoadBalancer, its addresses, and who announces them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network

import msgspec

from app.diagnosis.service_path.path import HopState, PrefixPath, ServiceStatus
from app.model.case import Case
from app.model.desired_routes import backends
from app.model.finding import Health, rank
from app.model.lbipam import LoadBalancer, balancer_health, condition_words, load_balancers
from app.model.routes import Prefix, announced, announcers, announcers_of, routes_known
from app.model.selectors import selects, service_labels
from app.model.wording import age
from app.report.columns import (
    NONE,
    UNKNOWN,
    Cell,
    Column,
    Row,
    ScreenTable,
    Share,
    Table,
    TableColumn,
    listed,
)
from app.report.json import Item, item, seconds_since
from app.report.lines import NOTHING, SIGN, age_of
from app.state.derived import Memo
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
    last_transition_time: datetime | None = msgspec.field(name="since")


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
    by_prefix = announcers(snapshot)
    return tuple(_item(snapshot, found, by_prefix) for found in load_balancers(snapshot))


def _item(
    snapshot: Snapshot, balancer: LoadBalancer, by_prefix: Mapping[Prefix, tuple[str, ...]]
) -> ServiceItem:
    service, labels = balancer.service, service_labels(balancer.service)
    return item(
        ServiceItem,
        balancer,
        namespace=service.namespace,
        name=service.name,
        load_balancer_class=service.spec.load_balancer_class,
        addresses=tuple(
            AddressItem(
                ip=str(address),
                pool=pool or None,
                announced_by=announcers_of(address, by_prefix)
                if routes_known(snapshot, address.version)
                else None,
            )
            for address, pool in zip(balancer.addresses, balancer.pools, strict=True)
        ),
        selected_by=tuple(
            key
            for key, pool in sorted(snapshot.records[POOLS].items())
            if pool.spec.service_selector is None or selects(pool.spec.service_selector, labels)
        )
        if snapshot.health_of(POOLS).known
        else None,
        external_traffic_policy=service.spec.external_traffic_policy,
        endpoints=backends(snapshot, service.key),
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


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A service as a screen shows it."""

    balancer: LoadBalancer
    status: ServiceStatus
    case: Case

    @property
    def created(self) -> datetime | None:
        """When it was made."""
        return self.balancer.service.metadata.creation_timestamp

    @property
    def age(self) -> str:
        """How old it is."""
        return age_of(self.created, self.case.snapshot.taken_at)

    @property
    def made_of(self) -> tuple[object, ...] | None:
        """What its row changes with; None: with anything, as something was found about it."""
        status, balancer = self.status, self.balancer
        if status.findings or len(status.path.prefixes) != len(balancer.addresses):
            return None
        slices = self.case.snapshot.slices_by_service.get(balancer.service.key)
        return (slices, status.path, balancer, self.age)


def service_rows(services: Iterable[ServiceRow], memo: Memo) -> Iterator[Row]:
    """A row for each service."""
    return SCREEN.kept_rows(((service, service.made_of) for service in services), memo)


def _address_cell(row: ServiceRow) -> Cell:
    balancer = row.balancer
    first = balancer.addresses[0] if balancer.addresses else None
    order = None if first is None else (first.version, int(first))
    text = ", ".join((*map(str, balancer.addresses), *balancer.hostnames))
    return Cell(text or NOTHING, order, "" if text else "fail")


def _condition_cell(row: ServiceRow) -> Cell:
    health, words = balancer_health(row.balancer), condition_words(row.balancer)
    return Cell(f"{SIGN[health]} {words}", tone=health, value=words)


def _endpoints_cell(row: ServiceRow) -> Cell:
    found = backends(row.case.snapshot, row.balancer.service.key)
    if found is None:
        return Cell("?", -1)
    return Cell.share(Share(found.ready, found.total), tone="" if found.ready else "warn")


def announced_cell(row: ServiceRow) -> Cell:
    """`2/3`: announced by two of three nodes that should; of several addresses the worst.

    `?` where it is not known, `2/3?` where it is not known of some, `3/3+1` with one that should
    not. It is sorted by how many are missing.
    """
    path, addresses = row.status.path, row.balancer.addresses
    if not addresses:
        return Cell(NOTHING)
    found = [_announced_to(prefix) for prefix in path.prefixes]
    apart = any(hop.state is HopState.BROKEN for hop in path.hops if hop.name == "advertised")
    exact = {prefix.prefix for prefix in path.prefixes}
    for address in addresses:
        host = f"{address}/{address.max_prefixlen}"
        if host in exact or any(address in ip_network(prefix) for prefix in exact):
            continue
        extra = len(announced(row.case, address.version).nodes.get(host, ()))
        if apart or extra:
            cell = Cell.share(Share(0, 0, extra), -1, "fail" if apart else "warn")
            found.append((rank("fail"), 0.0, cell))
    return min(found, key=lambda entry: entry[:2])[2] if found else Cell(NOTHING)


def _announced_to(prefix: PrefixPath) -> tuple[int, float, Cell]:
    """How bad it is, the part that is announced, and the cell."""
    if prefix.expected is None:
        number = Share(len(prefix.actual or ()), None)
        return rank("unknown"), 0.0, Cell.share(number, -0.5, "unknown")
    expected = len(prefix.expected)
    if prefix.actual is None:
        return rank("unknown"), 0.0, Cell.share(Share(None, expected), -0.5, "unknown")
    by = len(prefix.right)
    part = by / expected if expected else 0.0
    health: Health = "ok"
    if prefix.missing:
        health = "warn" if by else "fail"
    elif prefix.extra:
        health = "warn"
    elif prefix.unknown:
        health = "unknown"
    found = Share(by, expected, len(prefix.extra), bool(prefix.unknown))
    return rank(health), part, Cell.share(found, part, "" if health == "ok" else health)


def _pools_cell(row: ServiceRow) -> Cell:
    return Cell(", ".join(dict.fromkeys(filter(None, row.balancer.pools))) or NOTHING)


def _labels_cell(row: ServiceRow) -> Cell:
    labels = sorted(row.balancer.service.metadata.labels.items())
    return Cell(", ".join(f"{key}={value}" for key, value in labels) or NOTHING)


COLUMNS: tuple[TableColumn[ServiceItem, ServiceRow], ...] = (
    TableColumn(
        Column("service", "SERVICE", cut_to=24), cell=lambda r: Cell(r.balancer.service.key)
    ),
    TableColumn(
        Column("address", "ADDRESS", least=13, cut_to=13, spare=1),
        get=_addresses,
        cell=_address_cell,
    ),
    TableColumn(Column("pool", "POOL", cut_to=8, spare=3), get=_pools, cell=_pools_cell),
    TableColumn(
        Column("condition", "CONDITION", least=11, cut_to=11, spare=2),
        header="LB-IPAM",
        get=_condition,
        cell=_condition_cell,
    ),
    TableColumn(
        Column("endpoints", "ENDPOINTS", right=True, spare=4), get=_endpoints, cell=_endpoints_cell
    ),
    TableColumn(
        Column("announced", "ANNOUNCED", right=True),
        header="ANNOUNCED BY",
        get=_announced,
        cell=announced_cell,
    ),
    TableColumn(
        Column("why", "WHY", cut_to=24), cell=lambda r: Cell.state(r.status.health, r.status.why)
    ),
    TableColumn(
        Column("policy", "POLICY", least=7, spare=5),
        get=lambda s: s.external_traffic_policy or "-",
        cell=lambda r: Cell(r.balancer.service.spec.external_traffic_policy or NOTHING),
    ),
    TableColumn(
        Column("namespace", "NAMESPACE", chosen=False),
        get=lambda s: s.namespace,
        cell=lambda r: Cell(r.balancer.service.namespace),
    ),
    TableColumn(Column("name", "NAME"), get=lambda s: s.name),
    TableColumn(
        Column("class", "CLASS", chosen=False),
        wide=True,
        get=lambda s: s.load_balancer_class or NONE,
        cell=lambda r: Cell(r.balancer.service.spec.load_balancer_class or NOTHING),
    ),
    TableColumn(
        Column("age", "AGE", right=True, chosen=False),
        get=lambda s: age(s.age),
        cell=lambda r: Cell.since(r.created, r.age),
    ),
    TableColumn(Column("labels", "LABELS", cut_to=20, chosen=False), cell=_labels_cell),
    TableColumn(
        Column("selected_by", "SELECTED BY"), wide=True, get=lambda s: listed(s.selected_by)
    ),
    TableColumn(Column("nodes", "NODES"), wide=True, get=_announcing_nodes),
)
TABLE = Table(
    kind="Services",
    needs=(SERVICES, POOLS, ENDPOINT_SLICES, *ADVERTISED.values(), *SESSION_KINDS),
    items=service_items,
    columns=COLUMNS,
    order="namespace name address pool endpoints policy announced selected_by nodes class age"
    " condition",
)
SCREEN = ScreenTable(
    COLUMNS,
    key=lambda row: row.balancer.service.key,
    health=lambda row: row.status.health,
    labels=lambda row: row.balancer.service.metadata.labels,
)
