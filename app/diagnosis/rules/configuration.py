"""CS7: whether the running configuration is what is expected, can start, and is of one mind.

Only `cilium-config` of the running Cilium is judged, never a chart's values. Without an expectation
nothing here says that a setting should be another one: clusters differ on purpose.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.config.expected_settings import ExpectedSetting
from app.diagnosis.rules.pods import live, started
from app.model.case import Case
from app.model.configuration import CONFIG_MAP, config_map, fulfils, parameters
from app.model.finding import Finding, Ref, Severity, Topic
from app.model.health import BGPV1_REMOVED, pod_ready
from app.model.lbipam import LoadBalancer
from app.model.selectors import selects, service_labels
from app.model.wording import named, quoted
from app.state.kinds import (
    ADVERTISEMENTS,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    L2_POLICIES,
    PEER_CONFIGS,
    PEERING_POLICIES,
    SERVICES,
)
from collectors.cilium.records import AdvertisementEntry, L2Policy


@dataclass(frozen=True, slots=True)
class Combination:
    """Settings that keep the agent from starting, and what it says then."""

    detail: str
    keys: Sequence[str]
    holds: Callable[[Mapping[str, str]], bool]
    """Whether a configuration, each key with its default, has it."""
    says: str
    """The agent's error."""
    remedy: str


_TABLES = tomllib.loads(Path(__file__).with_name("combinations.toml").read_text("utf-8"))
_DEFAULTS: Mapping[str, str] = _TABLES["defaults"]


def _on(config: Mapping[str, str], key: str) -> bool:
    return config.get(key, _DEFAULTS.get(key, "false")).strip().lower() == "true"


def _value(config: Mapping[str, str], key: str) -> str:
    return config.get(key, _DEFAULTS[key]).strip().lower()


def _bbr(config: Mapping[str, str]) -> bool:
    wanted = _on(config, "enable-bandwidth-manager") and _on(config, "enable-bbr")
    replaced = _on(config, "kube-proxy-replacement") or _on(config, "enable-node-port")
    legacy = _on(config, "enable-host-legacy-routing") or not replaced
    return wanted and legacy and not _on(config, "enable-bbr-hostns-only")


def _uses_dsr(config: Mapping[str, str]) -> bool:
    return _on(config, "kube-proxy-replacement") and (
        _value(config, "bpf-lb-mode") in ("dsr", "hybrid")
    )


def _tunnels(config: Mapping[str, str]) -> bool:
    return _value(config, "routing-mode") == "tunnel"


def _dsr_vxlan(config: Mapping[str, str]) -> bool:
    vxlan = _value(config, "tunnel-protocol") == "vxlan"
    return _uses_dsr(config) and _tunnels(config) and vxlan


def _dsr_dispatch(config: Mapping[str, str]) -> bool:
    geneve = _value(config, "bpf-lb-dsr-dispatch") == "geneve"
    return _uses_dsr(config) and _tunnels(config) and not geneve and not _dsr_vxlan(config)


def _dsr_geneve(config: Mapping[str, str]) -> bool:
    geneve = _value(config, "bpf-lb-dsr-dispatch") == "geneve"
    other = _value(config, "tunnel-protocol") != "geneve"
    return _uses_dsr(config) and geneve and other and not _dsr_vxlan(config)


def _no_conntrack(config: Mapping[str, str]) -> bool:
    without = _on(config, "install-no-conntrack-iptables-rules")
    return without and not _on(config, "kube-proxy-replacement")


def _no_family(config: Mapping[str, str]) -> bool:
    return not _on(config, "enable-ipv4") and not _on(config, "enable-ipv6")


_HOLDS = {
    "bbr": _bbr,
    "dsr-vxlan": _dsr_vxlan,
    "dsr-dispatch": _dsr_dispatch,
    "dsr-geneve": _dsr_geneve,
    "no-conntrack": _no_conntrack,
    "no-family": _no_family,
}
COMBINATIONS = tuple(
    Combination(detail, holds=_HOLDS[detail], **row)
    for detail, row in _TABLES["combinations"].items()
)


