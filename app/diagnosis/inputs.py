"""What each category is judged from, so that "nothing found" can be told from "not looked at"."""

from __future__ import annotations

from collections.abc import Iterable

from app.model.policies import ENDPOINTS, ON_DEMAND
from app.state.snapshot import Snapshot, SourceHealth, State

_ROUTES = (
    "routes_advertised_ipv4",
    "routes_advertised_ipv6",
    "routes_available_ipv4",
    "routes_available_ipv6",
)
_BGP_OBJECTS = (
    "cluster_configs",
    "peer_configs",
    "advertisements",
    "node_configs",
    "node_config_overrides",
    "peering_policies",
)

INPUTS = {
    "cilium": (
        "nodes",
        "pods",
        "daemon_sets",
        "deployments",
        "leases",
        "config_maps",
        "cilium_status",
        "bgp_peers",
    ),
    "lb-ipam": ("services", "pools", "namespaces", "config_maps", "deployments"),
    "bgp-config": (*_BGP_OBJECTS, "cilium_nodes", "config_maps", "services"),
    "bgp-sessions": ("node_configs", "bgp_peers", "pods", "agent_logs"),
    "advertisement": (*_BGP_OBJECTS, *_ROUTES, "services", "endpoint_slices", "config_maps"),
    "workload": ("services", "endpoint_slices", *ON_DEMAND),
    "configuration": ("config_maps", "l2_policies"),
    "view": (),
}
"""Kinds by category."""

_COMMANDS = frozenset({"bgp_peers", "cilium_status", *_ROUTES})
_AT_NEED = frozenset({"agent_logs", ENDPOINTS})
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
    return health.kind in ON_DEMAND and health.state is State.FORBIDDEN


def switched_off(snapshot: Snapshot, category: str) -> tuple[str, ...]:
    """The kinds that this category would be judged from and that nobody wanted to be read.

    Of `view`, which tells what is not known, those of every category.
    """
    kinds = dict.fromkeys(sum(INPUTS.values(), ())) if category == "view" else INPUTS[category]
    fed = {health.kind for health in snapshot.health.values() if health.state is not State.OFF}
    return tuple(kind for kind in kinds if kind not in fed and kind not in _AT_NEED)


def labels(sources: Iterable[SourceHealth]) -> str:
    """Sources and how they are, in words: `leases (forbidden), cilium bgp peers (failing)`."""
    return ", ".join(f"{health.label} ({health.state})" for health in sources)


def answered(health: SourceHealth) -> bool:
    """Whether a source told what there is; a kind that is not served is known to be empty."""
    if health.state is State.ABSENT:
        return health.kind not in _COMMANDS
    return health.state in (State.FRESH, State.OFF)
