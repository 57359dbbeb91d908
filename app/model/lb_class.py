"""Who gives a service its address: LB-IPAM, another controller, or nobody here.

Facts: Cilium operator/pkg/lbipam/lbipam.go (isResponsibleForSVC) and cell.go (classes and the
`default-lb-service-ipam` setting), operator/pkg/nodeipam, 1.17 to 1.21; `docs/cilium.md`,
"LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.model.case import Case
from app.model.configuration import CONFIG_MAP
from app.model.finding import Evidence, Ref
from app.model.lbipam import LoadBalancer
from app.state.kinds import CONFIG_MAPS, SERVICES
from collectors.kubernetes.records import Event, Service

BGP_CLASS = "io.cilium/bgp-control-plane"
L2_CLASS = "io.cilium/l2-announcer"
NODE_CLASS = "io.cilium/node"
CLASSES = (BGP_CLASS, L2_CLASS, NODE_CLASS)
"""The load balancer classes that Cilium knows: node IPAM serves the last, LB-IPAM the others."""

_FEATURES = {
    # class: setting, its name in words (`docs/cilium.md`, "Configuration keys")
    BGP_CLASS: ("enable-bgp-control-plane", "the BGP control plane"),
    L2_CLASS: ("enable-l2-announcements", "L2 announcements"),
    NODE_CLASS: ("enable-node-ipam", "node IPAM"),
}
_OWN = "cilium"
_BY_HAND = "kubectl"
_ADDRESS_EVENTS = ("AllocationFailed", "IPAllocated", "SuccessfullyReconciled", "FailedBuildModel")
"""Reasons of events by which MetalLB and cloud controllers tell that a service is theirs; those of
the cloud controller manager and of kube-vip hold the word `LoadBalancer`."""


@dataclass(frozen=True, slots=True)
class Responsibility:
    """Whether LB-IPAM is to give a service its addresses."""

    responsible: bool | None
    """None: it cannot be told."""
    reason: str
    """Why, in words with the actual values."""
    code: str = ""
    """The code that says so when the service has no address; "" where another controller of
    Cilium is responsible."""
    evidence: tuple[Evidence, ...] = ()


def responsible(case: Case, balancer: LoadBalancer) -> Responsibility:
    """Whether LB-IPAM thinks itself responsible for a service of type LoadBalancer."""
    service = balancer.service
    wanted = service.spec.load_balancer_class
    if wanted and wanted not in CLASSES:
        reason = f"its loadBalancerClass is {wanted}, which is not one of Cilium's"
        return Responsibility(False, reason, "CS211", (class_seen(case, service),))
    if case.config is None:
        return _by_verdict(balancer)
    if wanted:
        return _by_class(case, service, wanted)
    default = case.setting("default-lb-service-ipam", "lbipam")
    if default != "lbipam":
        reason = f"it has no loadBalancerClass, and default-lb-service-ipam is {default}"
        evidence = (setting_seen(case, "default-lb-service-ipam", "lbipam"),)
        return Responsibility(False, reason, "CS217", evidence)
    return _switched_on(case, "it has no loadBalancerClass, so it is LB-IPAM's by default")


def enabled(case: Case, key: str, default: str) -> bool | None:
    """Whether a switch of `cilium-config` is on; None when that is not known."""
    value = case.setting(key, default)
    return None if value is None else value.strip().lower() in ("true", "t", "1")


def serves_by_node(case: Case) -> bool:
    """Whether node IPAM gives services without class the addresses of nodes."""
    by_default = case.setting("default-lb-service-ipam", "lbipam") == "nodeipam"
    return by_default and bool(enabled(case, _FEATURES[NODE_CLASS][0], "false"))


def config_ref(case: Case) -> Ref:
    """The ConfigMap that the running Cilium is configured by."""
    return Ref("ConfigMap", CONFIG_MAP, case.snapshot.cilium_namespace)


def other_writers(service: Service) -> tuple[str, ...]:
    """Who but Cilium and a person with kubectl wrote the status of a service.

    LB-IPAM's own field manager is `cilium-operator-lb-ipam` (lbipam.go, ciliumFieldManager).
    """
    managers = {f.manager for f in service.metadata.managed_fields if f.subresource == "status"}
    return tuple(sorted(m for m in managers if m and not m.startswith((_OWN, _BY_HAND))))


def other_controllers(balancers: Iterable[LoadBalancer]) -> Mapping[str, tuple[str, ...]]:
    """Other controllers that demonstrably give addresses, by the class they serve ("": none)."""
    found: dict[str, set[str]] = {}
    for balancer in balancers:
        if (balancer.addresses or balancer.hostnames) and balancer.condition is None:
            served = balancer.service.spec.load_balancer_class or ""
            found.setdefault(served, set()).update(other_writers(balancer.service))
    return {served: tuple(sorted(names)) for served, names in found.items() if names}


def controllers_at_work(events: Iterable[Event]) -> Mapping[str, tuple[str, ...]]:
    """Other controllers that told in an event that they work on a service, by its key."""
    found: dict[str, set[str]] = {}
    for event in events:
        about = event.involved_object
        shown = "LoadBalancer" in event.reason or event.reason in _ADDRESS_EVENTS
        name = event.source.component or event.reporting_component or "another controller"
        if about.kind == "Service" and shown and not name.startswith(_OWN):
            found.setdefault(f"{about.namespace}/{about.name}", set()).add(name)
    return {key: tuple(sorted(names)) for key, names in found.items()}


def setting_seen(case: Case, key: str, default: str) -> Evidence:
    """What `cilium-config` says of a setting, or which default is in force."""
    value = (case.config or {}).get(key, f"(absent, which means {default})")
    return case.saw(CONFIG_MAPS, str(config_ref(case)), f"data[{key}]", value)


def class_seen(case: Case, service: Service) -> Evidence:
    """The class of a service."""
    value = service.spec.load_balancer_class or "(none)"
    return case.saw(SERVICES, f"Service {service.key}", "spec.loadBalancerClass", value)


def _by_class(case: Case, service: Service, wanted: str) -> Responsibility:
    key, feature = _FEATURES[wanted]
    evidence = (class_seen(case, service), setting_seen(case, key, "false"))
    if not enabled(case, key, "false"):
        reason = f"its loadBalancerClass is {wanted}, and {feature} is off ({key})"
        return Responsibility(False, reason, "CS211", evidence)
    if wanted == NODE_CLASS:
        reason = f"its loadBalancerClass is {wanted}, which {feature} serves with node addresses"
        return Responsibility(False, reason, evidence=evidence)
    return _switched_on(case, f"its loadBalancerClass is {wanted}, and {feature} is on")


def _switched_on(case: Case, why: str) -> Responsibility:
    if enabled(case, "enable-lb-ipam", "true"):
        return Responsibility(True, why)
    evidence = (setting_seen(case, "enable-lb-ipam", "true"),)
    return Responsibility(False, f"{why}, but enable-lb-ipam is not true", "CS210", evidence)


def _by_verdict(balancer: LoadBalancer) -> Responsibility:
    """Without `cilium-config`: a verdict shows that LB-IPAM took the service as its own."""
    if balancer.condition is not None:
        return Responsibility(True, "LB-IPAM has given a verdict on it")
    return Responsibility(None, f"{CONFIG_MAP} could not be read")
