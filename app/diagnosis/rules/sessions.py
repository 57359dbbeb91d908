"""Sessions that are missing or unknown, and those that are up and not all they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from app.diagnosis.rules.bgp_config_peers import RECONCILE_ERROR
from app.diagnosis.rules.down_sessions import (
    SHOWN,
    advice_on,
    counted,
    down_sessions,
    log_command,
    log_line,
    nodes_of,
    state_seen,
)
from app.model.case import Case
from app.model.configuration import CONFIG_MAP
from app.model.desired_peerings import Peering, agents_say, owner_of, peerings, peerings_known
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, loss_ref
from app.model.health import starts
from app.model.lbipam import condition_of
from app.model.route_coverage import Expected, Scene, scene
from app.model.routes import SETTLED, Link, links_with
from app.model.session_causes import FLAP_WINDOW, SETTLING, Bgp, bgp_of, flaps, is_down
from app.model.session_history import EventKind, SessionEvent, key_of
from app.model.sessions import ESTABLISHED, REPORTING_LAG, UNKNOWN, Session
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import (
    ADVERTISED,
    BGP_PEERS,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    NODE_CONFIGS,
    NODES,
    PEERING_POLICIES,
    PODS,
)
from app.state.snapshot import State
from collectors.cilium.bgp_bytes import families_of
from collectors.cilium.records import NodeConfig

_HEARD: Mapping[int, Key[frozenset[Link]]] = {4: Key(), 6: Key()}
_DUE: Mapping[int, Key[Mapping[Link, frozenset[str]]]] = {4: Key(), 6: Key()}
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
        is_up = change.kind is EventKind.UP
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
    return Topic("CS406", Severity.WARN, Ref("Peer", peer)).finding(
        summary=f"{counted(bgp, sessions)} {'flaps' if len(sessions) == 1 else 'flap'}: lost "
        f"{'up to ' * (len(sessions) > 1)}{most} times within {minutes} min, last at "
        f"{last.at:%H:%M:%S} UTC ({last.words})",
        evidence=tuple(
            log_line(bgp, session.node, event)
            for session, lost in found[:SHOWN]
            for event in lost[-2:]
        ),
        remedy=(advice_on(last) if last.cause is EventKind.RECEIVED else "")
        or "Look for what breaks the connection at these moments: packet loss or a flapping "
        "link between node and router, a router or agent under load, timers shorter than the "
        "network is slow (holdTimeSeconds)",
        command=log_command(bgp, sessions[0]),
        about=tuple(s.ref for s in sessions),
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
    return Topic("CS409", Severity.WARN, session.ref).finding(
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
        yield from (f"{afi}/unicast" for afi in _mute_families(bgp.case, session))
        return
    theirs = families_of(reported.remote_capabilities) or {"ipv4/unicast"}  # RFC 4760 §8
    ours = families_of(reported.local_capabilities)
    for family in peering.families:
        name = f"{family.afi}/{family.safi}"
        if name in theirs or (ours and name not in ours) or not family.advertisements:
            continue
        if family.safi == "unicast" and _in_use(bgp.case, family.afi):
            yield name


def _mute_families(case: Case, session: Session) -> Iterator[str]:
    """Families of which all that a session should carry is available, and nothing is advertised."""
    now, link = scene(case), (session.node, session.peer_address)
    state = now.links.get(link)
    if state is None or not state.up or state.young:
        return
    for version in (4, 6):
        table = now.tables[version]
        if session.node not in table.answered or link in _heard(case, version):
            continue
        if _due(now, version).get(link):
            yield f"ipv{version}"


def _heard(case: Case, version: int) -> frozenset[Link]:
    """The sessions over which any prefix of a family goes out."""
    sent = links_with(case, version)
    return case.memo.of(_HEARD[version], (sent,), lambda: frozenset().union(*sent.values()))


def _due(now: Scene, version: int) -> Mapping[Link, frozenset[str]]:
    """The prefixes of services that each session should carry, by what is expected."""
    expected = now.expectations.values
    return now.case.memo.of(_DUE[version], (expected,), lambda: _gathered(expected, version))


def _gathered(expected: Sequence[Expected], version: int) -> Mapping[Link, frozenset[str]]:
    found: dict[Link, set[str]] = {}
    for each in expected:
        for wanted in each.expectation.wanted:
            for link in wanted.links if wanted.address.version == version else ():
                found.setdefault(link, set()).add(wanted.prefix)
    return {link: frozenset(prefixes) for link, prefixes in found.items()}


def _in_use(case: Case, afi: str) -> bool:
    """Whether anything would be announced in this family: a service has such an address."""
    version = {"ipv4": 4, "ipv6": 6}.get(afi)
    return any(a.version == version for balancer in case.balancers for a in balancer.addresses)


def _not_negotiated(bgp: Bgp, peer: str, family: str, sessions: Sequence[Session]) -> Finding:
    first = sessions[0].reported
    theirs = sorted(families_of(first.remote_capabilities)) if first else []
    afi, _, safi = family.partition("/")
    if first is not None and not first.remote_capabilities:
        return _mute(bgp, peer, afi, sessions)
    return Topic("CS410", Severity.WARN, Ref("Peer", peer), family).finding(
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
        about=tuple(s.ref for s in sessions),
    )


def _mute(bgp: Bgp, peer: str, afi: str, sessions: Sequence[Session]) -> Finding:
    """CS410 where the agent does not tell what the peer offered: nothing of the family goes out."""
    version = int(afi.removeprefix("ipv"))
    kind, now = ADVERTISED[version], scene(bgp.case)
    prefixes = named(sorted(_due(now, version)[sessions[0].node, peer]))
    return Topic("CS410", Severity.WARN, Ref("Peer", peer), f"{afi}/unicast").finding(
        summary=f"{counted(bgp, sessions)} {'carries' if len(sessions) == 1 else 'carry'} nothing"
        f" of {afi}/unicast, and {prefixes} should go out: the peer most likely did not offer the"
        " family",
        evidence=tuple(
            bgp.case.saw(kind, f"Session {session.node}/{peer}", "adj-rib-out", "no prefix")
            for session in sessions[:SHOWN]
        ),
        remedy=f"Activate the family for these neighbours on the router (FRR: address-family {afi} "
        "unicast, neighbor ADDRESS activate), or take it out of the families of the peer",
        command=f"cilium bgp routes advertised {afi} unicast",
        about=tuple(s.ref for s in sessions),
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
    subject = session.ref
    return Topic("CS411", Severity.WARN, subject, name).finding(
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


_SWITCH = "enable-bgp-control-plane"


def last_words(case: Case) -> Iterator[Finding]:
    """CS408: the API tells of a session what an agent wrote that is dead, or without BGP."""
    by_node: dict[str, list[Session]] = {}
    for session in case.sessions:
        if not session.shown and session.api is not None:
            by_node.setdefault(session.node, []).append(session)
    switched_off = [s for node in by_node if case.agent_speaks(node) for s in by_node[node]]
    if switched_off:
        config = case.config_ref
        nodes = (Ref("Node", session.node) for session in switched_off)
        subject = config if case.config is not None else Ref("Cluster")
        yield _last_word(case, subject, switched_off, (config, Ref("Cluster"), *nodes))
    for node, sessions in by_node.items():
        if not case.agent_speaks(node):
            # A node that was removed leaves its NodeConfig behind for a while.
            removed = case.known(NODES) and node not in case.records[NODES]
            kind = "CiliumBGPNodeConfig" if removed else "Node"
            yield _last_word(case, Ref(kind, node), sessions, _agent_refs(case, node))


def missing_sessions(case: Case) -> Iterator[Finding]:
    """CS407: the configuration asks for a session, and the agent has none."""
    if not peerings_known(case):
        return
    known = {key_of(session): session for session in case.sessions}
    agents = agents_say(case)
    groups: dict[tuple[str, Ref, str, str], list[Peering]] = {}
    for peering in peerings(case):
        session = known.get((peering.node, peering.peer_address, peering.local_asn))
        if session is not None and _seen(session):
            continue
        why = _missing(case, peering, agents)
        if why and not _young(case, peering):
            peer = peering.peer_address or peering.peer
            explained = "as the node says" if _explained(case, peering, agents) else ""
            groups.setdefault((peer, peering.owner, why, explained), []).append(peering)
    for (peer, owner, why, explained), missing in groups.items():
        refs = [set(peering.refs) for peering in missing]
        blames = set.union(*refs) if explained else set.intersection(*refs)
        finding = _missing_finding(case, (peer, owner, why), missing, blames)
        yield replace(finding, detail=" ".join(filter(None, (owner.name, why, explained))))


def unknown_sessions(case: Case) -> Iterator[Finding]:
    """CS401 as unknown: nothing tells whether a session is up."""
    if case.snapshot.health_of(BGP_PEERS).state is State.LOADING:
        return
    agents = agents_say(case)
    groups: dict[tuple[str, str], list[Session]] = {}
    bgp, configured = bgp_of(case), peerings_known(case)
    for session in case.sessions:
        if session.shown or session.api is not None or session.node in agents:
            continue
        peering = bgp.peering(session) if configured else None
        if peering and _missing(case, peering, agents) and not _young(case, peering):
            continue  # CS407 says that it does not exist
        why = session.note if case.agent_speaks(session.node) else "the node has no ready agent"
        groups.setdefault((session.peer_address, why), []).append(session)
    for (peer, why), sessions in groups.items():
        yield _unknown(bgp, peer, why, sessions)


def _last_word(
    case: Case, subject: Ref, sessions: Sequence[Session], blames: tuple[Ref, ...]
) -> Finding:
    first = sessions[0]
    claims = sorted({session.api.state for session in sessions if session.api})
    whose = "session" if len(sessions) == 1 else f"{len(sessions)} sessions"
    why, remedy, command = _left_over(case, subject, sessions)
    return Topic("CS408", Severity.FAIL, subject).finding(
        summary=f"The API calls the {whose} of {nodes_of(sessions)} {' and '.join(claims)}, but "
        f"{why}",
        evidence=(
            *(state_seen(case, session) for session in sessions[:SHOWN]),
            *_no_witness(case, first),
        ),
        remedy=remedy,
        command=command,
        about=tuple(s.ref for s in sessions),
        blames=blames,
    )


def _left_over(case: Case, subject: Ref, sessions: Sequence[Session]) -> tuple[str, str, str]:
    """Why the status is not to be believed, what to do, and what shows it."""
    first, namespace = sessions[0], case.namespace
    reason = first.note.partition(" is the last word of ")[2] or "an agent that does not speak"
    why = f"that is the last word of {reason}"
    if subject.kind == "CiliumBGPNodeConfig":
        return (
            f"node {first.node} is gone, and {why}",
            "See that an operator leads: it removes the CiliumBGPNodeConfig of a node that is gone",
            f"kubectl get ciliumbgpnodeconfig {first.node} -o yaml",
        )
    if not case.agent_speaks(first.node):
        return (
            why,
            "Believe the router (`show bgp summary`), not this status, and bring the agent back "
            "to work: nobody else corrects what it wrote",
            f"kubectl -n {namespace} get pods -l k8s-app=cilium -o wide",
        )
    if agents_say(case).get(first.node) is None:  # its configuration says so, not the agent
        why = f"{CONFIG_MAP} has BGP off ({_SWITCH}), so the status is left over, unless the "
        why += "agents were started before that was set"
    owners = {owner_of(config) for s in sessions if (config := _config_of(case, s))}
    objects = ", ".join(map(str, sorted(owners)))
    return (
        why,
        "Nothing is wrong with the agents: the status is left over from before BGP was switched "
        "off, and nobody takes it back. If BGP is wanted, set `bgpControlPlane.enabled: true` in "
        "the values of the cilium chart and restart operator and agents; if not, delete "
        f"{objects}",
        f"kubectl -n {namespace} get configmap {CONFIG_MAP} -o jsonpath='{{.data.{_SWITCH}}}'",
    )


def _config_of(case: Case, session: Session) -> NodeConfig | None:
    return case.records[NODE_CONFIGS].get(session.node)


def _no_witness(case: Case, session: Session) -> Iterator[Evidence]:
    """What says that the status is nobody's word any more: the agent, its pod, its node."""
    node, agent = session.node, case.agent(session.node)
    if case.known(NODES) and node not in case.records[NODES]:
        yield case.saw(NODES, f"Node {node}", "", "does not exist")
    elif not case.agent_speaks(node):
        ready = condition_of(agent.status.conditions, "Ready") if agent else None
        name = f"Pod {agent.key}" if agent else f"Node {node}"
        value = (ready.status if ready else "not told") if agent else "no agent pod"
        yield case.saw(PODS, name, "status.conditions[Ready]", value)
    elif agents_say(case).get(node) is False:
        yield case.saw(BGP_PEERS, f"agent of {node}", "answer", "BGP Control Plane is disabled")
    elif case.config is not None:
        value = case.config.get(_SWITCH, "(not set: false)")
        yield case.saw(CONFIG_MAPS, case.config_ref, f"data[{_SWITCH}]", value)


