"""The categories of `check`, which of them a word means, and what each is evaluated from.

The inputs tell "nothing found" from "not looked at".
"""

from __future__ import annotations

import difflib
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

BLOCKS = {
    "1": "cilium",
    "2": "lb-ipam",
    "3": "bgp-config",
    "4": "bgp-sessions",
    "5": "advertisement",
    "6": "workload",
    "7": "configuration",
    "8": "view",
}
"""The category of each block of codes, by the first digit of these."""

CATEGORIES = tuple(BLOCKS.values())
"""In the order in which `check` prints them."""


def category(code: str) -> str:
    """The category of a code."""
    return BLOCKS[code[2]]


class NoCategory(Exception):
    """A word means no category; one sentence that says so."""

    def __init__(self, word: str) -> None:
        super().__init__(f"there is no category {word!r}")
        self.near: tuple[str, ...] = tuple(difflib.get_close_matches(word.lower(), CATEGORIES))
        """Categories that the word resembles, the nearest first."""


def categories_of(words: Iterable[str]) -> tuple[str, ...]:
    """The categories that words name or, each, begin; () for no words. Raises NoCategory."""
    meant = {category for word in words for category in _meant(word)}
    return tuple(category for category in CATEGORIES if category in meant)


def _meant(word: str) -> tuple[str, ...]:
    begin = word.lower()
    if begin in CATEGORIES:
        return (begin,)
    found = tuple(category for category in CATEGORIES if begin and category.startswith(begin))
    if not found:
        raise NoCategory(word)
    return found


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
