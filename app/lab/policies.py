"""Network policies: what the API server adds, and what the operator says of those of Cilium.

The checks are a few of Cilium's own, with its words (`pkg/policy/api/rule_validation.go`); the
condition is that of `operator/pkg/networkpolicy/validator.go`. It has no reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.lab.fields import mapping, objects, present, text
from app.lab.plane import CILIUM_POLICIES, CLUSTERWIDE_POLICIES, Plane
from app.lab.store import JsonObject

POLICY_INPUTS = (CILIUM_POLICIES, CLUSTERWIDE_POLICIES)

_PEERS = ("Endpoints", "CIDR", "CIDRSet", "Entities", "Nodes", "Groups")


def with_types(policy: JsonObject) -> JsonObject:
    """A NetworkPolicy with the `policyTypes` that the API server fills in."""
    spec = mapping(policy, "spec")
    if spec.get("policyTypes"):
        return policy
    types = ["Ingress", *(["Egress"] if objects(spec, "egress") else [])]
    return {**policy, "spec": {**spec, "policyTypes": list[object](types)}}


def judge(plane: Plane) -> None:
    """Say of every policy of Cilium's whether it is valid."""
    for resource in POLICY_INPUTS:
        for policy in plane.all(resource):
            fault = "\n".join(filter(None, map(_fault, _rules(policy))))
            condition: JsonObject = {
                "type": "Valid",
                "status": "False" if fault else "True",
                "message": fault or "Policy validation succeeded",
            }
            plane.set_conditions(resource, policy, [condition])


def _rules(policy: JsonObject) -> Iterator[JsonObject]:
    if present(policy, "spec"):
        yield mapping(policy, "spec")
    yield from objects(policy, "specs")


def _fault(rule: JsonObject) -> str:
    """The first thing that is wrong with a rule, "" when nothing is."""
    selectors = [name for name in ("endpointSelector", "nodeSelector") if present(rule, name)]
    if not selectors:
        return "rule must have one of EndpointSelector or NodeSelector"
    if len(selectors) > 1:
        return "rule cannot have both EndpointSelector and NodeSelector"
    entries = [(word, each) for word in ("from", "to") for each in _entries(rule, word)]
    return next(filter(None, (_entry_fault(word, each) for word, each in entries)), "")


def _entries(rule: JsonObject, word: str) -> list[JsonObject]:
    return objects(rule, "ingress" if word == "from" else "egress")


def _entry_fault(word: str, entry: JsonObject) -> str:
    there = [peer for peer in _PEERS if entry.get(f"{word}{peer}")]
    if len(there) > 1:
        first, second = (f"{word.capitalize()}{peer}" for peer in there[:2])
        return f"Combining {first} and {second} is not supported yet"
    if objects(entry, "icmps") and objects(entry, "toPorts"):
        return (
            "The ICMPs block may only be present without ToPorts. "
            "Define a separate rule to use ToPorts."
        )
    return next(filter(None, map(_port_fault, objects(entry, "toPorts"))), "")


def _port_fault(rule: JsonObject) -> str:
    others = [text(port, "protocol") or "ANY" for port in objects(rule, "ports")]
    foreign = next((protocol for protocol in others if protocol != "TCP"), "")
    if foreign and mapping(rule, "rules").get("http"):
        return f"L7 rules can only apply to TCP (not {foreign}) except for DNS rules"
    return ""