def _agent_refs(case: Case, node: str) -> tuple[Ref, ...]:
    """What may keep the agent of a node from speaking."""
    namespace = case.namespace
    agent = case.agent(node)
    pod = (Ref("Pod", agent.name, agent.namespace),) if agent else ()
    return (Ref("Node", node), Ref("DaemonSet", "cilium", namespace), *pod)


def _seen(session: Session) -> bool:
    """Whether a witness tells of the session; one without a state knows no more than its name."""
    return session.cli is not None or (session.api is not None and session.api.state != UNKNOWN)


def _missing(case: Case, peering: Peering, agents: Mapping[str, bool]) -> str:
    """Why there is no session although the configuration asks for it; "" when that is not sure."""
    if not peering.certain:
        return ""
    if peering.problem:
        return peering.problem
    if not peering.rendered:
        return "the operator has not written a CiliumBGPNodeConfig for the node"
    if peering.node in agents:
        silent = "the agent has no such peer"
        return silent if agents[peering.node] else "the agent's BGP control plane is off"
    config = case.records[NODE_CONFIGS].get(peering.node)
    reported = peering.plane == "v2" and config is not None and config.status is not None
    return "the agent reports no such peer" if reported and case.agent_speaks(peering.node) else ""


def _explained(case: Case, peering: Peering, agents: Mapping[str, bool]) -> bool:
    """Whether the node itself says what is wrong: its BGP is off, or it reports an error."""
    config = case.records[NODE_CONFIGS].get(peering.node)
    conditions = config.status.conditions if config and config.status else ()
    failed = any(c.type == RECONCILE_ERROR and c.status == "True" for c in conditions)
    return failed or agents.get(peering.node) is False


