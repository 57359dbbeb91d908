"""Network policies of all three kinds alike: whom they select, and what they let in.

What Cilium makes of a policy: pkg/policy/api/rule_validation.go (when a direction is denied but for
what is allowed), pkg/k8s/apis/cilium.io/utils/utils.go (what a selector of another endpoint is
narrowed to), Documentation/security/policy/intro.rst (enforcement modes), Cilium 1.17 to 1.21.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.model.case import Case
from app.model.finding import Ref
from app.model.lbipam import condition_of
from app.model.selectors import describe, selects
from app.state import kinds
from app.state.derived import Key
from app.state.kinds import Kind
from app.state.snapshot import Snapshot, State
from collectors.cilium.records import CiliumEndpoint, CiliumIngress, CiliumPolicy, CiliumRule
from collectors.kubernetes.records import (
    LabelSelector,
    NetworkIngress,
    NetworkPolicy,
    Object,
    Service,
)

_RESERVED = "reserved:"
"""How labels begin that are not a pod's: `reserved:world`, `reserved:host`."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One rule of a policy: whom it selects, and what it is about."""

    selector: LabelSelector | None
    """None: it has none, and selects nobody."""
    nodes: bool
    """Whether it selects nodes, not pods."""
    about_ingress: bool
    about_egress: bool
    denies_ingress: bool
    """Whether all is denied on its way in that no policy allows."""
    denies_egress: bool
    shut: bool
    """Whether it surely lets in nothing but pods of the cluster, if anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A policy of any kind."""

    source: Kind[object]
    """Kind of the snapshot that it is of."""
    record: Object
    subjects: tuple[Subject, ...]
    fault: str
    """Why it is not valid, in the words of who says so; "" where nobody says so."""
    valid: bool | None
    """What the operator made of it; None: it said nothing, or nobody is to."""

    @property
    def kind(self) -> str:
        """Its Kubernetes kind."""
        return self.source.object_kind

    @property
    def ref(self) -> Ref:
        """As findings point at it."""
        return Ref(self.kind, self.record.name, self.record.namespace)

    @property
    def selector(self) -> str:
        """Whom it selects, in words; each rule apart."""
        return "; ".join(map(_words, self.subjects))

    def selected(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Subject]:
        """Its rules that select an endpoint, by its namespace and its labels (`labels_of`)."""
        own = self.record.namespace
        if own in ("", namespace):
            for each in self.subjects:
                if each.selector and not each.nodes and selects(each.selector, labels):
                    yield each


_POLICIES: Key[tuple[Policy, ...]] = Key()


def policies(snapshot: Snapshot) -> tuple[Policy, ...]:
    """Every policy that is known, by kind and name."""
    inputs = (
        snapshot.records[kinds.NETWORK_POLICIES],
        snapshot.records[kinds.CILIUM_POLICIES],
        snapshot.records[kinds.CLUSTERWIDE_POLICIES],
    )
    return snapshot.memo.of(_POLICIES, inputs, lambda: tuple(_policies(snapshot)))


def labels_of(endpoint: CiliumEndpoint) -> Mapping[str, str]:
    """What selectors see of an endpoint: each label with its source, and without one.

    `k8s:app`, `any:app` and `app` are the same to a selector; of two sources that have a label of
    the same name, that of the pod is taken.
    """
    found: dict[str, str] = {}
    for label in sorted(endpoint.status.identity.labels, key=_foreign):
        name, _, value = label.partition("=")
        source, colon, key = name.partition(":")
        found[name] = value
        if colon and source != "reserved":
            found.setdefault(key, value)
            found.setdefault(f"any:{key}", value)
    return found


def _words(subject: Subject) -> str:
    text = describe(subject.selector) if subject.selector else "nobody"
    return f"nodes: {text}" if subject.nodes else text


def _foreign(label: str) -> bool:
    return not label.startswith("k8s:")


def _policies(snapshot: Snapshot) -> Iterator[Policy]:
    for _, plain in sorted(snapshot.records[kinds.NETWORK_POLICIES].items()):
        yield Policy(kinds.NETWORK_POLICIES, plain, (_network_subject(plain),), "", None)
    for _, own in sorted(snapshot.records[kinds.CILIUM_POLICIES].items()):
        yield _cilium_policy(kinds.CILIUM_POLICIES, own)
    for _, wide in sorted(snapshot.records[kinds.CLUSTERWIDE_POLICIES].items()):
        yield _cilium_policy(kinds.CLUSTERWIDE_POLICIES, wide)


