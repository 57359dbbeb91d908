"""Sessions that are down: one finding for each cause and peer, however many nodes it hits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.diagnosis.rules import session_remedies as remedies
from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity, session_ref
from app.model.session_causes import Bgp, Down, bgp_of, common_refs, down, node_addresses
from app.model.session_logs import UNEXPECTED_MESSAGE, Kind, SessionEvent
from app.model.sessions import Session
from app.state.kinds import BGP_PEERS, NODE_CONFIGS

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
    groups: dict[tuple[str, str, str], list[Down]] = {}
    for each in down(bgp):
        groups.setdefault(each.group, []).append(each)
    for group in groups.values():
        # Who has a log speaks for those who have none.
        yield _finding(bgp, sorted(group, key=lambda each: not each.log.read))


def log_line(bgp: Bgp, node: str, event: SessionEvent) -> Evidence:
    """A line of an agent's log as evidence."""
    pod = f"Pod {bgp.case.snapshot.cilium_namespace}/{event.entry.pod}"
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
    where = "" if len(found) == total else f" ({remedies.nodes_of(found)})"
    return f"{len(found)} of {total} sessions with {address}{where}"


def _finding(bgp: Bgp, group: Sequence[Down]) -> Finding:
    first = group[0]
    sessions = [each.session for each in group]
    words = _words(bgp, group)
    verb = "is" if len(group) == 1 else "are"
    settling = all(each.settling for each in group)
    state = "being set up" if settling else "down"
    return Finding(
        code=first.code,
        severity=Severity.INFO if settling else Severity.FAIL,
        subject=Ref("Peer", first.session.peer_address or first.session.peer),
        detail=first.detail,
        summary=f"{counted(bgp, sessions)} {verb} {state}: {words.cause}",
        evidence=tuple(_evidence(bgp, group)),
        remedy=words.remedy.strip(),
        command=(
            remedies.log_command(bgp, first.session)
            if words.from_log
            else remedies.state_command(first.session)
        ),
        about=(
            *(session_ref(s.node, s.peer_address) for s in sessions),
            *(Ref("Node", node) for node in sorted({s.node for s in sessions})),
        ),
        blames=common_refs(group),
    )


def _words(bgp: Bgp, group: Sequence[Down]) -> _Words:
    word = group[0].word
    match group[0].code:
        case "CS402" if word is not None:
            return _Words(_wrong_asn(bgp, group[0], word), remedies.wrong_asn(group))
        case "CS403" if word is not None:
            cause = f"the hold timer expired at {_clock(word)}, the peer fell silent"
            return _Words(f"{cause}{_others(bgp, group)}", remedies.fell_silent(bgp, group))
        case "CS404" if word is not None:
            return _Words(
                f"the peer closed at {_clock(word)}: {word.words}{_others(bgp, group)}",
                remedies.closed(bgp, group, word),
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
    return _Words(cause + _others(bgp, group), remedies.unanswered(bgp, group), shown)


def _silent(bgp: Bgp, group: Sequence[Down]) -> str:
    """What sessions do of which no log gives a reason, and what the first one's log has."""
    first = group[0]
    alike = len({each.session.state for each in group}) == 1
    where = "" if alike else f"on {first.session.node} "
    does = remedies.state_words(first, several=alike and len(group) > 1)
    return f"{where}{does}, and {remedies.log_words(bgp, first)}"


def _unanswered(bgp: Bgp, group: Sequence[Down]) -> _Words:
    first, word = group[0], group[0].word
    if word is not None and word.cause is Kind.SENT:
        return _refused(bgp, group, word)
    fits, others = remedies.unanswered(bgp, group), _others(bgp, group)
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
            f"neighbour entry. The nodes: {remedies.neighbors(bgp, group)}"
        )
        return _Words(cause, remedy)
    remedy = "Mend on the router, or in the settings of the peer, what the agent refuses"
    return _Words(f"the agent refuses the peer: {word.words}", remedy)


def _wrong_asn(bgp: Bgp, first: Down, word: SessionEvent) -> str:
    session = first.session
    if word.cause is Kind.RECEIVED:
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
        f"{remedies.state_words(first, several=False)}, {remedies.log_words(bgp, first)}, and "
        f"{session.peer_address} seems to be in another network than {session.node} ({own}) "
        "while only one hop is allowed (ebgpMultihop 1)"
    )


def _more_hops(bgp: Bgp, group: Sequence[Down]) -> str:
    peering = group[0].peering
    field = remedies.field_of(
        peering, "spec.virtualRouters[].neighbors[].eBGPMultihopTTL", "ebgpMultihop"
    )
    if peering is not None and peering.plane == "v2" and peering.peer_config:
        field = f"spec.ebgpMultihop in CiliumBGPPeerConfig {peering.peer_config}"
    return (
        f"If the router is more than one hop away, set {field} to the number of hops, and allow "
        f"the same on the router. {remedies.unanswered(bgp, group)}"
    )


def _others(bgp: Bgp, group: Sequence[Down]) -> str:
    """What else is known of the peer: that it lives, or is no router but a node of the cluster."""
    up = bgp.up(group[0].session.peer_address)
    if not up:
        own = remedies.own_address(bgp, group[0].session.peer_address)
        return f"; {own}" if own else ""
    more = f"the {len(up)} others are" if len(up) > 1 else f"that of {up[0].node} is"
    return f"; {more} established, so the router lives"


def _evidence(bgp: Bgp, group: Sequence[Down]) -> Iterator[Evidence]:
    for each in group[:SHOWN]:
        yield state_seen(bgp.case, each.session)
        if each.word is not None:
            yield log_line(bgp, each.session.node, each.word)
        elif each.log.read:
            yield remedies.log_evidence(bgp, each)
    unread = [each for each in group if not each.log.read]
    if unread:
        nodes = remedies.nodes_of([each.session for each in unread])
        yield Evidence("agent logs", f"Nodes {nodes}", "not read", unread[0].log.unread)
    first = group[0].session
    if first.reported is not None and group[0].code in ("CS401", "CS405"):
        name = f"Session {first.node}/{first.peer_address}"
        words = str(first.reported.tcp_password).lower()
        yield bgp.case.saw(BGP_PEERS, name, "tcp-password-enabled", words)


def _clock(event: SessionEvent) -> str:
    return event.at.strftime("%H:%M:%S UTC")