def _young(case: Case, peering: Peering) -> bool:
    """Whether it was asked for, or its agent started, so recently that it may just not be yet."""
    snapshot, owner = case.snapshot, peering.owner.name
    objects = (
        snapshot.records[NODE_CONFIGS].get(peering.node),
        snapshot.records[CLUSTER_CONFIGS].get(owner),
        snapshot.records[PEERING_POLICIES].get(owner) if peering.plane == "v1" else None,
        case.agent(peering.node),
    )
    made = [found.metadata.creation_timestamp for found in objects if found is not None]
    moments = (*made, *starts(case.agent(peering.node)))
    return any(moment is not None and case.now - moment <= SETTLING for moment in moments)


def _missing_finding(
    case: Case, what: tuple[str, Ref, str], missing: Sequence[Peering], blames: set[Ref]
) -> Finding:
    peer, owner, why = what
    nodes = sorted({peering.node for peering in missing})
    first = missing[0]
    namespace = case.namespace
    machinery = {case.config_ref}
    if not first.rendered:
        machinery.add(Ref("Deployment", "cilium-operator", namespace))
    where = named(nodes, SHOWN)
    return Topic("CS407", Severity.FAIL, Ref("Peer", peer)).finding(
        summary=f"{owner} asks for a session with {peer}, and {where} "
        f"{'has' if len(nodes) == 1 else 'have'} none: {why}",
        evidence=tuple(_missing_evidence(case, first)),
        remedy=_missing_remedy(case, first),
        command="cilium bgp peers"
        if first.rendered
        else "kubectl get ciliumbgpnodeconfigs,ciliumbgpclusterconfigs -o yaml",
        about=tuple(peering.session for peering in missing),
        blames=tuple(sorted(blames | machinery)),
    )


