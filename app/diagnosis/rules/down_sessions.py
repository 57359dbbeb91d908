"""Sessions that are down: one finding for each cause and peer, and what to do.

Router commands are those of FRR (vtysh), which most routers that peer with Cilium run; what they
ask for has a like name elsewhere. Where no reason is known, what fits follows from the state. In
`active` the agent tries to connect, and GoBGP logs a failed attempt at debug level only; in `idle`
it does not try; in `open_sent` and `open_confirm` the peer has taken the connection. What differs
between versions, and what GoBGP never logs: `docs/cilium.md`, "Sessions". Source: GoBGP
pkg/server/fsm.go, v3.35 to v4.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from app.model.case import Case
from app.model.desired_peerings import Peering, cluster_configs_of
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, Value, with_manifest
from app.model.health import Version
from app.model.session_causes import (
    CONNECTING,
    Bgp,
    Down,
    bgp_of,
    common_refs,
    down,
    multihop,
    node_addresses,
    node_at,
    password,
)
from app.model.session_history import UNEXPECTED_MESSAGE, EventKind, SessionEvent
from app.model.sessions import Session
from app.model.wording import named, span
from app.state.derived import grouped
from app.state.kinds import BGP_PEERS, CILIUM_NODES, CLUSTER_CONFIGS, NODE_CONFIGS
from collectors.logs.lines import event

NAMED = 4
"""At most so many nodes are named."""


def nodes_of(sessions: Iterable[Session]) -> str:
    """The nodes of some sessions, the first few by name."""
    return named((session.node for session in sessions), NAMED)


_FIELDS = {
    "peerAddress": ("spec.virtualRouters[].neighbors[]", "spec.bgpInstances[].peers[]"),
    "peerASN": ("spec.virtualRouters[].neighbors[]", "spec.bgpInstances[].peers[]"),
    "localASN": ("spec.virtualRouters[]", "spec.bgpInstances[]"),
}
"""Where settings of a peer stand, in BGPv1 and in BGPv2."""


def field_of(peering: Peering | None, name: str) -> str:
    """Where a setting of a peer stands: the object and the field."""
    v1, v2 = _FIELDS[name]
    if peering is None:
        return f"{v2}.{name} of the CiliumBGPClusterConfig"
    return f"{v1 if peering.plane == 'v1' else v2}.{name} in {peering.owner}"


def log_command(bgp: Bgp, session: Session) -> str:
    """Shows what the agent logs about a session."""
    namespace = bgp.case.namespace
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
    shown = []
    for each in found:
        version = 6 if ":" in each.session.peer_address else 4
        known = node_addresses(bgp.case.snapshot, each.session.node)
        address = next((a for a in known if a.version == version), None)
        shown.append(f"{each.session.node} {address}" if address else each.session.node)
    return named(shown, NAMED)


def peer_address(bgp: Bgp, found: Down) -> str:
    """That the address of the peer may be wrong, and where it stands."""
    address = found.session.peer_address
    field = field_of(found.peering, "peerAddress")
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
    if word is not None and word.cause is EventKind.RECEIVED:
        field = field_of(first.peering, "localASN")
        return (
            f"The router expects another AS number than {session.local_asn} from these nodes: set "
            f"remote-as {session.local_asn} for them on the router, or {field} to what it expects"
        )
    field = field_of(first.peering, "peerASN")
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
    advice = advice_on(word) or "See on the router why it closes the session (`show bgp neighbors`)"
    return f"{advice}. The nodes: {neighbors(bgp, found)}. {retry(bgp, found)}"


def advice_on(word: SessionEvent) -> str:
    """What to do about a notification that the peer sent; "" where it tells too little."""
    codes = f"{word.code or 0}.{word.subcode or 0}", str(word.code)
    return next((_BY_NOTIFICATION[c] for c in codes if c in _BY_NOTIFICATION), "")


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


_BY_NOTIFICATION: Mapping[str, str] = tomllib.loads(
    Path(__file__).with_name("notifications.toml").read_text("utf-8")
)
"""What to change on the router, by code and subcode of the notification, or by its code."""


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
    elif found.log.read and word is not None and word.cause is EventKind.LOST:
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


SHOWN = 3
"""Of so many nodes the evidence is shown; the others say the same."""


@dataclass(frozen=True, slots=True)
class _Words:
    """What a group of sessions is down for."""

    cause: str
    remedy: str
    from_log: bool = True
    """Whether a log is what shows it by hand."""


def down_sessions(case: Case) -> Iterator[Finding]:
    """CS401 to CS405 and CS412: sessions that are not established, and why."""
    bgp = bgp_of(case)
    for group in grouped((each.group, each) for each in down(bgp)).values():
        # Who has a log speaks for those who have none.
        yield _finding(bgp, sorted(group, key=lambda each: not each.log.read))


def log_line(bgp: Bgp, node: str, event: SessionEvent) -> Evidence:
    """A line of an agent's log as evidence."""
    pod = f"Pod {bgp.case.namespace}/{event.entry.pod}"
    at = event.at.isoformat(timespec="seconds")
    line = event.entry.line.raw or event.words
    return Evidence(f"agent log {node}", pod, at, line, bgp.case.age(event.at))


