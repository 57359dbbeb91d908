"""CS5 and CS6: whether a service is announced as it should be, and whether its backends answer.

Policies are read only on demand, and nothing is said where they were not. Services with the same
policies are reported together: one policy may be that of a whole namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from app.diagnosis.service_path.announcing import show_routes
from app.diagnosis.service_path.paths import path_findings
from app.model.case import Case
from app.model.desired_peerings import LOAD_BALANCER_IP, SelectedAdvertisement, selects_service
from app.model.desired_routes import Configuration
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, service_ref
from app.model.lbipam import parse_address
from app.model.policies import (
    AUDIT,
    ENFORCEMENT,
    Policed,
    Policy,
    enforced,
    policed,
    policies,
    policies_read,
)
from app.model.route_coverage import Scene, changed_at, scene
from app.model.routes import SETTLED, Announced, canonical
from app.model.wording import SHOWN, named, quoted, verb
from app.state import kinds
from app.state.derived import Key, grouped
from collectors.kubernetes.records import Service

_POD_NETWORKS = ("cluster-pool", "kubernetes")
"""IPAM modes in which the pod networks of a node are in its CiliumNode."""
_READ = ("Service", "PodCIDR")
"""Types of advertisements whose prefixes follow from what is read."""


_FIRST_LOOK: Key[datetime] = Key()
_SINCE: Key[datetime] = Key()
_MAPPED: Key[Mapping[str, _Mapped]] = Key()


@dataclass(frozen=True, slots=True)
class _Mapped:
    """The IPv6 prefixes that go to one peer with an IPv4-mapped next hop."""

    nodes: tuple[str, ...]
    prefixes: tuple[str, ...]
    next_hop: str


def unasked(case: Case) -> Iterator[Finding]:
    """CS509: a prefix that no selected service has, no pod network is, and that is announced."""
    now = scene(case)
    if not case.known(kinds.SERVICES, kinds.CILIUM_NODES) or not _complete(case, now.config):
        return
    if not _settled(now) or not any(table.nodes for table in now.tables.values()):
        return
    asked = now.asked().union(_of_pods(now.case), _of_other_addresses(now))
    odd = {
        prefix: table
        for table in now.tables.values()
        for prefix in sorted(table.nodes.keys() - asked)
        if not _young(now, table, prefix)
    }
    for prefix in _lasting(case, odd):
        yield _unasked(now, odd[prefix], prefix)


def mapped_next_hops(case: Case) -> Iterator[Finding]:
    """CS510: IPv6 prefixes whose next hop is an IPv4 address in IPv6 clothes, one a peer."""
    routes = case.records[kinds.ADVERTISED[6]]
    table = scene(case).tables[6]
    if table.read_at is None:
        return
    found = case.memo.of(_MAPPED, (routes, table), lambda: _mapped(case, table))
    for peer, mapped in sorted(found.items()):
        failed = _probed_in_vain(case, mapped.prefixes)
        severity = Severity.WARN if failed else Severity.INFO
        yield Topic("CS510", severity, Ref("Peer", peer)).finding(
            summary=f"{len(mapped.prefixes)} IPv6 prefixes go to {peer} with an IPv4-mapped next "
            f"hop ({mapped.next_hop})"
            + (f", and {failed} did not answer a probe" if failed else ""),
            evidence=(
                Evidence(
                    show_routes(6),
                    mapped.prefixes[0],
                    "next hop",
                    mapped.next_hop,
                    case.age(table.read_at),
                ),
            ),
            remedy="See on the router whether it takes them as valid (FRR: `show bgp ipv6 unicast "
            f"{mapped.prefixes[0]}`); if not, peer over IPv6 for IPv6, or set the next hop in the "
            "router's import policy",
            command=show_routes(6),
        )


def _complete(case: Case, config: Configuration) -> bool:
    """Whether all that may ask for a prefix is known."""
    types = {
        selected.type
        for group in config.groups
        for family in group.families
        for selected in family.advertisements
    }
    modes = case.setting("ipam", "cluster-pool") in _POD_NETWORKS
    return config.obstacle is None and config.certain and modes and types <= {*_READ}


def _settled(now: Scene) -> bool:
    changed, at = now.changed_at, now.case.now
    return not now.restarted and (changed is None or (at - changed).total_seconds() >= SETTLED)


def _young(now: Scene, table: Announced, prefix: str) -> bool:
    """Whether it, or the service that has its address, changed a moment ago."""
    holder = _holder(now.case, prefix)
    moment = changed_at(holder) if holder else None
    leaving = holder is not None and holder.metadata.deletion_timestamp is not None
    lately = moment is not None and (now.case.now - moment).total_seconds() < 2 * SETTLED
    return lately or leaving or table.youngest.get(prefix, 0.0) < SETTLED


def _lasting(case: Case, odd: Iterable[str]) -> Iterator[str]:
    """Those that are odd for a while: of a service deleted this second the route is still there.

    Whoever looks but once has nothing to compare with, and is told at once.
    """
    first = case.memo.of(_FIRST_LOOK, (), lambda: case.now)
    prefixes = dict.fromkeys(odd)
    since = case.memo.by_key(_SINCE, (prefixes,), (), lambda _: (case.now,)).by_key
    for prefix in prefixes:
        if case.now == first or (case.now - since[prefix][0]).total_seconds() >= SETTLED:
            yield prefix


def _holder(case: Case, prefix: str) -> Service | None:
    """The service that has the address of a host prefix."""
    for balancer in case.balancers:
        if any(str(ip_network(address)) == prefix for address in balancer.addresses):
            return balancer.service
    return None


def _of_pods(case: Case) -> Iterator[str]:
    for node in case.records[kinds.CILIUM_NODES].values():
        yield from map(canonical, node.spec.ipam.pod_cidrs)


def _of_other_addresses(now: Scene) -> Iterator[str]:
    """Cluster and external addresses, where an advertisement asks for them."""
    selected = {
        (s.advertisement, s.index): s
        for group in now.config.groups
        for family in group.families
        for s in family.advertisements
        if s.type == "Service" and set(s.addresses) != {LOAD_BALANCER_IP}
    }
    for service in now.case.records[kinds.SERVICES].values() if selected else ():
        for advertisement in selected.values():
            if selects_service(advertisement, service):
                yield from _other_addresses(advertisement, service)


def _other_addresses(selected: SelectedAdvertisement, service: Service) -> Iterator[str]:
    words: list[str] = []
    if "ClusterIP" in selected.addresses:
        words += [service.spec.cluster_ip, *service.spec.cluster_ips]
    if "ExternalIP" in selected.addresses:
        words += service.spec.external_ips
    for word in words:
        address = parse_address(word)
        if address is None:
            continue
        asked = selected.aggregation_ipv4 if address.version == 4 else selected.aggregation_ipv6
        yield str(ip_network(address))
        if asked is not None and 0 <= asked <= address.max_prefixlen:
            yield str(ip_network((address, asked), strict=False))


def _unasked(now: Scene, table: Announced, prefix: str) -> Finding:
    case, nodes = now.case, table.nodes[prefix]
    holder = _holder(case, prefix)
    if holder is None:
        why = "no service has that address and no node that pod network"
    else:
        why = f"{holder.key} has that address, and no advertisement selects it"
    return Topic("CS509", Severity.WARN, Ref("Prefix", prefix)).finding(
        summary=f"{prefix} is announced by {named(nodes)}, and nothing asks for it: {why}",
        evidence=(
            Evidence(
                show_routes(table.version), prefix, "nodes", named(nodes), case.age(table.read_at)
            ),
        ),
        remedy=f"Look in the log of the agents of {named(nodes)} for reconcile errors; an agent "
        "that is restarted builds its table anew",
        command=show_routes(table.version),
        blames=tuple(Ref(kind, node) for node in nodes for kind in ("Node", "CiliumBGPNodeConfig")),
    )


def _mapped(case: Case, table: Announced) -> Mapping[str, _Mapped]:
    drafts: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for reading in case.records[kinds.ADVERTISED[6]].values():
        for route in reading.routes:
            hop = next((path.attributes.next_hop for path in route.paths), "")
            prefix = canonical(route.prefix)
            if reading.node in table.nodes.get(prefix, ()) and _is_mapped(hop):
                nodes, prefixes, hops = drafts.setdefault(route.neighbor, (set(), set(), set()))
                nodes.add(reading.node)
                prefixes.add(prefix)
                hops.add(hop)
    return {
        peer: _Mapped(tuple(sorted(nodes)), tuple(sorted(prefixes)), min(hops))
        for peer, (nodes, prefixes, hops) in drafts.items()
    }


def _is_mapped(next_hop: str) -> bool:
    address = parse_address(next_hop)
    return isinstance(address, IPv6Address) and address.ipv4_mapped is not None


def _probed_in_vain(case: Case, prefixes: tuple[str, ...]) -> str:
    """An address of these prefixes that was probed and did not answer, or ""."""
    networks = [ip_network(prefix) for prefix in prefixes]
    for text, problem in sorted(case.reachable.items()):
        address = parse_address(text)
        if problem and address is not None and any(address in network for network in networks):
            return str(ip_address(address))
    return ""


PROBE = "TCP probe"
"""Who says that an address was reached or not."""


def services(case: Case) -> Iterator[Finding]:
    """CS501 to CS508: services whose addresses are not announced as they should be."""
    yield from path_findings(case, "CS5")


def without_endpoints(case: Case) -> Iterator[Finding]:
    """CS601: services of type LoadBalancer that nothing can answer for."""
    yield from path_findings(case, "CS6")


def unreachable(case: Case) -> Iterator[Finding]:
    """CS605: addresses that did not take a TCP connection, where the user asked for the probe."""
    for balancer in case.balancers if case.reachable else ():
        service = balancer.service
        failed = {
            str(address): problem
            for address in balancer.addresses
            if (problem := case.reachable.get(str(address)))
        }
        if not failed:
            continue
        port = next((port.port for port in service.spec.ports if port.protocol == "TCP"), None)
        address, problem = next(iter(failed.items()))
        host = f"[{address}]" if ":" in address else address
        yield Topic("CS605", Severity.WARN, service_ref(service.key)).finding(
            summary=f"{service.key} did not take a TCP connection at {named(failed)}: {problem}",
            evidence=tuple(
                Evidence(PROBE, f"Service {service.key}", where, why, 0.0)
                for where, why in failed.items()
            ),
            remedy="Follow the service's way hop by hop; if all of it is ok, compare the router's "
            "table, firewalls and loadBalancerSourceRanges. Ping proves nothing here",
            command=f"curl -v --connect-timeout 3 telnet://{host}:{port or 'PORT'}",
            blames=(service_ref(service.key),),
        )


def invalid(case: Case) -> Iterator[Finding]:
    """CS602: policies that Cilium does not take."""
    for policy in policies(case.snapshot):
        if policy.fault and policies_read(case, policy.source):
            yield _invalid(case, policy)


def selected(case: Case) -> Iterator[Finding]:
    """CS603: policies that select the backends of services of type LoadBalancer."""
    for chosen, found in grouped((each.policies, each) for each in policed(case)).items():
        yield _selected(case, chosen, found)


def _invalid(case: Case, policy: Policy) -> Finding:
    name = _name(policy)
    where, value = "status.conditions[Valid]", f"False: {policy.fault}"
    if policy.valid is not False:
        where, value = "spec.nodeSelector", "present"
    return Topic("CS602", Severity.WARN, policy.ref).finding(
        summary=f"{name} is invalid, so it is not enforced as it stands: {quoted(policy.fault)}",
        evidence=(case.saw(policy.source, name, where, value),),
        remedy="Correct what the message names, in the manifest, and apply it again. Until then an "
        "agent enforces what it last took of the policy, if it ever took it, and nothing of it "
        "after a restart: whom it should protect may be open",
        command=_show(policy),
    )


def _selected(case: Case, chosen: tuple[Policy, ...], found: Sequence[Policed]) -> Finding:
    names = tuple(_name(policy) for policy in chosen)
    services = tuple(each.service.key for each in found)
    shut = tuple(each.service.key for each in found if each.shut)
    first, *others = chosen
    return Topic("CS603", Severity.INFO, first.ref, "+".join(map(_name, others))).finding(
        summary=f"{named(names)} {verb(names, 'select')} the backends of {named(services)}"
        + (_shut_words(found, shut) if shut else _open_words(case, found)),
        evidence=(
            *(_selector_seen(case, policy) for policy in chosen[:SHOWN]),
            _endpoint_seen(case, found[0]),
            *_mode_seen(case),
        ),
        remedy=_SHUT if shut else _OPEN,
        command="; ".join(dict.fromkeys(map(_list, chosen))) if others else _show(first),
        about=tuple(service_ref(each.service.key) for each in found),
    )


_SHUT = (
    "If it is to be reached from outside, allow it in a policy that selects its pods: `world` "
    "(fromEntities), or the ranges that clients come from (fromCIDR, ipBlock)"
)
_OPEN = (
    "None, if that is meant. Where connections to an address time out though it is announced, "
    "compare the rules with where they come from: `world`, or the address of the node that passed "
    "them on (externalTrafficPolicy Cluster)"
)


def _shut_words(found: Sequence[Policed], shut: tuple[str, ...]) -> str:
    which = "" if len(shut) == len(found) else f" to {named(shut)}"
    return (
        f": no rule lets in anything from outside the cluster, so connections{which} from there "
        "are dropped"
    )


def _open_words(case: Case, found: Sequence[Policed]) -> str:
    """What the policies do, as far as that is certain."""
    if case.config is None:
        return ""
    if case.setting(ENFORCEMENT, "default") == "never":
        return f", and nothing is enforced: {ENFORCEMENT} is never"
    if not enforced(case):
        return f": what none allows is let in all the same, and noted ({AUDIT})"
    denied = sum(each.denied for each in found)
    if not denied:
        return ": all is let in but what a rule denies"
    if denied < sum(len(each.endpoints) for each in found):
        return ": to some of them nothing gets in but what a rule allows"
    return ": nothing gets in but what a rule allows"


def _name(policy: Policy) -> str:
    return f"{policy.kind} {policy.record.key}"


def _selector_seen(case: Case, policy: Policy) -> Evidence:
    field = (
        "spec.podSelector" if policy.source == kinds.NETWORK_POLICIES else "spec.endpointSelector"
    )
    return case.saw(policy.source, _name(policy), field, policy.selector)


def _endpoint_seen(case: Case, found: Policed) -> Evidence:
    endpoint = found.endpoints[0]
    labels = ", ".join(endpoint.status.identity.labels)
    name = f"CiliumEndpoint {endpoint.key}"
    return case.saw(kinds.CILIUM_ENDPOINTS, name, "status.identity.labels", labels)


def _mode_seen(case: Case) -> Iterator[Evidence]:
    for key in (ENFORCEMENT, AUDIT):
        value = None if case.config is None else case.config.get(key)
        if value is not None:
            yield case.saw(kinds.CONFIG_MAPS, case.config_ref, key, value)


def _list(policy: Policy) -> str:
    namespace = policy.record.namespace
    where = f" -n {namespace}" if namespace else ""
    return f"kubectl get {policy.source.plural}{where} -o yaml"


def _show(policy: Policy) -> str:
    namespace = policy.record.namespace
    where = f" -n {namespace}" if namespace else ""
    return f"kubectl get {policy.source.plural} {policy.record.name}{where} -o yaml"


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    services,
    unasked,
    mapped_next_hops,
    without_endpoints,
    unreachable,
    invalid,
    selected,
)
