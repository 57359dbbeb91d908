"""Which kinds of BGP's configuration the API server does not serve: of what they say, nothing is
known, however surely none of them was read."""

from __future__ import annotations

from collections.abc import Iterable

from app.model.case import Case
from app.state.snapshot import State

BGP_KINDS = {
    "cluster_configs": "ciliumbgpclusterconfigs",
    "peer_configs": "ciliumbgppeerconfigs",
    "advertisements": "ciliumbgpadvertisements",
    "node_configs": "ciliumbgpnodeconfigs",
}
"""The kinds that BGPv2 is configured with, by their plural in the API."""


def unserved(case: Case, kinds: Iterable[str] = tuple(BGP_KINDS)) -> tuple[str, ...]:
    """Those of these kinds that the API server does not know."""
    return tuple(kind for kind in kinds if case.snapshot.health_of(kind).state is State.ABSENT)