def state_seen(case: Case, session: Session) -> Evidence:
    """The state of a session as the witness that is shown tells it."""
    if session.cli is not None and session.shown == session.cli.source:
        name = f"Session {session.node}/{session.peer_address}"
        return case.saw(BGP_PEERS, name, "session-state", session.cli.state)
    state = session.api.state if session.api else session.state
    field = f"status.bgpInstances[{session.instance}].peers[{session.peer}].peeringState"
    return case.saw(NODE_CONFIGS, f"CiliumBGPNodeConfig {session.node}", field, state)


def counted(bgp: Bgp, found: Sequence[Session]) -> str:
    """`2 of 3 sessions with 192.0.2.1`, with the nodes where it is not all of them."""
    address = found[0].peer_address or f"peer {found[0].peer}"
    total = len(bgp.by_peer[found[0].peer_address])
    if total == 1:
        return f"the session of {found[0].node} with {address}"
    where = "" if len(found) == total else f" ({nodes_of(found)})"
    return f"{len(found)} of {total} sessions with {address}{where}"


def _finding(bgp: Bgp, group: Sequence[Down]) -> Finding:
    first = group[0]
    sessions = [each.session for each in group]
    words = _words(bgp, group)
    verb = "is" if len(group) == 1 else "are"
    settling = all(each.settling for each in group)
    state = "being set up" if settling else "down"
    severity = Severity.INFO if settling else Severity.FAIL
    subject = Ref("Peer", first.session.peer_address or first.session.peer)
    return Topic(first.code, severity, subject, first.detail).finding(
        summary=f"{counted(bgp, sessions)} {verb} {state}: {words.cause}",
        evidence=tuple(_evidence(bgp, group)),
        remedy=words.remedy.strip(),
        command=(
            log_command(bgp, first.session) if words.from_log else state_command(first.session)
        ),
        about=(
            *(s.ref for s in sessions),
            *(Ref("Node", node) for node in sorted({s.node for s in sessions})),
        ),
        blames=(*common_refs(group), *_disputed(bgp.case, sessions)),
    )


def _disputed(case: Case, found: Sequence[Session]) -> tuple[Ref, ...]:
    """That another configuration selects their nodes too; nothing where one is not disputed."""
    configs, nodes = case.records[CLUSTER_CONFIGS].values(), case.records[CILIUM_NODES]
    if not all(len(cluster_configs_of(configs, nodes.get(s.node))) > 1 for s in found):
        return ()
    return tuple(Ref("Dispute", session.node) for session in found)


def _words(bgp: Bgp, group: Sequence[Down]) -> _Words:
    word = group[0].word
    match group[0].code:
        case "CS402" if word is not None:
            return _Words(_wrong_asn(bgp, group[0], word), wrong_asn(group))
        case "CS403" if word is not None:
            cause = f"the hold timer expired at {_clock(word)}, the peer fell silent"
            return _Words(f"{cause}{_others(bgp, group)}", fell_silent(bgp, group))
        case "CS404" if word is not None:
            return _Words(
                f"the peer closed at {_clock(word)}: {word.words}{_others(bgp, group)}",
                closed(bgp, group, word),
            )
        case "CS405":
            return _password(bgp, group)
        case "CS412":
            return _Words(_beyond(bgp, group[0]), _more_hops(bgp, group), from_log=False)
        case _:
            return _unanswered(bgp, group)


def _password(bgp: Bgp, group: Sequence[Down]) -> _Words:
    first, word = group[0], group[0].word
    heard = (
        f"the hold timer expired at {_clock(word)}, and no connection came about since"
        if word
        else _silent(bgp, group)
    )
    cause = f"{heard}; that fits a password mismatch or a filter"
    shown = word is not None or first.log.last_line is not None
    return _Words(cause + _others(bgp, group), unanswered(bgp, group), shown)


def _silent(bgp: Bgp, group: Sequence[Down]) -> str:
    """What sessions do of which no log gives a reason, and what the first one's log has."""
    first = group[0]
    alike = len({each.session.state for each in group}) == 1
    where = "" if alike else f"on {first.session.node} "
    does = state_words(first, several=alike and len(group) > 1)
    return f"{where}{does}, and {log_words(bgp, first)}"


