"""Every service of type LoadBalancer, worked out anew only where it changed."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from app.diagnosis.lbipam import LoadBalancer, load_balancers
from app.diagnosis.memo import Memo
from app.snapshot import Snapshot


def balancers(snapshot: Snapshot, memo: Memo) -> tuple[LoadBalancer, ...]:
    """As `app.diagnosis.lbipam.load_balancers`: a service that is the same record keeps its own."""
    inputs = (snapshot.services, snapshot.pools)
    return memo.of("balancers", inputs, lambda: _balancers(snapshot, memo))


def _balancers(snapshot: Snapshot, memo: Memo) -> tuple[LoadBalancer, ...]:
    known: dict[str, LoadBalancer] = memo.of("balancer", (snapshot.pools,), dict)
    found: dict[str, LoadBalancer] = {}
    new = {}
    for key, service in snapshot.services.items():
        if service.spec.type != "LoadBalancer":
            continue
        kept = known.get(key)
        if kept is not None and kept.service is service:
            found[key] = kept
        else:
            new[key] = service
    if new:
        reduced = replace(snapshot, services=MappingProxyType(new))
        found.update((made.service.key, made) for made in load_balancers(reduced))
    known.clear()
    known.update(found)
    return tuple(found[key] for key in sorted(found))
