"""The components in one line: how many of each are well, and what told so, how long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.model.health import Component, components
from app.model.sessions import configuration_known, session_health
from app.report.format import age_of
from app.report.lines import FIXED_SPACE, SIGN, Line, Span, Tone
from app.state.kinds import (
    BGP_PEERS,
    CILIUM_NODES,
    DAEMON_SETS,
    DEPLOYMENTS,
    LEASES,
    NODE_CONFIGS,
    PEERING_POLICIES,
    PODS,
    SERVICES,
)
from app.state.snapshot import Snapshot, State

if TYPE_CHECKING:
    from app.model.case import Case
    from app.model.finding import Health

_KINDS = {
    "agents": (DAEMON_SETS,),
    "operator": (LEASES,),
    "envoy": (DAEMON_SETS,),
    "hubble-relay": (DEPLOYMENTS,),
    "BGP": (BGP_PEERS, NODE_CONFIGS),
    "LB-IPAM": (SERVICES,),
}
"""Which kinds tell of a component; the first that answered is named."""
_NAMES = {"hubble-relay": "hubble"}


def strip(case: Case, *, sources: bool = False) -> Line:
    """`agents 3/3 ✓ (0s)   operator 2/2 ✓ leader (3s) …`; with `sources` also what told so."""
    spans: list[Span] = []
    agents, operator, *others = components(case.snapshot)
    parts = (agents, operator, _bgp(case), _lb_ipam(case), *others)
    for part in (part for part in parts if part.health != "none"):
        spans += [Span("   " if spans else " "), *_component(part)]
        told = _told_by(case.snapshot, part.name, named=sources)
        spans.append(Span(_fixed(told), "none"))
    unused = ", ".join(part.name for part in parts if part.health == "none")
    if unused:
        spans += [Span("   "), Span(_fixed(f"{SIGN['none']} no {unused}"), "none")]
    return tuple(spans)


def _component(part: Component) -> tuple[Span, ...]:
    counted = f"{part.ready}/{part.desired} " if part.ready is not None else ""
    tone: Tone = "" if part.health == "ok" else part.health
    note = f" {part.note}" if part.note else ""
    return (
        Span(_fixed(f"{_NAMES.get(part.name, part.name)} {counted}")),
        Span(f"{SIGN[part.health]}", part.health),
        Span(_fixed(note), tone),
    )


def _fixed(text: str) -> str:
    """A component is never broken between two lines."""
    return text.replace(" ", FIXED_SPACE)


def _told_by(snapshot: Snapshot, name: str, *, named: bool) -> str:
    """How long ago it was told and, where there is room for it, by what."""
    for kind in _KINDS[name]:
        health = snapshot.health_of(kind)
        if health.known:
            age = age_of(health.read_at, snapshot.taken_at)
            return f" {health.label} {age}" if named else f" ({age})"
    return ""


def _bgp(case: Case) -> Component:
    """How many of the sessions that should be are established."""
    if case.setting("enable-bgp-control-plane", "false") == "false" and not case.sessions:
        return Component("BGP", "none", None, None, "off")
    health = [session_health(session) for session in case.sessions]
    whole = _all_sessions_known(case)
    if not health:
        if whole or case.snapshot.health_of(BGP_PEERS).known:
            return Component("BGP", "warn", None, None, "no session")
        return Component("BGP", "unknown", None, None, _unread(case.snapshot))
    up, unknown = health.count("ok"), health.count("unknown")
    worst: Health = "fail" if "fail" in health else "ok" if whole and not unknown else "unknown"
    return Component("BGP", worst, up, len(health), f"{unknown} not known" if unknown else "")


def _all_sessions_known(case: Case) -> bool:
    """Whether there is none beside those that are known: an agent speaks of its own node alone."""
    if not (configuration_known(case.snapshot) and case.known(PODS)):
        return False
    return not case.snapshot.records[PEERING_POLICIES] or case.known(CILIUM_NODES)


def _unread(snapshot: Snapshot) -> str:
    """How the source is that should tell which sessions are configured."""
    states = [snapshot.health_of(kind).state for kind in (NODE_CONFIGS, PEERING_POLICIES)]
    return next((str(state) for state in states if state is not State.ABSENT), str(State.ABSENT))


def _lb_ipam(case: Case) -> Component:
    """How many of the LoadBalancer services have an address."""
    if case.setting("enable-lb-ipam", "true") == "false":
        return Component("LB-IPAM", "none", None, None, "off")
    source = case.snapshot.health_of(SERVICES)
    if not source.known:
        return Component("LB-IPAM", "unknown", None, None, str(source.state))
    total = len(case.balancers)
    given = sum(bool(balancer.addresses or balancer.hostnames) for balancer in case.balancers)
    pending = f"{total - given} pending" if given < total else ""
    return Component("LB-IPAM", "fail" if pending else "ok", given, total, pending)
