"""CS602 and CS603: what policies mean to a service, and when that is certain."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import msgspec
import pytest

from app.diagnosis.catalog import concerning
from app.diagnosis.diagnoser import Diagnoser, diagnose
from app.diagnosis.rules.services import invalid, selected, unreachable, without_endpoints
from app.lab.scenario import read_scenario
from app.lab.store import JsonObject
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity
from app.state.kinds import CILIUM_ENDPOINTS, CILIUM_POLICIES, OPTIONAL, POLICIES, Kind
from app.state.snapshot import Snapshot, State
from tests.diagnosed import with_config, with_health
from tests.lab_reading import read_inside
from tests.recorded import changed, snapshot_of

RULES = (without_endpoints, unreachable, invalid, selected)

GRAFANA = Ref("Service", "grafana", "monitoring")
SYSLOG = Ref("Service", "syslog", "monitoring")
DROPPED = "no rule lets in anything from outside the cluster"


def found_in(snapshot: Snapshot) -> tuple[Finding, ...]:
    """What the rules of this part find."""
    return tuple(finding for rule in RULES for finding in rule(Case(snapshot)))


def about(snapshot: Snapshot, ref: Ref) -> Finding:
    """The only one about a service."""
    (finding,) = [each for each in found_in(snapshot) if ref in each.about]
    return finding


def inside(*manifests: JsonObject, name: str = "policy-shuts-out", **changes: object) -> Snapshot:
    """A scenario's cluster with more objects, or with other things in it."""
    scenario = read_scenario(name)
    more = {"manifests": (*scenario.manifests, *manifests), **changes}
    return read_inside(msgspec.structs.replace(scenario, **more))


def cilium(name: str, namespace: str, **spec: object) -> JsonObject:
    """A CiliumNetworkPolicy."""
    return {
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"endpointSelector": {}, **spec},
    }


def test_an_invalid_policy_is_told_with_what_the_operator_says() -> None:
    (finding,) = found_in(inside(name="policy-invalid"))
    assert (finding.code, finding.severity) == ("CS602", Severity.WARN)
    assert finding.subject == Ref("CiliumNetworkPolicy", "minio", "storage")
    assert "Combining FromEndpoints and FromCIDR is not supported yet" in finding.summary
    assert "not enforced" in finding.summary
    (seen,) = finding.evidence
    assert seen.field == "status.conditions[Valid]"
    assert seen.source == "cilium policies"
    assert finding.command == "kubectl get ciliumnetworkpolicies minio -n storage -o yaml"


def test_an_invalid_policy_stands_before_nobody() -> None:
    assert {each.code for each in found_in(inside(name="policy-invalid"))} == {"CS602"}


def test_a_service_that_is_shut_is_told_to_be_so() -> None:
    finding = about(inside(), GRAFANA)
    assert (finding.code, finding.severity) == ("CS603", Severity.INFO)
    who, what = finding.summary.split(" select the backends of monitoring/grafana: ")
    assert who == "NetworkPolicy monitoring/default-deny, CiliumNetworkPolicy monitoring/grafana"
    assert what == f"{DROPPED}, so connections from there are dropped"
    assert "fromEntities" in finding.remedy
    assert {each.source for each in finding.evidence} == {
        "network policies",
        "cilium policies",
        "cilium endpoints",
        "config maps",
    }


def test_a_service_that_lets_in_the_world_is_only_named() -> None:
    finding = about(inside(), SYSLOG)
    assert finding.summary.endswith(": nothing gets in but what a rule allows")
    assert DROPPED not in finding.summary


def test_who_explains_a_service_is_told_of_its_policies() -> None:
    found = diagnose(Case(inside()))
    assert "CS603" in {each.code for each in concerning(found, [GRAFANA])}
    assert "CS603" not in {
        each.code for each in concerning(found, [Ref("Service", "minio", "storage")])
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy_audit_mode": "true"}, "is let in all the same, and noted (policy-audit-mode)"),
        ({"enable_policy": "never"}, "nothing is enforced: enable-policy is never"),
        ({"enable_policy": "always"}, DROPPED),
        ({"enable_policy": None, "policy_audit_mode": None}, DROPPED),
        ({"kube_proxy_replacement": "false"}, "nothing gets in but what a rule allows"),
        ({"static_cnp_path": "/policies"}, "nothing gets in but what a rule allows"),
        ({"enable_k8s_cluster_network_policy": "true"}, "nothing gets in but what a rule allows"),
    ],
)
def test_what_is_done_depends_on_how_cilium_is_set(
    settings: dict[str, str | None], words: str
) -> None:
    assert words in about(with_config(inside(), **settings), GRAFANA).summary


def test_without_the_settings_policies_are_only_named() -> None:
    snapshot = changed(inside(), config_maps=MappingProxyType({}))
    assert about(snapshot, GRAFANA).summary.endswith("the backends of monitoring/grafana")


def test_a_policy_that_may_stand_as_it_was_makes_it_uncertain() -> None:
    wrong = cilium("wrong", "monitoring", ingress=[{"fromCIDR": ["::/0"], "fromEntities": ["all"]}])
    found = found_in(inside(wrong))
    assert {each.code for each in found} == {"CS602", "CS603"}
    assert not any(DROPPED in each.summary for each in found)
    elsewhere = cilium("wrong", "media", ingress=[{"fromCIDR": ["::/0"], "fromEntities": ["all"]}])
    assert any(DROPPED in each.summary for each in found_in(inside(elsewhere)))


