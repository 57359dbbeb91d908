"""CS308 to CS310, CS317, and CS306 and CS313 of BGPv1: CiliumBGPPeeringPolicy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.diagnosis.rules.bgp_config_adverts import (
    CLUSTER,
    keys,
    labels_seen,
    node_refs,
    node_selector_seen,
    services_seen,
    uncovered,
)
from app.model.case import Case
from app.model.desired_peerings import (
    Peering,
    bgp_enabled,
    cluster_configs_of,
    peerings,
    reads_policies,
    router_advertisements,
    selects_node,
    selects_service,
)
from app.model.finding import Finding, Ref, Severity, Topic
from app.model.lbipam import LoadBalancer
from app.model.wording import counted, named
from app.state.kinds import (
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    DAEMON_SETS,
    NODE_CONFIGS,
    PEERING_POLICIES,
)
from app.state.snapshot import State
from collectors.cilium.records import PeeringPolicy

_KIND = "CiliumBGPPeeringPolicy"
_SHOWN = 3
_LIST = "kubectl get ciliumbgppeeringpolicies -o yaml"


def policies_unread(case: Case) -> Iterator[Finding]:
    """CS308: policies on a Cilium that no longer reads them.

    A failure where nothing else gives their nodes a session: such a cluster lost BGP when it was
    upgraded. Where BGPv2 has taken over, or BGP is off, they only mislead.
    """
    policies = case.records[PEERING_POLICIES]
    known = case.known(CLUSTER_CONFIGS, NODE_CONFIGS, CILIUM_NODES)
    if reads_policies(case) or not policies or not known or bgp_enabled(case) is None:
        return
    peering = {found.node for found in peerings(case)}
    for name, policy in sorted(policies.items()):
        lost = [node for node in _nodes_of(case, policy) if node not in peering]
        dead = bool(lost) and bool(bgp_enabled(case))
        version = ".".join(map(str, case.version))
        severity = Severity.FAIL if dead else Severity.WARN
        yield Topic("CS308", severity, Ref(_KIND, name)).finding(
            summary=f"Cilium {version} does not read {_KIND} {name} any more"
            + (
                f": {counted(lost, 'node')} that it selects peer with nobody"
                if dead
                else ", which is left over: changing it has no effect"
            ),
            evidence=(
                case.saw(DAEMON_SETS, f"DaemonSet {case.namespace}/cilium", "image", version),
                node_selector_seen(case, policy),
                case.saw_names(CLUSTER_CONFIGS),
            ),
            remedy="Write the same as CiliumBGPClusterConfig, CiliumBGPPeerConfig and "
            "CiliumBGPAdvertisement (BGPv1 was removed in 1.19), then delete the policy"
            if dead
            else f"Delete {name} once nothing in it is needed any more",
            command=_LIST,
            about=(CLUSTER, *node_refs(lost)) if dead else (),
        )


def policy_shadows(case: Case) -> Iterator[Finding]:
    """CS309: a policy selects nodes that BGPv2 is configured for too, and wins there."""
    if not _live(case) or not case.records[CLUSTER_CONFIGS]:
        return
    for _, policy in sorted(case.records[PEERING_POLICIES].items()):
        shadowed: dict[str, tuple[str, ...]] = {}
        for node in _nodes_of(case, policy):
            configs = cluster_configs_of(
                case.records[CLUSTER_CONFIGS].values(), case.records[CILIUM_NODES][node]
            )
            if configs:
                shadowed[node] = tuple(config.key for config in configs)
        if shadowed:
            yield _shadowing(case, policy, shadowed)


def _shadowing(
    case: Case, policy: PeeringPolicy, shadowed: Mapping[str, tuple[str, ...]]
) -> Finding:
    configs = sorted({config for names in shadowed.values() for config in names})
    return Topic("CS309", Severity.WARN, Ref(_KIND, policy.key)).finding(
        summary=f"{_KIND} {policy.key} wins over CiliumBGPClusterConfig {named(configs)} on "
        f"{counted(sorted(shadowed), 'node')}: BGPv2 does nothing there while the policy exists",
        evidence=(
            node_selector_seen(case, policy),
            *(node_selector_seen(case, case.records[CLUSTER_CONFIGS][name]) for name in configs),
        ),
        remedy=f"When BGPv2 says all that {policy.key} says, delete the policy; the sessions are "
        "set up anew at that moment. If BGPv2 is not wanted yet, delete the ClusterConfig",
        command="kubectl get ciliumbgppeeringpolicies,ciliumbgpclusterconfigs -o yaml",
        about=tuple(Ref("CiliumBGPClusterConfig", name) for name in configs),
    )


def policies_collide(case: Case) -> Iterator[Finding]:
    """CS310: two policies select one node; its agent then applies no change of either."""
    if not _live(case) or len(case.records[PEERING_POLICIES]) < 2:
        return
    nodes: dict[tuple[str, ...], list[str]] = {}
    for name, node in sorted(case.records[CILIUM_NODES].items()):
        selecting = [
            policy.key
            for _, policy in sorted(case.records[PEERING_POLICIES].items())
            if selects_node(policy.spec.node_selector, node)
        ]
        if len(selecting) > 1:
            nodes.setdefault(tuple(selecting), []).append(name)
    for names, where in sorted(nodes.items()):
        yield _collision(case, names, where)


def _collision(case: Case, names: tuple[str, ...], nodes: list[str]) -> Finding:
    return Topic("CS310", Severity.FAIL, Ref(_KIND, names[0]), ",".join(names[1:])).finding(
        summary=f"{_KIND} {' and '.join(names)} select the same {counted(nodes, 'node')}: an agent "
        "wants one policy alone, so it keeps what it ran before and applies no change any more",
        evidence=(
            *(node_selector_seen(case, case.records[PEERING_POLICIES][name]) for name in names),
            *labels_seen(case, nodes),
        ),
        remedy="Put all virtual routers of a node into one policy, or narrow spec.nodeSelector so "
        "that each node is selected once",
        command=_LIST,
        about=(*(Ref(_KIND, name) for name in names[1:]), *node_refs(nodes)),
    )


def policies_deprecated(case: Case) -> Iterator[Finding]:
    """CS317: BGPv1 works and ends with the next upgrades."""
    if not _live(case) or case.version == (0, 0):
        return
    version = ".".join(map(str, case.version))
    for name in sorted(case.records[PEERING_POLICIES]):
        yield Topic("CS317", Severity.INFO, Ref(_KIND, name)).finding(
            summary=f"{_KIND} {name} works in Cilium {version} and is read no more from 1.19 on",
            evidence=(case.saw(PEERING_POLICIES, f"{_KIND} {name}", "kind", _KIND),),
            remedy="Before upgrading to 1.19, write the same as CiliumBGPClusterConfig, "
            "CiliumBGPPeerConfig and CiliumBGPAdvertisement, and delete the policy last: while it "
            "selects a node, it wins",
            command=_LIST,
        )


def router_without_service_selector(case: Case) -> Iterator[Finding]:
    """CS313 of BGPv1: a virtual router without `serviceSelector`, and services that count on it.

    Without services a router may be meant for pod CIDRs alone, and that is in order.
    """
    if not _live(case):
        return
    lacking = {
        name: [
            index
            for index, router in enumerate(policy.spec.virtual_routers)
            if router.service_selector is None
        ]
        for name, policy in sorted(case.records[PEERING_POLICIES].items())
        if _nodes_of(case, policy)
    }
    services = uncovered(case) if any(lacking.values()) else ()
    for name, indexes in lacking.items():
        if indexes and services:
            yield _selects_no_service(case, name, indexes, services)


def _selects_no_service(
    case: Case, name: str, indexes: list[int], services: Sequence[LoadBalancer]
) -> Finding:
    routers = case.records[PEERING_POLICIES][name].spec.virtual_routers
    which = named([f"virtualRouters[{index}] (AS {routers[index].local_asn})" for index in indexes])
    return Topic("CS313", Severity.FAIL, Ref(_KIND, name)).finding(
        summary=f"{which} of {_KIND} {name} has no serviceSelector and so selects no service: "
        f"nothing advertises {counted(keys(services), 'service')}",
        evidence=(
            *(
                case.saw(
                    PEERING_POLICIES,
                    f"{_KIND} {name}",
                    f"spec.virtualRouters[{index}].serviceSelector",
                    "absent (selects none)",
                )
                for index in indexes
            ),
            *services_seen(case, services),
        ),
        remedy="Add spec.virtualRouters[].serviceSelector; `{matchExpressions: [{key: never, "
        "operator: NotIn, values: [used]}]}` selects every service",
        command=_LIST,
    )


def router_without_addresses(case: Case) -> Iterator[Finding]:
    """CS314 of BGPv1: a virtual router selects services with an address and does not list it."""
    if not _live(case):
        return
    suspects = [
        (policy.key, index, selected)
        for _, policy in sorted(case.records[PEERING_POLICIES].items())
        if _nodes_of(case, policy)
        for index, router in enumerate(policy.spec.virtual_routers)
        for selected in router_advertisements(policy.key, index, router)
        if selected.type == "Service" and "LoadBalancerIP" not in selected.addresses
    ]
    lacking = uncovered(case) if suspects else ()
    for name, index, selected in suspects:
        hit = [b for b in lacking if selects_service(selected, b.service)]
        if hit:
            yield _without_address(case, name, index, selected.addresses, hit)


def _without_address(
    case: Case, name: str, index: int, addresses: tuple[str, ...], hit: Sequence[LoadBalancer]
) -> Finding:
    field = f"spec.virtualRouters[{index}].serviceAdvertisements"
    return Topic("CS314", Severity.FAIL, Ref(_KIND, name), str(index)).finding(
        summary=f"virtualRouters[{index}] of {_KIND} {name} announces {named(addresses) or 'no'} "
        f"addresses and not LoadBalancerIP: nothing advertises {counted(keys(hit), 'service')} "
        "that it selects",
        evidence=(
            case.saw(PEERING_POLICIES, f"{_KIND} {name}", field, ", ".join(addresses) or "empty"),
            *services_seen(case, hit),
        ),
        remedy=f"Add LoadBalancerIP to {field}; Cilium 1.17 applies this to a running policy only "
        "when the policy is created anew",
        command=_LIST,
    )


def password_not_used(case: Case) -> Iterator[Finding]:
    """CS306 of BGPv1: the agent runs a session without the password that its policy names.

    Policies have no status; the agent itself says whether a password is in use.
    """
    if not _live(case) or case.snapshot.health_of(BGP_PEERS).state is not State.FRESH:
        return
    wanted = [
        peering
        for peering in peerings(case)
        if peering.plane == "v1" and peering.certain and peering.password_wanted
    ]
    if not wanted:
        return
    reported = {(s.node, s.peer_address): s.reported for s in case.sessions}
    hit: dict[tuple[Ref, str], list[Peering]] = {}
    for peering in wanted:
        found = reported.get((peering.node, peering.peer_address))
        if found is not None and not found.tcp_password:
            hit.setdefault((peering.owner, peering.auth_secret), []).append(peering)
    for (owner, secret), found_without in sorted(hit.items()):
        yield _unprotected(case, owner, secret, found_without)


def _unprotected(case: Case, owner: Ref, secret: str, hit: list[Peering]) -> Finding:
    namespace = case.setting("bgp-secrets-namespace", "") or ""
    full = f"{namespace}/{secret}" if namespace else secret
    return Topic("CS306", Severity.FAIL, owner, secret).finding(
        summary=f"{counted(sorted(p.node for p in hit), 'agent')} use no password for the sessions "
        f"of {owner}, which names Secret {full}: it is missing, or its `password` is empty",
        evidence=(
            case.saw(PEERING_POLICIES, owner, "neighbors[].authSecretRef", secret),
            *(
                case.saw(
                    BGP_PEERS,
                    f"agent of {peering.node}",
                    f"{peering.peer_address} tcp-password-enabled",
                    "false",
                )
                for peering in hit[:_SHOWN]
            ),
        ),
        remedy=f"Create the Secret {full} with the key `password` and the router's password for "
        "these neighbours, or remove authSecretRef if the router wants none"
        + ("" if namespace else "; bgp-secrets-namespace must name the namespace it is in"),
        command=f"kubectl -n {namespace or '<bgp-secrets-namespace>'} describe secret {secret}",
        about=tuple(peering.session for peering in hit),
    )


def _live(case: Case) -> bool:
    """Whether policies are read here, and BGP is on."""
    return reads_policies(case) and bool(bgp_enabled(case))


def _nodes_of(case: Case, policy: PeeringPolicy) -> list[str]:
    return [
        name
        for name, node in sorted(case.records[CILIUM_NODES].items())
        if selects_node(policy.spec.node_selector, node)
    ]


RULES = (
    policies_unread,
    policy_shadows,
    policies_collide,
    policies_deprecated,
    router_without_service_selector,
    router_without_addresses,
    password_not_used,
)
