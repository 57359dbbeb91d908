"""A way that cannot be followed to its end, though all was read: that is told, as unknown.

Mostly something changed a moment ago and the agents are given time to follow; then the finding says
from when on it can be told. What a source did not tell is told by the source (CS801, CS802).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.diagnosis.service_path import announcing as say
from app.diagnosis.service_path.hops import Way, is_announced, is_odd
from app.diagnosis.service_path.path import Hop, HopState
from app.model.advertised_routes import SETTLED
from app.model.desired_routes import Obstacle
from app.model.finding import Finding, Ref, Severity
from app.state.kinds import BGP_PEERS
from app.state.snapshot import State

_JUDGED = ("endpoints", "advertised", "sessions", "routes")
"""The hops before these are LB-IPAM's, whose rules tell it themselves; the router never tells."""


def with_doubt(way: Way, hops: Sequence[Hop]) -> tuple[Hop, ...]:
    """The hops; the first that is not ok has a finding where it is unknown, and nothing says so."""
    first = next((hop for hop in hops[:-1] if hop.state is not HopState.OK), None)
    if first is None or first.state is not HopState.UNKNOWN or first.findings:
        return tuple(hops)
    if first.name not in _JUDGED or not _all_read(way, first):
        return tuple(hops)
    unknown = replace(first, findings=(_unknown(way, first),))
    return tuple(unknown if hop is first else hop for hop in hops)


def _all_read(way: Way, hop: Hop) -> bool:
    """Whether it is not for want of a source, nor somebody else's service."""
    if hop.name == "endpoints":
        return way.serving is not None
    # Objects that compete for a node, and a PeerConfig that was not read, are told as such.
    undefined = way.scene.config.obstacle is Obstacle.UNDEFINED
    if not way.counts_on_bgp or not (way.scene.config.certain or undefined):
        return False
    if hop.name == "advertised":
        kept = way.expectation.kept
        return bool(way.balancer.addresses) and not (kept and kept[0].obstacle is Obstacle.UNKNOWN)
    if way.doubtful and is_announced(way) and not is_odd(way):
        return False  # some agents did not tell, or not yet, and that is told of them
    if hop.name == "sessions":
        return way.scene.case.snapshot.health_of(BGP_PEERS).state is State.FRESH
    return all(reach.actual is not None for reach in way.reaches)


def _unknown(way: Way, hop: Hop) -> Finding:
    service, addresses = way.balancer.service, way.balancer.addresses
    announced = way.reaches and all(reach.actual for reach in way.reaches)
    if hop.name == "endpoints":
        code, question = "CS601", f"anything answers for {service.key}"
        command = say.endpoints_command(service)
    else:
        code = "CS502" if announced else "CS501"
        listed = say.named(map(str, addresses))
        question = f"{service.key} ({listed}) is announced as it should be"
        command = say.show_routes(addresses[0].version)
    until = None if way.settled(4) and way.settled(6) else _definite_at(way)
    return Finding(
        code=code,
        severity=Severity.UNKNOWN,
        subject=say.service_ref(service),
        detail="unknown",
        summary=f"whether {question} cannot be told: {hop.reason}",
        evidence=hop.evidence or (say.address_seen(way.scene.case, service, addresses),),
        remedy="Look again in half a minute: it, its endpoints or the BGP configuration changed "
        "just now, and the agents may not have followed yet"
        if until
        else "Repair what explains it, if anything does; else compare by hand what the nodes "
        "announce",
        command=command,
        blames=(
            Ref("Cluster"),
            *(ref for group in way.scene.config.groups for ref in group.refs),
            *say.blamed(way.scene, way.links, way.reaches),
        ),
        definite_at=until,
    )


def _definite_at(way: Way) -> datetime:
    moments = (way.changed_at, way.scene.changed_at)
    return max(moment for moment in moments if moment is not None) + timedelta(seconds=SETTLED)
