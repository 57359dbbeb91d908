"""Every session that is or should be, and why it is not well: one line each, with its proof.

The cause is the one that the findings have (`app.model.session_causes`), said of one session in
a few words; what no session stands for (`app.model.desired_peerings`) has a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.model.case import Case
from app.model.desired_peerings import Peering, bgp_enabled, peerings
from app.model.finding import Finding, Health, Ref, Severity, by_ref, session_ref
from app.model.session_causes import Bgp, Down, bgp_of, down
from app.model.session_history import EventKind, SessionEvent, SessionKey, key_of
from app.model.sessions import Session, session_health
from collectors.logs.lines import notification_words

NO_SESSION = "no session"

_BAD = (Severity.FAIL, Severity.WARN)
_ORDER = (Severity.FAIL, Severity.WARN, Severity.UNKNOWN, Severity.INFO)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SessionStatus:
    """A session that is or should be, with what is to be said of it."""

    node: str
    peer_address: str
    """"" while an auto-discovered peer is not found."""
    peer: str
    """Name of the peer, "" where it has none."""
    instance: str
    local_asn: int | None
    peer_asn: int | None
    """None: any is accepted."""
    session: Session | None
    """None: it should be, and nobody has it."""
    peering: Peering | None
    """Its configuration; None where it is not known."""
    health: Health
    state: str
    """As a witness told it last, or `NO_SESSION`."""
    reason: str = ""
    """Why it is not well, in a few words; "" when it is."""
    word: SessionEvent | None = None
    """The line of the agent's log that shows the reason."""
    silent: float | None = None
    """Seconds for which the agent that told the state has been silent; None: it is not, or nobody
    knows for how long."""
    dead: bool = False
    """Whether the state is the last word of an agent that does not speak."""
    findings: tuple[Finding, ...] = ()
    """What was found about this session, the worst first."""

    @property
    def missing(self) -> bool:
        """Whether there is no such session though there should be."""
        return self.state == NO_SESSION

    @property
    def ref(self) -> Ref:
        """The session, as findings point at it."""
        return session_ref(self.node, self.peer_address)

    @property
    def key(self) -> SessionKey:
        """What identifies it."""
        return (self.node, self.peer_address, self.local_asn or 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """What all of them are judged by."""

    case: Case
    bgp: Bgp
    down: Mapping[SessionKey, Down]
    findings: Mapping[Ref, Sequence[Finding]]
    by_id: Mapping[str, Finding]


def standings(case: Case, findings: Iterable[Finding]) -> tuple[SessionStatus, ...]:
    """Every session that exists or should, by node, peer and local AS."""
    ground = _ground(case, findings)
    found = {key_of(session): _of_session(ground, session) for session in case.sessions}
    for peering in peerings(case):
        key = (peering.node, peering.peer_address, peering.local_asn)
        if key not in found:
            found[key] = _of_peering(ground, peering)
    return tuple(found[key] for key in sorted(found))


def healths(case: Case, findings: Iterable[Finding]) -> Callable[[Session], Health]:
    """How each session is, as `standings` has it, where the rest need not be known."""
    ground = _ground(case, findings)

    def health(session: Session) -> Health:
        return _judged(ground, session, _findings(ground, session))[0]

    return health


def _ground(case: Case, findings: Iterable[Finding]) -> _Ground:
    findings, bgp = tuple(findings), bgp_of(case)
    return _Ground(
        case,
        bgp,
        {key_of(each.session): each for each in down(bgp)},
        by_ref(sorted(findings, key=lambda finding: _ORDER.index(finding.severity))),
        {finding.id: finding for finding in findings},
    )


def _of_session(ground: _Ground, session: Session) -> SessionStatus:
    case, findings = ground.case, _findings(ground, session)
    fallen = ground.down.get(key_of(session))
    dead, missing = _is_dead(session), _is_missing(session, findings)
    health, reason = _judged(ground, session, findings)
    state = session.api.state if dead and session.api else session.state
    return SessionStatus(
        node=session.node,
        peer_address=session.peer_address,
        peer=session.peer,
        instance=session.instance,
        local_asn=session.local_asn,
        peer_asn=session.peer_asn,
        session=session,
        peering=ground.bgp.peering(session),
        health=health,
        state=NO_SESSION if missing else state,
        reason=reason,
        word=fallen.word if fallen else None,
        silent=_silent(case, session.node) if dead else None,
        dead=dead,
        findings=findings,
    )


def _judged(ground: _Ground, session: Session, findings: Sequence[Finding]) -> tuple[Health, str]:
    """How a session is, and why."""
    fallen, health = ground.down.get(key_of(session)), session_health(session)
    if _is_missing(session, findings):
        peering = ground.bgp.peering(session)
        return "fail", _missing_words(ground, findings, peering.problem if peering else "")
    if _is_dead(session):
        return health, _dead_words(ground, session, findings)
    if health == "unknown":
        return health, session.note
    if fallen is not None:
        return "warn" if fallen.settling else "fail", down_words(fallen)
    return _live_words(session, health, findings)


def _findings(ground: _Ground, session: Session) -> tuple[Finding, ...]:
    return tuple(ground.findings.get(session.ref, ()))


def _is_dead(session: Session) -> bool:
    """Whether what is known of it is the last word of an agent that does not speak."""
    return not session.shown and session.api is not None


def _is_missing(session: Session, findings: Iterable[Finding]) -> bool:
    return not _is_dead(session) and any(finding.code == "CS407" for finding in findings)


def _of_peering(ground: _Ground, peering: Peering) -> SessionStatus:
    findings = tuple(ground.findings.get(peering.session, ()))
    why = peering.problem
    if not why and bgp_enabled(ground.case) is False:
        why = "the BGP control plane is off"
    elif not why and not peering.rendered:
        why = "the operator has not written a CiliumBGPNodeConfig for the node"
    return SessionStatus(
        node=peering.node,
        peer_address=peering.peer_address,
        peer=peering.peer,
        instance=peering.instance,
        local_asn=peering.local_asn or None,
        peer_asn=peering.peer_asn or None,
        session=None,
        peering=peering,
        health="fail" if peering.certain else "unknown",
        state=NO_SESSION,
        reason=_missing_words(ground, findings, why),
        findings=findings,
    )


def down_words(fallen: Down) -> str:
    """Why a session is down, in a few words."""
    word, state = fallen.word, fallen.session.state
    if fallen.settling:
        return "being set up"
    match fallen.code:
        case "CS402":
            return _mismatch(fallen, word)
        case "CS403":
            return "hold timer expired, the peer fell silent"
        case "CS404" if word is not None and word.code is not None:
            return f"closed by the peer: {notification_words(word.code, word.subcode or 0)}"
        case "CS404":
            return "closed by the peer"
        case "CS405":
            return "nobody answers; fits a password mismatch or a filter"
        case "CS412":
            return "nobody answers; the peer seems to be more than one hop away"
    if word is not None and word.cause is EventKind.SENT and word.code is not None:
        return f"refused here: {notification_words(word.code, word.subcode or 0)}"
    if word is not None:
        return "connection lost, and nobody answers since"
    if not fallen.log.read:
        return f"cause unknown (agent log: {fallen.log.lack})"
    if state.startswith("open"):
        return "the peer takes the connection and then says nothing"
    return "nobody answers; nothing in the agent's log"


def _mismatch(fallen: Down, word: SessionEvent | None) -> str:
    session = fallen.session
    if word is not None and word.cause is EventKind.RECEIVED:
        return f"AS number mismatch: the peer refuses {session.local_asn}"
    expected = (word.expected if word else None) or session.peer_asn
    named = f", the peer is {word.named}" if word is not None and word.named else ""
    return f"AS number mismatch: {expected} expected{named}"


def _live_words(
    session: Session, health: Health, findings: Sequence[Finding]
) -> tuple[Health, str]:
    """Of a session that is up, or is not for a moment: what is odd about it."""
    odd = next((f for f in findings if f.severity in _BAD), None)
    if odd is not None:
        return ("warn" if health == "ok" else health), _finding_words(odd)
    if session.disagree and session.cli is not None and session.api is not None:
        text = f"its agent says {session.cli.state}, the API {session.api.state}"
        return ("warn" if health == "ok" else health), text
    return health, session.note


def _finding_words(finding: Finding) -> str:
    match finding.code:
        case "CS406":
            return "flaps: " + finding.summary.partition(": ")[2]
        case "CS409":
            return "the API is behind what the agent says"
        case "CS410":
            return f"no {finding.detail}: the peer did not offer it"
        case _:
            return finding.summary


def _missing_words(ground: _Ground, findings: Sequence[Finding], why: str) -> str:
    """Why there is none: the reason on the spot, else what explains that it is missing."""
    root = _root(ground, findings)
    if why or root is None:
        return why.removeprefix("its ")
    return root.summary.rpartition(": ")[2] if root.code == "CS407" else root.summary


def _dead_words(ground: _Ground, session: Session, findings: Sequence[Finding]) -> str:
    root = _root(ground, findings)
    if root is not None and root.code != "CS408":
        return root.summary
    return session.note


def _root(ground: _Ground, findings: Sequence[Finding]) -> Finding | None:
    """What explains the worst of these, followed to its end."""
    found = findings[0] if findings else None
    passed: set[str] = set()
    while found is not None and found.caused_by and found.id not in passed:
        passed.add(found.id)
        cause = ground.by_id.get(found.caused_by[0])
        if cause is None:
            break
        found = cause
    return found


def _silent(case: Case, node: str) -> float | None:
    agent = case.agent(node)
    conditions = agent.status.conditions if agent else ()
    ready = next((each for each in conditions if each.type == "Ready"), None)
    if ready is None or ready.status == "True":
        return None
    return case.age(ready.last_transition_time)
