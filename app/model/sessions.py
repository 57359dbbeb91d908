"""BGP sessions with both their witnesses: what the agents said to `cilium`, and what the API says.

The status in CiliumBGPNodeConfig is written by the agent some seconds late and corrected by nobody
once the agent is dead; `cilium bgp peers` is true at the moment it ran, but needs exec and misses a
silent agent. The newer one is shown, and a disagreement is shown as such.
`docs/cilium.md`, "Two witnesses".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from app.model.configuration import config_map
from app.model.finding import Health, Ref, session_ref
from app.model.health import BGPV1_REMOVED, cilium_version, pod_ready
from app.model.selectors import selects
from app.model.wording import span
from app.state.derived import Key
from app.state.kinds import BGP_PEERS, CILIUM_NODES, NODE_CONFIGS, PEERING_POLICIES, PODS, Kind
from app.state.snapshot import Snapshot, State
from collectors.cilium.command_records import BgpPeer, NodePeers
from collectors.cilium.records import CiliumNode, NodeConfig, NodePeerStatus, PeeringPolicy
from collectors.kubernetes.records import Pod

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
class Uptime:
    """For how long a session is established, so that it can be told at any later moment."""

    seconds: float
    """For how long it was, at `at`."""
    at: datetime | None
    """None: it is not known when that was."""
    until: datetime | None
    """The last reading of a source that is not read any more; None: it goes on."""

    def by(self, now: datetime) -> float:
        """Seconds by a moment. It stops where the readings do."""
        end = self.until or now
        return self.seconds + (_seconds(self.at, end) if self.at is not None else 0.0)


@dataclass(frozen=True, slots=True)
class Witness:
    """What one source says of a session."""

    source: str
    """`cilium bgp peers` or `CiliumBGPNodeConfig NODE`."""
    state: str
    up: Uptime | None
    """Since it was established; None: it is not, or that is not told."""
    families: tuple[FamilyCount, ...]

    @property
    def kind(self) -> Kind[object]:
        """The snapshot field that its source feeds."""
        return BGP_PEERS if self.source == CLI_SOURCE else NODE_CONFIGS

    def uptime(self, now: datetime) -> float | None:
        """Seconds since it was established."""
        return None if self.up is None else self.up.by(now)

    def read_at(self, snapshot: Snapshot) -> datetime | None:
        """The moment at which this was true, as far as can be told."""
        return snapshot.health_of(self.kind).read_at


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session that exists or should exist on a node.

    It holds nothing that grows with time alone: while nothing is told of it, it stays the same.
    """

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
    families: tuple[FamilyCount, ...]
    cli: Witness | None
    api: Witness | None
    current_witness: Witness | None
    """The witness whose word is shown; None when nothing tells."""
    current: bool
    """Whether the source of what is shown is fresh: what it told once may not be so any more."""
    disagree: bool
    """Whether one witness says that it is established and the other that it is not.

    A session that is down alternates between idle and active, and they are read seconds apart.
    """
    configured: bool
    """Whether the configuration of the node asks for it."""
    reported: BgpPeer | None
    """All that the agent told of it, where it was asked."""
    note: str
    """Why it is unknown or doubtful, in words; "" when all is well."""

    @property
    def ref(self) -> Ref:
        """As findings point at it."""
        return session_ref(self.node, self.peer_address)

    @property
    def established(self) -> bool:
        """Whether a living witness says that it is established."""
        return self.state == ESTABLISHED

    @property
    def shown(self) -> str:
        """Source of what is shown; "" when nothing tells."""
        return self.current_witness.source if self.current_witness else ""

    def uptime(self, now: datetime) -> float | None:
        """Seconds since it was established, as is shown."""
        return self.current_witness.uptime(now) if self.current_witness else None

    def as_of(self, snapshot: Snapshot) -> datetime | None:
        """The moment at which what is shown was read; None when nothing tells."""
        return self.current_witness.read_at(snapshot) if self.current_witness else None

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