def differences(case: Case) -> Iterator[Finding]:
    """CS701: a setting differs from what is expected of it."""
    if not case.expected:
        return
    if case.config is None:
        yield _not_judged(case)
        return
    known = {each.key: each for each in parameters(case.snapshot)}
    different: set[str] = set()
    for expected in sorted(case.expected, key=lambda each: each.key in _BELONGS):
        written = case.config.get(expected.key)
        parameter = known.get(expected.key)
        actual = parameter.effective if parameter else written
        if not fulfils(expected.value, actual):
            name = f"{parameter.name} ({expected.key})" if parameter else expected.key
            above = _BELONGS.get(expected.key, "")
            blames = (_setting(above),) if above in different and not written else ()
            different.add(expected.key)
            yield _difference(case, expected, name, written, actual, blames)


_BELONGS = {
    **{
        f"cluster-pool-{family}-{what}": "ipam"
        for family in ("ipv4", "ipv6")
        for what in ("cidr", "mask-size")
    }
}
"""Settings that exist only with a value of another one, by which one that is."""


def _setting(key: str) -> Ref:
    return Ref("Setting", key)


def combinations(case: Case) -> Iterator[Finding]:
    """CS705: settings with which the agent cannot start."""
    if case.config is None:
        return
    for each in COMBINATIONS:
        if each.holds(case.config) and not _started_with_it(case):
            yield _combination(case, each)


def both_announcers(case: Case) -> Iterator[Finding]:
    """CS706: services that are announced by BGP and by L2 announcements alike."""
    if not case.known(SERVICES, L2_POLICIES, CONFIG_MAPS) or case.config is None:
        return
    if not all(_on(case.config, f"enable-{name}") for name in _ANNOUNCERS):
        return
    selected = [
        (balancer.service.key, policy.name)
        for balancer in case.balancers
        if balancer.service.spec.load_balancer_class is None and _by_bgp(case, balancer)
        for policy in case.records[L2_POLICIES].values()
        if _by_l2(policy, balancer)
    ]
    if selected:
        yield _both(case, selected)


_ANNOUNCERS = ("bgp-control-plane", "l2-announcements")


def _not_judged(case: Case) -> Finding:
    source = case.snapshot.health_of(CONFIG_MAPS)
    why = "it does not exist" if case.known(CONFIG_MAPS) else f"it is not known ({source.state})"
    return Topic("CS701", Severity.UNKNOWN, case.config_ref).finding(
        summary=f"{len(case.expected)} expected settings cannot be compared with {CONFIG_MAP} in "
        f"{case.namespace}: {why}",
        evidence=(case.saw(CONFIG_MAPS, case.config_ref, "data", why),),
        remedy="where Cilium runs in another namespace, name it with --namespace",
        command="kubectl get configmaps -A --field-selector metadata.name=cilium-config",
        blames=(Ref("Source", source.label),),
    )


def _difference(
    case: Case,
    expected: ExpectedSetting,
    name: str,
    written: str | None,
    actual: str | None,
    blames: tuple[Ref, ...],
) -> Finding:
    here = f"{CONFIG_MAP} does not set it"
    if not actual:
        is_ = "is not set"
    else:
        is_ = f"is {actual!r}" + ("" if written else f", its default ({here})")
    wanted = "any value" if expected.value == "*" else repr(expected.value)
    place = f", as {expected.place} says" if expected.place else ""
    ref = case.config_ref
    severity = Severity.WARN if expected.warn else Severity.FAIL
    return Topic("CS701", severity, ref, expected.key).finding(
        summary=f"{name} {is_}; {wanted} is expected{place}",
        evidence=(
            case.saw(
                CONFIG_MAPS, ref, f"data[{expected.key}]", here if written is None else written
            ),
        ),
        remedy=f"set {expected.key} through the Helm value it comes from and roll the pods, or "
        "correct the expectation",
        command=f"kubectl -n {ref.namespace} get configmap {CONFIG_MAP} "
        f"-o jsonpath='{{.data.{expected.key.replace('.', chr(92) + '.')}}}'",
        about=(_setting(expected.key),),
        blames=blames,
    )


def _started_with_it(case: Case) -> bool:
    """Whether an agent is Ready that started with this configuration: then it can start."""
    found = config_map(case.snapshot)
    times = [f.time for f in found.metadata.managed_fields if f.time] if found else []
    changed = max(times, default=None)
    return any(
        pod_ready(each.pod) and (changed is None or started(each, "cilium-agent") >= changed)
        for each in live(case, "agent")
    )


