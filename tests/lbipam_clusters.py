"""A healthy cluster with one thing changed, for the tests of the rules on LB-IPAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec

from app.diagnosis.catalog import CODES, code, linked
from app.diagnosis.rules.lbipam_services import RULES
from app.model.case import Case
from app.model.finding import Finding, Severity
from app.state.kinds import CONFIG_MAPS, DEPLOYMENTS, LEASES, PODS, POOLS, SERVICES
from app.state.snapshot import Snapshot, State
from collectors.cilium.records import ConditionsStatus, Pool, PoolBlock
from collectors.kubernetes.records import (
    Condition,
    Deployment,
    Event,
    EventSource,
    Ingress,
    LabelSelector,
    LoadBalancerStatus,
    ManagedField,
    Metadata,
    ObjectReference,
    OwnerReference,
    Service,
    ServiceSpec,
    ServiceStatus,
)
from tests.recorded import changed, snapshot_of

SATISFIED = "cilium.io/IPAMRequestSatisfied"
LABEL = "io.cilium/lb-ipam-pool"
ASKS = "lbipam.cilium.io/ips"
KEY = "lbipam.cilium.io/sharing-key"
FAIL, WARN, INFO, UNKNOWN = Severity.FAIL, Severity.WARN, Severity.INFO, Severity.UNKNOWN
CATALOGUE = {name: code(name) for name in CODES if name.startswith("CS2")}

RANGE = PoolBlock(start="10.9.0.1", stop="10.9.0.9")
OTHER = PoolBlock(start="10.8.0.1", stop="10.8.0.9")
SIX = PoolBlock(cidr="fd09::/120")
IN_DEFAULT = {LABEL: "bgp-default"}

Change = Callable[[Snapshot], Snapshot]


@dataclass(frozen=True)
class Try:
    """Changes to the healthy cluster, and the root causes that they make."""

    name: str
    changes: tuple[Change, ...]
    roots: tuple[tuple[str, Severity], ...] = ()
    words: tuple[str, ...] = ()
    """What the first root's summary or remedy says."""
    effects: tuple[str, ...] = ()
    """Codes of what follows."""


async def healthy_cluster() -> Snapshot:
    """A cluster in which all is well and nothing has changed for long."""
    return settled(await snapshot_of("healthy"))


def settled(snapshot: Snapshot) -> Snapshot:
    """The snapshot with an operator that has led for long, and objects that are old."""
    lease = next(iter(snapshot.records[LEASES].values()))
    spec = msgspec.structs.replace(
        lease.spec,
        acquire_time=snapshot.taken_at - timedelta(hours=1),
        renew_time=snapshot.taken_at,
    )
    old = snapshot.taken_at - timedelta(hours=1)

    def aged(metadata: Metadata) -> Metadata:
        return msgspec.structs.replace(metadata, creation_timestamp=old, managed_fields=())

    return changed(
        snapshot,
        leases={lease.key: msgspec.structs.replace(lease, spec=spec)},
        pools={
            key: msgspec.structs.replace(pool, metadata=aged(pool.metadata))
            for key, pool in snapshot.records[POOLS].items()
        },
        services={
            key: msgspec.structs.replace(service, metadata=aged(service.metadata))
            for key, service in snapshot.records[SERVICES].items()
        },
    )