_Drafting = Callable[[str, int], _Draft]


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all sessions of a snapshot are judged by alike."""

    fresh_kinds: frozenset[Kind[object]]
    """Kinds of witnesses whose source is fresh."""
    last: Mapping[Kind[object], datetime]
    """When the others were last read, where they were."""
    asked_at: datetime | None
    """When the agents were last asked."""
    trusts_command: bool
    """Whether the command speaks of a later moment than the API."""
    unasked: str
    """Why an agent was not asked, in words."""
    pods_known: bool
    bgp_off: bool
    """Whether the configuration switches BGP off."""
    now: datetime | None
    """The moment, where a source is not fresh, so that its age is told."""

    def until(self, kind: Kind[object]) -> datetime | None:
        """Until when what a source said may be taken to go on; None: it does."""
        return self.last.get(kind)


_PolicyPeer = tuple[str, int, str, int]
"""Instance, local AS, address and AS of a peer that a BGPv1 policy configures."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A node, and all that is known of its sessions."""

    node: str
    config: NodeConfig | None
    agent: Pod | None
    reading: NodePeers | None
    """What its agent answered, or how it failed."""
    policy_peers: tuple[_PolicyPeer, ...]
    ground: _Ground


_GROUND: Key[_Ground] = Key()
_READINGS: Key[Mapping[str, NodePeers]] = Key()
_NODES: Key[Mapping[str, None]] = Key()
_SESSIONS: Key[Session] = Key()
_POLICY_PEERS: Key[Mapping[str, tuple[_PolicyPeer, ...]]] = Key()


def sessions(snapshot: Snapshot) -> tuple[Session, ...]:
    """Every session that is configured or was seen, by node, peer address and local AS."""
    memo = snapshot.memo
    ground = _ground(snapshot)
    ground = memo.of(_GROUND, (ground,), lambda: ground)
    agents = snapshot.agents_by_node
    asked = (snapshot.records[BGP_PEERS], agents)
    readings = memo.of(_READINGS, asked, lambda: readings_by_node(snapshot))
    policies = _policy_peers(snapshot)

    def of_node(node: str) -> tuple[Session, ...]:
        config, reading = snapshot.records[NODE_CONFIGS].get(node), readings.get(node)
        peers = policies.get(node, ())
        return _of_node(_Place(node, config, agents.get(node), reading, peers, ground))

    parts = (snapshot.records[NODE_CONFIGS], agents, readings, policies)
    nodes = memo.of(_NODES, parts, lambda: dict.fromkeys(chain(*parts)))
    return memo.by_key(_SESSIONS, (nodes, *parts), (ground,), of_node).values


def session_health(session: Session) -> Health:
    """Up, down, or not known; what was true when it was last read is not known to be so now."""
    if session.state == UNKNOWN or not session.current:
        return "unknown"
    return "ok" if session.established else "fail"


def configuration_known(snapshot: Snapshot) -> bool:
    """Whether it is known which BGP sessions the cluster is configured to have."""
    return all(
        (health.known and health.state is not State.FORBIDDEN) or health.state is State.ABSENT
        for health in map(snapshot.health_of, (NODE_CONFIGS, PEERING_POLICIES))
        if health.state is not State.OFF
    )


def _ground(snapshot: Snapshot) -> _Ground:
    api, cli = snapshot.health_of(NODE_CONFIGS), snapshot.health_of(BGP_PEERS)
    stale = [health for health in (api, cli) if health.state is not State.FRESH]
    shown = (
        snapshot.records[NODE_CONFIGS] if health is api else snapshot.records[BGP_PEERS]
        for health in stale
    )
    behind = api.read_at - cli.read_at if api.read_at and cli.read_at else None
    config = config_map(snapshot)
    return _Ground(
        fresh_kinds=frozenset(h.kind for h in (api, cli) if h.state is State.FRESH),
        last={health.kind: health.read_at for health in stale if health.read_at is not None},
        asked_at=cli.read_at,
        trusts_command=behind is not None and behind.total_seconds() <= REPORTING_LAG,
        unasked=cli.error or f"cilium bgp peers: {cli.state}",
        pods_known=snapshot.health_of(PODS).known,
        bgp_off=(
            config is not None and config.data.get("enable-bgp-control-plane", "false") != "true"
        ),
        now=snapshot.taken_at if any(shown) else None,
    )