def test_a_policy_that_could_not_be_read_makes_it_uncertain() -> None:
    for kind in POLICIES:
        snapshot = with_health(inside(), kind, state=State.FORBIDDEN, read_at=None)
        snapshot = changed(snapshot, **{kind.name: MappingProxyType({})})
        assert not any(DROPPED in each.summary for each in found_in(snapshot))


def test_a_backend_that_is_not_known_makes_it_uncertain() -> None:
    snapshot = inside()
    endpoints = dict(snapshot.records[CILIUM_ENDPOINTS])
    del endpoints[next(key for key in sorted(endpoints) if "/grafana-" in key)]
    finding = about(changed(snapshot, cilium_endpoints=MappingProxyType(endpoints)), GRAFANA)
    assert DROPPED not in finding.summary


def test_some_of_the_backends_may_be_denied_alone() -> None:
    policy = cilium(
        "canary",
        "monitoring",
        endpointSelector={"matchLabels": {"canary": "yes"}},
        ingress=[{}],
    )
    snapshot = inside(policy, name="healthy")
    picked, *_ = (key for key in sorted(snapshot.records[CILIUM_ENDPOINTS]) if "/grafana-" in key)
    endpoint = snapshot.records[CILIUM_ENDPOINTS][picked]
    labels = (*endpoint.status.identity.labels, "k8s:canary=yes")
    identity = msgspec.structs.replace(endpoint.status.identity, labels=labels)
    status = msgspec.structs.replace(endpoint.status, identity=identity)
    marked = msgspec.structs.replace(endpoint, status=status)
    endpoints = MappingProxyType({**snapshot.records[CILIUM_ENDPOINTS], picked: marked})
    finding = about(changed(snapshot, cilium_endpoints=endpoints), GRAFANA)
    assert finding.summary.endswith(": to some of them nothing gets in but what a rule allows")


def test_what_only_denies_leaves_the_rest_open() -> None:
    policy = cilium(
        "no-printers",
        "storage",
        ingressDeny=[{"fromCIDR": ["192.0.2.0/24"]}],
        enableDefaultDeny={"ingress": False},
    )
    finding = about(inside(policy), Ref("Service", "minio", "storage"))
    assert finding.summary.endswith(": all is let in but what a rule denies")


def test_services_behind_the_same_policies_are_told_together() -> None:
    wide: JsonObject = {
        "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": "everywhere"},
        "spec": {"endpointSelector": {}, "ingress": [{"fromEntities": ["world"]}]},
    }
    (finding,) = found_in(inside(wide, name="healthy"))
    assert finding.subject == Ref("CiliumClusterwideNetworkPolicy", "everywhere")
    assert len(finding.about) > 5
    assert finding.summary.startswith("CiliumClusterwideNetworkPolicy everywhere selects the ")
    assert finding.command == "kubectl get ciliumclusterwidenetworkpolicies everywhere -o yaml"


@pytest.mark.parametrize("kind", OPTIONAL)
def test_what_nobody_asks_for_any_more_is_not_told(kind: Kind[object]) -> None:
    """It was read once, and grows old unseen."""
    off = with_health(inside(), kind, state=State.OFF)
    sources = {each.source for finding in found_in(off) for each in finding.evidence}
    assert off.health_of(kind).label not in sources
    off = with_health(inside(name="policy-invalid"), kind, state=State.OFF)
    assert bool(found_in(off)) is (kind is not CILIUM_POLICIES)


@pytest.mark.parametrize("name", ["policy-shuts-out", "policy-invalid", "healthy"])
def test_what_nobody_asked_for_changes_nothing(name: str) -> None:
    """As the dashboard is: neither a finding nor a right that is missing."""
    asked = inside(name=name)
    bare = changed(asked, **{kind.name: MappingProxyType({}) for kind in OPTIONAL})
    for kind in OPTIONAL:
        bare = with_health(bare, kind, state=State.OFF, read_at=None)
    others = [each for each in diagnose(Case(asked)) if each.code not in ("CS602", "CS603")]
    assert list(diagnose(Case(bare))) == others
    assert Diagnoser().verdict(bare).complete


async def test_a_right_that_is_optional_leaves_the_rest_judged() -> None:
    snapshot = await snapshot_of("healthy")
    for kind in OPTIONAL:
        snapshot = with_health(snapshot, kind, state=State.FORBIDDEN, read_at=None, error="no")
    verdict = Diagnoser().verdict(snapshot)
    told = [each for each in verdict.findings if each.code == "CS801"]
    assert [each.severity for each in told] == [Severity.INFO] * len(OPTIONAL)
    assert verdict.complete
    assert verdict.not_granted() == tuple(snapshot.health_of(kind).label for kind in OPTIONAL)
    assert verdict.not_granted(["lb-ipam"]) == ()


async def test_a_source_of_policies_that_fails_is_told_as_any_other() -> None:
    snapshot = with_health(
        await snapshot_of("healthy"), "cilium_policies", state=State.FAILING, error="refused"
    )
    verdict = Diagnoser().verdict(replace(snapshot))
    assert "CS802" in {each.code for each in verdict.findings}
    assert not verdict.complete
