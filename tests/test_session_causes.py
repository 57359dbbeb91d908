"""What the agents' logs say of their sessions, and which cause follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.model.case import Case
from app.model.session_causes import FLAPS, Bgp, down, flaps
from app.model.session_history import FOLLOWED, AgentLogs, EventKind, SessionLog, session_events
from app.state.kinds import AGENT_LOGS, BGP_PEERS, NODE_CONFIGS, NODES
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.kubernetes.records import NodeAddress
from collectors.logs.follow import ContainerLog
from collectors.logs.lines import LogEntry
from collectors.logs.targets import target_of
from tests.recorded import changed, snapshot_of, with_logs
from tests.searching import examples

PEER = "172.29.51.1"
NODE_NAMES = ("talos-cp-1", "talos-cp-2", "talos-cp-3")

ADDED = 'msg="Add a peer configuration" Topic=Peer'
UP = 'msg="Peer Up" Topic=Peer'
BROKEN = 'msg="Peer Down" Topic=Peer State=BGP_FSM_ESTABLISHED Reason=graceful-restart'
READ_FAILED = 'msg="Peer Down" Topic=Peer Reason=read-failed'
OWN_WILL = 'msg="Peer Down" Topic=Peer Reason=unknown'
EXPIRED = 'msg="hold timer expired" Topic=Peer State=BGP_FSM_ESTABLISHED'
EXPIRED_SENT = 'msg="sent notification" Topic=Peer Code=4 Subcode=0 Data=""'
EXPIRED_DOWN = 'msg="Peer Down" Topic=Peer Reason=hold-timer-expired'
WRONG_ASN = 'msg="sent notification" Topic=Peer State=BGP_FSM_ACTIVE Code=2 Subcode=2 Data=""'
WRONG_ASN_WORDS = (
    'msg="sent notification" Data="as number mismatch expected 64999, received 64513" Topic=Peer'
)
WRONG_ASN_HEARD = 'msg="received notification" Topic=Peer Code=2 Subcode=2 Data="[]"'
BAD_ID = 'msg="sent notification" Topic=Peer Code=2 Subcode=3 Data=""'
SHUTDOWN = 'msg="received notification" Topic=Peer Code=6 Subcode=2 Communicated-Reason="" Data=""'
SHUTDOWN_DOWN = (
    'msg="Peer Down" Topic=Peer Reason="notification-received code 6(cease) '
    'subcode 2(administrative shutdown)"'
)
REMOVED = 'msg="received notification" Topic=Peer Code=6 Subcode=3 Data=""'
OUR_CEASE = 'msg="sent notification" Topic=Peer Code=6 Subcode=3 Data=""'
NOISE = 'msg="starting outgoing connection manager" Topic=Peer'


def logged(
    snapshot: Snapshot,
    lines: Sequence[str],
    nodes: Iterable[str] = NODE_NAMES,
    *,
    every: float = 10.0,
    key: str = PEER,
    asn: int = 64512,
) -> Snapshot:
    """The snapshot with these lines in the agents' logs, the last one `every` seconds old."""
    entries: list[LogEntry] = []
    health = dict(snapshot.health)
    for node in nodes:
        label, moment = f"agent log {node}", snapshot.taken_at
        health[label] = SourceHealth(label, AGENT_LOGS, State.FRESH, moment, moment)
        log = ContainerLog(target_of(snapshot.agents_by_node[node], "cilium-agent"))
        for place, line in enumerate(lines):
            at = snapshot.taken_at - timedelta(seconds=every * (len(lines) - place))
            raw = f"{stamp(at)} {written(at, line, key, asn)}"
            entries += log.read([log.stamped(raw.encode())])
    return changed(
        snapshot,
        health=MappingProxyType(health),
        agent_logs=MappingProxyType({entry.key: entry for entry in entries}),
    )


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def written(at: datetime, line: str, key: str, asn: int) -> str:
    module = "module=agent.controlplane.bgp-control-plane component=gobgp-server"
    return f"time={stamp(at)} level=info {line} {module} asn={asn} Key={key}"


def session_log(snapshot: Snapshot, node: str = NODE_NAMES[0]) -> SessionLog:
    return AgentLogs(snapshot).of(node, PEER, 64512)


def causes(snapshot: Snapshot) -> set[tuple[str, str]]:
    return {(each.code, each.detail) for each in down(Bgp(Case(snapshot)))}


