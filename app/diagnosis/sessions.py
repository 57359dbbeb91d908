"""BGP sessions with both their witnesses: what the agents said to `cilium`, and what the API says.

The status in CiliumBGPNodeConfig is written by the agent some seconds late and corrected by nobody
once the agent is dead; `cilium bgp peers` is true at the moment it ran, but needs exec and misses a
silent agent. The newer one is shown, and a disagreement is shown as such.
`docs/cilium.md`, "Two witnesses".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from app.diagnosis.configuration import config_map
from app.diagnosis.health import BGPV1_REMOVED, cilium_version, pod_ready
from app.diagnosis.selectors import selects
from app.snapshot import Snapshot, State

if TYPE_CHECKING:
    from collectors.bgp_peers import BgpPeer, NodePeers
    from collectors.cilium_records import NodeConfig, NodePeerStatus

REPORTING_LAG = 10.0
"""Seconds by which the status in the API may lag behind the truth (measured: up to 5.2)."""

CLI_SOURCE = "cilium bgp peers"
ESTABLISHED = "established"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FamilyCount:
    """Prefixes of one address family on a session."""

    afi: str
    safi: str
    received: int
    advertised: int


@dataclass(frozen=True, slots=True)
class Witness:
    """What one source says of a session."""

    source: str
    """`cilium bgp peers` or `CiliumBGPNodeConfig NODE`."""
    state: str
    read_at: datetime | None
    """The moment at which this was true, as far as can be told."""
    uptime: float | None
    """Seconds since it was established, at the snapshot's time."""
    families: tuple[FamilyCount, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session that exists or should exist on a node."""

    node: str
    instance: str
    """Name of the BGP instance; the local AS number where it has none (BGPv1)."""
    peer: str
    """Name of the peer, "" where it has none (BGPv1, or an agent before 1.20)."""
    peer_address: str
    local_asn: int | None
    peer_asn: int | None
    """None: any is accepted and none was negotiated."""
    state: str
    """`established`, `active` …; `unknown` when no living witness tells."""
    uptime: float | None
    families: tuple[FamilyCount, ...]
    cli: Witness | None
    api: Witness | None
    shown: str
    """Source of what is shown; "" when nothing tells."""
    as_of: datetime | None
    """The moment at which what is shown was read; None when nothing tells."""
    current: bool
    """Whether the source of what is shown is fresh: what it told once may not be so any more."""
    disagree: bool
    """Whether the two witnesses tell different states."""
    configured: bool
    """Whether the configuration of the node asks for it."""
    reported: BgpPeer | None
    """All that the agent told of it, where it was asked."""
    note: str
    """Why it is unknown or doubtful, in words; "" when all is well."""

    @property
    def established(self) -> bool:
        """Whether a living witness says that it is established."""
        return self.state == ESTABLISHED

    @property
    def received(self) -> int:
        """Prefixes received, all families."""
        return sum(family.received for family in self.families)

    @property
    def advertised(self) -> int:
        """Prefixes advertised, all families, as the session counts them."""
        return sum(family.advertised for family in self.families)


@dataclass(slots=True)
class _Draft:
    """A session while its parts are gathered."""

    node: str
    peer_address: str
    local_asn: int | None
    instance: str = ""
    peer: str = ""
    peer_asn: int | None = None
    configured: bool = False
    cli: Witness | None = None
    api: Witness | None = None
    reported: BgpPeer | None = None


_Drafting = Callable[[str, str, int], _Draft]


def sessions(snapshot: Snapshot) -> tuple[Session, ...]:
    """Every session that is configured or was seen, by node, peer address and local AS."""
    drafts: dict[tuple[str, str, int], _Draft] = {}

    def draft(node: str, address: str, local_asn: int) -> _Draft:
        key = (node, address, local_asn)
        return drafts.setdefault(key, _Draft(node, address, local_asn or None))

    by_policy = tuple(_policy_peers(snapshot))
    shadowed = {node for node, *_ in by_policy}
    for config in snapshot.node_configs.values():
        # A policy that selects a node wins; what v2 configures there is torn down.
        if config.name not in shadowed:
            _add_node_config(snapshot, config, draft)
    for node, instance, local_asn, address, peer_asn in by_policy:
        found = draft(node, address, local_asn)
        found.instance, found.peer_asn, found.configured = instance, peer_asn or None, True
    for reading in snapshot.bgp_peers.values():
        for peer in reading.peers:
            _add_cli_peer(snapshot, reading.node, peer, draft)
    return tuple(_finished(snapshot, drafts[key]) for key in sorted(drafts))


def _add_node_config(snapshot: Snapshot, config: NodeConfig, draft: _Drafting) -> None:
    statuses = {
        (instance.name, peer.name): peer
        for instance in (config.status.bgp_instances if config.status else ())
        for peer in instance.peers
    }
    for instance in config.spec.bgp_instances:
        for peer in instance.peers:
            status = statuses.get((instance.name, peer.name))
            address = peer.peer_address or (status.peer_address if status else "")
            found = draft(config.name, address, instance.local_asn)
            found.instance, found.peer = instance.name, peer.name
            found.peer_asn = peer.peer_asn or None
            found.configured = True
            if status is not None:
                found.api = _api_witness(snapshot, config.name, status)


def _api_witness(snapshot: Snapshot, node: str, status: NodePeerStatus) -> Witness:
    since = status.established_time
    read_at, until = _heard(snapshot, "node_configs")
    established = status.peering_state == ESTABLISHED and since is not None
    return Witness(
        source=f"CiliumBGPNodeConfig {node}",
        state=status.peering_state or UNKNOWN,
        read_at=read_at,
        uptime=_seconds(since, until) if established and since else None,
        families=tuple(
            FamilyCount(count.afi, count.safi, count.received, count.advertised)
            for count in status.route_count
        ),
    )


def _heard(snapshot: Snapshot, kind: str) -> tuple[datetime | None, datetime]:
    """When a source was last read, and until when what it said may be taken to go on.

    An uptime grows between two readings, and stops where the readings do.
    """
    health = snapshot.health_of(kind)
    fresh = health.state is State.FRESH or health.read_at is None
    return health.read_at, snapshot.taken_at if fresh else health.read_at or snapshot.taken_at


def _policy_peers(snapshot: Snapshot) -> Iterator[tuple[str, str, int, str, int]]:
    """Node, instance, local AS, address and AS of each peer that a BGPv1 policy configures.

    Cilium 1.19 removed BGPv1: a policy left over from before configures nothing there.
    """
    if cilium_version(snapshot) >= BGPV1_REMOVED:
        return
    for policy in snapshot.peering_policies.values():
        selector = policy.spec.node_selector
        for node in snapshot.cilium_nodes.values():
            if selector is not None and not selects(selector, node.metadata.labels):
                continue
            for router in policy.spec.virtual_routers:
                for neighbor in router.neighbors:
                    address = neighbor.peer_address.partition("/")[0]
                    asn = router.local_asn
                    yield node.name, str(asn), asn, address, neighbor.peer_asn


def _add_cli_peer(snapshot: Snapshot, node: str, peer: BgpPeer, draft: _Drafting) -> None:
    read_at, until = _heard(snapshot, "bgp_peers")
    age = _seconds(read_at, until) if read_at else 0.0
    found = draft(node, peer.peer_address, peer.local_asn)
    found.peer = found.peer or peer.name
    found.peer_asn = peer.peer_asn or found.peer_asn
    found.instance = found.instance or str(peer.local_asn)
    found.reported = peer
    found.cli = Witness(
        source=CLI_SOURCE,
        state=peer.state,
        read_at=read_at,
        uptime=None if peer.uptime is None else peer.uptime + age,
        families=tuple(
            FamilyCount(family.afi, family.safi, family.received, family.advertised)
            for family in peer.families
        ),
    )


def _finished(snapshot: Snapshot, draft: _Draft) -> Session:
    doubt = _doubt(snapshot, draft.node)
    shown = _newer(snapshot, draft, trust_api=not doubt)
    return Session(
        node=draft.node,
        instance=draft.instance,
        peer=draft.peer,
        peer_address=draft.peer_address,
        local_asn=draft.local_asn,
        peer_asn=draft.peer_asn,
        state=shown.state if shown else UNKNOWN,
        uptime=shown.uptime if shown else None,
        families=shown.families if shown else (),
        cli=draft.cli,
        api=draft.api,
        shown=shown.source if shown else "",
        as_of=shown.read_at if shown else None,
        current=shown is not None and _current(snapshot, shown),
        disagree=(
            draft.cli is not None and draft.api is not None and draft.cli.state != draft.api.state
        ),
        configured=draft.configured,
        reported=draft.reported,
        note=_note(snapshot, draft, shown, doubt),
    )


def _note(snapshot: Snapshot, draft: _Draft, shown: Witness | None, doubt: str) -> str:
    if shown is None and draft.api is not None:
        return f"{draft.api.state} is the last word of an agent that {doubt}"
    if shown is None or shown.state == UNKNOWN:
        return _why_unknown(snapshot, draft.node)
    if not _current(snapshot, shown) and shown.read_at is not None:
        old = _seconds(shown.read_at, snapshot.taken_at)
        return f"{shown.state} {old:.0f} s ago, and not read since"
    return ""


def _doubt(snapshot: Snapshot, node: str) -> str:
    """Why the status in the API is not to be believed: what the agent that wrote it is or does.

    Nobody takes the status back when its agent dies or loses its BGP; "" if neither is so.
    """
    agent = snapshot.agents_by_node.get(node)
    if agent is None:
        return "is gone" if snapshot.health_of("pods").known else ""
    if not pod_ready(agent):
        return "is not ready"
    reading = _reading_of(snapshot, node)
    if reading is not None:
        return "has its BGP control plane switched off" if reading.bgp_disabled else ""
    config = config_map(snapshot)
    if config is not None and config.data.get("enable-bgp-control-plane", "false") != "true":
        return "is configured without BGP (enable-bgp-control-plane)"
    return ""


def _newer(snapshot: Snapshot, draft: _Draft, *, trust_api: bool) -> Witness | None:
    """The witness that speaks of the later moment; the API's speaks of `REPORTING_LAG` ago.

    One whose source is fresh stands before one whose source is not.
    """
    api = draft.api if trust_api else None
    cli = draft.cli
    if cli is None or api is None:
        return cli or api
    if _current(snapshot, cli) != _current(snapshot, api):
        return cli if _current(snapshot, cli) else api
    if cli.read_at is None or api.read_at is None:
        return api
    behind = (api.read_at - cli.read_at).total_seconds()
    return cli if behind <= REPORTING_LAG else api


def _current(snapshot: Snapshot, witness: Witness) -> bool:
    kind = "bgp_peers" if witness.source == CLI_SOURCE else "node_configs"
    return snapshot.health_of(kind).state is State.FRESH


def _why_unknown(snapshot: Snapshot, node: str) -> str:
    reading = _reading_of(snapshot, node)
    if reading is None:
        health = snapshot.health_of("bgp_peers")
        return health.error or f"cilium bgp peers: {health.state}"
    if reading.bgp_disabled:
        return "the agent says that its BGP control plane is disabled"
    if reading.error:
        return f"the agent does not answer: {reading.error}"
    return "the agent has no such peer"


def _reading_of(snapshot: Snapshot, node: str) -> NodePeers | None:
    """What the agent of a node answered, or how it failed: failures may name its pod alone."""
    agent = snapshot.agents_by_node.get(node)
    by_pod = snapshot.bgp_peers.get(f"pod:{agent.name}") if agent else None
    return snapshot.bgp_peers.get(node) or by_pod


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
