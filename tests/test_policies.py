"""What is made of network policies: whom they select, what they deny, what surely stays outside."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.policies import Policy, Subject, labels_of, policies
from app.state.snapshot import Snapshot
from collectors.cilium.records import (
    CiliumEndpoint,
    CiliumPolicy,
    ClusterwidePolicy,
    EndpointIdentity,
    EndpointStatus,
)
from collectors.kubernetes.answers import Undecodable, decode_object
from collectors.kubernetes.records import Metadata, NetworkPolicy, Object
from collectors.sanitize import JsonValue
from tests.lab_cluster import NOON
from tests.recorded import changed
from tests.test_decode import VALUES

WEB = ("k8s:app=web", "k8s:io.kubernetes.pod.namespace=home")
KINDS: dict[str, type[Object]] = {
    "network_policies": NetworkPolicy,
    "cilium_policies": CiliumPolicy,
    "clusterwide_policies": ClusterwidePolicy,
}


def policy(kind: str, document: dict[str, JsonValue]) -> Policy:
    """The policy with this body, as it is read from the API."""
    namespace = {} if kind == "clusterwide_policies" else {"namespace": "home"}
    body: JsonValue = {"metadata": {"name": "p", **namespace}, **document}
    record = decode_object(json.dumps(body).encode(), KINDS[kind])
    snapshot = changed(Snapshot(taken_at=NOON), **{kind: {record.key: record}})
    (found,) = policies(snapshot)
    return found


def only(kind: str, spec: dict[str, JsonValue]) -> Subject:
    """The only rule of the policy with this spec."""
    selector = "podSelector" if kind == "network_policies" else "endpointSelector"
    (found,) = policy(kind, {"spec": {selector: {}, **spec}}).subjects
    return found


def endpoint(*labels: str) -> CiliumEndpoint:
    """An endpoint of this identity."""
    status = EndpointStatus(identity=EndpointIdentity(7, labels))
    return CiliumEndpoint(Metadata("web-1", "home"), status)


@pytest.mark.parametrize(
    ("kind", "spec", "denies", "shut"),
    [
        # Kubernetes: no rule lets nobody in, an empty one everybody.
        ("network_policies", {"policyTypes": ["Ingress"]}, True, True),
        ("network_policies", {"policyTypes": ["Ingress"], "ingress": []}, True, True),
        ("network_policies", {"policyTypes": ["Ingress"], "ingress": [{}]}, True, False),
        ("network_policies", {}, True, True),
        ("network_policies", {"policyTypes": ["Egress"], "egress": [{}]}, False, True),
        ("network_policies", {"ingress": [{"from": [{"podSelector": {}}]}]}, True, True),
        ("network_policies", {"ingress": [{"from": [{"namespaceSelector": {}}]}]}, True, True),
        ("network_policies", {"ingress": [{"from": [{"ipBlock": {"cidr": "::/0"}}]}]}, True, False),
        ("network_policies", {"ingress": [{"from": [{}]}]}, True, False),
        ("network_policies", {"ingress": [{"ports": [{"port": 80}]}]}, True, False),
        # Cilium: no rule says nothing, an empty one lets nobody in.
        ("cilium_policies", {"ingress": []}, False, True),
        ("cilium_policies", {"ingress": [{}]}, True, True),
        ("cilium_policies", {"ingress": None, "egress": [{}]}, False, True),
        ("cilium_policies", {"ingress": [{"fromEndpoints": [{}]}]}, True, True),
        ("clusterwide_policies", {"ingress": [{"fromEndpoints": [{}]}]}, True, True),
        ("cilium_policies", {"ingress": [{"fromEndpoints": []}]}, True, False),
        (
            "cilium_policies",
            {"ingress": [{"fromEndpoints": [{"matchLabels": {"reserved:world": ""}}]}]},
            True,
            False,
        ),
        (
            "cilium_policies",
            {
                "ingress": [
                    {
                        "fromEndpoints": [
                            {"matchExpressions": [{"key": "reserved:host", "operator": "Exists"}]}
                        ]
                    }
                ]
            },
            True,
            False,
        ),
        ("cilium_policies", {"ingress": [{"fromEntities": ["world"]}]}, True, False),
        ("cilium_policies", {"ingress": [{"fromEntities": ["cluster"]}]}, True, False),
        ("cilium_policies", {"ingress": [{"fromCIDR": ["10.0.0.0/8"]}]}, True, False),
        (
            "cilium_policies",
            {"ingress": [{"fromCIDRSet": [{"cidrGroupRef": "home"}]}]},
            True,
            False,
        ),
        ("cilium_policies", {"ingress": [{"fromNodes": [{}]}]}, True, False),
        ("cilium_policies", {"ingress": [{"fromGroups": [{"aws": {}}]}]}, True, False),
        ("cilium_policies", {"ingress": [{"toPorts": [{"ports": []}]}]}, True, False),
        ("cilium_policies", {"ingress": [{"icmps": [{"fields": []}]}]}, True, False),
        (
            "cilium_policies",
            {"ingress": [{"fromEndpoints": [{}], "toPorts": [{"ports": []}]}]},
            True,
            True,
        ),
        ("cilium_policies", {"ingressDeny": [{"fromEntities": ["world"]}]}, True, True),
        (
            "cilium_policies",
            {"ingress": [{}], "enableDefaultDeny": {"ingress": False}},
            False,
            True,
        ),
        ("cilium_policies", {"egress": [{}], "enableDefaultDeny": {"ingress": True}}, True, True),
    ],
)
def test_what_a_rule_denies_and_whom_it_surely_keeps_out(
    kind: str, spec: dict[str, JsonValue], denies: bool, shut: bool
) -> None:
    found = only(kind, spec)
    assert (found.denies_ingress, found.shut) == (denies, shut)


def test_a_rule_about_egress_is_not_about_ingress() -> None:
    found = only("cilium_policies", {"egress": [{}]})
    assert (found.about_ingress, found.about_egress, found.denies_egress) == (False, True, True)
    found = only("network_policies", {"egress": [{}]})
    assert (found.about_ingress, found.about_egress) == (True, True)


@pytest.mark.parametrize(
    ("selector", "selects"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"k8s:app": "web"}}, True),
        ({"matchLabels": {"any:app": "web"}}, True),
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchLabels": {"container:app": "web"}}, False),
        ({"matchLabels": {"reserved:init": ""}}, False),
        ({"matchExpressions": [{"key": "k8s:app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
    ],
)
def test_a_selector_sees_labels_with_and_without_their_source(
    selector: dict[str, JsonValue], selects: bool
) -> None:
    labels = labels_of(endpoint(*WEB))
    for kind in ("cilium_policies", "clusterwide_policies"):
        found = policy(kind, {"spec": {"endpointSelector": selector, "ingress": [{}]}})
        assert bool(list(found.selected("home", labels))) is selects


def test_the_label_of_the_pod_comes_before_that_of_another_source() -> None:
    labels = labels_of(endpoint("gen:app=other", "k8s:app=web", "reserved:health"))
    assert labels["app"] == "web"
    assert labels["gen:app"] == "other"
    assert "health" not in labels


def test_a_policy_of_a_namespace_selects_nobody_elsewhere() -> None:
    labels = labels_of(endpoint(*WEB))
    own = policy("cilium_policies", {"spec": {"endpointSelector": {}, "ingress": [{}]}})
    wide = policy("clusterwide_policies", {"spec": {"endpointSelector": {}, "ingress": [{}]}})
    assert not list(own.selected("media", labels))
    assert list(wide.selected("media", labels))


def test_a_policy_may_have_one_rule_or_a_list_of_them() -> None:
    rule: JsonValue = {"endpointSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]}
    nodes: JsonValue = {"nodeSelector": {}, "ingress": [{}]}
    nobody: JsonValue = {"ingress": [{}]}
    found = policy("clusterwide_policies", {"spec": rule, "specs": [nodes, nobody]})
    assert found.selector == "app=web; nodes: everything; nodes: nobody"
    assert len(list(found.selected("home", labels_of(endpoint(*WEB))))) == 1


@pytest.mark.parametrize(
    ("kind", "document", "valid", "fault"),
    [
        ("network_policies", {}, None, ""),
        ("cilium_policies", {}, None, ""),
        (
            "cilium_policies",
            {"status": {"conditions": [{"type": "Valid", "status": "True", "message": "fine"}]}},
            True,
            "",
        ),
        (
            "clusterwide_policies",
            {"status": {"conditions": [{"type": "Valid", "status": "False", "message": "bad"}]}},
            False,
            "bad",
        ),
        (
            "cilium_policies",
            {"status": {"conditions": [{"type": "Valid", "status": "False"}]}},
            False,
            "the operator does not say why",
        ),
        (
            "cilium_policies",
            {
                "specs": [{"nodeSelector": {}}],
                "status": {"conditions": [{"type": "Valid", "status": "True"}]},
            },
            True,
            "a rule of a CiliumNetworkPolicy cannot have a nodeSelector",
        ),
        ("clusterwide_policies", {"specs": [{"nodeSelector": {}}]}, None, ""),
    ],
)
def test_a_policy_is_valid_unless_somebody_says_that_it_is_not(
    kind: str, document: dict[str, JsonValue], valid: bool | None, fault: str
) -> None:
    found = policy(kind, document)
    assert (found.valid, found.fault) == (valid, fault)


@given(st.lists(st.text()))
def test_no_label_is_too_odd_to_be_seen(labels: list[str]) -> None:
    found = labels_of(endpoint(*labels))
    assert all(label.partition("=")[0] in found for label in labels)


@given(VALUES, st.sampled_from(sorted(KINDS)))
def test_no_spec_that_can_be_read_is_too_odd_to_be_judged(value: JsonValue, kind: str) -> None:
    body = json.dumps({"metadata": {"name": "p", "namespace": "home"}, "spec": value})
    try:
        record = decode_object(body.encode(), KINDS[kind])
    except Undecodable:
        return
    snapshot = changed(Snapshot(taken_at=NOON), **{kind: {record.key: record}})
    (found,) = policies(snapshot)
    chosen = list(found.selected("home", labels_of(endpoint(*WEB))))
    assert all(any(each is rule for rule in found.subjects) for each in chosen)
    assert isinstance(found.selector, str)
