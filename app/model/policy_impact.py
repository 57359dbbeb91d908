"""Which network policies stand before the backends of a service, and what they do there.

A policy that is not valid, or of a kind that Cilium is told not to look at, does nothing. Only what
bears on what comes in counts: replies to it go out whatever the policies say of egress.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.model.case import Case
from app.model.policies import Policy, Subject, labels_of, policies
from app.model.service_endpoints import slices_of
from app.state.kinds import (
    CILIUM_ENDPOINTS,
    CILIUM_POLICIES,
    CLUSTERWIDE_POLICIES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NETWORK_POLICIES,
    POLICIES,
    SERVICES,
    Kind,
)
from app.state.snapshot import State
from collectors.cilium.records import CiliumEndpoint
from collectors.kubernetes.records import Service

ENFORCEMENT, AUDIT, KUBE_PROXY = "enable-policy", "policy-audit-mode", "kube-proxy-replacement"
"""Keys of `cilium-config`."""
_SWITCHES: Mapping[Kind[object], str] = {
    NETWORK_POLICIES: "enable-k8s-networkpolicy",
    CILIUM_POLICIES: "enable-cilium-network-policy",
    CLUSTERWIDE_POLICIES: "enable-cilium-clusterwide-network-policy",
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


def read(case: Case, kind: Kind[object]) -> bool:
    """Whether a kind that is read on demand is being read, and its answer known."""
    return case.snapshot.health_of(kind).state is not State.OFF and case.known(kind)


def policed(case: Case) -> tuple[Policed, ...]:
    """Every such service; none where its backends or the policies are not known."""
    known = tuple(kind for kind in POLICIES if read(case, kind))
    if not known or not read(case, CILIUM_ENDPOINTS) or not case.known(SERVICES, ENDPOINT_SLICES):
        return ()
    snapshot = case.snapshot
    inputs = (
        *(
            policies(snapshot),
            snapshot.records[CILIUM_ENDPOINTS],
            snapshot.records[ENDPOINT_SLICES],
        ),
        *(snapshot.records[SERVICES], snapshot.records[CONFIG_MAPS]),
    )
    # What is known is a part of the name: the kinds are few, and strings are not compared by value.
    return case.memo.of(("policed", known), inputs, lambda: tuple(_Search(case, known).found()))


class _Search:
    """One look at all services; endpoints of the same identity are selected alike."""

    def __init__(self, case: Case, known: tuple[Kind[object], ...]) -> None:
        self._case = case
        there = [each for each in policies(case.snapshot) if each.source in known]
        self._active = [each for each in there if not each.fault and _looked_at(case, each.source)]
        self._faulty = [each for each in there if each.fault]
        self._all_known = len(known) == len(POLICIES)
        self._chosen: dict[tuple[str, tuple[str, ...]], _Chosen] = {}

    def found(self) -> Iterator[Policed]:
        if not self._active:
            return
        for balancer in self._case.balancers:
            told = self._of(balancer.service)
            if told is not None:
                yield told

    def _of(self, service: Service) -> Policed | None:
        pods = dict.fromkeys(_pods(self._case, service.key))
        known = self._case.snapshot.records[CILIUM_ENDPOINTS]
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
    for each in slices_of(case).get(service, ()):
        for endpoint in each.endpoints:
            target = endpoint.target_ref
            if target is not None and target.kind == "Pod":
                yield f"{target.namespace}/{target.name}"
            else:
                yield " ".join(endpoint.addresses)
