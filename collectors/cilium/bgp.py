"""BGP as the agents themselves report it: `cilium bgp peers` and `cilium bgp routes`.

The one source for BGP that no lag and no dead agent can falsify: the answer comes from the running
speaker, by exec. It is partial by nature, so there is one record per agent, and an agent that
failed is a record with an error. Three things look alike in the output and are not: a node with an
empty list (it answered: no BGP is configured there), a node that is absent (its agent failed, the
reason is on stderr), and an agent whose BGP control plane is off.

Routes `available` are the speaker's own table (loc-rib): what some peer's advertisement selects.
Routes `advertised` are what really goes to each peer, after the policy (adj-rib-out). A prefix in
the first and not in the second answers "why does the router not have it". The command shows no
routes that a router sends to us. The bytes are read by `path_attributes`.

Source: Cilium, api/v1/models/bgp_{peer,route,path}.go and cilium-cli/bgp/{peers,routes}.go;
`docs/cilium.md`, "The `cilium` command".
"""

from __future__ import annotations

from functools import partial

import msgspec

from collectors.cilium.answer import (
    AgentAnswer,
    CiliumCommand,
    Count,
    Reading,
    parse_agents,
    read_items,
)
from collectors.cilium.bgp_messages import Capability, decode_capabilities
from collectors.cilium.path_attributes import (
    Malformed,
    PathAttributes,
    decode_path_attributes,
    decode_prefix,
    read_bytes,
)
from collectors.kubernetes.records import RecordPart
from collectors.process import Completed


class FamilyCounts(RecordPart, frozen=True):
    """Prefix counts of one address family of a session."""

    afi: str = ""
    safi: str = ""
    received: Count = 0
    """Prefixes the router sends."""
    accepted: Count = 0
    """Of those, what Cilium takes into its table: 0 is normal, it has no use for them."""
    advertised: Count = 0
    """Prefixes sent to the router, or to be sent: above 0 also without a session."""

    @property
    def name(self) -> str:
        """`ipv4/unicast`."""
        return f"{self.afi}/{self.safi}"


class BgpPeer(RecordPart, frozen=True):
    """One session of one node, as its agent sees it. Times are in seconds."""

    name: str = ""
    """Name in the node's configuration; "" before Cilium 1.20."""
    local_asn: int = 0
    peer_asn: int = 0
    """0 when any is accepted and none was negotiated yet."""
    peer_address: str = ""
    peer_port: int = 0
    state: str = "unknown"
    """`idle`, `connect`, `active`, `open_sent`, `open_confirm`, `established` or `unknown`."""
    uptime: float | None = None
    """How long it is established; None while it is not."""
    families: tuple[FamilyCounts, ...] = ()
    configured_hold_time: int = 0
    applied_hold_time: int = 0
    """0 until negotiated."""
    configured_keepalive: int = 0
    applied_keepalive: int = 0
    """0 until negotiated."""
    connect_retry: int = 0
    multihop_ttl: int = 0
    """1 for a session over one hop."""
    graceful_restart: bool = False
    restart_time: int = 0
    """How long the router keeps our routes while the agent restarts."""
    tcp_password: bool = False
    """Whether a password is in use, not only configured."""
    local_capabilities: tuple[Capability, ...] = ()
    """Empty before Cilium 1.19, and before the first OPEN."""
    remote_capabilities: tuple[Capability, ...] = ()
    """Empty before Cilium 1.19, and until the router has sent its OPEN."""

    @property
    def established(self) -> bool:
        """Whether the session is up."""
        return self.state == "established"


class NodePeers(AgentAnswer, frozen=True):
    """One agent's answer about its sessions."""

    peers: tuple[BgpPeer, ...] = ()
    """Empty without an error: no BGP is configured on the node."""


class _CapabilityBytes(msgspec.Struct, frozen=True, gc=False):
    capabilities: str = ""
    base64: str = ""


