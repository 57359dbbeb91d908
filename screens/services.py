"""Services: every LoadBalancer service, and the way of the selected one, hop by hop."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.service_path.path import service_statuses
from app.model.finding import Health, Ref
from app.model.lbipam import LoadBalancer
from app.model.service_requests import permitted_namespaces, request_of, sharing_key
from app.report.explanation import status_page, status_summary
from app.report.lines import Line, Span, age_of, by_health, plain, wrapped
from app.report.tables.services import SCREEN, ServiceRow, service_rows
from app.state import kinds
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import Place
from screens.base.detail_screen import Items, ItemsScreen
from screens.base.empty_state import content
from screens.base.selection import (
    Equivalent,
    Selection,
    ciliscope,
    cilium,
    in_namespace,
    kubectl,
    named,
    selection_of,
)
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.scroll_text import Layout

ROUTES = tuple(kinds.ADVERTISED.values())
SHOWN = (kinds.SERVICES, kinds.POOLS, kinds.ENDPOINT_SLICES, *ROUTES)
"""What tells of addresses and of who announces them."""
READS = (
    *SHOWN,
    kinds.NODE_CONFIGS,
    kinds.BGP_PEERS,
    kinds.PODS,
    kinds.NODES,
    kinds.CILIUM_NODES,
    kinds.CLUSTER_CONFIGS,
    kinds.PEER_CONFIGS,
    kinds.ADVERTISEMENTS,
    kinds.PEERING_POLICIES,
    kinds.L2_POLICIES,
    kinds.CONFIG_MAPS,
    kinds.DAEMON_SETS,
    kinds.DEPLOYMENTS,
)


def picture(snapshot: Snapshot, judge: Diagnoser) -> Items[ServiceRow]:
    """The LoadBalancer services, one row each."""
    table = partial(
        content,
        snapshot,
        kinds=(kinds.SERVICES,),
        what="LoadBalancer services",
        beside=(kinds.POOLS, kinds.ENDPOINT_SLICES, *ROUTES),
    )
    if snapshot.setting_up or not snapshot.health_of(kinds.SERVICES).known:
        return Items(content=table(rows=()))
    case = judge.case(snapshot)
    statuses = service_statuses(judge.paths(snapshot), judge.verdict(snapshot).findings)
    balancers = {balancer.service.key: balancer for balancer in case.balancers}
    rows = {key: ServiceRow(balancers[key], status, case) for key, status in statuses.items()}
    services = table(rows=service_rows(rows.values(), case.memo))
    return Items(_headline(case.balancers, services), services, rows)


def _headline(balancers: Sequence[LoadBalancer], services: Content) -> Line:
    """`4 of 5 with an address`, and how many are not well."""
    if not balancers:
        return ()
    addressed = sum(bool(b.addresses or b.hostnames) for b in balancers)
    words: dict[Health, str] = {"fail": "broken", "warn": "odd", "unknown": "not known"}
    amiss = by_health((row.health for row in services.rows), words)
    return (Span(f"{addressed} of {len(balancers)} with an address"), *amiss)


class ServicesScreen(ItemsScreen[ServiceRow]):
    """The LoadBalancer services, and the way of the selected one."""

    title_text = "Services"
    new_table = staticmethod(partial(LiveTable, SCREEN.columns, order=("service",), id="services"))
    reads = READS
    sources = SHOWN
    demands = ROUTES
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("0", "namespace(0)", "all namespaces", show=False, id="services.namespaces"),
        *(
            Binding(
                str(place),
                f"namespace({place})",
                "one namespace, by its number of services",
                show=False,
                id=f"services.namespace_{place}",
            )
            for place in range(1, 10)
        ),
    ]

    def picture(self, snapshot: Snapshot) -> Items[ServiceRow]:
        """The LoadBalancer services as rows."""
        return picture(snapshot, self.link.judge)

    def detail(self) -> Layout | None:
        """The way of the selected service, and where there is room the facts."""
        row = self.item
        if row is None:
            return None
        balancer, status, now = row.balancer, row.status, self.snapshot.taken_at
        if not self.roomy:
            return partial(status_summary, status)
        return lambda width: [*status_page(status, width), *fact_lines(balancer, now, width)]

    def selection(self) -> Selection | None:
        """The selected service."""
        key = self.table.selected
        return selection_of(named("service", key)) if key else None

    def select_object(self, ref: Ref) -> None:
        """Select a service; of a pool the first that has an address of it."""
        if ref.kind == "Service":
            self.table.select(f"{ref.namespace}/{ref.name}")
        elif ref.kind == "CiliumLoadBalancerIPPool":
            found = self.items.details.items()
            held = (key for key, row in found if ref.name in row.balancer.pools)
            self.table.select(next(held, ""))

    def action_namespace(self, place: int) -> None:
        """Show the services of one namespace, 1 for the one with the most; 0 for all of them."""
        rows = self.items.details.values()
        number = Counter(row.balancer.service.namespace for row in rows)
        most = sorted(number, key=lambda name: (-number[name], name))
        names = "  ".join(f"{at} {name}" for at, name in enumerate(most[:9], 1))
        if place > len(most):
            self.flash(f"there is no namespace {place}; 0 all  {names}")
            return
        chosen = most[place - 1] if place else ""
        text = in_namespace(self.table.filter_text, chosen)
        if text is None:
            self.flash("the filter is of labels or letters: Esc, and then a digit")
        elif problem := self.table.filter_by(text):
            self.flash(problem)
        else:
            self.flash(f"namespace {chosen}; 0 shows all" if chosen else f"all namespaces  {names}")

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows the selected service by hand, then all of them."""
        snapshot, chosen = self.snapshot, self.selection()
        found: list[Equivalent] = []
        if chosen is not None:
            name, where = shlex.quote(chosen.ref.name), f"-n {shlex.quote(chosen.ref.namespace)}"
            label = shlex.quote(f"kubernetes.io/service-name={chosen.ref.name}")
            verdict = "the service, with LB-IPAM's verdict in status.conditions"
            found += [
                kubectl(snapshot, verdict, f"get service {name} {where} -o yaml"),
                kubectl(
                    snapshot, "its endpoints", f"get endpointslices {where} -l {label} -o wide"
                ),
                ciliscope(snapshot, "its way, hop by hop", "explain", *chosen.question),
            ]
        for version in self._versions(chosen):
            tells = f"which nodes announce it to which peer, IPv{version}"
            found.append(cilium(snapshot, tells, f"bgp routes advertised ipv{version} unicast"))
        listed = kubectl(snapshot, "all services", "get services --all-namespaces -o wide")
        return (*found, listed)

    def _versions(self, chosen: Selection | None) -> tuple[int, ...]:
        """Families of the addresses of the selected service; IPv4 where it has none."""
        row = self.items.details.get(chosen.question[1]) if chosen else None
        versions = {address.version for address in row.balancer.addresses} if row else set()
        return tuple(sorted(versions)) or (4,)


