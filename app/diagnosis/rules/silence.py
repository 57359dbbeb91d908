"""Sessions that are down without a reason: what the log has of them, what fits, what does not.

What fits follows from the state. In `active` the agent tries to connect, and GoBGP tells of an
attempt that failed at debug level alone; in `idle` it does not try; in `open_sent` and
`open_confirm` the peer has taken the connection. What differs between versions, and what GoBGP
never logs: `docs/cilium.md`, "Sessions". Source: GoBGP pkg/server/fsm.go, v3.35 to v4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from app.diagnosis.rules.session_remedies import (
    longest_retry,
    neighbors,
    own_address,
    peer_address,
    retry,
)
from app.model.ages import span
from app.model.finding import Evidence
from app.model.health import Version
from app.model.session_causes import CONNECTING, Bgp, Down, multihop, password
from app.model.session_logs import Kind
from collectors.logs.excerpts import event

OWN_OPEN_FIRST: Version = (1, 20)
"""The first Cilium (GoBGP 4) that sends its OPEN beside the state machine: the session stays
`active` until the peer's OPEN has come."""

_UP = "Peer Up"
_SET_UP = ("Add a peer configuration", "Adding peer", "Updating peer")


def log_words(bgp: Bgp, found: Down) -> str:
    """What the log has of a session of which it gives no reason, and how old that is."""
    line = found.log.last_line
    if line is None:
        return "the agent's log has no line about this peer"
    old = span(bgp.case.age(line.line.time) or 0.0)
    if line.line.message == _UP:
        return (
            f"the last line about this peer is {old} old, from before this outage: "
            f"{event(line.line)}"
        )
    if line.line.message in _SET_UP:
        return f"the agent's log is silent about this peer since it was set up {old} ago"
    return f"the last line about this peer is {old} old and gives no reason: {event(line.line)}"


def log_evidence(bgp: Bgp, found: Down) -> Evidence:
    """The last line about the peer; where there is none, from when on the log is known."""
    case, node, line = bgp.case, found.session.node, found.log.last_line
    source, pod = f"agent log {node}", case.agent(node)
    name = f"Pod {pod.key}" if pod else f"Node {node}"
    if line is not None:
        at = line.line.time
        value = line.line.raw or event(line.line)
        return Evidence(source, name, at.isoformat(timespec="seconds"), value, case.age(at))
    since = found.log.since.isoformat(timespec="seconds") if found.log.since else ""
    return Evidence(source, name, f"since {since}", "no line about this peer")


def state_words(found: Down, *, several: bool) -> str:
    """What a session without a reason does, as its state tells."""
    match found.session.state:
        case "active" | "connect":
            return "the agents try to connect" if several else "the agent tries to connect"
        case "idle" if several:
            return "the agents keep the sessions idle and do not try to connect"
        case "idle":
            return "the agent keeps the session idle and does not try to connect"
        case "open_sent":
            return "the peer takes the connection and then says nothing"
        case "open_confirm":
            return "the peer has sent its OPEN and then says nothing"
        case state:
            return f"the state is {state}"


def unanswered(bgp: Bgp, found: Sequence[Down]) -> str:
    """What fits sessions without a reason, state by state, and what was ruled out."""
    lives = bool(bgp.up(found[0].session.peer_address))
    by_state: dict[str, Down] = {}
    for each in found:
        by_state.setdefault(each.session.state, each)
    parts = [_judged(bgp, each, lives=lives) for _, each in sorted(by_state.items())]
    return f"{' '.join(parts)} The nodes: {neighbors(bgp, found)}. {retry(bgp, found)}"


def _judged(bgp: Bgp, found: Down, *, lives: bool) -> str:
    fits = "; ".join(_fits(bgp, found, lives=lives))
    ruled_out = "; ".join(_ruled_out(bgp, found, lives=lives))
    text = f"What fits state {found.session.state}: {fits}."
    return f"{text} Ruled out: {ruled_out}." if ruled_out else text


def _fits(bgp: Bgp, found: Down, *, lives: bool) -> Iterator[str]:
    version = bgp.case.version
    if not lives and _never_came_up(bgp, found):
        yield peer_address(bgp, found)
    match found.session.state:
        case "idle":
            yield from _idle(found, version)
        case "open_sent" | "open_confirm":
            yield from _speechless(found, version)
        case _:
            yield from _connecting(found, version, lives=lives)
    if not found.log.read:
        yield "any cause that the agent's log would name, had it been read"