def readings_by_node(snapshot: Snapshot) -> Mapping[str, NodePeers]:
    """What the agent of each node answered, or how it failed: failures may name its pod alone."""
    found = {
        reading.node: reading for reading in snapshot.records[BGP_PEERS].values() if reading.node
    }
    nameless = [key for key, reading in snapshot.records[BGP_PEERS].items() if not reading.node]
    if nameless:
        for node, agent in snapshot.agents_by_node.items():
            by_pod = snapshot.records[BGP_PEERS].get(f"pod:{agent.name}")
            if by_pod is not None:
                found.setdefault(node, by_pod)
    return found


def _policy_peers(snapshot: Snapshot) -> Mapping[str, tuple[_PolicyPeer, ...]]:
    """What BGPv1 policies configure on each node that any of them selects for a peer.

    Cilium 1.19 removed BGPv1: a policy left over from before configures nothing there.
    """
    policies = snapshot.records[PEERING_POLICIES]
    removed = cilium_version(snapshot) >= BGPV1_REMOVED
    read = (policies, snapshot.records[CILIUM_NODES] if policies else None, removed)

    def make() -> Mapping[str, tuple[_PolicyPeer, ...]]:
        found: dict[str, tuple[_PolicyPeer, ...]] = {}
        for node in snapshot.records[CILIUM_NODES].values() if policies and not removed else ():
            peers = tuple(_peers_by_policy(policies.values(), node))
            if peers:
                found[node.name] = peers
        return found

    return snapshot.memo.of(_POLICY_PEERS, read, make)


def _peers_by_policy(policies: Iterable[PeeringPolicy], node: CiliumNode) -> Iterator[_PolicyPeer]:
    for policy in policies:
        selector = policy.spec.node_selector
        if selector is not None and not selects(selector, node.metadata.labels):
            continue
        for router in policy.spec.virtual_routers:
            for neighbor in router.neighbors:
                address, asn = neighbor.peer_address.partition("/")[0], router.local_asn
                yield str(asn), asn, address, neighbor.peer_asn


def _of_node(place: _Place) -> tuple[Session, ...]:
    drafts: dict[tuple[str, int], _Draft] = {}

    def draft(address: str, local_asn: int) -> _Draft:
        key = (address, local_asn)
        return drafts.setdefault(key, _Draft(place.node, address, local_asn or None))

    # A policy that selects a node wins; what v2 configures there is torn down.
    if place.config is not None and not place.policy_peers:
        _add_node_config(place, place.config, draft)
    for instance, local_asn, address, peer_asn in place.policy_peers:
        found = draft(address, local_asn)
        found.instance, found.peer_asn, found.configured = instance, peer_asn or None, True
    for peer in place.reading.peers if place.reading is not None else ():
        _add_cli_peer(place, peer, draft)
    return tuple(_finished(place, drafts[key]) for key in sorted(drafts))


def _add_node_config(place: _Place, config: NodeConfig, draft: _Drafting) -> None:
    statuses = {
        (instance.name, peer.name): peer
        for instance in (config.status.bgp_instances if config.status else ())
        for peer in instance.peers
    }
    for instance in config.spec.bgp_instances:
        for peer in instance.peers:
            status = statuses.get((instance.name, peer.name))
            address = peer.peer_address or (status.peer_address if status else "")
            found = draft(address, instance.local_asn)
            found.instance, found.peer = instance.name, peer.name
            found.peer_asn = peer.peer_asn or None
            found.configured = True
            if status is not None:
                found.api = _api_witness(place, status)