def _cilium_policy(source: Kind[object], record: CiliumPolicy) -> Policy:
    shown = condition_of(record.status.conditions, "Valid")
    valid = None if shown is None or shown.status == "Unknown" else shown.status == "True"
    fault = ""
    if shown is not None and valid is False:
        fault = shown.message or shown.reason or "the operator does not say why"
    elif record.namespace and any(rule.node_selector is not None for rule in record.rules):
        # The agents do not take it (cnp_types.go, Parse), though an operator may call it valid.
        fault = "a rule of a CiliumNetworkPolicy cannot have a nodeSelector"
    return Policy(source, record, tuple(map(_cilium_subject, record.rules)), fault, valid)


def _network_subject(policy: NetworkPolicy) -> Subject:
    spec = policy.spec
    types = spec.policy_types or ("Ingress", *(("Egress",) if spec.egress else ()))
    ingress, egress = "Ingress" in types, "Egress" in types
    return Subject(
        selector=spec.pod_selector,
        nodes=False,
        about_ingress=ingress,
        about_egress=egress,
        denies_ingress=ingress,
        denies_egress=egress,
        shut=not ingress or all(map(_pods_alone, spec.ingress)),
    )


def _pods_alone(rule: NetworkIngress) -> bool:
    return bool(rule.from_) and all(
        peer.ip_block is None
        and not (peer.pod_selector is None and peer.namespace_selector is None)
        for peer in rule.from_
    )


def _cilium_subject(rule: CiliumRule) -> Subject:
    ingress, egress = bool(rule.ingress or rule.ingress_deny), bool(rule.egress or rule.egress_deny)
    wanted = rule.enable_default_deny
    denies_ingress = ingress if wanted.ingress is None else wanted.ingress
    denies_egress = egress if wanted.egress is None else wanted.egress
    nodes = rule.endpoint_selector is None
    selector = rule.node_selector if nodes else rule.endpoint_selector
    return Subject(
        selector=selector,
        nodes=nodes,
        about_ingress=ingress or denies_ingress,
        about_egress=egress or denies_egress,
        denies_ingress=denies_ingress,
        denies_egress=denies_egress,
        shut=all(map(_endpoints_alone, rule.ingress)),
    )


def _endpoints_alone(rule: CiliumIngress) -> bool:
    """Whether it lets in nothing, or pods of the cluster alone.

    A selector in `fromEndpoints` is narrowed to endpoints of a namespace, unless it names what is
    reserved. A rule without any member opens nothing; one without a `from` opens its ports to all.
    """
    others = (
        *(rule.from_requires, rule.from_cidr, rule.from_cidr_set),
        *(rule.from_entities, rule.from_groups, rule.from_nodes),
    )
    if any(others):
        return False
    if rule.from_endpoints is None:
        return not (rule.to_ports or rule.icmps)
    return bool(rule.from_endpoints) and not any(map(_names_reserved, rule.from_endpoints))


def _names_reserved(selector: LabelSelector) -> bool:
    keys = (*selector.match_labels, *(each.key for each in selector.match_expressions))
    return any(key.startswith(_RESERVED) for key in keys)


ENFORCEMENT, AUDIT, KUBE_PROXY = "enable-policy", "policy-audit-mode", "kube-proxy-replacement"
"""Keys of `cilium-config`."""
_SWITCHES: Mapping[Kind[object], str] = {
    kinds.NETWORK_POLICIES: "enable-k8s-networkpolicy",
    kinds.CILIUM_POLICIES: "enable-cilium-network-policy",
    kinds.CLUSTERWIDE_POLICIES: "enable-cilium-clusterwide-network-policy",
}
"""The key that tells whether Cilium looks at a kind; it does where the key is absent."""

_ELSEWHERE = {"static-cnp-path": "", "enable-k8s-cluster-network-policy": "false"}
"""Where policies may come from that are not read, and the values by which none does."""

_Chosen = tuple[tuple[Policy, Subject], ...]


@dataclass(frozen=True, slots=True)
class Policed:
    """A service of type LoadBalancer whose backends are selected by policies about ingress."""

    service: Service
    endpoints: tuple[CiliumEndpoint, ...]
    """The backends that are known."""
    policies: tuple[Policy, ...]
    """Those that select at least one of them."""
    denied: int
    """How many of the backends take nothing but what is allowed."""
    shut: bool
    """Whether it is certain that no rule lets in anything from outside the cluster."""


def policies_read(case: Case, kind: Kind[object]) -> bool:
    """Whether a kind that is read on demand is being read, and its answer known."""
    return case.snapshot.health_of(kind).state is not State.OFF and case.known(kind)