def with_peers(snapshot: Snapshot, **changes: object) -> Snapshot:
    """Every session as the agents tell it, with some fields replaced."""
    peers = {
        node: msgspec.structs.replace(
            reading,
            peers=tuple(msgspec.structs.replace(peer, **changes) for peer in reading.peers),
        )
        for node, reading in snapshot.records[BGP_PEERS].items()
    }
    return changed(snapshot, bgp_peers=MappingProxyType(peers))


@pytest.fixture
async def silent() -> Snapshot:
    """A cluster whose router does not answer, with logs that were not read."""
    return await snapshot_of("router-killed")


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ([ADDED, UP, BROKEN], ("CS401", "")),
        ([ADDED, UP, READ_FAILED, NOISE], ("CS401", "")),
        ([NOISE], ("CS401", "")),
        ([ADDED, NOISE, NOISE, NOISE], ("CS401", "")),
        ([UP, EXPIRED, EXPIRED_SENT, BROKEN, NOISE], ("CS403", "")),
        ([UP, EXPIRED_DOWN], ("CS403", "")),
        # Since it was up once more, the hold timer is history.
        ([UP, EXPIRED, EXPIRED_SENT, BROKEN, UP, BROKEN], ("CS401", "")),
        ([UP, BROKEN, UP, EXPIRED, EXPIRED_SENT, BROKEN], ("CS403", "")),
        ([UP, SHUTDOWN, SHUTDOWN_DOWN, NOISE], ("CS404", "6.2")),
        ([UP, SHUTDOWN_DOWN, NOISE], ("CS404", "6.2")),
        ([UP, EXPIRED, EXPIRED_SENT, BROKEN, REMOVED], ("CS404", "6.3")),
        ([UP, SHUTDOWN, SHUTDOWN_DOWN, UP, BROKEN], ("CS401", "")),
        ([ADDED, WRONG_ASN, WRONG_ASN], ("CS402", "AS 64513 refused here")),
        ([ADDED, WRONG_ASN_WORDS], ("CS402", "AS 64513 refused here")),
        ([ADDED, WRONG_ASN_HEARD], ("CS402", "AS 64513 refused by the peer")),
        ([ADDED, BAD_ID], ("CS401", "refused here 2.3")),
        # A changed peer: what was said of the old one, and our own goodbye, say nothing.
        ([SHUTDOWN, 'msg="Delete a peer configuration" Topic=Peer', ADDED], ("CS401", "")),
        ([WRONG_ASN, ADDED, OUR_CEASE, OWN_WILL], ("CS401", "")),
    ],
)
async def test_the_last_thing_said_since_the_session_was_up_decides(
    silent: Snapshot, lines: list[str], cause: tuple[str, str]
) -> None:
    assert causes(logged(silent, lines)) == {cause}


async def test_another_peer_or_another_instance_says_nothing_of_this_session(
    silent: Snapshot,
) -> None:
    assert causes(logged(silent, [ADDED, WRONG_ASN], key="172.29.51.2")) == {("CS401", "")}
    assert causes(logged(silent, [ADDED, WRONG_ASN], asn=64600)) == {("CS401", "")}


async def test_an_ipv6_peer_is_known_however_it_is_spelt(silent: Snapshot) -> None:
    told = logged(silent, [ADDED, WRONG_ASN], key="fd47:25e1:2f96:51::1")
    found = AgentLogs(told).of(NODE_NAMES[0], "fd47:25e1:2f96:51:0:0:0:1", 64512)
    assert found.last_word is not None
    assert found.last_word.wrong_asn


async def test_the_words_of_a_mismatch_name_both_numbers(silent: Snapshot) -> None:
    word = session_log(logged(silent, [ADDED, WRONG_ASN_WORDS])).last_word
    assert word is not None
    assert (word.expected, word.named) == (64999, 64513)
    bare = session_log(logged(silent, [ADDED, WRONG_ASN])).last_word
    assert bare is not None
    assert (bare.expected, bare.named) == (None, None)


