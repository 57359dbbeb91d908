"""The status that an agent writes into its node's CiliumBGPNodeConfig (crd_status.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from app.lab.fields import integer, mapping, objects, text
from app.lab.plane import NODE_CONFIGS, Plane
from app.lab.sessions import Session
from app.lab.store import JsonObject, stamp


@dataclass(slots=True, eq=False)
class Instance:
    """One BGP speaker on a node: a BGPv2 instance or a BGPv1 virtual router."""

    name: str
    asn: int
    spec: JsonObject
    registered: datetime
    sessions: dict[str, Session] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    """When a prefix that not every node offers entered the local RIB."""
    told: tuple[int, ...] = ()
    """Revisions of the shared offers as of the last look."""


Counts = Callable[[Instance, Session, str], tuple[int, int]]
"""Routes received and advertised in a family."""


def write_status(
    plane: Plane, node: str, instances: Iterable[Instance], counts: Counts, error: str
) -> None:
    """Write the sessions, and the reconciliation error if there is or was one."""
    config = plane.get(NODE_CONFIGS, node)
    enabled = plane.configuration().get("enable-bgp-control-plane-status-report", "true")
    if config is None or enabled != "true":
        return
    listed: list[object] = [_instance(instance, counts) for instance in instances]
    status: JsonObject = {"bgpInstances": listed} if listed else {}
    known = mapping(config, "status")
    if "conditions" in known:
        status["conditions"] = known["conditions"]
    if status != known:
        plane.set_status(NODE_CONFIGS, config, status)
    if plane.version >= (1, 18) and (error or "conditions" in known):
        _write_error(plane, node, error)


def _write_error(plane: Plane, node: str, error: str) -> None:
    config = plane.get(NODE_CONFIGS, node)
    if config is None:
        return
    reason = "ReconcileFailed" if error else "ReconcileSucceeded"
    condition: JsonObject = {
        "type": "cilium.io/BGPReconcileError",
        "status": "True" if error else "False",
        "reason": reason if plane.version >= (1, 20) else "BGPReconcileError",
        "message": error,
        "observedGeneration": integer(config, "metadata", "generation", default=1),
    }
    plane.set_conditions(NODE_CONFIGS, config, [condition])


def _instance(instance: Instance, counts: Counts) -> JsonObject:
    peers = [_peer(instance, peer, counts) for peer in objects(instance.spec, "peers")]
    return {"localASN": instance.asn, "name": instance.name, "peers": peers}


def _peer(instance: Instance, peer: JsonObject, counts: Counts) -> JsonObject:
    status: JsonObject = {
        key: peer[key] for key in ("name", "peerASN", "peerAddress") if key in peer
    }
    session = instance.sessions.get(text(peer, "name"))
    if session is None:
        return status
    if session.established is not None:
        status = {"establishedTime": stamp(session.established), **status}
    status["peeringState"] = session.state
    counted = [(afi, counts(instance, session, afi)) for afi in session.settings.families]
    status["routeCount"] = [
        {"advertised": advertised, "afi": afi, "received": received, "safi": "unicast"}
        for afi, (received, advertised) in counted
    ]
    status["timers"] = {
        "appliedHoldTimeSeconds": session.applied_hold,
        "appliedKeepaliveSeconds": session.applied_keepalive,
    }
    return status
