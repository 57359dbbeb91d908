"""Sessions: those that are down, those that are missing, those that nobody can tell of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from app.diagnosis.rules.bgp_config_peers import RECONCILE_ERROR
from app.diagnosis.rules.down_sessions import SHOWN, down_sessions
from app.diagnosis.rules.live_sessions import LIVE_RULES
from app.diagnosis.rules.session_remedies import nodes_of
from app.model.case import Case
from app.model.configuration import CONFIG_MAP
from app.model.desired_peerings import Peering, agents_say, owner_of, peerings, peerings_known
from app.model.finding import Evidence, Finding, Ref, Severity, session_ref
from app.model.lbipam import condition_of
from app.model.session_causes import SETTLING, Bgp, bgp_of
from app.model.sessions import UNKNOWN, Session
from app.model.wording import named
from app.state.kinds import (
    BGP_PEERS,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    NODE_CONFIGS,
    NODES,
    PEERING_POLICIES,
    PODS,
)
from app.state.snapshot import State
from collectors.cilium.records import NodeConfig

Key = tuple[str, str, int]
"""Node, peer address, local AS."""
_SWITCH = "enable-bgp-control-plane"


def last_words(case: Case) -> Iterator[Finding]:
    """CS408: the API tells of a session what an agent wrote that is dead, or without BGP."""
    by_node: dict[str, list[Session]] = {}
    for session in case.sessions:
        if not session.shown and session.api is not None:
            by_node.setdefault(session.node, []).append(session)
    switched_off = [s for node in by_node if case.agent_speaks(node) for s in by_node[node]]
    if switched_off:
        config = Ref("ConfigMap", CONFIG_MAP, case.snapshot.cilium_namespace)
        nodes = (Ref("Node", session.node) for session in switched_off)
        subject = config if case.config is not None else Ref("Cluster")
        yield _last_word(case, subject, switched_off, (config, Ref("Cluster"), *nodes))
    for node, sessions in by_node.items():
        if not case.agent_speaks(node):
            # A node that was removed leaves its NodeConfig behind for a while.
            removed = case.known(NODES) and node not in case.snapshot.records[NODES]
            kind = "CiliumBGPNodeConfig" if removed else "Node"
            yield _last_word(case, Ref(kind, node), sessions, _agent_refs(case, node))


def missing_sessions(case: Case) -> Iterator[Finding]:
    """CS407: the configuration asks for a session, and the agent has none."""
    if not peerings_known(case):
        return
    known: dict[Key, Session] = {
        (s.node, s.peer_address, s.local_asn or 0): s for s in case.sessions
    }
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
    return Finding(
        code="CS408",
        severity=Severity.FAIL,
        subject=subject,
        summary=f"The API calls the {whose} of {nodes_of(sessions)} {' and '.join(claims)}, but "
        f"{why}",
        evidence=tuple(
            case.saw(
                NODE_CONFIGS,
                f"CiliumBGPNodeConfig {session.node}",
                f"status.bgpInstances[{session.instance}].peers[{session.peer}].peeringState",
                session.api.state if session.api else "",
            )
            for session in sessions[:SHOWN]
        )
        + tuple(_no_witness(case, first)),
        remedy=remedy,
        command=command,
        about=tuple(session_ref(s.node, s.peer_address) for s in sessions),
        blames=blames,
    )


def _left_over(case: Case, subject: Ref, sessions: Sequence[Session]) -> tuple[str, str, str]:
    """Why the status is not to be believed, what to do, and what shows it."""
    first, namespace = sessions[0], case.snapshot.cilium_namespace
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
    return case.snapshot.records[NODE_CONFIGS].get(session.node)


def _no_witness(case: Case, session: Session) -> Iterator[Evidence]:
    """What says that the status is nobody's word any more: the agent, its pod, its node."""
    node, agent = session.node, case.agent(session.node)
    if case.known(NODES) and node not in case.snapshot.records[NODES]:
        yield case.saw(NODES, f"Node {node}", "", "does not exist")
    elif not case.agent_speaks(node):
        ready = condition_of(agent.status.conditions, "Ready") if agent else None
        name = f"Pod {agent.key}" if agent else f"Node {node}"
        value = (ready.status if ready else "not told") if agent else "no agent pod"
        yield case.saw(PODS, name, "status.conditions[Ready]", value)
    elif agents_say(case).get(node) is False:
        yield case.saw(BGP_PEERS, f"agent of {node}", "answer", "BGP Control Plane is disabled")
    elif case.config is not None:
        name = f"ConfigMap {case.snapshot.cilium_namespace}/{CONFIG_MAP}"
        value = case.config.get(_SWITCH, "(not set: false)")
        yield case.saw(CONFIG_MAPS, name, f"data[{_SWITCH}]", value)


def _agent_refs(case: Case, node: str) -> tuple[Ref, ...]:
    """What may keep the agent of a node from speaking."""
    namespace = case.snapshot.cilium_namespace
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
    config = case.snapshot.records[NODE_CONFIGS].get(peering.node)
    reported = peering.plane == "v2" and config is not None and config.status is not None
    return "the agent reports no such peer" if reported and case.agent_speaks(peering.node) else ""


def _explained(case: Case, peering: Peering, agents: Mapping[str, bool]) -> bool:
    """Whether the node itself says what is wrong: its BGP is off, or it reports an error."""
    config = case.snapshot.records[NODE_CONFIGS].get(peering.node)
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
    agent = case.agent(peering.node)
    statuses = agent.status.container_statuses if agent else ()
    made += [s.state.running.started_at for s in statuses if s.state.running]
    return any(_recent(moment, case.now) for moment in made)


def _recent(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now - moment <= SETTLING


def _missing_finding(
    case: Case, what: tuple[str, Ref, str], missing: Sequence[Peering], blames: set[Ref]
) -> Finding:
    peer, owner, why = what
    nodes = sorted({peering.node for peering in missing})
    first = missing[0]
    namespace = case.snapshot.cilium_namespace
    machinery = {Ref("ConfigMap", CONFIG_MAP, namespace)}
    if not first.rendered:
        machinery.add(Ref("Deployment", "cilium-operator", namespace))
    where = named(nodes, SHOWN)
    return Finding(
        code="CS407",
        severity=Severity.FAIL,
        subject=Ref("Peer", peer),
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
    yield case.saw(kind, str(peering.owner), "peers", wanted)
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
    return Finding(
        code="CS401",
        severity=Severity.UNKNOWN,
        subject=Ref("Peer", peer),
        # One peer may be in doubt for several reasons, each on nodes of its own.
        detail=f"{reason} {sessions[0].node}",
        summary=f"Whether the {whose} of {nodes_of(sessions)} with {peer} "
        f"{'is' if len(sessions) == 1 else 'are'} up is not known: {why}",
        evidence=(case.saw(BGP_PEERS, f"Node {sessions[0].node}", "peers", why),),
        remedy=f"{_to_know(bgp, sessions[0])}, or ask the router (`show bgp summary`)",
        command="cilium bgp peers"
        if case.agent_speaks(sessions[0].node)
        else f"kubectl -n {case.snapshot.cilium_namespace} get pods -l k8s-app=cilium -o wide",
        about=tuple(session_ref(s.node, s.peer_address) for s in sessions),
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
