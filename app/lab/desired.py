"""What the objects ask a node to run: a BGPv1 policy's virtual routers, or BGPv2 instances."""

from __future__ import annotations

from dataclasses import dataclass

from app.lab.fields import integer, labels_of, mapping, objects, selects, text
from app.lab.plane import CILIUM_NODES, NODE_CONFIGS, PEERING_POLICIES, Plane
from app.lab.store import JsonObject


@dataclass(frozen=True, slots=True)
class Desired:
    """What the objects ask of a node."""

    instances: tuple[tuple[str, int, JsonObject], ...]
    legacy: bool
    """Whether a CiliumBGPPeeringPolicy asks for it."""


def desired(plane: Plane, node: str) -> Desired | None:
    """What to run on a node; None when two policies select it: what runs is left alone."""
    labels = labels_of(plane.get(CILIUM_NODES, node) or {})
    policies = [
        policy
        for policy in (plane.all(PEERING_POLICIES) if plane.version < (1, 19) else [])
        if selects(mapping(policy, "spec", "nodeSelector"), labels)
    ]
    if len(policies) > 1:
        return None
    if policies:
        routers = objects(policies[0], "spec", "virtualRouters")
        numbered = [(integer(r, "localASN"), r) for r in routers]
        return Desired(tuple((str(asn), asn, r) for asn, r in numbered), legacy=True)
    config = plane.get(NODE_CONFIGS, node)
    listed = objects(config, "spec", "bgpInstances")
    return Desired(
        tuple((text(i, "name"), integer(i, "localASN"), i) for i in listed), legacy=False
    )
