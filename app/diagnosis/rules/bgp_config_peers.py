"""CS305, CS306, CS315, CS316: what keeps the peers of a configuration from being set up (BGPv2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from app.model.case import Case
from app.model.desired_peerings import (
    Peering,
    bgp_enabled,
    cluster_configs_of,
    owner_of,
    peerings,
    unserved,
)
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.lbipam import condition_of
from app.model.near_misses import nearest
from app.model.wording import counted, named
from app.state.kinds import (
    AGENT_LOGS,
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    NODE_CONFIG_OVERRIDES,
    NODE_CONFIGS,
    PEER_CONFIGS,
)
from app.state.snapshot import State
from collectors.cilium.records import (
    ClusterConfig,
    ClusterInstance,
    NodeConfig,
    NodeConfigOverride,
    PeerConfig,
)

MISSING_PEER_CONFIGS = "cilium.io/MissingPeerConfigs"
MISSING_AUTH_SECRET = "cilium.io/MissingAuthSecret"  # noqa: S105
RECONCILE_ERROR = "cilium.io/BGPReconcileError"

_WITHOUT_KEY = re.compile(r'failed to fetch secret "?([^":\s]+)"?: missing password key')
"""What the agent says of a Secret without `password` (neighbor.go, fetchPeerPassword)."""
_SHOWN = 3


def peer_config_missing(case: Case) -> Iterator[Finding]:
    """CS305: a peer refers to a CiliumBGPPeerConfig that does not exist; agents leave it out."""
    if not bgp_enabled(case) or unserved(case, [PEER_CONFIGS]):  # CS318 says so
        return
    for _, config in sorted(case.records[CLUSTER_CONFIGS].items()):
        if not case.known(PEER_CONFIGS):
            yield from _said_missing(case, config)
            continue
        peers: dict[str, list[str]] = {}
        for instance in config.spec.bgp_instances:
            for peer in instance.peers:
                name = peer.peer_config_ref.name if peer.peer_config_ref else ""
                if name and name not in case.records[PEER_CONFIGS]:
                    peers.setdefault(name, []).append(f"{instance.name}/{peer.name}")
        for name, users in sorted(peers.items()):
            yield _dangling(case, config, name, users)


def _dangling(case: Case, config: ClusterConfig, name: str, users: list[str]) -> Finding:
    ref = Ref("CiliumBGPClusterConfig", config.key)
    near = nearest(name, case.records[PEER_CONFIGS])
    hit = [p for p in peerings(case) if p.owner == ref and p.peer_config == name]
    condition = condition_of(config.status.conditions, MISSING_PEER_CONFIGS)
    said = f"{condition.status}: {condition.message}" if condition else "(no such condition)"
    nodes = sorted({peering.node for peering in hit})
    where = f"; {counted(nodes, 'node')} set up no session with it" if nodes else ""
    severity = Severity.FAIL if hit else Severity.WARN
    return Topic("CS305", severity, ref, name).finding(
        summary=f"{named(users)} in {ref} refers to CiliumBGPPeerConfig {name}, which does not "
        f"exist{f' (there is {near})' if near else ''}{where}",
        evidence=(
            case.saw(CLUSTER_CONFIGS, ref, "peers[].peerConfigRef.name", name),
            case.saw(CLUSTER_CONFIGS, ref, f"conditions[{MISSING_PEER_CONFIGS}]", said),
            case.saw_names(PEER_CONFIGS),
        ),
        remedy=f"Create CiliumBGPPeerConfig {name}, or correct peerConfigRef.name in {config.key}"
        + (f" to {near}" if near else ""),
        command="kubectl get ciliumbgppeerconfigs; "
        f"kubectl get ciliumbgpclusterconfig {config.key} -o yaml",
        about=(Ref("CiliumBGPPeerConfig", name), *(peering.session for peering in hit)),
    )


def _said_missing(case: Case, config: ClusterConfig) -> Iterator[Finding]:
    condition = condition_of(config.status.conditions, MISSING_PEER_CONFIGS)
    if condition is None or condition.status != "True":
        return
    ref = Ref("CiliumBGPClusterConfig", config.key)
    field = f"conditions[{MISSING_PEER_CONFIGS}]"
    yield Topic("CS305", Severity.FAIL, ref).finding(
        summary=f"The operator says that peers of {ref} refer to what does not exist: "
        f"{' '.join(condition.message.split())}",
        evidence=(case.saw(CLUSTER_CONFIGS, ref, field, f"True: {condition.message}"),),
        remedy="Create the CiliumBGPPeerConfig, or correct peerConfigRef.name",
        command=f"kubectl get ciliumbgpclusterconfig {config.key} -o yaml",
        about=tuple(p.session for p in peerings(case) if p.owner == ref),
    )


def secret_missing(case: Case) -> Iterator[Finding]:
    """CS306: the Secret with the password of a peer is missing or has no key `password` (v2).

    A missing Secret means an empty password, with which the session may come up all the same where
    the router wants none; one without the key keeps the agent from setting up any peer.
    """
    if not bgp_enabled(case):
        return
    users: dict[str, list[Peering]] = {}
    for peering in peerings(case):
        if peering.plane == "v2" and peering.peer_config and peering.password_wanted:
            users.setdefault(peering.peer_config, []).append(peering)
    keyless = _secrets_without_key(case)
    for name, hit in sorted(users.items()):
        config = case.records[PEER_CONFIGS][name]
        condition = condition_of(config.status.conditions, MISSING_AUTH_SECRET)
        if hit[0].auth_secret in keyless:
            yield _secret(case, config, hit, "has no key `password`", keyless[hit[0].auth_secret])
        elif condition is not None and condition.status == "True":
            field = f"conditions[{MISSING_AUTH_SECRET}]"
            said = case.saw(PEER_CONFIGS, f"CiliumBGPPeerConfig {name}", field, condition.message)
            yield _secret(case, config, hit, "does not exist", said)


def _secret(
    case: Case, config: PeerConfig, hit: list[Peering], what: str, said: Evidence
) -> Finding:
    secret = config.spec.auth_secret_ref
    ref = Ref("CiliumBGPPeerConfig", config.key)
    namespace = case.setting("bgp-secrets-namespace", "") or ""
    full = f"{namespace}/{secret}" if namespace else secret
    nodes = sorted({peering.node for peering in hit})
    effect = (
        "the agents set up no peer at all"
        if "key" in what
        else "the sessions run without a password, or not at all where the router wants one"
    )
    return Topic("CS306", Severity.FAIL, ref, secret).finding(
        summary=f"Secret {full}, which {ref} names for the password of its sessions on "
        f"{counted(nodes, 'node')}, {what}: {effect}",
        evidence=(
            case.saw(PEER_CONFIGS, ref, "spec.authSecretRef", secret),
            said,
            case.saw(
                CONFIG_MAPS, case.config_ref, "data.bgp-secrets-namespace", namespace or "(not set)"
            ),
        ),
        remedy=f"Create the Secret {full} with the key `password` and the router's password for "
        f"these neighbours, or remove spec.authSecretRef from {config.key} if the router wants "
        "none" + ("" if namespace else "; bgp-secrets-namespace must name the namespace it is in"),
        command=f"kubectl -n {namespace or '<bgp-secrets-namespace>'} describe secret {secret}",
        about=tuple(peering.session for peering in hit),
    )


def _secrets_without_key(case: Case) -> Mapping[str, Evidence]:
    """Secrets of which an agent says now that they lack the key, and where it says so."""
    found: dict[str, Evidence] = {}
    for name, message in _errors(case):
        for secret in _WITHOUT_KEY.findall(message):
            field = f"status.conditions[{RECONCILE_ERROR}]"
            found[secret] = case.saw(NODE_CONFIGS, f"CiliumBGPNodeConfig {name}", field, message)
    for _, entry in sorted(case.records[AGENT_LOGS].items()):
        error = f"{entry.line.message} {entry.line.field('error')}"
        for secret in _WITHOUT_KEY.findall(error):
            if secret not in found and _left_out(case, entry.node, secret):
                when = entry.line.time.isoformat()
                age = case.age(entry.line.time)
                found[secret] = Evidence(f"log of {entry.pod}", entry.pod, when, error, age)
    return found


def _left_out(case: Case, node: str, secret: str) -> bool:
    """Whether a node's agent answered just now and has none of the peers with this password.

    An agent before 1.18 says it in its log alone, and a line there does not tell that it is over.
    """
    if case.snapshot.health_of(BGP_PEERS).state is not State.FRESH:
        return False
    reading = case.records[BGP_PEERS].get(node)
    if reading is None or reading.error:
        return False
    there = {peer.peer_address for peer in reading.peers}
    wanted = {p.peer_address for p in peerings(case) if p.node == node and p.auth_secret == secret}
    return bool(wanted) and not wanted & there


def _errors(case: Case) -> Iterator[tuple[str, str]]:
    """Node and text of each reconcile error that a living agent reports."""
    shadowed = _shadowed(case)
    for name, config in sorted(case.records[NODE_CONFIGS].items()):
        condition = condition_of(config.status.conditions if config.status else (), RECONCILE_ERROR)
        if condition is None or condition.status != "True":
            continue
        if case.agent_speaks(name) and name not in shadowed:
            yield name, condition.message


def _shadowed(case: Case) -> frozenset[str]:
    """The nodes on which BGPv1 runs, so that nothing of BGPv2 counts."""
    return frozenset(peering.node for peering in peerings(case) if peering.plane == "v1")


def reconcile_error(case: Case) -> Iterator[Finding]:
    """CS315: agents say that they could not apply the configuration; one finding for each text."""
    if not bgp_enabled(case):
        return
    nodes_by_error: dict[tuple[Ref, str], list[str]] = {}
    for name, message in _errors(case):
        owner = owner_of(case.records[NODE_CONFIGS][name])
        if owner.name not in case.records[CLUSTER_CONFIGS]:
            owner = Ref("CiliumBGPNodeConfig", name)
        nodes_by_error.setdefault((owner, message), []).append(name)
    for (owner, message), nodes in sorted(nodes_by_error.items()):
        hit = frozenset(nodes)
        found = [peering for peering in peerings(case) if peering.node in hit]
        yield Topic("CS315", Severity.FAIL, owner, nodes[0]).finding(
            summary=f"{counted(nodes, 'agent')} cannot apply the BGP configuration: "
            f"{' '.join(message.split()) or 'no text is given'}",
            evidence=tuple(
                case.saw(
                    NODE_CONFIGS,
                    f"CiliumBGPNodeConfig {node}",
                    f"status.conditions[{RECONCILE_ERROR}]",
                    f"True: {message}",
                )
                for node in nodes[:_SHOWN]
            ),
            remedy="The text names the cause: a Secret, an AS number, an address of the node, a "
            "port. Correct what it names in the ClusterConfig, PeerConfig or NodeConfigOverride; "
            "the agent tries again by itself",
            command=f"kubectl get ciliumbgpnodeconfig {nodes[0]} -o yaml",
            about=tuple(peering.session for peering in found),
            blames=tuple(
                sorted({Ref("CiliumBGPPeerConfig", p.peer_config) for p in found if p.peer_config})
            ),
        )


def override_names_nothing(case: Case) -> Iterator[Finding]:
    """CS316: a NodeConfigOverride for an instance or peer that its node does not have."""
    if not bgp_enabled(case) or not case.known(NODE_CONFIGS, CLUSTER_CONFIGS, CILIUM_NODES):
        return
    shadowed = _shadowed(case)
    for name, override in sorted(case.records[NODE_CONFIG_OVERRIDES].items()):
        instances = _instances(case, name)
        if instances and name not in shadowed:
            wrong = tuple(_wrong_names(override, instances))
            if wrong:
                yield _misnamed(case, override, instances, wrong)


def _instances(case: Case, node: str) -> Mapping[str, frozenset[str]]:
    """The instances of a node and the names of their peers."""
    config: NodeConfig | None = case.records[NODE_CONFIGS].get(node)
    found: Iterable[ClusterInstance]
    if config is not None:
        found = config.spec.bgp_instances
    else:
        selecting = cluster_configs_of(
            case.records[CLUSTER_CONFIGS].values(), case.records[CILIUM_NODES].get(node)
        )
        found = [instance for config in selecting for instance in config.spec.bgp_instances]
    return {instance.name: frozenset(peer.name for peer in instance.peers) for instance in found}


def _wrong_names(
    override: NodeConfigOverride, instances: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    for instance in override.spec.bgp_instances:
        peers = instances.get(instance.name)
        if peers is None:
            yield f"instance {instance.name}{_near(instance.name, instances)}"
            continue
        for peer in instance.peers:
            if peer.name not in peers:
                yield f"peer {peer.name} of instance {instance.name}{_near(peer.name, peers)}"


def _near(name: str, names: Iterable[str]) -> str:
    near = nearest(name, names)
    return f" (there is {near})" if near else ""


def _misnamed(
    case: Case,
    override: NodeConfigOverride,
    instances: Mapping[str, frozenset[str]],
    wrong: tuple[str, ...],
) -> Finding:
    ref = Ref("CiliumBGPNodeConfigOverride", override.key)
    have = "; ".join(
        f"{instance}: {', '.join(sorted(peers)) or 'no peer'}"
        for instance, peers in sorted(instances.items())
    )
    return Topic("CS316", Severity.WARN, ref).finding(
        summary=f"{ref} overrides {named(wrong)}, which {override.key} does not have: that part "
        "has no effect",
        evidence=(
            *(case.saw(NODE_CONFIG_OVERRIDES, ref, "spec.bgpInstances", text) for text in wrong),
            case.saw(NODE_CONFIGS, f"BGP of {override.key}", "instances and peers", have),
        ),
        remedy="Write the names as in the ClusterConfig that selects the node: "
        "spec.bgpInstances[].name and .peers[].name",
        command=f"kubectl get ciliumbgpnodeconfigoverride,ciliumbgpnodeconfig {override.key} "
        "-o yaml",
    )


RULES = (peer_config_missing, secret_missing, reconcile_error, override_names_nothing)
