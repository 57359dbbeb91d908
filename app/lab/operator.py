"""The Cilium operator: while it leads, it runs LB-IPAM, writes node configs and checks policies.

The policy checks are a few of Cilium's own, with its words (`pkg/policy/api/rule_validation.go`);
the condition is that of `operator/pkg/networkpolicy/validator.go`. It has no reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.lab import kinds
from app.lab.fields import (
    created,
    data,
    labels_of,
    made,
    mapping,
    merged,
    name_of,
    objects,
    present,
    selects,
    text,
)
from app.lab.ipam import LoadBalancerIpam
from app.lab.plane import BGP_OPERATOR_MODULE, Condition, Plane
from app.lab.store import JsonObject, ResourceKey

_BGP_INPUTS = (
    kinds.CLUSTER_CONFIGS,
    kinds.PEER_CONFIGS,
    kinds.NODE_CONFIGS,
    kinds.OVERRIDES,
    kinds.CILIUM_NODES,
    kinds.SECRETS,
)
_POLICY_INPUTS = (kinds.CILIUM_POLICIES, kinds.CLUSTERWIDE_POLICIES)


class Operator:
    """The leading operator; nothing moves while it is down."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._ipam = LoadBalancerIpam(plane)
        self._seen = 0
        self.running = False

    def start(self) -> None:
        """A new leader: state is rebuilt from the objects."""
        self.running = True
        self._seen = 0
        self._ipam.restart()
        if self._bgp_enabled:
            name = "BGP" if self._plane.version >= (1, 19) else "BGPv2"
            started = f"{name} control plane operator started"
            self._plane.operator_log("info", started, BGP_OPERATOR_MODULE)

    def stop(self) -> None:
        """The leader is gone: statuses stay as they are from now on."""
        self.running = False

    def sync(self) -> None:
        """React to what changed in the store since the last call."""
        if not self.running:
            return
        self._ipam.sync()
        version = self._plane.store.version
        if self._changed(_BGP_INPUTS):
            if self._bgp_enabled:
                self._render()
            version = self._plane.store.version
        if self._changed(_POLICY_INPUTS):
            _check_policies(self._plane)
            version = self._plane.store.version
        self._seen = version

    def _changed(self, resources: Iterable[ResourceKey]) -> bool:
        return any(self._plane.matters(resource, self._seen) for resource in resources)

    @property
    def _bgp_enabled(self) -> bool:
        return self._plane.enabled("enable-bgp-control-plane")

    @property
    def _reports(self) -> bool:
        return self._plane.enabled("enable-bgp-control-plane-status-report", "true")

    def _render(self) -> None:
        wanted: set[str] = set()
        for config in sorted(self._plane.all(kinds.CLUSTER_CONFIGS), key=created):
            wanted |= self._render_config(config)
        for stale in self._plane.all(kinds.NODE_CONFIGS):
            if name_of(stale) not in wanted:
                self._plane.store.delete(kinds.NODE_CONFIGS, "", name_of(stale))
        for peer_config in self._plane.all(kinds.PEER_CONFIGS):
            self._check_secret(peer_config)

    def _render_config(self, config: JsonObject) -> set[str]:
        """Render one ClusterConfig for the nodes that it selects and that no other one owns."""
        nodes = [
            name_of(node)
            for node in self._plane.all(kinds.CILIUM_NODES)
            if selects(mapping(config, "spec", "nodeSelector"), labels_of(node))
        ]
        owned: set[str] = set()
        rivals: set[str] = set()
        for node in nodes:
            owner = self._owner(node)
            if owner and owner != name_of(config):
                rivals.add(owner)
                continue
            owned.add(node)
            self._write_node_config(node, config)
        if self._reports:
            self._check_config(config, bool(nodes), sorted(rivals))
        return owned

    def _owner(self, node: str) -> str:
        """The ClusterConfig that owns a node's configuration, if it still exists and selects it."""
        owners = objects(self._plane.get(kinds.NODE_CONFIGS, node), "metadata", "ownerReferences")
        owner = text(owners[0], "name") if owners else ""
        config = self._plane.get(kinds.CLUSTER_CONFIGS, owner)
        cilium_node = self._plane.get(kinds.CILIUM_NODES, node)
        if config is None or cilium_node is None:
            return ""
        selector = mapping(config, "spec", "nodeSelector")
        return owner if selects(selector, labels_of(cilium_node)) else ""

    def _write_node_config(self, node: str, config: JsonObject) -> None:
        override = self._plane.get(kinds.OVERRIDES, node)
        instances = [
            _overridden(instance, override) for instance in objects(config, "spec", "bgpInstances")
        ]
        existing = self._plane.get(kinds.NODE_CONFIGS, node)
        api, uid = self._plane.api_version, text(config, "metadata", "uid")
        reference = made("ClusterConfigReference", api=api, name=name_of(config), uid=uid)
        if existing is None:
            existing = made("NodeConfig", api_version=api, name=node)
        metadata = {**mapping(existing, "metadata"), "ownerReferences": [reference]}
        spec = {"bgpInstances": instances}
        wanted: JsonObject = {**existing, "metadata": metadata, "spec": spec}
        if wanted != existing:
            self._plane.put(kinds.NODE_CONFIGS, wanted, "cilium-operator-generic")

    def _check_config(self, config: JsonObject, selects_any: bool, rivals: list[str]) -> None:
        referenced = {
            text(peer, "peerConfigRef", "name")
            for instance in objects(config, "spec", "bgpInstances")
            for peer in objects(instance, "peers")
        }
        missing = sorted(
            name
            for name in referenced
            if name and self._plane.get(kinds.PEER_CONFIGS, name) is None
        )
        conflict = f"Selecting the same node(s) with ClusterConfig(s): [{' '.join(rivals)}]"
        absent = f"Referenced CiliumBGPPeerConfig(s) are missing: [{' '.join(missing)}]"
        # Up to 1.19 the reason and this message stay the same whether True or False.
        always = self._plane.version < (1, 20)
        unmatched = "No node matches spec.nodeSelector" if always or not selects_any else ""
        verdicts = [
            self._verdict("ConflictingClusterConfig", bool(rivals), conflict if rivals else ""),
            self._verdict("MissingPeerConfigs", bool(missing), absent if missing else ""),
            self._verdict("NoMatchingNode", not selects_any, unmatched),
        ]
        self._plane.set_conditions(kinds.CLUSTER_CONFIGS, config, verdicts)

    def _check_secret(self, peer_config: JsonObject) -> None:
        if not self._reports:
            return
        secret = text(peer_config, "spec", "authSecretRef")
        namespace = text(self._plane.configuration(), "bgp-secrets-namespace")
        missing = bool(secret) and self._plane.get(kinds.SECRETS, secret, namespace) is None
        message = f'Referenced Auth Secret "{secret}" is missing' if missing else ""
        if not secret and self._plane.version >= (1, 20):
            message = "Auth Secret is not configured"
        verdict = self._verdict("MissingAuthSecret", missing, message)
        self._plane.set_conditions(kinds.PEER_CONFIGS, peer_config, [verdict])

    def _verdict(self, kind: str, true: bool, message: str) -> Condition:
        reason = _reason(kind, true, self._plane.version, message)
        return Condition(f"cilium.io/{kind}", "True" if true else "False", message, reason)