_POLICED: Key[tuple[Policed, ...]] = Key()


def policed(case: Case) -> tuple[Policed, ...]:
    """Every such service; none where its backends or the policies are not known."""
    known = tuple(kind for kind in kinds.POLICIES if policies_read(case, kind))
    if (
        not known
        or not policies_read(case, kinds.CILIUM_ENDPOINTS)
        or not case.known(kinds.SERVICES, kinds.ENDPOINT_SLICES)
    ):
        return ()
    snapshot = case.snapshot
    inputs = (
        *(
            policies(snapshot),
            snapshot.records[kinds.CILIUM_ENDPOINTS],
            snapshot.records[kinds.ENDPOINT_SLICES],
        ),
        *(snapshot.records[kinds.SERVICES], snapshot.records[kinds.CONFIG_MAPS]),
        *known,
    )
    return case.memo.of(_POLICED, inputs, lambda: tuple(_Search(case, known).found()))


class _Search:
    """One look at all services; endpoints of the same identity are selected alike."""

    def __init__(self, case: Case, known: tuple[Kind[object], ...]) -> None:
        self._case = case
        there = [each for each in policies(case.snapshot) if each.source in known]
        self._active = [each for each in there if not each.fault and _looked_at(case, each.source)]
        self._faulty = [each for each in there if each.fault]
        self._all_known = len(known) == len(kinds.POLICIES)
        self._chosen: dict[tuple[str, tuple[str, ...]], _Chosen] = {}

    def found(self) -> Iterator[Policed]:
        if not self._active:
            return
        for balancer in self._case.balancers:
            shown = self._of(balancer.service)
            if shown is not None:
                yield shown

    def _of(self, service: Service) -> Policed | None:
        pods = dict.fromkeys(_pods(self._case, service.key))
        known = self._case.snapshot.records[kinds.CILIUM_ENDPOINTS]
        endpoints = tuple(known[pod] for pod in sorted(pods) if pod in known)
        chosen = [self._choose(endpoint) for endpoint in endpoints]
        found = {policy for each in chosen for policy, _ in each}
        if not found:
            return None
        always = self._case.setting(ENFORCEMENT, "default") == "always"
        denied = [always or any(rule.denies_ingress for _, rule in each) for each in chosen]
        whole = len(endpoints) == len(pods) and all(denied)
        certain = whole and self._certain(service)
        return Policed(
            service=service,
            endpoints=endpoints,
            policies=tuple(each for each in self._active if each in found),
            denied=sum(denied),
            shut=certain and all(rule.shut for each in chosen for _, rule in each),
        )

    def _choose(self, endpoint: CiliumEndpoint) -> _Chosen:
        key = (endpoint.namespace, endpoint.status.identity.labels)
        if key not in self._chosen:
            labels = labels_of(endpoint)
            self._chosen[key] = tuple(
                (policy, rule)
                for policy in self._active
                for rule in policy.selected(endpoint.namespace, labels)
                if rule.about_ingress
            )
        return self._chosen[key]

    def _certain(self, service: Service) -> bool:
        """Whether all is known that could let somebody in.

        A policy that is no longer valid may stand as it was before. Without Cilium's replacement of
        kube-proxy a packet that is passed on may come from the backend's own node, which is always
        let in; with policy Local none is passed on.
        """
        where, case = ("", service.namespace), self._case
        if not self._all_known or any(each.record.namespace in where for each in self._faulty):
            return False
        if any(case.setting(key, default) != default for key, default in _ELSEWHERE.items()):
            return False
        return enforced(case) and (
            service.spec.external_traffic_policy == "Local"
            or case.setting(KUBE_PROXY, "false") == "true"
        )


def enforced(case: Case) -> bool:
    """Whether it is known that what policies do not allow is dropped, not only noted."""
    return case.setting(ENFORCEMENT, "default") in ("default", "always") and (
        case.setting(AUDIT, "false") == "false"
    )


def _looked_at(case: Case, source: Kind[object]) -> bool:
    return case.setting(_SWITCHES[source], "true") != "false"


def _pods(case: Case, service: str) -> Iterator[str]:
    """Keys of the pods behind a service; of what is no pod, its addresses, which have no such."""
    for each in case.snapshot.slices_by_service.get(service, ()):
        for endpoint in each.endpoints:
            target = endpoint.target_ref
            if target is not None and target.kind == "Pod":
                yield f"{target.namespace}/{target.name}"
            else:
                yield " ".join(endpoint.addresses)
