"""The BGP objects as a tree: which selects what, from the nodes down to the services.

BGPv2: ClusterConfig, instance, peer, PeerConfig's family, Advertisement. BGPv1: PeeringPolicy,
virtual router, neighbour. What nothing refers to stands at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.diagnosis.diagnoser import Diagnoser
from app.model.case import Case
from app.model.desired_peerings import (
    PeeringFamily,
    SelectedAdvertisement,
    peer_families,
    reads_policies,
    router_advertisements,
    selects_node,
    selects_service,
)
from app.model.finding import Finding, Health, Ref, worst
from app.model.selectors import describe
from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.lines import Line, Span, by_health, plain
from app.state import kinds
from app.state.kinds import Kind
from app.state.snapshot import Snapshot
from collectors.cilium.records import ClusterConfig, ClusterPeer, PeerConfigSpec, PeeringPolicy
from collectors.kubernetes.records import LabelSelector
from screens.base.empty_state import content
from screens.base.selection import kubectl
from screens.configuration.parts import Entry, Part, Section, fact

COLUMNS = (
    Column("name", "OBJECT", cut_to=30),
    Column("selects", "SELECTS", cut_to=14),
    Column("finds", "FINDS", cut_to=10, spare=1),
    Column("state", "STATE", cut_to=20),
)
OBJECTS = (kinds.CLUSTER_CONFIGS, kinds.PEER_CONFIGS, kinds.ADVERTISEMENTS, kinds.PEERING_POLICIES)
READS = (
    *OBJECTS,
    kinds.CILIUM_NODES,
    kinds.NODE_CONFIGS,
    kinds.NODE_CONFIG_OVERRIDES,
    kinds.SERVICES,
    kinds.CONFIG_MAPS,
    kinds.BGP_PEERS,
    kinds.DAEMON_SETS,
)
CLUSTER_CONFIG, PEER_CONFIG, ADVERTISEMENT, POLICY = (kind.object_kind for kind in OBJECTS)
OVERRIDE = kinds.NODE_CONFIG_OVERRIDES.object_kind
_SHOWN = {kind.object_kind: kind for kind in (*OBJECTS, kinds.NODE_CONFIG_OVERRIDES)}
"""The kinds of the objects here."""


@dataclass
class _Tree:
    """The rows as they are made."""

    case: Case
    about: Mapping[Ref, list[Finding]]
    rows: list[Row] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    used: set[Ref] = field(default_factory=set)
    """Objects that something refers to."""
    _shown: set[Ref] = field(default_factory=set)
    _services: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(
        self,
        depth: int,
        path: str,
        name: str,
        ref: Ref,
        *,
        selects: str = "",
        finds: str = "",
        broken: str = "",
        unused: bool = False,
        facts: tuple[Line, ...] = (),
    ) -> None:
        """One row; `broken` says what is amiss with the reference that it is.

        What was found about an object stands at its first row.
        """
        own = [] if ref in self._shown else self.about.get(ref, [])
        self._shown.add(ref)
        health: Health = "fail" if broken else worst(own)
        words = broken or ", ".join(dict.fromkeys(finding.code for finding in own))
        if unused and not words:
            health, words = "warn", "nothing selects it"
        cells = (
            Cell.of(f"{'  ' * depth}{name}"),
            Cell.of(selects),
            Cell.of(finds),
            Cell.state(health, words),
        )
        self.rows.append(Row(path, cells, health=health))
        lines = [plain(f" {ref}", "strong"), *facts]
        if selects:
            lines.append(fact("selects", selects))
        if finds:
            lines.append(fact("finds", finds))
        if broken:
            lines.append((Span(" ✗           ", "fail"), Span(broken, "fail")))
        words = f"get {_SHOWN[ref.kind].plural} {ref.name} -o yaml"
        same = (kubectl(self.case.snapshot, f"the {ref.kind}", words),)
        found = tuple(self.about.get(ref, []))
        self.entries[path] = Entry(tuple(lines), ref, equivalents=same, findings=found)

    def nodes(self, selector: LabelSelector | None) -> tuple[str, ...]:
        """The nodes that a selector selects."""
        found = self.case.snapshot.records[kinds.CILIUM_NODES]
        return tuple(name for name, node in sorted(found.items()) if selects_node(selector, node))

    def services(self, selected: SelectedAdvertisement) -> int:
        """How many LoadBalancer services an advertisement selects."""
        key = (selected.advertisement, selected.index)
        if key not in self._services:
            self._services[key] = sum(
                selects_service(selected, balancer.service) for balancer in self.case.balancers
            )
        return self._services[key]


def section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """The objects of both control planes, as far as this Cilium reads them."""
    read = OBJECTS if snapshot.setting_up else _kinds(snapshot)
    if snapshot.setting_up:
        return Section(COLUMNS, content(snapshot, (), read, "BGP objects"))
    case = judge.case(snapshot)
    about: dict[Ref, list[Finding]] = {}
    for finding in judge.verdict(snapshot).findings:
        if finding.subject.kind in _SHOWN:
            about.setdefault(finding.subject, []).append(finding)
    tree = _Tree(case, about)
    for _, config in sorted(snapshot.records[kinds.CLUSTER_CONFIGS].items()):
        _cluster_config(tree, config)
    for _, policy in sorted(snapshot.records[kinds.PEERING_POLICIES].items()):
        _policy(tree, policy, read=reads_policies(case))
    _left_over(tree)
    healths = [row.health for row in tree.rows]
    shown = content(snapshot, tree.rows, read, "BGP objects", beside=(kinds.CILIUM_NODES,))
    counts = by_health(healths, {"fail": "broken", "warn": "odd"})
    objects = len({entry.ref for entry in tree.entries.values()})
    headline = (Span(count(objects, "object")), *counts) if objects else ()
    return Section(COLUMNS, shown, tree.entries, headline)


def _kinds(snapshot: Snapshot) -> tuple[Kind[object], ...]:
    """The kinds that are served; where none is, all."""
    served = tuple(kind for kind in OBJECTS if snapshot.health_of(kind).state != "absent")
    return served or OBJECTS


def _of_nodes(tree: _Tree, ref: Ref, selector: LabelSelector | None, unread: str = "") -> None:
    """What selects nodes, and which; `unread`: why none of that counts."""
    tree.used.add(ref)
    nodes, every = tree.nodes(selector), tree.case.snapshot.records[kinds.CILIUM_NODES]
    lost = not nodes and tree.case.known(kinds.CILIUM_NODES)
    tree.add(
        0,
        f"{ref.kind}/{ref.name}",
        f"{ref.kind.removeprefix('CiliumBGP')} {ref.name}",
        ref,
        selects=_selector("nodes", selector),
        finds=f"{len(nodes)} of {count(len(every), 'node')}",
        broken=unread or (_no("node") if lost else ""),
        facts=(fact("nodes", ", ".join(nodes) or "none"),),
    )


def _cluster_config(tree: _Tree, config: ClusterConfig) -> None:
    ref = Ref(CLUSTER_CONFIG, config.key)
    _of_nodes(tree, ref, config.spec.node_selector)
    for instance in config.spec.bgp_instances:
        path = f"{CLUSTER_CONFIG}/{config.key}/{instance.name}"
        peers = count(len(instance.peers), "peer")
        name = f"instance {instance.name} AS {instance.local_asn}"
        tree.add(1, path, name, ref, finds=peers, broken="" if instance.peers else _no("peer"))
        for peer in instance.peers:
            _peer(tree, f"{path}/{peer.name}", ref, peer)


def _peer(tree: _Tree, path: str, owner: Ref, peer: ClusterPeer) -> None:
    """A peer, the families of its PeerConfig, and what each selects."""
    snapshot = tree.case.snapshot
    name = peer.peer_config_ref.name if peer.peer_config_ref else ""
    config = snapshot.records[kinds.PEER_CONFIGS].get(name) if name else None
    missing = bool(name) and config is None and tree.case.known(kinds.PEER_CONFIGS)
    address = peer.peer_address or ("auto-discovered" if peer.auto_discovery else "")
    tree.add(
        2,
        path,
        f"peer {peer.name} {address} AS {peer.peer_asn or 'any'}",
        owner,
        selects=f"PeerConfig {name}" if name else "no PeerConfig: the defaults",
        finds="found" if config else "",
        broken="does not exist" if missing else "" if address else "no address",
    )
    if missing or (name and config is None):
        return
    ref = Ref(PEER_CONFIG, name) if config else owner
    tree.used.add(ref)
    spec = config.spec if config else PeerConfigSpec()
    for family in peer_families(spec, snapshot.records[kinds.ADVERTISEMENTS]):
        _family(tree, f"{path}/{family.afi}-{family.safi}", ref, family)


def _family(tree: _Tree, path: str, ref: Ref, family: PeeringFamily) -> None:
    found = {each.advertisement for each in family.advertisements}
    known = tree.case.known(kinds.ADVERTISEMENTS)
    tree.add(
        3,
        path,
        f"{family.afi}/{family.safi}",
        ref,
        selects=_selector("advertisements", family.selector, nothing="no advertisement"),
        finds=count(len(found), "advertisement"),
        broken="" if found or not known else _no("advertisement"),
    )
    for each in family.advertisements:
        own = Ref(ADVERTISEMENT, each.advertisement)
        tree.used.add(own)
        _advertisement(tree, 4, f"{path}/{each.advertisement}-{each.index}", own, each)


def _advertisement(
    tree: _Tree, depth: int, path: str, ref: Ref, each: SelectedAdvertisement
) -> None:
    what = f"{each.type} {' '.join(each.addresses)}".rstrip()
    services = each.type == "Service"
    number = tree.services(each) if services else 0
    selects = _selector("services", each.selector, nothing="no service") if services else ""
    tree.add(
        depth,
        path,
        f"→ {what}" if ref.kind == POLICY else f"→ {ref.name}: {what}",
        ref,
        selects=selects,
        finds=count(number, "service") if services else "",
        broken=_no("service") if services and not number and tree.case.balancers else "",
    )


def _policy(tree: _Tree, policy: PeeringPolicy, *, read: bool) -> None:
    ref = Ref(POLICY, policy.key)
    unread = "" if read else "this Cilium does not read it"
    _of_nodes(tree, ref, policy.spec.node_selector, unread)
    for index, router in enumerate(policy.spec.virtual_routers):
        path = f"{POLICY}/{policy.key}/{index}"
        peers = count(len(router.neighbors), "neighbour")
        tree.add(1, path, f"router AS {router.local_asn}", ref, finds=peers)
        for neighbor in router.neighbors:
            name = f"neighbour {neighbor.peer_address} AS {neighbor.peer_asn}"
            families = ", ".join(f"{family.afi}/{family.safi}" for family in neighbor.families)
            own = f"{path}/{neighbor.peer_address}"
            tree.add(2, own, name, ref, selects=families or "both families")
        for place, each in enumerate(router_advertisements(policy.key, index, router)):
            _advertisement(tree, 2, f"{path}/advertised-{place}", ref, each)


def _left_over(tree: _Tree) -> None:
    """Objects that nothing refers to, and overrides, which refer to nodes."""
    snapshot = tree.case.snapshot
    for kind, objects in (
        (PEER_CONFIG, snapshot.records[kinds.PEER_CONFIGS]),
        (ADVERTISEMENT, snapshot.records[kinds.ADVERTISEMENTS]),
    ):
        for name in sorted(objects):
            if Ref(kind, name) not in tree.used:
                title = f"{kind.removeprefix('CiliumBGP')} {name}"
                facts = _labels(objects[name].metadata.labels)
                ref = Ref(kind, name)
                tree.add(0, f"{kind}/{name}", title, ref, unused=True, facts=facts)
    nodes = snapshot.records[kinds.CILIUM_NODES]
    for name in sorted(snapshot.records[kinds.NODE_CONFIG_OVERRIDES]):
        lost = tree.case.known(kinds.CILIUM_NODES) and name not in nodes
        broken = "there is no such node" if lost else ""
        ref = Ref(OVERRIDE, name)
        tree.add(0, f"{OVERRIDE}/{name}", f"Override {name}", ref, selects="node", broken=broken)


def _labels(labels: Mapping[str, str]) -> tuple[Line, ...]:
    pairs = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return (fact("labels", pairs or "none"),)


def _selector(what: str, selector: LabelSelector | None, nothing: str = "") -> str:
    """`nodes a=b`; an absent selector selects all, or `nothing`."""
    if selector is None:
        return nothing or f"all {what}"
    words = describe(selector)
    return f"all {what}" if words == "everything" else f"{what} {words}"


def _no(what: str) -> str:
    return f"selects no {what}"


BGP = Part(
    name="bgp",
    title="BGP",
    key="3",
    columns=COLUMNS,
    make=section,
    reads=READS,
    sources=OBJECTS[:3],
    kinds=tuple(_SHOWN),
    command=lambda snapshot: kubectl(
        snapshot,
        "all objects of BGP",
        "get ciliumbgpclusterconfigs,ciliumbgppeerconfigs,ciliumbgpadvertisements --show-labels",
    ),
)