def _unanswered(bgp: Bgp, group: Sequence[Down]) -> _Words:
    first, word = group[0], group[0].word
    if word is not None and word.cause is EventKind.SENT:
        return _refused(bgp, group, word)
    fits, others = unanswered(bgp, group), _others(bgp, group)
    if word is not None:
        cause = f"the connection broke at {_clock(word)} without a word, {_since(group)}"
        return _Words(cause + others, fits)
    if first.log.read:
        shown = first.log.last_line is not None
        return _Words(_silent(bgp, group) + others, fits, from_log=shown)
    state = f"state {first.session.state}, cause unknown (agent log: {first.log.lack})"
    return _Words(state + others, fits, from_log=not first.log.refused)


def _since(group: Sequence[Down]) -> str:
    """What came after a session was lost, as far as its state tells."""
    match group[0].session.state:
        case "idle":
            return "and it is idle now"
        case state if state.startswith("open_"):
            return f"and the peer takes connections again and says nothing ({state})"
        case _:
            return "and it has not come back since"


def _refused(bgp: Bgp, group: Sequence[Down], word: SessionEvent) -> _Words:
    if (word.code, word.subcode) == UNEXPECTED_MESSAGE:
        cause = (
            "the peer answers the agent's OPEN with something else than its own, most likely a "
            f"refusal, of which GoBGP logs no more than {word.words}"
        )
        remedy = (
            "See on the router why it refuses the node (`show bgp neighbors`: last reset, its "
            f"log): it may expect another AS number than {group[0].session.local_asn}, or have no "
            f"neighbour entry. The nodes: {neighbors(bgp, group)}"
        )
        return _Words(cause, remedy)
    remedy = "Mend on the router, or in the settings of the peer, what the agent refuses"
    return _Words(f"the agent refuses the peer: {word.words}", remedy)


def _wrong_asn(bgp: Bgp, first: Down, word: SessionEvent) -> str:
    session = first.session
    if word.cause is EventKind.RECEIVED:
        return (
            f"the peer refuses the agents' AS number {session.local_asn} (it sent: AS number "
            "mismatch)"
        )
    known = {s.peer_asn for s in bgp.up(session.peer_address)} - {None, session.peer_asn}
    names = word.named or (next(iter(known)) if len(known) == 1 else None)
    named = f"names itself AS {names}" if names else "names another"
    expected = word.expected or session.peer_asn
    return f"the agents expect AS {expected} and the peer {named} (AS number mismatch, found here)"


def _beyond(bgp: Bgp, first: Down) -> str:
    session = first.session
    own = ", ".join(map(str, node_addresses(bgp.case.snapshot, session.node)))
    return (
        f"{state_words(first, several=False)}, {log_words(bgp, first)}, and "
        f"{session.peer_address} seems to be in another network than {session.node} ({own}) "
        "while only one hop is allowed (ebgpMultihop 1)"
    )


def _more_hops(bgp: Bgp, group: Sequence[Down]) -> str:
    peering = group[0].peering
    if peering is None:
        field = "ebgpMultihop of the CiliumBGPClusterConfig"
    elif peering.plane == "v1":
        field = f"spec.virtualRouters[].neighbors[].eBGPMultihopTTL in {peering.owner}"
    elif peering.peer_config:
        field = f"spec.ebgpMultihop in CiliumBGPPeerConfig {peering.peer_config}"
    else:
        field = f"ebgpMultihop in {peering.owner}"
    return (
        f"If the router is more than one hop away, set {field} to the number of hops, and allow "
        f"the same on the router. {unanswered(bgp, group)}"
    )


def _others(bgp: Bgp, group: Sequence[Down]) -> str:
    """What else is known of the peer: that it lives, or is no router but a node of the cluster."""
    up = bgp.up(group[0].session.peer_address)
    if not up:
        own = own_address(bgp, group[0].session.peer_address)
        return f"; {own}" if own else ""
    more = f"the {len(up)} others are" if len(up) > 1 else f"that of {up[0].node} is"
    return f"; {more} established, so the router lives"


def _evidence(bgp: Bgp, group: Sequence[Down]) -> Iterator[Evidence]:
    for each in group[:SHOWN]:
        yield state_seen(bgp.case, each.session)
        if each.word is not None:
            yield log_line(bgp, each.session.node, each.word)
        elif each.log.read:
            yield log_evidence(bgp, each)
    unread = [each for each in group if not each.log.read]
    if unread:
        nodes = nodes_of([each.session for each in unread])
        yield Evidence("agent logs", f"Nodes {nodes}", "not read", unread[0].log.unread)
    first = group[0].session
    if first.reported is not None and group[0].code in ("CS401", "CS405"):
        name = f"Session {first.node}/{first.peer_address}"
        words = str(first.reported.tcp_password).lower()
        yield bgp.case.saw(BGP_PEERS, name, "tcp-password-enabled", words)


def _clock(event: SessionEvent) -> str:
    return event.at.strftime("%H:%M:%S UTC")
