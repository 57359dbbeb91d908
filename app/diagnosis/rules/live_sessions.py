"""Sessions that are up, or seem to be, and are not all they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from app.diagnosis.rules.down_sessions import SHOWN, counted, log_line
from app.diagnosis.rules.session_remedies import log_command, nodes_of
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity, loss_ref, session_ref
from app.model.routes import SETTLED
from app.model.session_causes import FLAP_WINDOW, Bgp, bgp_of, flaps, is_down
from app.model.session_logs import Kind, SessionEvent
from app.model.sessions import ESTABLISHED, REPORTING_LAG, UNKNOWN, Session
from app.state.kinds import BGP_PEERS, NODE_CONFIGS
from collectors.cilium.bgp_bytes import families_of

DISAGREEMENT = timedelta(seconds=3 * REPORTING_LAG)
"""A status in the API that is behind for longer than this is not merely late."""


def flapping_sessions(case: Case) -> Iterator[Finding]:
    """CS406: sessions that are lost again and again."""
    bgp = bgp_of(case)
    by_peer: dict[str, list[tuple[Session, Sequence[SessionEvent]]]] = {}
    for session in case.sessions:
        log = bgp.log(session)
        lost = flaps(log, case.now) if log.read and session.state != UNKNOWN else ()
        if lost and not is_down(bgp, session):
            by_peer.setdefault(session.peer_address, []).append((session, lost))
    for peer, found in by_peer.items():
        yield _flapping(bgp, peer, found)


def disagreeing_sessions(case: Case) -> Iterator[Finding]:
    """CS409: the status in the API is behind the truth for longer than reporting takes.

    One snapshot knows no history; the agent's log does: it tells since when the session is what the
    command says. Without the log nothing is claimed.
    """
    bgp = bgp_of(case)
    for session in case.sessions:
        change = bgp.log(session).last_change if session.disagree else None
        if change is None or session.cli is None or session.api is None:
            continue
        is_up = change.kind is Kind.UP
        agrees = is_up == (session.cli.state == ESTABLISHED)
        contradicts = is_up != (session.api.state == ESTABLISHED)
        speaks = case.agent_speaks(session.node)
        if agrees and contradicts and speaks and case.now - change.at > DISAGREEMENT:
            yield _disagreeing(bgp, session, change)


def families_not_negotiated(case: Case) -> Iterator[Finding]:
    """CS410: a family that is configured and has something to carry is not spoken by the peer."""
    bgp = bgp_of(case)
    groups: dict[tuple[str, str], list[Session]] = {}
    for session in case.sessions:
        for family in _missing_families(bgp, session):
            groups.setdefault((session.peer_address, family), []).append(session)
    for (peer, family), sessions in groups.items():
        yield _not_negotiated(bgp, peer, family, sessions)


def unlike_siblings(case: Case) -> Iterator[Finding]:
    """CS411: of three or more sessions that are configured alike, one has negotiated otherwise."""
    bgp = bgp_of(case)
    alike: dict[tuple[object, ...], list[Session]] = {}
    for session in case.sessions:
        peering = bgp.peering(session)
        if session.established and session.reported is not None and peering is not None:
            key = (
                session.peer_address,
                session.local_asn,
                peering.owner,
                peering.peer_config,
                peering.timers,
            )
            alike.setdefault(key, []).append(session)
    for sessions in alike.values():
        for name, values in _compared(bgp, sessions):
            odd = _odd_one(values)
            if odd is not None:
                yield _unlike(bgp, sessions, odd, name, values)


def _flapping(
    bgp: Bgp, peer: str, found: Sequence[tuple[Session, Sequence[SessionEvent]]]
) -> Finding:
    sessions = [session for session, _ in found]
    most = max(len(lost) for _, lost in found)
    last = max((lost[-1] for _, lost in found), key=lambda e: e.at)
    minutes = int(FLAP_WINDOW.total_seconds() // 60)
    return Finding(
        code="CS406",
        severity=Severity.WARN,
        subject=Ref("Peer", peer),
        summary=f"{counted(bgp, sessions)} {'flaps' if len(sessions) == 1 else 'flap'}: lost "
        f"{'up to ' * (len(sessions) > 1)}{most} times within {minutes} min, last at "
        f"{last.at:%H:%M:%S} UTC ({last.words})",
        evidence=tuple(
            log_line(bgp, session.node, event)
            for session, lost in found[:SHOWN]
            for event in lost[-2:]
        ),
        remedy="Look for what breaks the connection at these moments: packet loss or a flapping "
        "link between node and router, a router or agent under load, timers shorter than the "
        "network is slow (holdTimeSeconds)",
        command=log_command(bgp, sessions[0]),
        about=tuple(session_ref(s.node, s.peer_address) for s in sessions),
        explains=tuple(
            loss_ref(s.node, s.peer_address) for s in sessions if _carries_nothing_yet(s, bgp.case)
        ),
    )


def _carries_nothing_yet(session: Session, case: Case) -> bool:
    """Whether it is lost, or back for less time than announcing takes. One that is back for longer
    explains nothing that is not announced now."""
    uptime = session.uptime(case.now) if session.established else None
    return not session.established or (uptime is not None and uptime < SETTLED)


def _disagreeing(bgp: Bgp, session: Session, change: SessionEvent) -> Finding:
    case = bgp.case
    shown, written = (w.state if w else "" for w in (session.cli, session.api))
    node = f"CiliumBGPNodeConfig {session.node}"
    return Finding(
        code="CS409",
        severity=Severity.WARN,
        subject=session_ref(session.node, session.peer_address),
        summary=f"{node} calls the session with {session.peer_address} {written}, though its agent "
        f"calls it {shown} and has logged no change since {change.at:%H:%M:%S} UTC",
        evidence=(
            case.saw(BGP_PEERS, f"Session {session.node}", "session-state", shown),
            case.saw(NODE_CONFIGS, node, "peeringState", written),
            log_line(bgp, session.node, change),
        ),
        remedy="Believe the agent, and see why it cannot write its status: its log says Failed to "
        "update CiliumBGPNodeConfig status, or enable-bgp-control-plane-status-report is false",
        command=log_command(bgp, session),
        blames=(Ref("Node", session.node), Ref("Cluster")),
    )


def _missing_families(bgp: Bgp, session: Session) -> Iterator[str]:
    """Configured families in use here that this side offered and the peer did not."""
    peering, reported = bgp.peering(session), session.reported
    if peering is None or reported is None or not reported.established:
        return
    if not reported.remote_capabilities:  # Cilium before 1.19 does not tell them
        return
    theirs = families_of(reported.remote_capabilities) or {"ipv4/unicast"}  # RFC 4760 §8
    ours = families_of(reported.local_capabilities)
    for family in peering.families:
        name = f"{family.afi}/{family.safi}"
        if name in theirs or (ours and name not in ours) or not family.advertisements:
            continue
        if family.safi == "unicast" and _in_use(bgp.case, family.afi):
            yield name


def _in_use(case: Case, afi: str) -> bool:
    """Whether anything would be announced in this family: a service has such an address."""
    version = {"ipv4": 4, "ipv6": 6}.get(afi)
    return any(a.version == version for balancer in case.balancers for a in balancer.addresses)


def _not_negotiated(bgp: Bgp, peer: str, family: str, sessions: Sequence[Session]) -> Finding:
    first = sessions[0].reported
    theirs = sorted(families_of(first.remote_capabilities)) if first else []
    afi, _, safi = family.partition("/")
    return Finding(
        code="CS410",
        severity=Severity.WARN,
        subject=Ref("Peer", peer),
        detail=family,
        summary=f"{counted(bgp, sessions)} {'carries' if len(sessions) == 1 else 'carry'} no "
        f"{family}: it is configured here, and the peer did not offer it",
        evidence=tuple(
            bgp.case.saw(
                BGP_PEERS,
                f"Session {session.node}/{peer}",
                "remote-capabilities",
                ", ".join(theirs) or "no multiprotocol capability",
            )
            for session in sessions[:SHOWN]
        ),
        remedy=f"Activate the family for these neighbours on the router (FRR: address-family {afi} "
        f"{safi}, neighbor ADDRESS activate), or take it out of the families of the peer",
        command="cilium bgp peers --capabilities",
        about=tuple(session_ref(s.node, s.peer_address) for s in sessions),
    )


def _compared(bgp: Bgp, sessions: Sequence[Session]) -> Iterator[tuple[str, Sequence[str]]]:
    """What sessions that are configured alike should have alike, and what each has."""
    shown = [session.reported for session in sessions if session.reported is not None]
    if all(peer.applied_hold_time for peer in shown):
        yield "hold time", [f"{peer.applied_hold_time} s" for peer in shown]
    # A family that is missed is told by CS410.
    quiet = not any(True for session in sessions for _ in _missing_families(bgp, session))
    if quiet and all(peer.remote_capabilities for peer in shown):
        families = [sorted(families_of(peer.remote_capabilities)) for peer in shown]
        yield "families offered by the peer", [", ".join(each) or "none" for each in families]


def _odd_one(values: Sequence[str]) -> int | None:
    """The place of the one value that differs while all others, two at least, are equal."""
    counts = Counter(values).most_common()
    if len(counts) != 2 or counts[0][1] < 2 or counts[1][1] != 1:
        return None
    return values.index(counts[1][0])


def _unlike(
    bgp: Bgp, sessions: Sequence[Session], odd: int, name: str, values: Sequence[str]
) -> Finding:
    session = sessions[odd]
    usual = next(value for value in values if value != values[odd])
    others = [each for each in sessions if each is not session]
    return Finding(
        code="CS411",
        severity=Severity.WARN,
        subject=session_ref(session.node, session.peer_address),
        detail=name,
        summary=f"The session of {session.node} with {session.peer_address} has {name} "
        f"{values[odd]}, those of {nodes_of(others)} have {usual}, though all are configured alike",
        evidence=tuple(
            bgp.case.saw(BGP_PEERS, f"Session {each.node}/{each.peer_address}", name, value)
            for each, value in ((session, values[odd]), (others[0], usual))
        ),
        remedy=f"Compare what the router has configured for {session.node} with its other "
        "neighbours (a peer group makes them alike)",
        command="cilium bgp peers -o json",
    )


LIVE_RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    flapping_sessions,
    disagreeing_sessions,
    families_not_negotiated,
    unlike_siblings,
)
