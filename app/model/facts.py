"""What can be counted at a glance, before any diagnosis: addresses, sessions, agents, the API.

A count claims no more than was read: what no source told is left out or said to be unknown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from app.model.health import CiliumPod, Health, components
from app.model.lbipam import LoadBalancer, load_balancers
from app.model.sessions import UNKNOWN, Session, sessions
from app.state.kinds import BGP_PEERS, NODE_CONFIGS, PEERING_POLICIES, SERVICES, VERSION
from app.state.snapshot import Snapshot, SourceHealth, State

HEARTBEAT = VERSION
"""The kind that tells that the API server answers: it is read every few seconds."""

_CONDITION_WORDS = {
    # Reasons of cilium.io/IPAMRequestSatisfied: Cilium operator/pkg/lbipam/lbipam.go
    "satisfied": "satisfied",
    "no_pool": "no pool",
    "pool_selector_mismatch": "not selected",
    "already_allocated": "address taken",
    "already_allocated_incompatible_service": "not shareable",
    "already_allocated_different_sharing_key": "not shareable",
    "out_of_ips": "pools full",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that can be said at a glance."""

    health: Health
    text: str


def session_health(session: Session) -> Health:
    """Up, down, or not known; what was true when it was last read is not known to be so now."""
    if session.state == UNKNOWN or not session.current:
        return "unknown"
    return "ok" if session.established else "fail"


def configuration_known(snapshot: Snapshot) -> bool:
    """Whether it is known which BGP sessions the cluster is configured to have."""
    return all(
        _read(health) or health.state is State.ABSENT
        for health in map(snapshot.health_of, (NODE_CONFIGS, PEERING_POLICIES))
        if health.state is not State.OFF
    )


def balancer_health(balancer: LoadBalancer) -> Health:
    """Whether a service has what it asked for; unknown where it has an address without verdict."""
    addressed = bool(balancer.addresses or balancer.hostnames)
    if balancer.satisfied is False or not addressed:
        return "fail"
    return "ok" if balancer.satisfied else "unknown"


def condition_words(balancer: LoadBalancer) -> str:
    """LB-IPAM's verdict in a few words; a reason that is not known to us as it stands."""
    condition = balancer.condition
    if condition is None:
        return "no verdict"
    if condition.status == "True":
        return "satisfied"
    return _CONDITION_WORDS.get(condition.reason, condition.reason or "not satisfied")


def pod_health(found: CiliumPod) -> Health:
    """Whether a pod of Cilium serves: ready, on its way, or not."""
    if found.ready:
        return "ok"
    return "fail" if found.status not in ("Pending", "ContainerCreating", "Running") else "warn"


def api_fact(snapshot: Snapshot) -> Fact | None:
    """That the API server does not answer, or not yet, or was never asked; None while it does."""
    health = snapshot.health_of(HEARTBEAT)
    if health.state is State.LOADING:
        return Fact("unknown", "Waiting for the API server …")
    if health.state not in (State.FAILING, State.STALE, State.FORBIDDEN):
        return None
    return Fact("unknown", _no_answer(health.error))


def _no_answer(error: str) -> str:
    """What the failure of the heartbeat means. Errors of a server begin with its URL."""
    server, refused, why = error.partition(" does not accept our credentials: ")
    if refused:
        return f"The API server refuses our credentials ({server}: {why})"
    if error.startswith(("The ", "There ")):
        means = ("credential plugin", "token file", "auth-provider", "client-key")
        return f"No {'credentials' if any(m in error for m in means) else 'cluster'}: {error}"
    if "(HTTP " in error:
        return f"The API server does not answer as it should ({error})"
    return f"The API server does not answer ({error or 'silent'})"


def facts(snapshot: Snapshot) -> tuple[Fact, ...]:
    """The counts, worst first; one calm sentence when nothing that was read is amiss."""
    found = [fact for part in (_services, _sessions, _agents) if (fact := part(snapshot))]
    bad = [fact for fact in found if fact.health != "ok"]
    if bad:
        return tuple(
            sorted(
                bad,
                key=lambda fact: (
                    ("fail", "warn").index(fact.health) if fact.health in ("fail", "warn") else 2
                ),
            )
        )
    good = [fact.text for fact in found if fact.text]
    if not good:
        return ()
    sentence = f"{', '.join(good[:-1])} and {good[-1]}." if len(good) > 1 else f"{good[0]}."
    return (Fact("ok", sentence[0].upper() + sentence[1:]),)


def _services(snapshot: Snapshot) -> Fact | None:
    if not _read(snapshot.health_of(SERVICES)):
        return None
    balancers = load_balancers(snapshot)
    without = [b for b in balancers if not (b.addresses or b.hostnames)]
    if without:
        what = "has" if len(without) == 1 else "have"
        names = _named([balancer.service.key for balancer in without])
        text = f"{len(without)} of {len(balancers)} LoadBalancer services {what} no address"
        return Fact("fail", f"{text}: {names}")
    if not balancers:
        return Fact("ok", "there is no LoadBalancer service")
    return Fact("ok", f"all {len(balancers)} LoadBalancer services have an address")


def _sessions(snapshot: Snapshot) -> Fact | None:
    if not any(_read(snapshot.health_of(kind)) for kind in (NODE_CONFIGS, BGP_PEERS)):
        return None
    found = sessions(snapshot)
    down = [s for s in found if session_health(s) == "fail"]
    unknown = [s for s in found if session_health(s) == "unknown"]
    if down:
        what = "is" if len(down) == 1 else "are"
        told = f"; {len(unknown)} more unknown" if unknown else ""
        names = _named([f"{s.node} → {s.peer_address or s.peer}" for s in down])
        return Fact(
            "fail",
            f"{len(down)} of {len(found)} BGP sessions {what} not established{told}: {names}",
        )
    if unknown:
        what = "is" if len(unknown) == 1 else "are"
        text = f"{len(unknown)} of {len(found)} BGP sessions {what} not known"
        if all(session.shown for session in unknown):  # known once, and not read since
            states = Counter(session.state for session in unknown)
            last = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
            return Fact("unknown", f"{text}; last read as {last}")
        return Fact("unknown", f"{text}: {_named([f'{s.node}: {s.note}' for s in unknown])}")
    if not configuration_known(snapshot):
        if not found:
            return None
        told = "which sessions are configured is not known"
        seen = f"{len(found)} BGP session{'s' if len(found) > 1 else ''}"
        return Fact("unknown", f"{seen} seen established; {told}")
    if not found:
        return Fact("ok", "no BGP session is configured")
    return Fact("ok", f"all {len(found)} BGP sessions are established")


def _agents(snapshot: Snapshot) -> Fact | None:
    agents = components(snapshot)[0]
    if agents.ready is None or agents.desired is None:
        if agents.health != "fail":
            return None
        return Fact("fail", f"the agents' DaemonSet is {agents.note}")
    text = f"{agents.ready} of {agents.desired} agents are ready"
    return Fact("ok" if agents.health == "ok" else agents.health, text)


def _read(health: SourceHealth) -> bool:
    return health.known and health.state is not State.FORBIDDEN


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES])
    return shown if len(names) <= _NAMES else f"{shown} and {len(names) - _NAMES} more"


_NAMES = 3
