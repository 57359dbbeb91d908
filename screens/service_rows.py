"""The LoadBalancer services as rows: address, verdict of LB-IPAM, who announces it, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING

from app.diagnosis.service_path.path import HopState, PrefixPath
from app.model.finding import rank
from app.model.lbipam import balancer_health, condition_words
from app.report.columns import Cell, Column, Row, SortValue
from app.report.format import age_of
from app.report.lines import NOTHING, SIGN

if TYPE_CHECKING:
    from app.diagnosis.service_path.path import ServicePath
    from app.diagnosis.service_status import ServiceStatus
    from app.model.lbipam import Address, LoadBalancer
    from app.model.service_endpoints import Serving
    from app.report.lines import Tone

COLUMNS = (
    Column("service", "SERVICE", cut_to=24),
    Column("address", "ADDRESS", least=13, cut_to=13, spare=1),
    Column("pool", "POOL", cut_to=8, spare=3),
    Column("condition", "CONDITION", least=11, cut_to=11, spare=2, holds="state"),
    Column("endpoints", "ENDPOINTS", right=True, spare=4, holds="share"),
    Column("announced", "ANNOUNCED", right=True, holds="share"),
    Column("why", "WHY", cut_to=24, holds="state"),
    Column("policy", "POLICY", least=7, spare=5),
    Column("namespace", "NAMESPACE", extra=True, chosen=False),
    Column("class", "CLASS", extra=True, chosen=False),
    Column("age", "AGE", right=True, extra=True, chosen=False, holds="since"),
    Column("labels", "LABELS", cut_to=20, extra=True, chosen=False),
)

AnnouncedBy = Callable[["Address"], tuple[str, ...]]
"""Nodes that announce an address that nobody is expected to."""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row of a service of which nothing was found, and what it was made of."""

    balancer: LoadBalancer
    path: ServicePath
    age: str
    row: Row


def service_rows(
    balancers: Mapping[str, LoadBalancer],
    told: Mapping[str, ServiceStatus],
    behind: Callable[[str], Serving | None],
    stray: AnnouncedBy,
    now: datetime,
    kept: dict[str, KeptRow],
) -> Iterator[Row]:
    """A row for each service that has a way; one that is as it was is the same row.

    `kept` are the rows of the last time, and will be those of this one.
    """
    last = dict(kept)
    kept.clear()
    for key, found in told.items():
        balancer = balancers[key]
        age = age_of(balancer.service.metadata.creation_timestamp, now)
        known = last.get(key)
        if (
            known is not None
            and known.path is found.path  # the way of a service that is well stays the same
            and known.balancer is balancer
            and known.age == age
            and not found.findings
        ):
            kept[key] = known
            yield known.row
            continue
        row = _row(balancer, found, behind(key), stray, age)
        if not found.findings and len(found.path.prefixes) == len(balancer.addresses):
            kept[key] = KeptRow(balancer, found.path, age, row)
        yield row


def announced_cell(path: ServicePath, balancer: LoadBalancer, stray: AnnouncedBy) -> Cell:
    """`2/3`: announced by two of three nodes that should; of several addresses the worst.

    `?` where it is not known, `2/3?` where it is not known of some, `3/3+1` with one that should
    not. It is sorted by how many are missing.
    """
    if not balancer.addresses:
        return Cell(NOTHING)
    found = [_told(prefix) for prefix in path.prefixes]
    apart = any(hop.state is HopState.BROKEN for hop in path.hops if hop.name == "advertised")
    exact = {prefix.prefix for prefix in path.prefixes}
    for address in balancer.addresses:
        if f"{address}/{address.max_prefixlen}" in exact or any(
            address in ip_network(prefix) for prefix in exact
        ):
            continue
        extra = len(stray(address))
        if apart or extra:
            more = f"+{extra}" if extra else ""
            found.append((rank("fail"), 0.0, Cell(f"0/0{more}", -1, "fail" if apart else "warn")))
    if not found:
        return Cell(NOTHING)
    return min(found, key=lambda entry: entry[:2])[2]


def _told(prefix: PrefixPath) -> tuple[int, float, Cell]:
    """How bad it is, the part that is announced, and the cell."""
    if prefix.expected is None:
        return rank("unknown"), 0.0, Cell(f"{len(prefix.actual or ())}/?", -0.5, "unknown")
    expected = len(prefix.expected)
    if prefix.actual is None:
        return rank("unknown"), 0.0, Cell(f"?/{expected}", -0.5, "unknown")
    by = len(prefix.right)
    share = by / expected if expected else 0.0
    text = f"{by}/{expected}{'?' if prefix.unknown else ''}"
    if prefix.extra:
        text += f"+{len(prefix.extra)}"
    tone: Tone = ""
    if prefix.missing:
        tone = "warn" if by else "fail"
    elif prefix.extra:
        tone = "warn"
    elif prefix.unknown:
        tone = "unknown"
    worst = {"": rank("ok"), "unknown": rank("unknown"), "warn": rank("warn")}.get(tone, 0)
    return worst, share, Cell(text, share, tone)


def _row(
    balancer: LoadBalancer,
    told: ServiceStatus,
    behind: Serving | None,
    stray: AnnouncedBy,
    age: str,
) -> Row:
    service, health = balancer.service, told.health
    condition = balancer_health(balancer)
    addresses = [str(address) for address in balancer.addresses] + list(balancer.hostnames)
    first = balancer.addresses[0] if balancer.addresses else None
    labels = service.metadata.labels
    created = service.metadata.creation_timestamp
    cells = (
        Cell(service.key),
        Cell(", ".join(addresses) or NOTHING, _address_order(first), "" if addresses else "fail"),
        Cell(", ".join(dict.fromkeys(filter(None, balancer.pools))) or NOTHING),
        Cell(f"{SIGN[condition]} {condition_words(balancer)}", tone=condition),
        _endpoints_cell(behind),
        announced_cell(told.path, balancer, stray),
        Cell(f"{SIGN[health]} {told.why}".rstrip(), rank(health), health),
        Cell(service.spec.external_traffic_policy or NOTHING),
        Cell(service.namespace),
        Cell(service.spec.load_balancer_class or NOTHING),
        Cell(age, -created.timestamp() if created else None),
        Cell(", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or NOTHING),
    )
    return Row(service.key, cells, health=health, labels=labels)


def _endpoints_cell(behind: Serving | None) -> Cell:
    if behind is None:
        return Cell("?", -1)
    return Cell(f"{behind.ready}/{behind.total}", behind.ready, "" if behind.ready else "warn")


def _address_order(address: Address | None) -> SortValue:
    return None if address is None else (address.version, int(address))