def _reason(kind: str, true: bool, version: tuple[int, int], message: str) -> str:
    """A condition's reason: per outcome since 1.20, the same for both before (638f6b443c)."""
    if version < (1, 20):
        return "ConflictingClusterConfigs" if kind == "ConflictingClusterConfig" else kind
    if kind == "MissingAuthSecret" and not true:
        return "AuthSecretNotConfigured" if message else "AuthSecretValidated"
    return data("cluster", "bgp_reasons", dict[str, tuple[str, str]])[kind][0 if true else 1]


def _overridden(instance: JsonObject, override: JsonObject | None) -> JsonObject:
    """An instance with a node's overrides; names that exist nowhere are ignored, as by Cilium."""
    for each in objects(override, "spec", "bgpInstances"):
        if text(each, "name") != text(instance, "name"):
            continue
        own = {key: value for key, value in each.items() if key not in ("name", "peers")}
        peers = [_first_named(objects(each, "peers"), peer) for peer in objects(instance, "peers")]
        instance = merged(instance, own)
        if present(instance, "peers"):
            instance["peers"] = peers
    return instance


def _first_named(overrides: list[JsonObject], peer: JsonObject) -> JsonObject:
    found = next((o for o in overrides if text(o, "name") == text(peer, "name")), {})
    return merged(peer, found)


_PEERS = ("Endpoints", "CIDR", "CIDRSet", "Entities", "Nodes", "Groups")


def _check_policies(plane: Plane) -> None:
    """Set the condition Valid of every policy of Cilium."""
    for resource in _POLICY_INPUTS:
        for policy in plane.all(resource):
            fault = "\n".join(filter(None, map(_fault, _rules(policy))))
            message = fault or "Policy validation succeeded"
            condition = Condition("Valid", "False" if fault else "True", message)
            plane.set_conditions(resource, policy, [condition])


def _rules(policy: JsonObject) -> Iterator[JsonObject]:
    if present(policy, "spec"):
        yield mapping(policy, "spec")
    yield from objects(policy, "specs")


def _fault(rule: JsonObject) -> str:
    """The first thing that is wrong with a rule, "" when nothing is."""
    selectors = [name for name in ("endpointSelector", "nodeSelector") if present(rule, name)]
    if not selectors:
        return "rule must have one of EndpointSelector or NodeSelector"
    if len(selectors) > 1:
        return "rule cannot have both EndpointSelector and NodeSelector"
    entries = [
        (word, each)
        for word, end in (("from", "ingress"), ("to", "egress"))
        for each in objects(rule, end)
    ]
    return next(filter(None, (_entry_fault(word, each) for word, each in entries)), "")


def _entry_fault(word: str, entry: JsonObject) -> str:
    there = [peer for peer in _PEERS if entry.get(f"{word}{peer}")]
    if len(there) > 1:
        first, second = (f"{word.capitalize()}{peer}" for peer in there[:2])
        return f"Combining {first} and {second} is not supported yet"
    if objects(entry, "icmps") and objects(entry, "toPorts"):
        return (
            "The ICMPs block may only be present without ToPorts. "
            "Define a separate rule to use ToPorts."
        )
    return next(filter(None, map(_port_fault, objects(entry, "toPorts"))), "")


def _port_fault(rule: JsonObject) -> str:
    others = [text(port, "protocol") or "ANY" for port in objects(rule, "ports")]
    foreign = next((protocol for protocol in others if protocol != "TCP"), "")
    if foreign and mapping(rule, "rules").get("http"):
        return f"L7 rules can only apply to TCP (not {foreign}) except for DNS rules"
    return ""
