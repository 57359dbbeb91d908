"""Commands that show by hand what the screens of sessions and routes show; they only read."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from app.state.kinds import (
    ADVERTISEMENTS,
    CLUSTER_CONFIGS,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    Kind,
)
from screens.base.equivalents import cilium, kubectl
from screens.base.selection import Equivalent

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot


def in_agent(snapshot: Snapshot, node: str, *words: str) -> str:
    """A command in the agent of a node; "" where no agent is known there."""
    agent = snapshot.agents_by_node.get(node)
    if agent is None:
        return ""
    where = ("exec", agent.name, "-c", "cilium-agent", "--")
    return kubectl(snapshot, shlex.join((*where, *words)), agent.namespace)


def session_commands(snapshot: Snapshot, node: str, peer: str) -> tuple[Equivalent, ...]:
    """A session by hand: the agent, its status in the API, its log, then all sessions."""
    own: list[Equivalent] = []
    agent = snapshot.agents_by_node.get(node)
    if agent is not None:
        words = f"logs {shlex.quote(agent.name)} -c cilium-agent --timestamps"
        log = kubectl(snapshot, words, agent.namespace)
        found = f"{log} | grep -F {shlex.quote(peer or 'bgp')}"
        own = [
            Equivalent(
                f"the session as the agent of {node} sees it",
                in_agent(snapshot, node, "cilium-dbg", "bgp", "peers"),
            ),
            Equivalent(
                f"what the agent of {node} lets out, its route policies",
                in_agent(snapshot, node, "cilium-dbg", "bgp", "route-policies"),
            ),
            Equivalent(f"what the agent of {node} logs about {peer}", found),
        ]
    if node in snapshot.records[NODE_CONFIGS]:
        status = kubectl(snapshot, f"get ciliumbgpnodeconfig {shlex.quote(node)} -o yaml")
        own.insert(1, Equivalent("what its agent wrote into the API", status))
    if node:
        told = cilium(snapshot, f"bgp peers --node {shlex.quote(node)}")
        own.insert(0, Equivalent(f"the sessions of {node}", told))
    kinds = ",".join(kind.plural for kind in _kinds(snapshot))
    return (
        *own,
        Equivalent("all sessions", cilium(snapshot, "bgp peers")),
        Equivalent("what configures them", kubectl(snapshot, f"get {kinds} -o yaml")),
    )


def route_commands(snapshot: Snapshot, prefix: str) -> tuple[Equivalent, ...]:
    """A prefix by hand: on the agents, then on the router."""
    families = ("ipv6",) if ":" in prefix else ("ipv4",) if prefix else ("ipv4", "ipv6")
    found = []
    for afi in families:
        for table, tells in (("advertised", "what goes to the peers"), ("available", "the tables")):
            shown = cilium(snapshot, f"bgp routes {table} {afi} unicast")
            if prefix:
                shown += f" | grep -F {shlex.quote(prefix)}"
            found.append(Equivalent(f"{tells}, {afi}", shown))
    if prefix:
        shown = f"show bgp {families[0]} unicast {prefix}"
        found.append(Equivalent("the same on a router with FRR", f"vtysh -c {shlex.quote(shown)}"))
    return tuple(found)


def _kinds(snapshot: Snapshot) -> tuple[Kind[object], ...]:
    if snapshot.records[PEERING_POLICIES] and not snapshot.records[NODE_CONFIGS]:
        return (PEERING_POLICIES,)
    return (CLUSTER_CONFIGS, PEER_CONFIGS, ADVERTISEMENTS)