async def test_only_the_present_agent_counts_from_its_last_restart_on(silent: Snapshot) -> None:
    told = logged(silent, [UP, SHUTDOWN, SHUTDOWN_DOWN], NODE_NAMES[:1])
    assert session_log(told).last_word is not None
    moved = {
        key: msgspec.structs.replace(entry, pod="cilium-gone")
        for key, entry in told.records[AGENT_LOGS].items()
    }
    assert session_log(changed(told, agent_logs=MappingProxyType(moved))).events == ()
    before = {
        key: msgspec.structs.replace(entry, marker="previous")
        for key, entry in told.records[AGENT_LOGS].items()
    }
    assert session_log(changed(told, agent_logs=MappingProxyType(before))).events == ()
    key, last = max(told.records[AGENT_LOGS].items())
    restart = msgspec.structs.replace(last, key=f"{key}~restart", marker="restart")
    restarted = MappingProxyType({**told.records[AGENT_LOGS], restart.key: restart})
    assert session_log(changed(told, agent_logs=restarted)).events == ()


async def test_why_a_log_was_not_read_is_told(silent: Snapshot) -> None:
    assert session_log(silent).unread == "not asked for"
    label = f"agent log {NODE_NAMES[0]}"
    refused = SourceHealth(
        label, AGENT_LOGS, State.FORBIDDEN, silent.taken_at, error="pods/log is forbidden"
    )
    health = MappingProxyType({**silent.health, label: refused})
    assert session_log(changed(silent, health=health)).unread == "pods/log is forbidden"
    assert session_log(logged(silent, [])).unread == "no line has been read"
    assert session_log(logged(silent, [NOISE])).read


async def test_a_log_that_is_about_to_be_read_is_not_said_to_be_left_out(silent: Snapshot) -> None:
    follows = replace(silent, follows_logs=True)
    assert session_log(follows).unread == "still being read"
    no_agent = changed(follows, pods=MappingProxyType({}))
    assert session_log(no_agent).unread == "not asked for"
    pods = replace(silent.health["pods"], state=State.LOADING, read_at=None)
    early = changed(no_agent, health=MappingProxyType({**silent.health, "pods": pods}))
    assert session_log(early).unread == "still being read"
    loading = SourceHealth("", AGENT_LOGS, State.LOADING, silent.taken_at)
    asked = {
        f"agent log {node}": replace(loading, label=f"agent log {node}") for node in NODE_NAMES
    }
    log = session_log(changed(follows, health=MappingProxyType({**silent.health, **asked})))
    assert (log.unread, log.read) == ("still being read", False)
    full = {f"agent log other-{n}": loading for n in range(FOLLOWED)}
    others = changed(follows, health=MappingProxyType({**silent.health, **full}))
    assert session_log(others).unread == "not asked for"


async def test_a_node_whose_log_was_not_read_is_counted_with_its_siblings(
    silent: Snapshot,
) -> None:
    told = logged(silent, [UP, EXPIRED, EXPIRED_SENT, BROKEN], NODE_NAMES[:1])
    assert causes(told) == {("CS403", "")}
    assert causes(silent) == {("CS401", "")}


@pytest.mark.parametrize(
    ("lines", "state", "code"),
    [
        ([ADDED, NOISE, NOISE], "active", "CS405"),
        ([NOISE], "active", "CS405"),
        ([UP, EXPIRED, EXPIRED_SENT, BROKEN], "active", "CS405"),
        # It answers the connection, so the password is right.
        ([UP, EXPIRED, EXPIRED_SENT, BROKEN], "open_sent", "CS403"),
        ([NOISE], "open_sent", "CS401"),
        # Its process ended: the connection was closed, and that takes the right password.
        ([UP, BROKEN], "active", "CS401"),
        ([UP, SHUTDOWN, SHUTDOWN_DOWN], "active", "CS404"),
        ([ADDED, WRONG_ASN], "idle", "CS402"),
    ],
)
async def test_a_password_is_suspected_only_where_nobody_answers(
    silent: Snapshot, lines: list[str], state: str, code: str
) -> None:
    protected = with_peers(silent, tcp_password=True, state=state)
    assert {found for found, _ in causes(logged(protected, lines))} == {code}
    assert causes(with_peers(silent, tcp_password=True)) == {("CS401", "")}, "no log was read"


