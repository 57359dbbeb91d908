"""BGP sessions as the agents themselves see them: `cilium bgp peers -o json`.

The one witness for BGP that no lag and no dead agent can falsify: the answer comes from the running
speaker, by exec. It is partial by nature, so there is one record per agent, and an agent that
failed is a record with an error. Three things look alike in the output and are not: a node with an
empty list (it answered: no BGP is configured there), a node that is absent (its agent failed, the
reason is on stderr), and an agent whose BGP control plane is off.

Source: Cilium, api/v1/models/bgp_peer.go and cilium-cli/bgp/peers.go;
`docs/cilium.md`, "The `cilium` command".
"""

from __future__ import annotations

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
from collectors.cilium.path_attributes import read_bytes
from collectors.kubernetes.records import RecordPart
from collectors.process import Completed

KIND = "bgp_peers"
ARGV = ("bgp", "peers", "-o", "json")


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


class _Bytes(msgspec.Struct, frozen=True, gc=False):
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
    local_capabilities: tuple[_Bytes, ...] = ()
    remote_capabilities: tuple[_Bytes, ...] = ()


_PEERS = msgspec.json.Decoder(tuple[_Peer, ...])


def parse_peers(completed: Completed) -> Reading:
    """Read what `cilium bgp peers -o json` printed and how it ended. Raises ReadError."""
    return parse_agents(completed, "cilium bgp peers", NodePeers, _answered)


COMMAND = CiliumCommand(KIND, ARGV, parse_peers, deadline=40.0, interval=15.0)


def _answered(node: str, raw: bytes) -> NodePeers:
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


def _capabilities(wire: tuple[_Bytes, ...]) -> tuple[Capability, ...]:
    return decode_capabilities(read_bytes(each.capabilities or each.base64) for each in wire)
