"""One peering: a session that a node should run, with all that its configuration says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.model.finding import Ref
from collectors.cilium.records import GracefulRestart, PeerTimers
from collectors.kubernetes.records import LabelSelector


@dataclass(frozen=True, slots=True)
class SelectedAdvertisement:
    """One thing that a family of a peer is to announce."""

    advertisement: str
    """Name of the CiliumBGPAdvertisement; v1: of the policy."""
    index: int
    """Which entry of it; v1: which virtual router of the policy."""
    type: str
    """`Service`, `PodCIDR`, `CiliumPodIPPool` or `Interface`."""
    addresses: tuple[str, ...] = ()
    """Of a service: `LoadBalancerIP`, `ClusterIP`, `ExternalIP`."""
    selector: LabelSelector | None = None
    """None selects nothing, an empty one everything; of PodCIDR and Interface it means nothing."""
    aggregation_ipv4: int | None = None
    """Prefix length announced instead of /32, except for `externalTrafficPolicy: Local`."""
    aggregation_ipv6: int | None = None
    """The same instead of /128."""


@dataclass(frozen=True, slots=True)
class PeeringFamily:
    """An address family of a peering, and all that it is to announce."""

    afi: str
    """`ipv4` or `ipv6`."""
    safi: str
    advertisements: tuple[SelectedAdvertisement, ...] = ()
    selector: LabelSelector | None = None
    """What selects the advertisements (v2); None selects none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peering:
    """A session that a node should run, with all that its configuration says of it."""

    node: str
    plane: Literal["v1", "v2"]
    owner: Ref
    """The object to edit: CiliumBGPClusterConfig or CiliumBGPPeeringPolicy; the NodeConfig itself
    where it names no owner."""
    instance: str
    """Name of the BGP instance; v1: the local AS number, as `app.model.sessions` has it."""
    local_asn: int
    peer: str
    """Name of the peer; v1: ""."""
    peer_address: str
    """Without mask; "" while an auto-discovered peer is not found."""
    peer_asn: int
    """0: any is accepted."""
    peer_port: int
    peer_config: str
    """Name of the CiliumBGPPeerConfig; "" where none is named, and in v1."""
    families: tuple[PeeringFamily, ...]
    ebgp_multihop: int
    auth_secret: str
    """Name of the Secret with the password; "" for none."""
    graceful_restart: GracefulRestart
    timers: PeerTimers
    rendered: bool
    """Whether the node has been told: its NodeConfig exists. v1 needs no rendering."""
    certain: bool
    """False where several objects compete for the node, or the PeerConfigs could not be read: what
    the agent runs cannot be told from the configuration then."""
    problem: str
    """Why the agent leaves this peer out, "" when nothing stands in its way."""

    @property
    def password_wanted(self) -> bool:
        """Whether the session is to be protected by a TCP MD5 password."""
        return bool(self.auth_secret)

    @property
    def session(self) -> Ref:
        """The session, as findings point at it."""
        return session_ref(self.node, self.peer_address)

    @property
    def refs(self) -> tuple[Ref, ...]:
        """What explains it when this peering does not work: to be blamed by a finding about it."""
        config = (Ref("CiliumBGPPeerConfig", self.peer_config),) if self.peer_config else ()
        return (Ref("Cluster"), Ref("Node", self.node), self.owner, *config, self.session)


def session_ref(node: str, address: str) -> Ref:
    """The session of a node with a peer's address."""
    return Ref("Session", f"{node}/{address}")


def loss_ref(node: str, address: str) -> Ref:
    """This session as one that carries nothing at this moment."""
    return Ref("Loss", f"{node}/{address}")