def _missing_remedy(case: Case, first: Peering) -> str:
    """What to mend, by what keeps the session from being."""
    if agents_say(case).get(first.node) is False and not first.problem and first.rendered:
        return (
            "Switch BGP on there (`bgpControlPlane.enabled: true`; a CiliumNodeConfig may switch "
            "it off for the node), and restart the agent if it was started before"
        )
    if first.plane == "v1":
        return f"See in the agent's log why it does not follow {first.owner}"
    if first.problem:
        return (
            f"Mend what {first.owner} asks for (peerConfigRef, peerASN, peerAddress): "
            f"{first.problem}"
        )
    if not first.rendered:
        return (
            "See that an operator leads, and in its log why it does not render the node "
            "(BGP reconciliation failed)"
        )
    return (
        f"See in {first.owner}, its CiliumBGPPeerConfig and its Secret what keeps the agent from "
        "setting up the peer; the agent's log names it (Reconciliation with retries failed)"
    )


def _missing_evidence(case: Case, peering: Peering) -> Iterator[Evidence]:
    kind = CLUSTER_CONFIGS if peering.plane == "v2" else PEERING_POLICIES
    wanted = f"{peering.peer or peering.peer_address} (AS {peering.peer_asn})"
    yield case.saw(kind, peering.owner, "peers", wanted)
    node_config = f"CiliumBGPNodeConfig {peering.node}"
    agents = agents_say(case)
    if not peering.rendered:
        yield case.saw(NODE_CONFIGS, node_config, "", "does not exist")
    elif peering.node in agents:
        text = "no such peer" if agents[peering.node] else "BGP Control Plane is disabled"
        yield case.saw(BGP_PEERS, f"Node {peering.node}", "peers", text)
    else:  # nobody asked the agent: its status in the API tells
        yield case.saw(NODE_CONFIGS, node_config, "status.bgpInstances[].peers", "no such peer")