async def test_a_peer_in_another_network_fits_a_ttl_of_one(silent: Snapshot) -> None:
    def at(address: str, snapshot: Snapshot) -> Snapshot:
        nodes = {
            name: msgspec.structs.replace(
                node,
                status=msgspec.structs.replace(
                    node.status, addresses=(NodeAddress("InternalIP", address),)
                ),
            )
            for name, node in snapshot.records[NODES].items()
        }
        return changed(snapshot, nodes=MappingProxyType(nodes), cilium_nodes=MappingProxyType({}))

    quiet = logged(silent, [ADDED, NOISE, NOISE])
    assert causes(at("10.0.0.11", quiet)) == {("CS412", "")}
    assert causes(at("172.29.51.11", quiet)) == {("CS401", "")}
    assert causes(at("172.20.1.11", quiet)) == {("CS401", "")}, "one range may be one link"
    assert causes(at("fd00::11", quiet)) == {("CS401", "")}, "no address of the peer's family"
    assert causes(at("10.0.0.11", with_peers(quiet, multihop_ttl=2))) == {("CS401", "")}
    assert causes(at("10.0.0.11", logged(silent, [UP, BROKEN]))) == {("CS401", "")}
    assert causes(at("10.0.0.11", silent)) == {("CS401", "")}, "no log was read"


async def test_a_session_that_was_configured_just_now_is_settling(silent: Snapshot) -> None:
    young = logged(silent, [ADDED, NOISE], every=5.0)
    assert {each.settling for each in down(Bgp(Case(young)))} == {True}
    old = logged(silent, [ADDED, NOISE], every=15.0)
    assert {each.settling for each in down(Bgp(Case(old)))} == {False}
    refused = logged(silent, [ADDED, WRONG_ASN], every=5.0)
    assert {each.settling for each in down(Bgp(Case(refused)))} == {False}


async def test_the_log_settles_which_witness_is_behind(silent: Snapshot) -> None:
    healthy = await snapshot_of("healthy")
    later = healthy.taken_at + timedelta(seconds=30)
    torn = changed(
        healthy,
        taken_at=later,
        node_configs=silent.records[NODE_CONFIGS],
        health=MappingProxyType(
            {
                label: h if h.kind == BGP_PEERS else replace(h, read_at=later)
                for label, h in healthy.health.items()
            }
        ),
    )
    assert causes(torn) == {("CS401", "")}
    assert causes(logged(torn, [ADDED, UP])) == set()
    assert causes(logged(torn, [ADDED, UP, BROKEN])) == {("CS401", "")}


async def test_losses_that_the_router_announced_are_no_flaps(silent: Snapshot) -> None:
    def lost(lines: list[str], every: float = 10.0) -> int:
        return len(flaps(session_log(logged(silent, lines, every=every)), silent.taken_at))

    assert lost([UP, BROKEN] * FLAPS) == FLAPS
    assert lost([UP, EXPIRED, BROKEN] * FLAPS) == FLAPS
    assert lost([UP, BROKEN] * (FLAPS - 1)) == 0
    assert lost([UP, SHUTDOWN, SHUTDOWN_DOWN] * 9) == 0
    assert lost([UP, OWN_WILL] * 9) == 0
    assert lost([UP, BROKEN] * FLAPS, every=600.0) == 0
    assert lost([UP, BROKEN] * FLAPS + [ADDED]) == 0, "the peer was configured anew"


@pytest.mark.parametrize(
    ("name", "kinds", "code"),
    [
        (
            "router-frozen",
            {EventKind.CONFIGURED, EventKind.UP, EventKind.EXPIRED, EventKind.LOST},
            "CS403",
        ),
        ("v1-router-killed", {EventKind.LOST}, "CS401"),
        ("wrong-peer-asn", {EventKind.CONFIGURED, EventKind.SENT}, "CS402"),
    ],
)
async def test_what_real_agents_logged(name: str, kinds: set[EventKind], code: str) -> None:
    snapshot = with_logs(await snapshot_of(name), name)
    assert {event.kind for event in session_log(snapshot).events} == kinds
    assert {found for found, _ in causes(snapshot)} == {code}


SNIPPETS = st.sampled_from(
    [ADDED, UP, BROKEN, OWN_WILL, EXPIRED, WRONG_ASN, WRONG_ASN_WORDS, SHUTDOWN, SHUTDOWN_DOWN]
)


@settings(max_examples=examples(60))
@given(lines=st.lists(SNIPPETS | st.text(max_size=60), max_size=12))
async def test_no_log_upsets_the_judgement(silent: Snapshot, lines: list[str]) -> None:
    told = logged(silent, [line.replace("\n", " ") for line in lines])
    found = down(Bgp(Case(told)))
    assert {each.session.node for each in found} <= set(NODE_NAMES)
    for log in (session_log(told, node) for node in NODE_NAMES):
        assert all(loss.at <= told.taken_at for loss in log.losses(told.taken_at))
    assert all(event.peer for event in session_events(told.records[AGENT_LOGS].values()))