def _api_witness(place: _Place, status: NodePeerStatus) -> Witness:
    since = status.established_time
    established = status.peering_state == ESTABLISHED and since is not None
    return Witness(
        source=f"CiliumBGPNodeConfig {place.node}",
        state=status.peering_state or UNKNOWN,
        up=Uptime(0.0, since, place.ground.until(NODE_CONFIGS)) if established else None,
        families=tuple(
            FamilyCount(count.afi, count.safi, count.received, count.advertised)
            for count in status.route_count
        ),
    )


def _add_cli_peer(place: _Place, peer: BgpPeer, draft: _Drafting) -> None:
    ground = place.ground
    until = ground.until(BGP_PEERS)
    found = draft(peer.peer_address, peer.local_asn)
    found.peer = found.peer or peer.name
    found.peer_asn = peer.peer_asn or found.peer_asn
    found.instance = found.instance or str(peer.local_asn)
    found.reported = peer
    found.cli = Witness(
        source=CLI_SOURCE,
        state=peer.state,
        up=None if peer.uptime is None else Uptime(peer.uptime, ground.asked_at, until),
        families=tuple(
            FamilyCount(family.afi, family.safi, family.received, family.advertised)
            for family in peer.families
        ),
    )


def _finished(place: _Place, draft: _Draft) -> Session:
    doubt = _doubt(place)
    shown = _newer(place.ground, draft, trust_api=not doubt)
    return Session(
        node=draft.node,
        instance=draft.instance,
        peer=draft.peer,
        peer_address=draft.peer_address,
        local_asn=draft.local_asn,
        peer_asn=draft.peer_asn,
        state=shown.state if shown else UNKNOWN,
        families=shown.families if shown else (),
        cli=draft.cli,
        api=draft.api,
        current_witness=shown,
        current=shown is not None and shown.kind in place.ground.fresh_kinds,
        disagree=_disagree(draft.cli, draft.api),
        configured=draft.configured,
        reported=draft.reported,
        note=_note(place, draft, shown, doubt),
    )


def _disagree(cli: Witness | None, api: Witness | None) -> bool:
    if cli is None or api is None:
        return False
    return (cli.state == ESTABLISHED) != (api.state == ESTABLISHED)


def _note(place: _Place, draft: _Draft, shown: Witness | None, doubt: str) -> str:
    if shown is None and draft.api is not None:
        return f"{draft.api.state} is the last word of an agent that {doubt}"
    if shown is None or shown.state == UNKNOWN:
        return _why_unknown(place)
    read_at, now = place.ground.last.get(shown.kind), place.ground.now
    if read_at is not None and now is not None:
        return f"{shown.state} {span(_seconds(read_at, now))} ago, and not read since"
    return ""


def _doubt(place: _Place) -> str:
    """Why the status in the API is not to be believed: what the agent that wrote it is or does.

    Nobody takes the status back when its agent dies or loses its BGP; "" if neither is so.
    """
    if place.agent is None:
        return "is gone" if place.ground.pods_known else ""
    if not pod_ready(place.agent):
        return "is not ready"
    if place.reading is not None:
        return "has its BGP control plane switched off" if place.reading.bgp_disabled else ""
    if place.ground.bgp_off:
        return "is configured without BGP (enable-bgp-control-plane)"
    return ""


def _newer(ground: _Ground, draft: _Draft, *, trust_api: bool) -> Witness | None:
    """The witness that speaks of the later moment; the API's speaks of `REPORTING_LAG` ago.

    One whose source is fresh stands before one whose source is not.
    """
    api = draft.api if trust_api else None
    cli = draft.cli
    if cli is None or api is None:
        return cli or api
    if (cli.kind in ground.fresh_kinds) != (api.kind in ground.fresh_kinds):
        return cli if cli.kind in ground.fresh_kinds else api
    return cli if ground.trusts_command else api


def _why_unknown(place: _Place) -> str:
    reading = place.reading
    if reading is None:
        return place.ground.unasked
    if reading.bgp_disabled:
        return "the agent says that its BGP control plane is disabled"
    if reading.error:
        return f"the agent does not answer: {reading.error}"
    return "the agent has no such peer"


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