_NAME_WIDTH = 12


def fact_lines(balancer: LoadBalancer, now: datetime, width: int) -> list[Line]:
    """Each fact on a line of its own, those that do not apply left out."""
    lines: list[Line] = [(), plain(" The service", "strong")]
    for name, value in _facts(balancer, now):
        line = (Span(f"   {name:<{_NAME_WIDTH}}"), Span(value))
        lines += wrapped(line, width, 3 + _NAME_WIDTH)
    return lines


def _facts(balancer: LoadBalancer, now: datetime) -> Iterator[tuple[str, str]]:
    service, condition = balancer.service, balancer.condition
    for address, pool in zip(balancer.addresses, balancer.pools, strict=True):
        yield "address", f"{address}  {f'of pool {pool}' if pool else 'of no pool'}"
    for hostname in balancer.hostnames:
        yield "hostname", hostname
    if condition is None:
        yield "LB-IPAM", "has given no verdict on it"
    else:
        said = ": ".join(filter(None, (condition.reason, condition.message)))
        moment = condition.last_transition_time
        since = f" for {age_of(moment, now)}" if moment else ""
        satisfied = {"True": "satisfied", "False": "not satisfied"}.get(condition.status, "unsure")
        yield "LB-IPAM", f"{satisfied}{since}{f' ({said})' if said else ''}"
    asked = request_of(service)
    if asked.addresses or asked.unreadable:
        words = [*map(str, asked.addresses), *(f"{word} (no address)" for word in asked.unreadable)]
        yield "asks for", f"{', '.join(words)}  in {asked.place}"
    if sharing_key(service):
        others = permitted_namespaces(service)
        beyond = f", also with {', '.join(others)}" if others else ""
        yield "sharing key", f"{sharing_key(service)}{beyond}"
    yield "class", service.spec.load_balancer_class or "none"
    yield "policy", f"externalTrafficPolicy {service.spec.external_traffic_policy or 'Cluster'}"
    if service.spec.ip_family_policy:
        families = ", ".join(service.spec.ip_families)
        yield "families", f"{service.spec.ip_family_policy} ({families or 'none named'})"
    yield "age", age_of(service.metadata.creation_timestamp, now)
    labels = sorted(service.metadata.labels.items())
    yield "labels", ", ".join(f"{key}={value}" for key, value in labels) or "none"


def _namespaces(snapshot: Snapshot) -> list[str]:
    return sorted({service.namespace for service in snapshot.records[kinds.SERVICES].values()})


PLACE = Place(
    make=ServicesScreen,
    key="f5",
    words=("services", "svc"),
    shows="LoadBalancer services, addresses",
    kinds=("service",),
    completions=lambda snapshot, words: () if words else _namespaces(snapshot),
)