def service(
    name: str = "new",
    *,
    namespace: str = "home",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    addresses: tuple[str, ...] = (),
    hostname: str = "",
    status: str = "False",
    message: str = "said",
    age: float = 3600,
    said: float = 3600,
    managers: tuple[str, ...] = (),
    families: tuple[str, ...] = ("IPv4",),
    owner: str = "",
    **spec: object,
) -> Change:
    """Add a service of type LoadBalancer; `status` is LB-IPAM's verdict, "" none."""

    def change(snapshot: Snapshot) -> Snapshot:
        now = snapshot.taken_at
        ingress = tuple(Ingress(ip=address) for address in addresses)
        if hostname:
            ingress = (*ingress, Ingress(hostname=hostname))
        condition = Condition(
            SATISFIED,
            status,
            "reason",
            message,
            last_transition_time=now - timedelta(seconds=said),
        )
        made = Service(
            metadata=Metadata(
                name=name,
                namespace=namespace,
                creation_timestamp=now - timedelta(seconds=age),
                labels=dict(labels or {}),
                annotations=dict(annotations or {}),
                managed_fields=tuple(ManagedField(m, "status") for m in managers),
                owner_references=(OwnerReference("Gateway", owner),) if owner else (),
            ),
            spec=msgspec.structs.replace(
                ServiceSpec(type="LoadBalancer", ip_families=families), **spec
            ),
            status=ServiceStatus(LoadBalancerStatus(ingress), (condition,) if status else ()),
        )
        return changed(snapshot, services={**snapshot.records[SERVICES], made.key: made})

    return change


def pool(
    name: str,
    *blocks: PoolBlock,
    selects: str | None = None,
    disabled: bool = False,
    conflict: str = "False",
    counted: bool = True,
    available: int | None = None,
    age: float = 3600,
    first_last: str = "Yes",
) -> Change:
    """Add a pool whose selector wants the pool label of this value (by default its name)."""

    def change(snapshot: Snapshot) -> Snapshot:
        conditions = [Condition("cilium.io/PoolConflict", conflict)] if counted else []
        if counted:
            conditions.append(Condition("cilium.io/IPsTotal", "Unknown", "", "10"))
        if available is not None:
            conditions.append(Condition("cilium.io/IPsAvailable", "Unknown", "", str(available)))
        known = snapshot.records[POOLS].get("bgp-default")
        assert known is not None
        made = Pool(
            metadata=Metadata(
                name=name, creation_timestamp=snapshot.taken_at - timedelta(seconds=age)
            ),
            spec=msgspec.structs.replace(
                known.spec,
                blocks=blocks,
                disabled=disabled,
                allow_first_last_ips=first_last,
                service_selector=LabelSelector(match_labels={LABEL: selects or name}),
            ),
            status=ConditionsStatus(tuple(conditions)),
        )
        return changed(snapshot, pools={**snapshot.records[POOLS], name: made})

    return change


def config(**values: str) -> Change:
    """Change settings of `cilium-config`; `_` stands for `-`."""

    def change(snapshot: Snapshot) -> Snapshot:
        key = f"{snapshot.cilium_namespace}/cilium-config"
        found = snapshot.records[CONFIG_MAPS][key]
        data = {**found.data, **{name.replace("_", "-"): v for name, v in values.items()}}
        made = msgspec.structs.replace(found, data=data)
        return changed(snapshot, config_maps={**snapshot.records[CONFIG_MAPS], key: made})

    return change


def event(component: str, reason: str, name: str = "new") -> Change:
    """An event of another controller about a service."""

    def change(snapshot: Snapshot) -> Snapshot:
        made = Event(
            metadata=Metadata(name="e", namespace="home"),
            involved_object=ObjectReference("Service", "home", name),
            reason=reason,
            source=EventSource(component=component),
        )
        return changed(snapshot, events={made.key: made})

    return change


def no_pools(snapshot: Snapshot) -> Snapshot:
    """Without pools, and without the services that had addresses of them."""
    return changed(snapshot, pools={}, services={})


def unread(kind: str) -> Change:
    """A kind that could not be read."""

    def change(snapshot: Snapshot) -> Snapshot:
        health = {
            label: replace(found, state=State.FORBIDDEN, read_at=None)
            if found.kind.name == kind
            else found
            for label, found in snapshot.health.items()
        }
        return replace(changed(snapshot, **{kind: {}}), health=health)

    return change


def absent(kind: str) -> Change:
    """A kind that is not served."""

    def change(snapshot: Snapshot) -> Snapshot:
        health = {
            label: replace(found, state=State.ABSENT, read_at=None)
            if found.kind.name == kind
            else found
            for label, found in snapshot.health.items()
        }
        return replace(changed(snapshot, **{kind: {}}), health=health)

    return change


