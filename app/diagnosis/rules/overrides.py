"""What single nodes do differently, and what comes of it: CS316 (no such node) and CS413.

Facts: Cilium operator/pkg/bgp/cluster.go and pkg/bgpv1/manager (router IDs), 1.17 to 1.21: a
CiliumBGPNodeConfigOverride belongs to the node of its name; RFC 4271 section 4.2 and RFC 6286: the
BGP identifier of a router is its own within its AS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.model.case import Case
from app.model.desired_peerings import bgp_enabled
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.near_misses import nearest
from app.model.wording import SHOWN, counted, named
from app.state.kinds import CILIUM_NODES, CLUSTER_CONFIGS, NODE_CONFIG_OVERRIDES, NODE_CONFIGS


def overrides_no_node(case: Case) -> Iterator[Finding]:
    """CS316: a NodeConfigOverride that is named like no node with BGP."""
    kinds = (NODE_CONFIG_OVERRIDES, NODE_CONFIGS, CLUSTER_CONFIGS, CILIUM_NODES)
    if not bgp_enabled(case) or not case.known(*kinds):
        return
    nodes, running = case.records[CILIUM_NODES], case.records[NODE_CONFIGS]
    for name in sorted(case.records[NODE_CONFIG_OVERRIDES]):
        if name in running or not running:
            continue
        ref = Ref("CiliumBGPNodeConfigOverride", name)
        meant = nearest(name, nodes)
        if name in nodes:
            why = f"no ClusterConfig selects node {name}"
            remedy = f"Give node {name} the labels that the nodeSelector of a ClusterConfig wants,"
        else:
            why = "no node has that name"
            remedy = f"Name it like its node ({meant or named(sorted(running))}),"
        yield Topic("CS316", Severity.WARN, ref).finding(
            summary=f"{ref} has no effect: {why}",
            evidence=(
                case.saw(NODE_CONFIG_OVERRIDES, ref, "metadata.name", name),
                case.saw(CILIUM_NODES, "nodes", "metadata.name", named(sorted(nodes))),
                case.saw(NODE_CONFIGS, "nodes with BGP", "metadata.name", named(sorted(running))),
            ),
            remedy=f"{remedy} or delete it",
            command="kubectl get ciliumbgpnodeconfigoverrides,ciliumbgpnodeconfigs",
        )


def shared_router_ids(case: Case) -> Iterator[Finding]:
    """CS413: several nodes use the same router ID."""
    if not bgp_enabled(case) or not case.known(NODE_CONFIGS):
        return
    for router_id, nodes in sorted(_router_ids(case).items()):
        if len(nodes) < 2:
            continue
        overridden = [n for n in nodes if n in case.records[NODE_CONFIG_OVERRIDES]]
        where = "routerID of their CiliumBGPNodeConfigOverrides" if overridden else "routerID"
        yield Topic("CS413", Severity.WARN, Ref("Cluster"), router_id).finding(
            summary=f"{counted(nodes, 'node')} use the same router ID {router_id}",
            evidence=tuple(_seen(case, node, router_id) for node in nodes[:SHOWN]),
            remedy=f"Write a different {where}, or none where nodes have an IPv4 address",
            command="kubectl get ciliumbgpnodeconfigs -o yaml",
            about=tuple(Ref("Node", node) for node in nodes),
        )


def _router_ids(case: Case) -> Mapping[str, list[str]]:
    """The nodes by the router ID that is written for them."""
    found: dict[str, list[str]] = {}
    for name, config in sorted(case.records[NODE_CONFIGS].items()):
        for router_id in {each.router_id for each in config.spec.bgp_instances if each.router_id}:
            found.setdefault(router_id, []).append(name)
    return found


def _seen(case: Case, node: str, router_id: str) -> Evidence:
    field = "spec.bgpInstances[].routerID"
    return case.saw(NODE_CONFIGS, f"CiliumBGPNodeConfig {node}", field, router_id)


RULES = (overrides_no_node, shared_router_ids)
