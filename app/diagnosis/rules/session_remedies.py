"""What to do about sessions that are down, in the words of the manifest or of the router.

Router commands are those of FRR (vtysh), which most routers that peer with Cilium run; what they
ask for has a like name elsewhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from app.diagnosis.manifest import Value, with_manifest
from app.model.peering import Peering
from app.model.session_causes import Bgp, Down, node_addresses, node_at
from app.model.session_logs import Kind, SessionEvent
from app.model.sessions import Session

NAMED = 4
"""At most so many nodes are named."""


def nodes_of(sessions: Sequence[Session]) -> str:
    """The nodes of some sessions, the first few by name."""
    names = list(dict.fromkeys(session.node for session in sessions))
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def field_of(peering: Peering | None, v1: str, v2: str) -> str:
    """Where a setting of a peer stands: the object and the field."""
    if peering is None:
        return f"{v2} of the CiliumBGPClusterConfig"
    owner = f"{peering.owner.kind} {peering.owner.name}"
    if peering.plane == "v1":
        return f"{v1} in {owner}"
    return f"{v2} in {owner}"


def log_command(bgp: Bgp, session: Session) -> str:
    """Shows what the agent logs about a session."""
    namespace = bgp.case.snapshot.cilium_namespace
    agent = bgp.case.agent(session.node)
    pod = agent.name if agent else "POD"
    return (
        f"kubectl -n {shlex.quote(namespace)} logs {shlex.quote(pod)} -c cilium-agent --timestamps"
        f" | grep -F {shlex.quote(session.peer_address)}"
    )


def state_command(session: Session) -> str:
    """Shows the state of a session, by the witness that told it."""
    if session.cli is None and session.api is not None:
        return f"kubectl get ciliumbgpnodeconfig {shlex.quote(session.node)} -o yaml"
    return "cilium bgp peers"


def neighbors(bgp: Bgp, found: Sequence[Down]) -> str:
    """The addresses under which the router knows these nodes, to be looked up there."""
    told = []
    for each in found[:NAMED]:
        version = 6 if ":" in each.session.peer_address else 4
        known = node_addresses(bgp.case.snapshot, each.session.node)
        address = next((a for a in known if a.version == version), None)
        told.append(f"{each.session.node} {address}" if address else each.session.node)
    more = len(found) - NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def peer_address(bgp: Bgp, found: Down) -> str:
    """That the address of the peer may be wrong, and where it stands."""
    address = found.session.peer_address
    field = field_of(
        found.peering,
        "spec.virtualRouters[].neighbors[].peerAddress",
        "spec.bgpInstances[].peers[].peerAddress",
    )
    if own := own_address(bgp, address):
        return f"{field} is most likely wrong ({own})"
    return f"{field} may be wrong ({address} is not the router's address)"


def own_address(bgp: Bgp, address: str) -> str:
    """That a peer's address is one of the cluster's own nodes', "" where it is not."""
    node = node_at(bgp.case.snapshot, address)
    return f"{address} is node {node}'s own address" if node else ""


def wrong_asn(found: Sequence[Down]) -> str:
    """Which AS number to set where."""
    first = found[0]
    word, session = first.word, first.session
    if word is not None and word.cause is Kind.RECEIVED:
        field = field_of(
            first.peering, "spec.virtualRouters[].localASN", "spec.bgpInstances[].localASN"
        )
        return (
            f"The router expects another AS number than {session.local_asn} from these nodes: set "
            f"remote-as {session.local_asn} for them on the router, or {field} to what it expects"
        )
    field = field_of(
        first.peering,
        "spec.virtualRouters[].neighbors[].peerASN",
        "spec.bgpInstances[].peers[].peerASN",
    )
    if word is not None and word.named is not None:
        sentence = f"Set {field} to {word.named}, or the router's AS number to {session.peer_asn}"
        peering = first.peering
        if peering is None or peering.plane != "v2":
            return sentence
        peer: Value = {"name": peering.peer, "peerASN": word.named}
        return with_manifest(
            sentence, {"spec": {"bgpInstances": [{"name": peering.instance, "peers": [peer]}]}}
        )
    return (
        "Look up the router's own AS number (`show bgp summary`: local AS number) and set "
        f"{field} to it; {session.peer_asn} is not it"
    )


def fell_silent(bgp: Bgp, found: Sequence[Down]) -> str:
    """Where a peer that fell silent is looked for."""
    return (
        f"See whether the router at {found[0].session.peer_address} is alive and its BGP process "
        "answers (`show bgp summary` there), and whether packets are lost on the way. "
        f"Its neighbours here: {neighbors(bgp, found)}. {retry(bgp, found)}"
    )


def closed(bgp: Bgp, found: Sequence[Down], word: SessionEvent) -> str:
    """What to change on the router, by the notification it sent."""
    where = neighbors(bgp, found)
    code, subcode = word.code or 0, word.subcode or 0
    advice = _BY_NOTIFICATION.get((code, subcode)) or _BY_CODE.get(code)
    default = "See on the router why it closes the session (`show bgp neighbors`)"
    return f"{advice or default}. The nodes: {where}. {retry(bgp, found)}"


def retry(bgp: Bgp, found: Sequence[Down]) -> str:
    """How long it may take until a session is tried again, once the cause is mended."""
    longest = longest_retry(bgp, found)
    return f"Once mended, it may take up to {longest} s until it is tried again" if longest else ""


def longest_retry(bgp: Bgp, found: Sequence[Down]) -> int:
    """Seconds between two attempts at most; 0 where the configuration is not known.

    GoBGP 3 waits up to twice the configured time, GoBGP 4 (Cilium 1.20) up to once.
    """
    seconds = [each.peering.timers.connect_retry_time_seconds for each in found if each.peering]
    return max(seconds, default=0) * (1 if bgp.case.version >= (1, 20) else 2)


_BY_NOTIFICATION = {
    (6, 1): "The router's limit of prefixes is exceeded: raise maximum-prefix for these "
    "neighbours, or announce less",
    (6, 2): "Enable the neighbours again on the router (FRR: no neighbor ADDRESS shutdown)",
    (6, 3): "The router has no such neighbour any more: add it again (FRR: neighbor ADDRESS "
    "remote-as ASN)",
    (6, 4): "Somebody reset the session on the router; it comes back by itself, or see there why "
    "it does not",
    (6, 5): "The router refuses the connection: see whether it has a neighbour entry for the node "
    "and accepts it in this address family",
    (6, 6): "The router's configuration was changed; see there what it expects of these neighbours "
    "now",
    (6, 7): "Two connections collided; it comes back by itself, or see on the router why it does "
    "not",
    (6, 8): "The router is out of resources: see its memory and its number of routes",
    (6, 9): "Somebody reset the session on the router (hard reset); it comes back by itself, or "
    "see there why it does not",
    (6, 10): "The router's BFD lost the node: Cilium does not speak BFD, so take it out of these "
    "neighbours there",
    (2, 3): "The router does not accept the router ID: it must be an IPv4-style number of its own "
    "on each node (CiliumBGPNodeConfigOverride, routerID)",
    (2, 6): "The router does not accept the hold time: set holdTimeSeconds to what it allows",
    (2, 7): "The router misses a capability, such as an address family: compare the families of "
    "both sides",
}
_BY_CODE = {
    3: "The router rejects an UPDATE of ours: see its log for the attribute it complains about",
    4: "The router heard nothing from the node within its hold time: look for packet loss and for "
    "an overloaded agent",
}
