"""The commands that show by hand what a screen shows, from what the screen reads."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from app.state.snapshot import Snapshot
from screens import command_words
from screens.command_words import cilium, kubectl
from screens.selection import Equivalent, Selection

_CLUSTER_WIDE: dict[str, tuple[str, str]] = {
    "nodes": ("the nodes", "nodes -o wide"),
    "namespaces": ("the namespaces", "namespaces --show-labels"),
    "cilium_nodes": ("Cilium's nodes", "ciliumnodes"),
    "pools": ("the pools of addresses", "ciliumloadbalancerippools"),
    "cluster_configs": ("which nodes peer with whom", "ciliumbgpclusterconfigs"),
    "peer_configs": ("timers and families of peers", "ciliumbgppeerconfigs"),
    "advertisements": ("what is to be announced", "ciliumbgpadvertisements --show-labels"),
    "node_configs": ("the sessions, as the API tells them", "ciliumbgpnodeconfigs -o yaml"),
    "node_config_overrides": ("what nodes do differently", "ciliumbgpnodeconfigoverrides"),
    "peering_policies": ("the BGPv1 policies", "ciliumbgppeeringpolicies"),
    "l2_policies": ("the layer 2 policies", "ciliuml2announcementpolicies"),
    "network_policies": ("the policies of Kubernetes", "networkpolicies --all-namespaces"),
    "cilium_policies": (
        "Cilium's policies, and whether they are valid",
        "ciliumnetworkpolicies --all-namespaces",
    ),
    "clusterwide_policies": ("Cilium's clusterwide policies", "ciliumclusterwidenetworkpolicies"),
    "cilium_endpoints": ("pods as Cilium has them", "ciliumendpoints --all-namespaces"),
    "services": ("the services", "services --all-namespaces -o wide"),
    "endpoint_slices": ("what stands behind services", "endpointslices --all-namespaces"),
}
_IN_NAMESPACE: dict[str, tuple[str, str]] = {
    "pods": ("the pods", "get pods -o wide"),
    "events": ("the events", "get events --sort-by=.lastTimestamp"),
    "config_maps": ("the configuration", "get configmap cilium-config -o yaml"),
    "daemon_sets": ("the DaemonSets", "get daemonsets -o wide"),
    "deployments": ("the operator's Deployment", "get deployments -o wide"),
    "leases": ("which operator leads", "get lease cilium-operator-resource-lock"),
    "operator_log": ("the operator's log", "logs deployment/cilium-operator --timestamps"),
}
_CILIUM: dict[str, tuple[str, str]] = {
    "cilium_status": ("how Cilium is", "status"),
    "bgp_peers": ("the sessions, as the agents tell them", "bgp peers"),
    "routes_available_ipv4": (
        "routes that could be announced",
        "bgp routes available ipv4 unicast",
    ),
    "routes_available_ipv6": (
        "routes that could be announced",
        "bgp routes available ipv6 unicast",
    ),
    "routes_advertised_ipv4": ("routes announced", "bgp routes advertised ipv4 unicast"),
    "routes_advertised_ipv6": ("routes announced", "bgp routes advertised ipv6 unicast"),
}


def equivalents_of(
    kinds: Iterable[str], snapshot: Snapshot, selection: Selection | None = None
) -> tuple[Equivalent, ...]:
    """Commands for what is selected first, then for each kind that is read."""
    found: list[Equivalent] = []
    if selection is not None and selection.question:
        found.append(explain_command(selection.question, snapshot))
    for kind in dict.fromkeys(kinds):
        if kind in _CLUSTER_WIDE:
            tells, what = _CLUSTER_WIDE[kind]
            found.append(Equivalent(tells, kubectl(snapshot, f"get {what}")))
        elif kind in _IN_NAMESPACE:
            tells, what = _IN_NAMESPACE[kind]
            found.append(Equivalent(tells, kubectl(snapshot, what, snapshot.cilium_namespace)))
        elif kind in _CILIUM:
            tells, what = _CILIUM[kind]
            found.append(Equivalent(tells, cilium(snapshot, what)))
        elif kind == "agent_logs":
            found += _agent_logs(snapshot, selection)
    return tuple(found)


def explain_command(question: Sequence[str], snapshot: Snapshot) -> Equivalent:
    """What prints the explanation of a thing."""
    words = question[1:] if question[0] == "code" else question
    return ciliscope(snapshot, "why it is so", "explain", *words)


def ciliscope(snapshot: Snapshot, tells: str, *words: str) -> Equivalent:
    """A subcommand of ciliscope on this cluster."""
    return Equivalent(tells, command_words.ciliscope(snapshot, *words))


def _agent_logs(snapshot: Snapshot, selection: Selection | None) -> Iterable[Equivalent]:
    pod = snapshot.agents_by_node.get(selection.node) if selection else None
    if pod is not None:
        words = f"logs {shlex.quote(pod.name)} -c cilium-agent --timestamps"
        yield Equivalent("the agent's log", kubectl(snapshot, words, pod.namespace))