class _GracefulRestart(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    enabled: bool = False
    restart_time_seconds: Count = 0


class _Peer(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """BgpPeer on the wire."""

    name: str = ""
    local_asn: Count = 0
    peer_asn: Count = 0
    peer_address: str = ""
    peer_port: Count = 0
    session_state: str = "unknown"
    uptime_nanoseconds: Count = 0
    families: tuple[FamilyCounts, ...] = ()
    configured_hold_time_seconds: Count = 0
    applied_hold_time_seconds: Count = 0
    configured_keep_alive_time_seconds: Count = 0
    applied_keep_alive_time_seconds: Count = 0
    connect_retry_time_seconds: Count = 0
    ebgp_multihop_ttl: Count = 0
    graceful_restart: _GracefulRestart = _GracefulRestart()
    tcp_password_enabled: bool = False
    local_capabilities: tuple[_CapabilityBytes, ...] = ()
    remote_capabilities: tuple[_CapabilityBytes, ...] = ()


_PEERS = msgspec.json.Decoder(tuple[_Peer, ...])


def parse_peers(completed: Completed) -> Reading:
    """Read what `cilium bgp peers -o json` printed and how it ended. Raises ReadError."""
    return parse_agents(completed, "cilium bgp peers", NodePeers, _node_peers)


PEERS = CiliumCommand(
    "bgp_peers", ("bgp", "peers", "-o", "json"), parse_peers, deadline=40.0, interval=15.0
)


def _node_peers(node: str, raw: bytes) -> NodePeers:
    peers, problem = read_items(raw, _PEERS, _Peer)
    return NodePeers(node, peers=tuple(map(_peer, peers)), error=problem)


def _peer(wire: _Peer) -> BgpPeer:
    return BgpPeer(
        name=wire.name,
        local_asn=wire.local_asn,
        peer_asn=wire.peer_asn,
        peer_address=wire.peer_address,
        peer_port=wire.peer_port,
        state=wire.session_state or "unknown",
        uptime=wire.uptime_nanoseconds / 1e9 if wire.uptime_nanoseconds else None,
        families=wire.families,
        configured_hold_time=wire.configured_hold_time_seconds,
        applied_hold_time=wire.applied_hold_time_seconds,
        configured_keepalive=wire.configured_keep_alive_time_seconds,
        applied_keepalive=wire.applied_keep_alive_time_seconds,
        connect_retry=wire.connect_retry_time_seconds,
        multihop_ttl=wire.ebgp_multihop_ttl,
        graceful_restart=wire.graceful_restart.enabled,
        restart_time=wire.graceful_restart.restart_time_seconds,
        tcp_password=wire.tcp_password_enabled,
        local_capabilities=_capabilities(wire.local_capabilities),
        remote_capabilities=_capabilities(wire.remote_capabilities),
    )


def _capabilities(wire: tuple[_CapabilityBytes, ...]) -> tuple[Capability, ...]:
    return decode_capabilities(read_bytes(each.capabilities or each.base64) for each in wire)


class Path(RecordPart, frozen=True):
    """One path to a prefix."""

    age: float = 0.0
    """Seconds since it is in the table."""
    best: bool = False
    """Never set for `advertised`: what goes to a peer is the best path by nature."""
    stale: bool = False
    """Kept over a graceful restart. Cilium up to 1.21 never sets it."""
    afi: str = ""
    safi: str = ""
    nlri: str = ""
    """The prefix as it is in the table, "" when its bytes are malformed."""
    nlri_problem: Malformed | None = None
    attributes: PathAttributes = PathAttributes()


class Route(RecordPart, frozen=True):
    """One prefix in one table of one speaker."""

    prefix: str = ""
    router_asn: int = 0
    """AS number of the BGP instance whose table it is."""
    neighbor: str = ""
    """Address of the peer it is advertised to; "" for `available`."""
    paths: tuple[Path, ...] = ()


class NodeRoutes(AgentAnswer, frozen=True):
    """One agent's answer about its one of its tables."""

    routes: tuple[Route, ...] = ()
    """Empty without an error: the table is empty."""


class _Bytes(msgspec.Struct, frozen=True, gc=False):
    base64: str = ""


class _Family(msgspec.Struct, frozen=True, gc=False):
    afi: str = ""
    safi: str = ""


class _Path(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """Path on the wire."""

    age_nanoseconds: Count = 0
    best: bool = False
    stale: bool = False
    family: _Family = _Family()
    nlri: _Bytes = _Bytes()
    path_attributes: tuple[_Bytes, ...] = ()


class _Route(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """Route on the wire."""

    prefix: str = ""
    router_asn: Count = 0
    neighbor: str = ""
    paths: tuple[_Path, ...] = ()


_ROUTE_LIST = msgspec.json.Decoder(tuple[_Route, ...])


def parse_routes(completed: Completed, label: str = "cilium bgp routes") -> Reading:
    """Read what `cilium bgp routes … -o json` printed and how it ended. Raises ReadError.

    `label` is the command as a message names it.
    """
    return parse_agents(completed, label, NodeRoutes, _node_routes)


def _command(table: str, afi: str) -> CiliumCommand:
    words = ("bgp", "routes", table, afi, "unicast")
    return CiliumCommand(
        kind=f"routes_{table}_{afi}",
        argv=(*words, "-o", "json"),
        parse=partial(parse_routes, label=" ".join(("cilium", *words))),
        deadline=40.0,
        interval=30.0,
    )


AVAILABLE_IPV4 = _command("available", "ipv4")
AVAILABLE_IPV6 = _command("available", "ipv6")
ADVERTISED_IPV4 = _command("advertised", "ipv4")
ADVERTISED_IPV6 = _command("advertised", "ipv6")

ROUTES = (AVAILABLE_IPV4, AVAILABLE_IPV6, ADVERTISED_IPV4, ADVERTISED_IPV6)
"""Of kinds `routes_available_ipv4`, `routes_available_ipv6`, and so on."""


def _node_routes(node: str, raw: bytes) -> NodeRoutes:
    routes, problem = read_items(raw, _ROUTE_LIST, _Route)
    return NodeRoutes(node, routes=tuple(map(_route, routes)), error=problem)


def _route(wire: _Route) -> Route:
    return Route(wire.prefix, wire.router_asn, wire.neighbor, tuple(map(_path, wire.paths)))


def _path(wire: _Path) -> Path:
    prefix = decode_prefix(read_bytes(wire.nlri.base64), wire.family.afi)
    return Path(
        age=wire.age_nanoseconds / 1e9,
        best=wire.best,
        stale=wire.stale,
        afi=wire.family.afi,
        safi=wire.family.safi,
        nlri="" if isinstance(prefix, Malformed) else prefix,
        nlri_problem=prefix if isinstance(prefix, Malformed) else None,
        attributes=decode_path_attributes(read_bytes(each.base64) for each in wire.path_attributes),
    )
