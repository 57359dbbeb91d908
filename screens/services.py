"""Services: every LoadBalancer service, and the way of the selected one, hop by hop."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from app.diagnosis.service_status import ServiceStatus, service_statuses
from app.model.finding import Ref
from app.model.routes import announced
from app.model.service_endpoints import backends
from app.report.lines import Line, Span, Tone
from app.report.path_lines import status_page, status_summary
from app.state.kinds import (
    ADVERTISEMENTS,
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    L2_POLICIES,
    NODE_CONFIGS,
    NODES,
    PEER_CONFIGS,
    PEERING_POLICIES,
    PODS,
    POOLS,
    ROUTES_ADVERTISED_IPV4,
    ROUTES_ADVERTISED_IPV6,
    SERVICES,
    Kind,
)
from screens.base.detail_screen import DetailScreen
from screens.base.empty_state import content
from screens.base.equivalents import ciliscope, cilium, kubectl
from screens.base.selection import Equivalent, Selection, in_namespace
from screens.service_facts import fact_lines
from screens.service_rows import COLUMNS, KeptRow, service_rows
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable, Opening

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.case import Case
    from app.model.lbipam import Address, LoadBalancer
    from app.state.snapshot import Snapshot

ROUTES = (ROUTES_ADVERTISED_IPV4, ROUTES_ADVERTISED_IPV6)
SHOWN = (SERVICES, POOLS, ENDPOINT_SLICES, *ROUTES)
"""What tells of addresses and of who announces them."""
READS = (
    *SHOWN,
    NODE_CONFIGS,
    BGP_PEERS,
    PODS,
    NODES,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    PEER_CONFIGS,
    ADVERTISEMENTS,
    PEERING_POLICIES,
    L2_POLICIES,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
)
_MINUTE = 60.0


@dataclass(frozen=True)
class ServicesPicture:
    """What the screen shows."""

    headline: Line
    services: Content
    told: Mapping[str, ServiceStatus] = field(default_factory=dict)
    balancers: Mapping[str, LoadBalancer] = field(default_factory=dict)


def picture(snapshot: Snapshot, judge: Diagnoser) -> ServicesPicture:
    """The LoadBalancer services, one row each, and what is to be said of them."""
    table = partial(
        content,
        snapshot,
        kinds=(SERVICES,),
        what="LoadBalancer services",
        beside=(POOLS, ENDPOINT_SLICES, *ROUTES),
    )
    if snapshot.setting_up or not snapshot.health_of(SERVICES).known:
        return ServicesPicture((), table(rows=()))
    case = judge.case(snapshot)
    told = service_statuses(judge.paths(snapshot), judge.verdict(snapshot).findings)
    balancers = {balancer.service.key: balancer for balancer in case.balancers}
    kept: dict[str, KeptRow] = case.memo.shelf("rows of services", dict)
    rows = service_rows(
        balancers,
        told,
        lambda key: backends(snapshot, key),
        _stray(case),
        snapshot.taken_at,
        kept,
    )
    services = table(rows=rows)
    return ServicesPicture(_headline(balancers, services), services, told, balancers)


def _stray(case: Case) -> Callable[[Address], tuple[str, ...]]:
    """Who announces an address of which no announcement is expected."""

    def nodes(address: Address) -> tuple[str, ...]:
        return announced(case, address.version).nodes.get(f"{address}/{address.max_prefixlen}", ())

    return nodes


def _headline(balancers: Mapping[str, LoadBalancer], services: Content) -> Line:
    """`4 of 5 with an address`, and how many are not well."""
    if not balancers:
        return ()
    addressed = sum(bool(b.addresses or b.hostnames) for b in balancers.values())
    spans = [Span(f"{addressed} of {len(balancers)} with an address")]
    kinds: tuple[tuple[Tone, str], ...] = (
        ("fail", "broken"),
        ("warn", "odd"),
        ("unknown", "not known"),
    )
    for health, words in kinds:
        number = sum(row.health == health for row in services.rows)
        if number:
            spans += [Span(" · "), Span(f"{number} {words}", health)]
    return tuple(spans)


class ServicesScreen(DetailScreen[ServicesPicture]):
    """The LoadBalancer services, and the way of the selected one."""

    title_text = "Services"
    tells_ages = False
    reads = READS
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
    _picture: ServicesPicture | None = None

    def make_table(self, opens: Opening) -> LiveTable:
        """The services."""
        return LiveTable(COLUMNS, order=("service",), opens=opens, id="services")

    def picture(self, snapshot: Snapshot) -> ServicesPicture:
        """The LoadBalancer services as rows."""
        return picture(snapshot, self.link.judge)

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Also when time alone may have changed a verdict, or an age."""
        since = (new.taken_at - drawn.taken_at).total_seconds()
        odd = self._picture is not None and any(
            row.health != "ok" for row in self._picture.services.rows
        )
        return since >= _MINUTE or (since > 0 and odd) or super().differs(new, drawn)

    def draw(self, picture: ServicesPicture) -> None:
        """Fill list and detail."""
        self._picture = picture
        self.set_headline(picture.headline)
        self.show_rows(picture.services)
        self.draw_detail()

    def draw_detail(self) -> None:
        """Show the way of the selected service."""
        key = self.table.selected
        told = self._picture.told.get(key) if self._picture else None
        if self._picture is None or told is None:
            self.text.show_text(lambda _: (), "")
            return
        balancer, now = self._picture.balancers[key], self.snapshot.taken_at
        if self.roomy:
            self.text.show_text(
                lambda width: [*status_page(told, width), *fact_lines(balancer, now, width)], key
            )
        else:
            self.text.show_text(partial(status_summary, told), key)

    def shown_sources(self) -> tuple[Kind[object], ...]:
        """What tells of addresses and of who announces them."""
        return SHOWN

    def selection(self) -> Selection | None:
        """The selected service."""
        namespace, _, name = self.table.selected.partition("/")
        if not name:
            return None
        ref = Ref("Service", name, namespace)
        return Selection(ref=ref, question=("service", f"{namespace}/{name}"))

    def select_object(self, ref: Ref) -> None:
        """Select a service; of a pool the first that has an address of it."""
        if ref.kind == "Service":
            self.table.select(f"{ref.namespace}/{ref.name}")
        elif ref.kind == "CiliumLoadBalancerIPPool" and self._picture is not None:
            held = (key for key, b in self._picture.balancers.items() if ref.name in b.pools)
            self.table.select(next(held, ""))

    def action_namespace(self, place: int) -> None:
        """Show the services of one namespace, 1 for the one with the most; 0 for all of them."""
        services = self._picture.balancers.values() if self._picture else ()
        number = Counter(balancer.service.namespace for balancer in services)
        most = sorted(number, key=lambda name: (-number[name], name))
        told = "  ".join(f"{at} {name}" for at, name in enumerate(most[:9], 1))
        if place > len(most):
            self.flash(f"there is no namespace {place}; 0 all  {told}")
            return
        chosen = most[place - 1] if place else ""
        text = in_namespace(self.table.filter_text, chosen)
        if text is None:
            self.flash("the filter is of labels or letters: Esc, and then a digit")
        elif problem := self.table.filter_by(text):
            self.flash(problem)
        else:
            self.flash(f"namespace {chosen}; 0 shows all" if chosen else f"all namespaces  {told}")

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows the selected service by hand, then all of them."""
        snapshot, chosen = self.snapshot, self.selection()
        found: list[Equivalent] = []
        if chosen is not None:
            name, where = shlex.quote(chosen.ref.name), f"-n {shlex.quote(chosen.ref.namespace)}"
            label = shlex.quote(f"kubernetes.io/service-name={chosen.ref.name}")
            found += [
                Equivalent(
                    "the service, with LB-IPAM's verdict in status.conditions",
                    kubectl(snapshot, f"get service {name} {where} -o yaml"),
                ),
                Equivalent(
                    "its endpoints",
                    kubectl(snapshot, f"get endpointslices {where} -l {label} -o wide"),
                ),
                ciliscope(snapshot, "its way, hop by hop", "explain", *chosen.question),
            ]
        versions = self._versions(chosen)
        found += [
            Equivalent(
                f"which nodes announce it to which peer, IPv{version}",
                cilium(snapshot, f"bgp routes advertised ipv{version} unicast"),
            )
            for version in versions
        ]
        found.append(
            Equivalent("all services", kubectl(snapshot, "get services --all-namespaces -o wide"))
        )
        return tuple(found)

    def _versions(self, chosen: Selection | None) -> tuple[int, ...]:
        """Families of the addresses of the selected service; IPv4 where it has none."""
        if chosen is None or self._picture is None:
            return (4,)
        balancer = self._picture.balancers.get(chosen.question[1])
        versions = {address.version for address in balancer.addresses} if balancer else set()
        return tuple(sorted(versions)) or (4,)