def _never_came_up(bgp: Bgp, found: Down) -> bool:
    """Whether the session did not come up since it was configured, or hardly can have."""
    if found.word is not None:
        return False
    line = found.log.last_line
    set_up = line is not None and line.line.message in _SET_UP
    was_up = line is not None and line.line.message == _UP
    return set_up or (not was_up and own_address(bgp, found.session.peer_address) != "")


def _idle(found: Down, version: Version) -> Iterator[str]:
    session = found.session
    yield (
        "it was lost, refused or set up within the last seconds and waits for its next attempt "
        "(idle hold, 5 s)"
    )
    yield _refusal(found)
    if version < OWN_OPEN_FIRST:
        yield (
            "the router takes the connection and closes it at once, again and again: it has no "
            "neighbour entry for the node, or something on the way resets it"
        )
    if not session.configured:
        yield "the configuration does not ask for this peer, and the agent is about to remove it"
    yield (
        "the neighbour is administratively down inside the agent's GoBGP, where it stays idle "
        "(no object of Cilium asks for that)"
    )


def _speechless(found: Down, version: Version) -> Iterator[str]:
    yield "the router's BGP process hangs or is overloaded, while its kernel takes the connection"
    yield "packets are lost in one direction"
    if found.session.state == "open_confirm":
        yield _refusal(found)
    else:
        yield "something on the way (a firewall, a proxy) takes the connection in its place"
    if version >= OWN_OPEN_FIRST:
        yield "the router opened this connection itself, and did not go on"


def _refusal(found: Down) -> str:
    return (
        f"the router refuses the agent's OPEN (it expects another AS number than "
        f"{found.session.local_asn or 'ours'}, or no neighbour there): GoBGP logs no notification "
        "that comes before the session is up"
    )


def _connecting(found: Down, version: Version, *, lives: bool) -> Iterator[str]:
    session, peering = found.session, found.peering
    port = session.reported.peer_port if session.reported else peering.peer_port if peering else 0
    if not lives:
        yield "the router, or its BGP process, is down or not reachable"
    yield f"a filter drops TCP port {port or 179} between node and router"
    if found.word is None:  # it may never have been up
        yield from _never_up(found)
    if version >= OWN_OPEN_FIRST or version == (0, 0):
        yield "the router takes the connection and closes it at once, or hangs"
    protected = password(session, peering)
    if protected:
        secret = f" in Secret {peering.auth_secret}" if peering and peering.auth_secret else ""
        yield (
            f"the password{secret} is not the router's (the kernel drops such packets, and no log "
            "tells)"
        )
    elif protected is False:
        yield "the router wants a password, and none is in use here"
    yield (
        "the node's kernel refuses the attempt: no route to the peer, or a source address"
        f"{' or password' if protected else ''} that cannot be set (a debug line of GoBGP)"
    )


def _never_up(found: Down) -> Iterator[str]:
    session = found.session
    yield "the router has no neighbour entry for the node"
    if multihop(session, found.peering) == 1 and session.local_asn != session.peer_asn:
        yield "the peer is more than one hop away and ebgpMultihop is 1"


def _ruled_out(bgp: Bgp, found: Down, *, lives: bool) -> Iterator[str]:
    session, word = found.session, found.word
    if lives:
        yield "a dead router (it has sessions with other nodes)"
    if session.state.startswith("open_"):
        yield "a filter, a missing route and a wrong password (the connection is there)"
    if session.state == "idle" and word is None:
        yield (
            "by themselves, a silent router, a filter, more hops than allowed, a password that "
            "differs or cannot be set, a source address that cannot be bound (each leaves it "
            "active, not idle)"
        )
    if found.log.read and word is None and _reaches_back(bgp, found):
        yield from _would_be_logged(bgp.case.version)
    elif found.log.read and word is not None and word.cause is Kind.LOST:
        yield "a shutdown on the router (it would say so when it closes the session)"
    if password(session, found.peering) is False and session.state in CONNECTING:
        yield "a wrong password on this side (none is in use)"


def _reaches_back(bgp: Bgp, found: Down) -> bool:
    """Whether the log would have what was said of the peer: an attempt fell into it."""
    log = found.log
    if log.events:
        return True
    longest = timedelta(seconds=longest_retry(bgp, [found]) or 240)
    return log.since is not None and bgp.case.now - log.since >= longest


def _would_be_logged(version: Version) -> Iterator[str]:
    codes, words = "Code=2 Subcode=2", "as number mismatch"
    said = (
        codes if version >= OWN_OPEN_FIRST else words if version > (0, 0) else f"{codes}, {words}"
    )
    yield f"a router with another AS number than peerASN (no line `sent notification`, {said})"
    yield "a shutdown, reset or removal on the router (no line `received notification`, Code=6)"
    yield "a hold timer that ran out (no line `hold timer expired`)"
