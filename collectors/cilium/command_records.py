"""What the `cilium` command answers, as records: sessions, routes, agents, and its own version.

BGP comes from the running speakers, by exec, so no lag and no dead agent can falsify it. It is
partial by nature, so there is one record per agent, and an agent that failed is a record with an
error. Three things look alike in the output and are not: a node with an empty list (it answered: no
BGP is configured there), a node that is absent (its agent failed, the reason is on stderr), and an
agent whose BGP control plane is off.

Routes `available` are the speaker's own table (loc-rib): what some peer's advertisement selects.
Routes `advertised` are what really goes to each peer, after the policy (adj-rib-out). A prefix in
the first and not in the second answers "why does the router not have it". The command shows no
routes that a router sends to us.

Source: Cilium, api/v1/models/bgp_{peer,route,path}.go and status_response.go, 1.16 to 1.21;
`docs/cilium.md`, "The `cilium` command". `collectors.cilium.commands` reads them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec

from collectors.kubernetes.records import RecordPart

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A Go int64 that is never negative. Go leaves it out when it is 0."""


class AgentAnswer(RecordPart, frozen=True):
    """One agent's answer, or the error in its place."""

    node: str
    """"" when only the pod is known: errors name pods."""
    pod: str = ""
    """Name of the agent's pod, known only when it failed."""
    error: str = ""
    """Why there is no answer, or which part of it is missing; "" when it is whole."""
    bgp_disabled: bool = False
    """The agent's BGP control plane is off; `error` says so too."""

    @property
    def key(self) -> str:
        """The node, or `pod:NAME` when only the pod is known."""
        return self.node or f"pod:{self.pod}"


# --- sessions


class Capability(RecordPart, frozen=True):
    """One capability of one side of a session."""

    code: int
    """-1 for bytes that have no code, being too short."""
    name: str
    """Its name, or `capability N`."""
    detail: str = ""
    """What it says, in words; "" when its presence is all."""
    families: tuple[str, ...] = ()
    """The families it names, as `ipv6/unicast`."""
    problem: str = ""
    """What is wrong with its bytes, "" when nothing is."""

    @property
    def text(self) -> str:
        """The capability in words: `graceful restart: 120 s, ipv4/unicast`."""
        said = "; ".join(part for part in (self.detail, self.problem) if part)
        return f"{self.name}: {said}" if said else self.name


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


class BgpPeer(RecordPart, frozen=True, rename="kebab"):
    """One session of one node, as its agent sees it. Times are in seconds.

    A name that begins with `-` is on no wire: what has another form there is filled in afterwards.
    """

    name: str = ""
    """Name in the node's configuration; "" before Cilium 1.20."""
    local_asn: Count = 0
    peer_asn: Count = 0
    """0 when any is accepted and none was negotiated yet."""
    peer_address: str = ""
    peer_port: Count = 0
    state: str = msgspec.field(default="unknown", name="session-state")
    """`idle`, `connect`, `active`, `open_sent`, `open_confirm`, `established` or `unknown`."""
    uptime: float | None = None
    """How long it is established; None while it is not."""
    families: tuple[FamilyCounts, ...] = ()
    configured_hold_time: Count = msgspec.field(default=0, name="configured-hold-time-seconds")
    applied_hold_time: Count = msgspec.field(default=0, name="applied-hold-time-seconds")
    """0 until negotiated."""
    configured_keepalive: Count = msgspec.field(
        default=0, name="configured-keep-alive-time-seconds"
    )
    applied_keepalive: Count = msgspec.field(default=0, name="applied-keep-alive-time-seconds")
    """0 until negotiated."""
    connect_retry: Count = msgspec.field(default=0, name="connect-retry-time-seconds")
    multihop_ttl: Count = msgspec.field(default=0, name="ebgp-multihop-ttl")
    """1 for a session over one hop."""
    graceful_restart: bool = msgspec.field(default=False, name="-restart")
    restart_time: int = 0
    """How long the router keeps our routes while the agent restarts."""
    tcp_password: bool = msgspec.field(default=False, name="tcp-password-enabled")
    """Whether a password is in use, not only configured."""
    local_capabilities: tuple[Capability, ...] = msgspec.field(default=(), name="-local")
    """Empty before Cilium 1.19, and before the first OPEN."""
    remote_capabilities: tuple[Capability, ...] = msgspec.field(default=(), name="-remote")
    """Empty before Cilium 1.19, and until the router has sent its OPEN."""

    @property
    def established(self) -> bool:
        """Whether the session is up."""
        return self.state == "established"


class NodePeers(AgentAnswer, frozen=True):
    """One agent's answer about its sessions."""

    peers: tuple[BgpPeer, ...] = ()
    """Empty without an error: no BGP is configured on the node."""


# --- routes


_BRACKETS = {"set": "{}", "sequence": "", "confed-sequence": "()", "confed-set": "[]"}