def _unknown(bgp: Bgp, peer: str, why: str, sessions: Sequence[Session]) -> Finding:
    case = bgp.case
    health = case.snapshot.health_of(BGP_PEERS)
    blames = {Ref("Source", health.label)}
    for session in sessions:
        blames.update(_agent_refs(case, session.node))
    whose = "session" if len(sessions) == 1 else f"{len(sessions)} sessions"
    reason = "unknown" if case.agent_speaks(sessions[0].node) else "no agent"
    detail = f"{reason} {sessions[0].node}"
    return Topic("CS401", Severity.UNKNOWN, Ref("Peer", peer), detail).finding(
        summary=f"Whether the {whose} of {nodes_of(sessions)} with {peer} "
        f"{'is' if len(sessions) == 1 else 'are'} up is not known: {why}",
        evidence=(case.saw(BGP_PEERS, f"Node {sessions[0].node}", "peers", why),),
        remedy=f"{_to_know(bgp, sessions[0])}, or ask the router (`show bgp summary`)",
        command="cilium bgp peers"
        if case.agent_speaks(sessions[0].node)
        else f"kubectl -n {case.namespace} get pods -l k8s-app=cilium -o wide",
        about=tuple(s.ref for s in sessions),
        blames=tuple(sorted(blames)),
    )


def _to_know(bgp: Bgp, session: Session) -> str:
    """What it takes for the state of a session to be known."""
    if not bgp.case.agent_speaks(session.node):
        return f"Bring the agent of {session.node} back to work"
    state = bgp.case.snapshot.health_of(BGP_PEERS).state
    if state is State.OFF:
        return "Run without --no-cli: the API has no status of it, so only the agents can tell"
    if state in (State.FORBIDDEN, State.ABSENT):
        return "Make `cilium bgp peers` work (CS801, CS803)"
    return f"See why the agent of {session.node} does not tell (`cilium bgp peers`)"


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    down_sessions,
    last_words,
    missing_sessions,
    unknown_sessions,
    *LIVE_RULES,
)
