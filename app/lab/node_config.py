"""A node's BGP configuration as its agent reads it, and the status that it writes back.

BGPv2: CiliumBGPNodeConfig and CiliumBGPPeerConfig (`pkg/bgp/manager/reconciler/neighbor.go` and
`crd_status.go` of Cilium); BGPv1: a CiliumBGPPeeringPolicy and the neighbors of its virtual routers
(`pkg/bgpv1` up to 1.18).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from app.lab.fields import integer, labels_of, mapping, objects, selects, text, truth
from app.lab.plane import (
    CILIUM_NODES,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    SECRETS,
    Condition,
    Plane,
)
from app.lab.sessions import PeerSettings, Session
from app.lab.store import JsonObject, stamp


@dataclass(frozen=True, slots=True)
class Desired:
    """What the objects ask of a node."""

    instances: dict[str, tuple[int, JsonObject]]
    """AS number and specification by name."""
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
        numbered = [(integer(each, "localASN"), each) for each in routers]
        return Desired({str(asn): (asn, each) for asn, each in numbered}, legacy=True)
    listed = objects(plane.get(NODE_CONFIGS, node), "spec", "bgpInstances")
    instances = {text(each, "name"): (integer(each, "localASN"), each) for each in listed}
    return Desired(instances, legacy=False)


class MissingPasswordKey(Exception):
    """An auth secret without the key `password`: no peer of the instance is configured."""


def peers_of(
    plane: Plane, asn: int, spec: JsonObject, legacy: bool, warn: Callable[[str], None]
) -> Iterator[PeerSettings]:
    """The peers of a BGPv2 instance, or of a BGPv1 virtual router (`legacy`).

    A peer whose configuration does not exist is left out, as by Cilium. BGPv1 calls `warn` for a
    missing Secret. Raises MissingPasswordKey.
    """
    if legacy:
        for neighbor in objects(spec, "neighbors"):
            address = text(neighbor, "peerAddress").partition("/")[0]
            yield PeerSettings(
                name=address,
                address=address,
                asn=integer(neighbor, "peerASN"),
                local_asn=asn,
                port=integer(neighbor, "peerPort", default=179),
                multihop=integer(neighbor, "eBGPMultihopTTL", default=1),
                families=_families(neighbor) or ("ipv4", "ipv6"),
                password=_password(plane, text(neighbor, "authSecretRef"), warn),
                restart=_restart(neighbor),
                **_timers(neighbor),
            )
        return
    for peer in objects(spec, "peers"):
        stored = plane.get(PEER_CONFIGS, text(peer, "peerConfigRef", "name"))
        if stored is None or not text(peer, "peerAddress"):
            continue
        config = mapping(stored, "spec")
        yield PeerSettings(
            name=text(peer, "name"),
            address=text(peer, "peerAddress"),
            asn=integer(peer, "peerASN"),
            local_asn=asn,
            port=integer(config, "transport", "peerPort", default=179),
            multihop=integer(config, "ebgpMultihop", default=1),
            families=_families(config) or ("ipv6", "ipv4"),
            password=_password(plane, text(config, "authSecretRef"), None),
            restart=_restart(config),
            **_timers(mapping(config, "timers")),
        )


def _families(config: JsonObject) -> tuple[str, ...]:
    return tuple(text(family, "afi") for family in objects(config, "families"))


def _timers(timers: JsonObject) -> dict[str, int]:
    return {
        "hold": integer(timers, "holdTimeSeconds", default=90),
        "keepalive": integer(timers, "keepAliveTimeSeconds", default=30),
        "retry": integer(timers, "connectRetryTimeSeconds", default=120),
    }


def _password(plane: Plane, secret: str, warn: Callable[[str], None] | None) -> str:
    """A missing Secret is no password; one without the key stops the instance."""
    namespace = text(plane.configuration(), "bgp-secrets-namespace")
    stored = plane.get(SECRETS, secret, namespace) if secret else None
    if stored is None:
        if secret and warn is not None:
            later = "not found (will continue with empty password)"
            warn(f'Failed to fetch secret "{secret}": {later}')
        return ""
    data = {**mapping(stored, "data"), **mapping(stored, "stringData")}
    password = data.get("password")
    if not isinstance(password, str) or not password:
        raise MissingPasswordKey(f'failed to fetch secret "{secret}": missing password key')
    return password


def _restart(config: JsonObject) -> int | None:
    if not truth(config, "gracefulRestart", "enabled"):
        return None
    return integer(config, "gracefulRestart", "restartTimeSeconds", default=120)


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
    revisions: tuple[int, ...] = ()
    """Of the shared offers, as of the last look."""


Counts = Callable[[Instance, Session, str], tuple[int, int]]
"""Routes received and advertised in a family."""


def write_status(
    plane: Plane, node: str, instances: Iterable[Instance], counts: Counts, error: str
) -> None:
    """Write the sessions, and the reconciliation error if there is or was one."""
    config = plane.get(NODE_CONFIGS, node)
    if config is None or not plane.enabled("enable-bgp-control-plane-status-report", "true"):
        return
    listed: list[object] = [_instance_status(instance, counts) for instance in instances]
    status: JsonObject = {"bgpInstances": listed} if listed else {}
    known = mapping(config, "status")
    if "conditions" in known:
        status["conditions"] = known["conditions"]
    if status != known:
        plane.set_status(NODE_CONFIGS, config, status)
    if plane.version >= (1, 18) and (error or "conditions" in known):
        reason = "ReconcileFailed" if error else "ReconcileSucceeded"
        if plane.version < (1, 20):
            reason = "BGPReconcileError"
        truth_value = "True" if error else "False"
        condition = Condition("cilium.io/BGPReconcileError", truth_value, error, reason)
        plane.set_conditions(NODE_CONFIGS, config, [condition])


def _instance_status(instance: Instance, counts: Counts) -> JsonObject:
    peers = [_peer_status(instance, peer, counts) for peer in objects(instance.spec, "peers")]
    return {"localASN": instance.asn, "name": instance.name, "peers": peers}


def _peer_status(instance: Instance, peer: JsonObject, counts: Counts) -> JsonObject:
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
