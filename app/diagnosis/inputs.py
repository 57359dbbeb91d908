"""What each category is judged from, so that "nothing found" can be told from "not looked at"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from app.state.kinds import (
    ADVERTISEMENTS,
    AGENT_LOGS,
    BGP_PEERS,
    CILIUM_ENDPOINTS,
    CILIUM_NODES,
    CILIUM_STATUS,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    L2_POLICIES,
    LEASES,
    NAMESPACES,
    NODE_CONFIG_OVERRIDES,
    NODE_CONFIGS,
    NODES,
    OPTIONAL,
    PEER_CONFIGS,
    PEERING_POLICIES,
    PODS,
    POOLS,
    ROUTES,
    SERVICES,
    Kind,
)
from app.state.snapshot import Snapshot, SourceHealth, State

_BGP_OBJECTS = (
    CLUSTER_CONFIGS,
    PEER_CONFIGS,
    ADVERTISEMENTS,
    NODE_CONFIGS,
    NODE_CONFIG_OVERRIDES,
    PEERING_POLICIES,
)

INPUTS: Mapping[str, tuple[Kind[object], ...]] = {
    "cilium": (
        NODES,
        PODS,
        DAEMON_SETS,
        DEPLOYMENTS,
        LEASES,
        CONFIG_MAPS,
        CILIUM_STATUS,
        BGP_PEERS,
    ),
    "lb-ipam": (SERVICES, POOLS, NAMESPACES, CONFIG_MAPS, DEPLOYMENTS),
    "bgp-config": (*_BGP_OBJECTS, CILIUM_NODES, CONFIG_MAPS, SERVICES),
    "bgp-sessions": (NODE_CONFIGS, BGP_PEERS, PODS, AGENT_LOGS),
    "advertisement": (*_BGP_OBJECTS, *ROUTES, SERVICES, ENDPOINT_SLICES, CONFIG_MAPS),
    "workload": (SERVICES, ENDPOINT_SLICES, *OPTIONAL),
    "configuration": (CONFIG_MAPS, L2_POLICIES),
    "view": (),
}
"""Kinds by category."""

_AT_NEED = frozenset({AGENT_LOGS, CILIUM_ENDPOINTS})
"""What is read only where something else says that it is needed: a session that is not up, a
policy."""


def unread(snapshot: Snapshot, category: str) -> tuple[SourceHealth, ...]:
    """The sources that this category is judged from and that did not tell what they should."""
    kinds = INPUTS[category]
    return tuple(
        health
        for health in snapshot.health.values()
        if health.kind in kinds and not answered(health) and not not_granted(health)
    )


def not_granted(health: SourceHealth) -> bool:
    """Whether a source lacks a right that is optional: who does not grant it wants it unread."""
    return health.kind.optional and health.state is State.FORBIDDEN


def switched_off(snapshot: Snapshot, category: str) -> tuple[Kind[object], ...]:
    """The kinds that this category would be judged from and that nobody wanted to be read.

    Of `view`, which tells what is not known, those of every category.
    """
    kinds = (
        dict.fromkeys(chain.from_iterable(INPUTS.values()))
        if category == "view"
        else INPUTS[category]
    )
    fed = {health.kind for health in snapshot.health.values() if health.state is not State.OFF}
    return tuple(kind for kind in kinds if kind not in fed and kind not in _AT_NEED)


def labels(sources: Iterable[SourceHealth]) -> str:
    """Sources and how they are, in words: `leases (forbidden), cilium bgp peers (failing)`."""
    return ", ".join(f"{health.label} ({health.state})" for health in sources)


def answered(health: SourceHealth) -> bool:
    """Whether a source told what there is; a kind that is not served is known to be empty."""
    if health.state is State.ABSENT:
        return health.kind.tier != "CLI"
    return health.state in (State.FRESH, State.OFF)