def no_operator(snapshot: Snapshot) -> Snapshot:
    """No operator pod is Ready."""
    pods = {
        key: msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, conditions=()))
        if pod.metadata.labels.get("io.cilium/app") == "operator"
        else pod
        for key, pod in snapshot.records[PODS].items()
    }
    return changed(snapshot, pods=pods)


def scaled_to_zero(snapshot: Snapshot) -> Snapshot:
    """The operator's Deployment wants no pod."""
    made = {}
    for key, found in snapshot.records[DEPLOYMENTS].items():
        spec = msgspec.structs.replace(found.spec, replicas=0)
        made[key] = Deployment(found.metadata, spec, found.status)
    return changed(snapshot, deployments=made)


def lease_expired(snapshot: Snapshot) -> Snapshot:
    """Nobody has renewed the operator's lease for minutes."""
    lease = next(iter(snapshot.records[LEASES].values()))
    gone = snapshot.taken_at - timedelta(minutes=5)
    spec = msgspec.structs.replace(lease.spec, renew_time=gone)
    return changed(snapshot, leases={lease.key: msgspec.structs.replace(lease, spec=spec)})


def new_leader(snapshot: Snapshot) -> Snapshot:
    """Another operator began to lead a moment ago."""
    lease = next(iter(snapshot.records[LEASES].values()))
    spec = msgspec.structs.replace(
        lease.spec, acquire_time=snapshot.taken_at - timedelta(seconds=5)
    )
    return changed(snapshot, leases={lease.key: msgspec.structs.replace(lease, spec=spec)})


def diagnosed(snapshot: Snapshot) -> tuple[Finding, ...]:
    """What the rules of this block find, causes linked."""
    case = Case(snapshot)
    return linked(finding for rule in RULES for finding in rule(case))


def told(findings: tuple[Finding, ...]) -> list[tuple[str, Severity, str]]:
    """Code, severity and subject of what nothing else explains, in a fixed order."""
    return sorted((f.code, f.severity, str(f.subject)) for f in findings if f.root)


def being_deleted(snapshot: Snapshot) -> Snapshot:
    """The new service is being deleted."""
    found = snapshot.records[SERVICES]["home/new"]
    metadata = msgspec.structs.replace(found.metadata, deletion_timestamp=snapshot.taken_at)
    made = msgspec.structs.replace(found, metadata=metadata)
    return changed(snapshot, services={**snapshot.records[SERVICES], made.key: made})


def asking(address: str, **more: str) -> dict[str, str]:
    """The annotations of a service that asks for an address."""
    return {ASKS: address, **more}


def check(healthy: Snapshot, tried: Try) -> None:
    """The changes make these root causes and effects, each told in full, and no other."""
    snapshot = healthy
    for change in tried.changes:
        snapshot = change(snapshot)
    findings = diagnosed(snapshot)
    assert sorted((f.code, f.severity) for f in findings if f.root) == sorted(tried.roots)
    assert sorted(f.code for f in findings if not f.root) == sorted(tried.effects)
    roots = [finding for finding in findings if finding.root]
    for word in tried.words:
        assert word in f"{roots[0].summary} | {roots[0].remedy}"
    for finding in findings:
        assert finding.severity in CATALOGUE[finding.code].severities
        assert finding.summary
        assert not finding.summary.endswith(".")
        assert finding.evidence
        assert finding.remedy
        assert finding.command.startswith("kubectl ")
    assert len({finding.id for finding in findings}) == len(findings)


def partly_read(kind: str) -> Change:
    """A kind of which some objects could not be understood."""

    def change(snapshot: Snapshot) -> Snapshot:
        health = {
            label: replace(found, problems=("one was malformed",))
            if found.kind.name == kind
            else found
            for label, found in snapshot.health.items()
        }
        return replace(snapshot, health=health)

    return change