class AsPathSegment(RecordPart, frozen=True):
    """One segment of an AS path."""

    kind: str
    """`sequence`, `set`, `confed-sequence` or `confed-set`."""
    asns: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """As routers print it: `64512 64513`, `{65001 65002}`, `(65010)`."""
        brackets = _BRACKETS[self.kind]
        return f"{brackets[:1]}{' '.join(map(str, self.asns))}{brackets[1:]}"


class UnknownAttribute(RecordPart, frozen=True):
    """An attribute that is kept as it is: we know at most its name."""

    type: int
    name: str
    """Name in the IANA registry, "" if it has none that we know."""
    flags: int
    """First byte: 0x80 optional, 0x40 transitive, 0x20 partial, 0x10 extended length."""
    value: bytes


class Malformed(RecordPart, frozen=True):
    """Bytes that are not what they claim to be."""

    what: str
    """The attribute by name or type."""
    problem: str
    raw: bytes


class PathAttributes(RecordPart, frozen=True):
    """The attributes of one path. What is not on the wire is "", None or empty."""

    origin: str = ""
    """`igp`, `egp` or `incomplete`."""
    as_path: tuple[AsPathSegment, ...] | None = None
    """None when there is no AS_PATH, empty when it has no segment (a route of our own AS)."""
    next_hop: str = ""
    """NEXT_HOP, else the global one of MP_REACH_NLRI (RFC 4760 §3); of a family that is not IP its
    bytes in hexadecimal. 0.0.0.0 and :: mean the node itself."""
    med: int | None = None
    local_pref: int | None = None
    communities: tuple[str, ...] = ()
    """`64512:100`, or the name of a well-known one."""
    large_communities: tuple[str, ...] = ()
    """`64512:1:2`."""
    unknown: tuple[UnknownAttribute, ...] = ()
    malformed: tuple[Malformed, ...] = ()

    @property
    def next_hop_is_self(self) -> bool:
        """Whether the next hop is the unspecified address, as in a speaker's own table."""
        return self.next_hop in ("0.0.0.0", "::")  # noqa: S104  (a next hop, nothing is bound)

    @property
    def as_path_text(self) -> str:
        """The AS path as routers print it, "" when absent or empty."""
        return " ".join(segment.text for segment in self.as_path or ())


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
    """One agent's answer about one of its tables."""

    routes: tuple[Route, ...] = ()
    """Empty without an error: the table is empty."""


# --- agents


class FailingController(RecordPart, frozen=True):
    """A controller of the agent whose last runs failed."""

    name: str
    failures: int
    """How many times in a row."""
    message: str = ""
    """What the last failure said."""
    last_failure: datetime | None = None


class AgentStatus(RecordPart, frozen=True):
    """One agent's own account, or why there is none. States are `Ok`, `Warning`, `Failure`,
    `Disabled`; "" is not said."""

    pod: str
    answered: bool = False
    """Whether the command could exec in the pod and read what it said."""
    error: str = ""
    """Why not, in the words of the command; "" when it answered."""
    node: str = ""
    """The node it runs on, as it says itself."""
    state: str = ""
    message: str = ""
    """The version when all is well: `1.21.0 (v1.21.0-17766dc3)`."""
    hubble_state: str = ""
    hubble_message: str = ""
    ipam: str = ""
    """Pod addresses in use, in the agent's words."""
    kube_proxy_replacement: str = ""
    """`True` or `False`; older agents `Strict`, `Partial`, `Disabled`."""
    lb_mode: str = ""
    """`SNAT`, `DSR` or `Hybrid`."""
    lb_algorithm: str = ""
    lb_acceleration: str = ""
    """XDP acceleration: `Disabled`, `Native`, `Best-Effort`."""
    routing: str = ""
    """How packets travel between nodes."""
    envoy: str = ""
    """Where Envoy runs: `embedded` or `external`."""
    controllers: int = 0
    """How many controllers the agent runs."""
    failing_controllers: tuple[FailingController, ...] = ()


NO_TEXT = "text not given by this version of cilium-cli (0.16.17 and later give it)"
"""Stands for a Go error that was printed as `{}`."""


class CiliumStatus(RecordPart, frozen=True):
    """What `cilium status` says; there is one record of this kind."""

    agents: tuple[AgentStatus, ...] = ()
    """By pod name. Empty when no agent pod was found."""
    pods_all: int | None = None
    """Pods in the cluster that Cilium should manage."""
    pods_managed: int | None = None
    """Those it manages."""
    helm_chart_version: str = ""
    """"" also when the release's secret cannot be read."""
    collection_errors: tuple[str, ...] = ()
    """What the command could not collect."""

    @property
    def key(self) -> str:
        """Always `status`."""
        return "status"


# --- the command itself


_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?!\d)", re.ASCII)


class CliVersion(RecordPart, frozen=True):
    """What the command says of itself; there is one record of this kind."""

    version: str = ""
    """`v0.19.7`; "" for a build without a version."""

    @property
    def key(self) -> str:
        """`version`: there is one."""
        return "version"

    @property
    def release(self) -> tuple[int, int, int] | None:
        """The version as numbers; None where it is none of a release."""
        found = _RELEASE.match(self.version)
        return (int(found[1]), int(found[2]), int(found[3])) if found else None
