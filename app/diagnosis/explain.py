"""What `explain` shows of a service, an address, a prefix, a session, a pool: pure, from a case."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from app.diagnosis.addresses import Known, look_up_address, look_up_prefix
from app.diagnosis.catalog import CODES, concerning
from app.diagnosis.inputs import answered
from app.diagnosis.service_path.path import PrefixPath, ServicePath
from app.diagnosis.service_path.paths import path_of
from app.model.case import Case
from app.model.desired_peerings import peerings
from app.model.finding import Finding, Ref, service_ref
from app.model.lbipam import LoadBalancer, PoolUsage
from app.model.route_coverage import scene
from app.model.selectors import describe, selects, service_labels
from app.model.sessions import Session, Witness
from app.model.wording import age, duration, named
from app.state.derived import grouped
from app.state.kinds import (
    ADVERTISED,
    ADVERTISEMENTS,
    BGP_PEERS,
    CLUSTER_CONFIGS,
    ENDPOINT_SLICES,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    POOLS,
    SERVICES,
    Kind,
)
from app.state.snapshot import Snapshot, SourceHealth, State


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is known of one thing that was asked about."""

    snapshot: Snapshot
    kind: str
    """What was asked about: `service`, `ip`, `prefix`, `session` or `pool`."""
    name: str
    facts: tuple[tuple[str, str], ...]
    """What is known of it, by name."""
    paths: tuple[ServicePath, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What is wrong with it, and what explains that."""
    answered: bool = False
    """Whether the facts are what was asked for, and all else is only why it is so."""
    unread: tuple[SourceHealth, ...] = ()
    """The sources that should have told of it and did not: so that not all could be judged."""


Facts = list[tuple[str, str]]

MANY = 20
"""Names listed at most."""
PATHS = 5
"""Ways of services shown at most under an address, a prefix or a pool."""


class NoSuchThing(Exception):
    """There is nothing of that name; one sentence, with what comes near."""

    def __init__(self, sentence: str, *, certain: bool) -> None:
        super().__init__(sentence)
        self.certain = certain
        """False: what would tell could not be read."""


def about_service(case: Case, findings: Sequence[Finding], names: Sequence[str]) -> Explanation:
    """A service of type LoadBalancer: its address, its way to the router."""
    key = names[0]
    service = case.records[SERVICES].get(key)
    if service is None:
        raise _missing(case, "service", key, case.records[SERVICES], SERVICES)
    facts: Facts = [("type", service.spec.type)]
    balancer = next((b for b in case.balancers if b.service.key == key), None)
    if balancer is not None:
        facts += _balancer_facts(case, balancer)
    else:
        facts.append(("note", "only services of type LoadBalancer have a way to the router"))
    return Explanation(
        snapshot=case.snapshot,
        kind="service",
        name=key,
        facts=tuple(facts),
        paths=_paths(case, [key]),
        findings=concerning(findings, [service_ref(key)]),
        unread=() if balancer is None else _unread(case, *_WAY, *ADVERTISED.values(), BGP_PEERS),
    )


def about_ip(case: Case, findings: Sequence[Finding], names: Sequence[str]) -> Explanation:
    """An address: who holds it, which pool it lies in, who announces it."""
    address = ip_address(names[0])
    return _looked_up(case, findings, "ip", str(address), look_up_address(case, address))


def about_prefix(case: Case, findings: Sequence[Finding], names: Sequence[str]) -> Explanation:
    """A prefix: the services behind it, and who announces it, or the longest one around it."""
    prefix = ip_network(names[0], strict=False)
    return _looked_up(case, findings, "prefix", str(prefix), look_up_prefix(case, prefix))


def about_session(case: Case, findings: Sequence[Finding], names: Sequence[str]) -> Explanation:
    """The sessions of a node, or the one with this peer (by address or name)."""
    node, peer = names[0], names[1] if len(names) > 1 else ""
    found = [
        session
        for session in case.sessions
        if session.node == node and peer in ("", session.peer_address, session.peer)
    ]
    if not found:
        known = [f"{s.node} {s.peer_address}" for s in case.sessions]
        raise _missing(case, "session", " ".join(names), known, BGP_PEERS, NODE_CONFIGS)
    facts: Facts = []
    for session in found:
        facts += _session_facts(case, session)
    refs = [
        ref
        for session in found
        for ref in (
            Ref("Session", f"{node}/{session.peer_address}"),
            Ref("Peer", session.peer_address),
        )
    ]
    return Explanation(
        snapshot=case.snapshot,
        kind="session",
        name=" ".join(names),
        facts=tuple(facts),
        findings=concerning(findings, [*refs, Ref("Node", node)]),
    )


def about_pool(case: Case, findings: Sequence[Finding], names: Sequence[str]) -> Explanation:
    """A pool: what it has, who holds its addresses, which services it would serve."""
    usage = next((usage for usage in case.usages if usage.pool.name == names[0]), None)
    if usage is None:
        raise _missing(case, "pool", names[0], case.records[POOLS], POOLS)
    return Explanation(
        snapshot=case.snapshot,
        kind="pool",
        name=usage.pool.name,
        facts=tuple(_pool_facts(case, usage)),
        findings=concerning(findings, [Ref("CiliumLoadBalancerIPPool", usage.pool.name)]),
        unread=_unread(case, POOLS, SERVICES),
    )


ABOUT: Mapping[str, Callable[[Case, Sequence[Finding], Sequence[str]], Explanation]] = {
    "service": about_service,
    "ip": about_ip,
    "prefix": about_prefix,
    "session": about_session,
    "pool": about_pool,
}
"""What can be explained, by its word."""


_UNREAD = "not known: it could not be read"
_BGP = (CLUSTER_CONFIGS, PEER_CONFIGS, ADVERTISEMENTS, NODE_CONFIGS, PEERING_POLICIES)
_WAY = (SERVICES, POOLS, ENDPOINT_SLICES, *_BGP)
"""What the way of a service is made of, beside what the agents say."""


def _unread(case: Case, *kinds: Kind[object]) -> tuple[SourceHealth, ...]:
    """Those of the sources of these kinds that told nothing; without its kind, no pool is known."""
    return tuple(
        health
        for health in case.snapshot.health.values()
        if health.kind in kinds
        and (not answered(health) or (health.kind, health.state) == (POOLS, State.ABSENT))
    )


def _lies_in(case: Case, pool: str | None) -> str:
    if pool:
        return f"pool {pool}"
    return "its pool is not known" if _unread(case, POOLS) else "in no pool"


def _missing(
    case: Case, kind: str, name: str, known: Collection[str], *kinds: Kind[object]
) -> NoSuchThing:
    unread = [case.snapshot.health_of(each) for each in kinds if not case.known(each)]
    if unread and not known:
        text = "; ".join(f"{health.label}: {health.error or health.state}" for health in unread)
        return NoSuchThing(
            f"it is not known whether there is a {kind} {name}: {text}", certain=False
        )
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    ending = f"; did you mean {near[0]}?" if near else ""
    return NoSuchThing(f"there is no {kind} {name}{ending}", certain=not unread)


def _balancer_facts(case: Case, balancer: LoadBalancer) -> Iterator[tuple[str, str]]:
    service = balancer.service
    held = [
        f"{address} ({_lies_in(case, pool)})"
        for address, pool in zip(balancer.addresses, balancer.pools, strict=True)
    ]
    yield "addresses", ", ".join((*held, *balancer.hostnames)) or "none"
    condition = balancer.condition
    if condition is None:
        yield "LB-IPAM says", "nothing"
    else:
        said = ": ".join(filter(None, (condition.reason, condition.message)))
        yield "LB-IPAM says", f"{condition.type} = {condition.status} {said}".rstrip()
    yield "class", service.spec.load_balancer_class or "none"
    yield "traffic policy", service.spec.external_traffic_policy or "Cluster"
    yield "labels", _labels(service.metadata.labels)


def _session_facts(case: Case, session: Session) -> Iterator[tuple[str, str]]:
    peer = f"{session.peer} " if session.peer else ""
    yield "peer", f"{peer}{session.peer_address}, instance {session.instance or '(none)'}"
    yield "AS numbers", f"{_asn(session.local_asn)} here, {_asn(session.peer_asn)} there"
    uptime = session.uptime(case.now)
    since = f" for {duration(uptime)}" if uptime is not None else ""
    yield "state", f"{session.state}{since}"
    for witness in (session.cli, session.api):
        if witness is not None:
            yield "witness", _witness(case, witness)
    if session.note:
        yield "note", session.note
    for family in session.families:
        counts = f"{family.advertised} advertised, {family.received} received"
        yield f"{family.afi}/{family.safi}", counts
    for peering in peerings(case):
        if (peering.node, peering.peer_address) == (session.node, session.peer_address):
            yield "configured by", str(peering.owner)
            yield "peer config", peering.peer_config or "none"
            secret = peering.auth_secret
            yield "password", f"Secret {secret}" if secret else "none"


def _witness(case: Case, witness: Witness) -> str:
    return (
        f"{witness.source}: {witness.state} ({age(case.age(witness.read_at(case.snapshot)))} ago)"
    )


def _pool_facts(case: Case, usage: PoolUsage) -> Iterator[tuple[str, str]]:
    spec = usage.pool.spec
    selector = spec.service_selector
    yield "ranges", _listed([str(each) for each in usage.ranges])
    if usage.invalid_blocks:
        yield "invalid", "; ".join(usage.invalid_blocks)
    yield "selects", "everything" if selector is None else describe(selector)
    yield "disabled", "yes" if spec.disabled else "no"
    if usage.conflict:
        yield "conflict", usage.conflict
    yield "addresses", f"{_count(usage.total)}, {_count(usage.available)} free"
    if not case.known(SERVICES):
        yield "services", _UNREAD
        return
    held = [f"{address}: {', '.join(keys)}" for address, keys in usage.holders.items()]
    yield "held", _listed(held)
    chosen = [
        balancer.service.key
        for balancer in case.balancers
        if selector is None or selects(selector, service_labels(balancer.service))
    ]
    yield "services it selects", _listed(chosen)


def _looked_up(
    case: Case, findings: Sequence[Finding], kind: str, name: str, known: Known
) -> Explanation:
    version = 6 if ":" in name else 4
    unread = _unread(case, SERVICES, POOLS, ADVERTISED[version])
    silent = {health.kind for health in unread}
    refs = [Ref("Prefix", known.prefix or name), *map(service_ref, known.services)]
    pools = _listed(known.pools, _UNREAD if POOLS in silent else "none")
    one = ip_network(name).num_addresses == 1
    facts: Facts = [
        (
            "held by" if one else "services",
            _UNREAD if SERVICES in silent else _listed(_holding(case, known, name)),
        ),
        ("pool" if one else "pools", pools),
        ("announced", _announced(case, name, known)),
    ]
    if known.peers:
        facts.append(("to peers", _listed(known.peers)))
    if known.within:
        facts.append(("within", _within(known.within)))
    return Explanation(
        snapshot=case.snapshot,
        kind=kind,
        name=name,
        facts=tuple(facts),
        paths=_paths(case, known.services),
        findings=concerning(findings, refs),
        answered=True,
        unread=unread,
    )


def _holding(case: Case, known: Known, name: str) -> Sequence[str]:
    """The services; of a range, each with its addresses in it."""
    meant, wanted = ip_network(name), frozenset(known.services)
    if meant.num_addresses == 1:
        return known.services
    return [
        f"{balancer.service.key} ({', '.join(str(a) for a in balancer.addresses if a in meant)})"
        for balancer in case.balancers
        if balancer.service.key in wanted
    ]


def _announced(case: Case, name: str, known: Known) -> str:
    asked = f", for {_listed(known.asked_by)}" if known.asked_by else ""
    reach = known.reach
    if reach is not None and reach.expected and reach.actual is not None:
        return f"{reach.prefix} by {_counted(reach)}{asked}"
    if known.prefix:
        return f"{known.prefix} by {_listed(known.announcers)}{asked}"
    if scene(case).tables[6 if ":" in name else 4].read_at is None:
        return _UNREAD
    return "as a whole by no node" if known.within else "by no node"


def _counted(reach: PrefixPath) -> str:
    """`2 of 3 nodes: a, b; missing: c`."""
    nodes = len(reach.expected or ())
    head = f"{len(reach.right)} of {nodes} {'node' if nodes == 1 else 'nodes'}"
    shown = [
        f"{word}: {_listed(names)}"
        for word, names in (
            (head, reach.right),
            ("missing", reach.missing),
            ("not known", reach.unknown),
            ("announced and should not be by", reach.extra),
        )
        if names
    ]
    return "; ".join(shown if reach.right else (head, *shown))


def _within(prefixes: Mapping[str, tuple[str, ...]]) -> str:
    """What is announced inside, together what the same nodes announce."""
    by_nodes = grouped((nodes, prefix) for prefix, nodes in prefixes.items())
    return "; ".join(f"{_listed(found)} by {_listed(nodes)}" for nodes, found in by_nodes.items())


def _paths(case: Case, services: Sequence[str]) -> tuple[ServicePath, ...]:
    found = (path_of(case, key) for key in services[:PATHS])
    return tuple(path for path in found if path is not None)


def _listed(words: Sequence[str], nothing: str = "none") -> str:
    return named(words, MANY) or nothing


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "none"


def _asn(number: int | None) -> str:
    return "any" if number is None else str(number)


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)


_CODE = re.compile(r"cs\d+", re.IGNORECASE)
FORMS = "service NAMESPACE/NAME, ip ADDRESS, prefix CIDR, session NODE [PEER], pool NAME, or a code"


class BadQuestion(Exception):
    """It cannot be told what is asked; one sentence with what is allowed."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained."""

    kind: str
    """`service`, `ip`, `prefix`, `session`, `pool` or `code`."""
    names: tuple[str, ...]


def question(what: str, names: Sequence[str]) -> Question:
    """The question that the words ask. Raises BadQuestion."""
    if what.upper() in CODES and not names:
        return Question("code", (what.upper(),))
    if what.upper() in CODES:
        raise BadQuestion(f"explain {what.upper()} takes no name; it is a code of docs/findings")
    if _CODE.fullmatch(what):
        raise BadQuestion(
            f"there is no code {what.upper()}; docs/findings/README.md lists those there are"
        )
    if what not in ABOUT:
        raise BadQuestion(f"explain takes {FORMS}; not {what!r}")
    most = 2 if what == "session" else 1
    if not 1 <= len(names) <= most:
        raise BadQuestion(f"explain {what} takes {'one or two names' if most > 1 else 'one name'}")
    _check_form(what, names[0])
    return Question(what, tuple(names))


def who_question(names: Sequence[str]) -> Question:
    """The question that `who` asks, of an address or a prefix. Raises BadQuestion."""
    if len(names) != 1:
        raise BadQuestion("who takes one address, as 172.29.52.100, or one prefix")
    kind = "prefix" if "/" in names[0] else "ip"
    try:
        _check_form(kind, names[0])
    except BadQuestion:
        form = "an address, or a prefix, as 172.29.52.96/27"
        raise BadQuestion(f"who is {names[0]!r}; it must be {form}") from None
    return Question(kind, (names[0],))


def _check_form(what: str, name: str) -> None:
    try:
        if what == "ip":
            ip_address(name)
        elif what == "prefix":
            ip_network(name, strict=False)
    except ValueError:
        form = "an address, as 172.29.52.100" if what == "ip" else "a prefix, as 172.29.52.96/27"
        raise BadQuestion(f"explain {what} is {name!r}; it must be {form}") from None
    if what == "service" and len([part for part in name.split("/") if part]) != 2:
        raise BadQuestion(f"explain service is {name!r}; it must be NAMESPACE/NAME")