def _combination(case: Case, found: Combination) -> Finding:
    config, ref = case.config or {}, case.config_ref
    text = ", ".join(
        f"{key}={config.get(key, _DEFAULTS[key])}" + ("" if key in config else " (default)")
        for key in found.keys
    )
    running = any(pod_ready(each.pod) for each in live(case, "agent"))
    when = "will not start again" if running else "cannot start"
    return Topic("CS705", Severity.FAIL, ref, found.detail).finding(
        summary=f"agents {when} with {text}: {quoted(found.says)}",
        evidence=tuple(
            case.saw(CONFIG_MAPS, ref, f"data[{key}]", config.get(key, "not set"))
            for key in found.keys
        ),
        remedy=found.remedy,
        command=f"kubectl -n {ref.namespace} get configmap {CONFIG_MAP} -o yaml",
    )


def _by_l2(policy: L2Policy, balancer: LoadBalancer) -> bool:
    """An absent `serviceSelector` selects all (Documentation/network/l2-announcements.rst)."""
    selector = policy.spec.service_selector
    return policy.spec.load_balancer_ips and (
        selector is None or selects(selector, service_labels(balancer.service))
    )


def _by_bgp(case: Case, balancer: LoadBalancer) -> bool:
    """Whether something that a peer carries selects the service's load-balancer addresses."""
    labels, snapshot = service_labels(balancer.service), case.snapshot
    policies = snapshot.records[PEERING_POLICIES].values() if case.version < BGPV1_REMOVED else ()
    return any(
        router.service_selector is not None
        and router.neighbors
        and "LoadBalancerIP" in router.service_advertisements
        and selects(router.service_selector, labels)
        for policy in policies
        for router in policy.spec.virtual_routers
    ) or any(_entry_selects(entry, labels) for entry in _carried(case))


def _carried(case: Case) -> Iterator[AdvertisementEntry]:
    """Entries of the advertisements that a peer of a ClusterConfig takes up."""
    snapshot = case.snapshot
    used = {
        peer.peer_config_ref.name
        for config in snapshot.records[CLUSTER_CONFIGS].values()
        for instance in config.spec.bgp_instances
        for peer in instance.peers
        if peer.peer_config_ref
    }
    selectors = [
        family.advertisements
        for config in snapshot.records[PEER_CONFIGS].values()
        if config.name in used
        for family in config.spec.families or ()
        if family.advertisements is not None
    ]
    for advertisement in snapshot.records[ADVERTISEMENTS].values():
        if any(selects(selector, advertisement.metadata.labels) for selector in selectors):
            yield from advertisement.spec.advertisements


def _entry_selects(entry: AdvertisementEntry, labels: Mapping[str, str]) -> bool:
    return (
        entry.advertisement_type == "Service"
        and entry.service is not None
        and "LoadBalancerIP" in entry.service.addresses
        and entry.selector is not None
        and selects(entry.selector, labels)
    )


def _both(case: Case, selected: list[tuple[str, str]]) -> Finding:
    services = sorted({service for service, _ in selected})
    policies = sorted({policy for _, policy in selected})
    shown = named(services)
    return Topic("CS706", Severity.WARN, case.config_ref).finding(
        summary=f"BGP and L2 announcements both announce {shown}: "
        f"CiliumL2AnnouncementPolicy {', '.join(policies)} selects them, and so does BGP",
        evidence=(
            *(
                case.saw(CONFIG_MAPS, case.config_ref, f"data[enable-{name}]", "true")
                for name in _ANNOUNCERS
            ),
            *(
                case.saw(L2_POLICIES, f"CiliumL2AnnouncementPolicy {name}", "spec", "selects")
                for name in policies
            ),
        ),
        remedy="let one of the two announce each service: give the policy a serviceSelector that "
        "leaves these out, set `loadBalancerClass` on services that belong to one of them, or "
        "switch L2 announcements off (Helm `l2announcements.enabled: false`)",
        command="kubectl get ciliuml2announcementpolicies -o yaml",
        about=tuple(Ref("CiliumL2AnnouncementPolicy", name) for name in policies),
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    differences,
    combinations,
    both_announcers,
)
"""Every rule of the block CS7."""
