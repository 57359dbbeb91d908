"""What conditions say happened, for the times when no log does.

Cilium up to 1.19 writes no line for an ordinary allocation, nor for one that finds no pool: only
the condition on the service, with the moment it last changed, tells (`docs/cilium.md`, "Logs").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from app.model.lbipam import LoadBalancer, load_balancers

if TYPE_CHECKING:
    from app.model.health import Version
    from app.state.snapshot import Snapshot

LOGS_ALLOCATIONS: Version = (1, 20)
"""The first Cilium whose operator logs each allocation (70099e0750, 2026-01-27)."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A service's LB-IPAM verdict changed."""

    at: datetime
    service: str
    """Key of the service."""
    satisfied: bool
    text: str
    """What it changed to, in words."""


def transitions(snapshot: Snapshot) -> tuple[Transition, ...]:
    """The last change of every service's verdict, oldest first."""
    found = [told for balancer in load_balancers(snapshot) if (told := _transition(balancer))]
    return tuple(sorted(found, key=lambda t: (t.at, t.service)))


def _transition(balancer: LoadBalancer) -> Transition | None:
    condition, key = balancer.condition, balancer.service.key
    if condition is None or condition.last_transition_time is None:
        return None
    if condition.status == "True":
        addresses = ", ".join(map(str, balancer.addresses)) or "nothing"
        pools = ", ".join(dict.fromkeys(filter(None, balancer.pools)))
        text = f"{key} ← {addresses}" + (f" ({pools})" if pools else "")
    else:
        text = f"{key}: {condition.message or condition.reason or 'not satisfied'}"
    return Transition(condition.last_transition_time, key, condition.status == "True", text)
