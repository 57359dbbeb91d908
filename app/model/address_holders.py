"""Which services have an address."""

from __future__ import annotations

from collections.abc import Mapping

from app.model.case import Case
from app.model.lbipam import Address


def by_address(case: Case) -> Mapping[Address, tuple[str, ...]]:
    """Keys of the services of type LoadBalancer that have each address; several may share one."""
    return case.memo.of("by address", (case.balancers,), lambda: _by_address(case))


def _by_address(case: Case) -> Mapping[Address, tuple[str, ...]]:
    found: dict[Address, list[str]] = {}
    for balancer in case.balancers:
        for address in dict.fromkeys(balancer.addresses):
            found.setdefault(address, []).append(balancer.service.key)
    return {address: tuple(keys) for address, keys in found.items()}
