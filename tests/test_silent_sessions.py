"""Sessions that are down and whose agent gives no reason: what is told follows from the state."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest

from app.model.finding import Finding
from app.state.kinds import DAEMON_SETS, NODES
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import (
    Container,
    DaemonSetSpec,
    NodeAddress,
    PodSpec,
    PodTemplate,
)
from tests.recorded import changed, snapshot_of
from tests.test_rules_sessions import codes, found, one_peer, only
from tests.test_session_causes import (
    ADDED,
    BROKEN,
    NODE_NAMES,
    NOISE,
    PEER,
    UP,
    logged,
    with_peers,
)

HOURS = 3 * 3600.0
RESET_HERE = 'msg="Peer Down" Topic=Peer Reason=admin-down'
NOT_AN_OPEN = 'msg="sent notification" Topic=Peer State=BGP_FSM_ACTIVE Code=5 Subcode=1 Data=""'
CONFIGURED = 'msg="Updating peer" peer=router'


def of_version(snapshot: Snapshot, version: str) -> Snapshot:
    """The cluster as if its agents were to run this Cilium."""
    key = "kube-system/cilium"
    agents = snapshot.records[DAEMON_SETS][key]
    image = f"quay.io/cilium/cilium:{version}"
    pod = PodTemplate(PodSpec(containers=(Container("cilium-agent", image),)))
    made = msgspec.structs.replace(agents, spec=DaemonSetSpec(pod))
    return changed(snapshot, daemon_sets=MappingProxyType({key: made}))


def parts(finding: Finding) -> tuple[str, str]:
    """What fits, and what was ruled out."""
    fits, _, rest = finding.remedy.partition("Ruled out: ")
    return fits, rest.partition(". The nodes")[0]


async def test_an_old_line_is_told_with_its_age_and_as_older_than_the_outage() -> None:
    idle = with_peers(await snapshot_of("router-killed"), state="idle")
    finding = only(logged(idle, [ADDED, UP], every=HOURS))
    assert finding.code == "CS401"
    assert finding.summary == (
        f"3 of 3 sessions with {PEER} are down: the agents keep the sessions idle and do not try "
        "to connect, and the last line about this peer is 3 h old, from before this outage: "
        f"peer {PEER} up"
    )
    (line,) = [e for e in finding.evidence if e.source == "agent log talos-cp-1"]
    assert "Peer Up" in line.value
    assert line.age == pytest.approx(HOURS)
    assert not any("no line about this peer" in e.value for e in finding.evidence)
    assert finding.command.startswith("kubectl -n kube-system logs")


async def test_a_log_without_any_line_about_the_peer_says_so_and_from_when_on_it_is_known() -> None:
    idle = with_peers(await snapshot_of("router-killed"), state="idle")
    finding = only(logged(idle, [NOISE], key="172.29.51.2", every=60.0))
    assert "the agent's log has no line about this peer" in finding.summary
    (line,) = [e for e in finding.evidence if e.source == "agent log talos-cp-1"]
    assert line.value == "no line about this peer"
    assert line.field.startswith("since 2026-")
    assert finding.command == "cilium bgp peers"


async def test_a_line_that_names_the_peer_and_gives_no_reason_is_told_as_what_it_is() -> None:
    idle = with_peers(await snapshot_of("router-killed"), state="idle")
    ended = only(logged(idle, [ADDED, UP, RESET_HERE], every=60.0))
    assert "the last line about this peer is 60 s old and gives no reason" in ended.summary
    assert "shut down on this side" in ended.summary
    named = only(logged(idle, [NOISE, CONFIGURED], every=300.0, key=""))
    assert "silent about this peer since it was set up 5 min ago" in named.summary


async def test_the_causes_of_idle_are_not_those_of_active() -> None:
    killed = await snapshot_of("router-killed")
    idle = only(logged(with_peers(killed, state="idle"), [ADDED, UP], every=600.0))
    fits, ruled_out = parts(idle)
    assert fits.startswith("What fits state idle: ")
    assert "idle hold, 5 s" in fits
    assert "refuses the agent's OPEN (it expects another AS number than 64512" in fits
    assert "administratively down inside the agent's GoBGP" in fits
    for cause in ("a filter drops", "is down or not reachable", "wants a password", "ebgpMultihop"):
        assert cause not in fits
    assert "each leaves it active, not idle" in ruled_out
    assert "cannot be bound" in ruled_out

    active = only(logged(killed, [ADDED, UP], every=600.0))
    fits, ruled_out = parts(active)
    assert fits.startswith("What fits state active: ")
    assert "a filter drops TCP port 179" in fits
    assert "no route to the peer, or a source address that cannot be set" in fits
    assert "idle" not in fits + ruled_out


@pytest.mark.parametrize(
    ("state", "fits", "never", "out"),
    [
        ("open_sent", "its kernel takes the connection", "a filter drops", "a wrong password"),
        ("open_confirm", "refuses the agent's OPEN", "a filter drops", "a missing route"),
        ("connect", "a filter drops", "idle hold", "Code=2 Subcode=2"),
    ],
)
async def test_each_state_has_causes_of_its_own(
    state: str, fits: str, never: str, out: str
) -> None:
    killed = with_peers(await snapshot_of("router-killed"), state=state)
    told, ruled_out = parts(only(logged(killed, [ADDED, NOISE, NOISE], every=60.0)))
    assert fits in told
    assert never not in told
    assert out in ruled_out


async def test_a_router_that_closes_at_once_leaves_an_older_agent_idle() -> None:
    idle = logged(
        with_peers(await snapshot_of("router-killed"), state="idle"), [ADDED, UP], every=600.0
    )
    closes = "takes the connection and closes it at once"
    assert closes in parts(only(of_version(idle, "v1.18.3")))[0]
    assert closes not in parts(only(of_version(idle, "v1.20.1")))[0]
    active = logged(await snapshot_of("router-killed"), [ADDED, UP], every=600.0)
    assert closes not in parts(only(of_version(active, "v1.18.3")))[0]
    assert closes in parts(only(of_version(active, "v1.20.1")))[0]


async def test_what_a_silent_log_rules_out_depends_on_what_this_version_would_write() -> None:
    quiet = logged(await snapshot_of("router-killed"), [ADDED, NOISE, NOISE], every=60.0)
    old = parts(only(of_version(quiet, "v1.19.1")))[1]
    assert "as number mismatch" in old
    assert "Subcode=2" not in old
    new = parts(only(of_version(quiet, "v1.20.1")))[1]
    assert "Code=2 Subcode=2" in new
    assert "as number mismatch" not in new
    for said in (old, new):
        assert "`received notification`, Code=6" in said
        assert "`hold timer expired`" in said
        assert "peerASN" in said, "the router's own check of our number leaves no line"


async def test_a_log_that_does_not_reach_back_to_an_attempt_rules_nothing_out() -> None:
    killed = await snapshot_of("router-killed")
    longest = 5  # connectRetryTimeSeconds of the recording
    short = only(logged(killed, [NOISE], key="172.29.51.2", every=longest - 1.0))
    assert "peerASN" not in parts(short)[1]
    enough = only(logged(killed, [NOISE], key="172.29.51.2", every=longest + 1.0))
    assert "peerASN" in parts(enough)[1]


async def test_a_password_is_not_suspected_of_an_idle_session() -> None:
    protected = with_peers(await snapshot_of("router-killed"), tcp_password=True)
    quiet = [ADDED, NOISE, NOISE]
    assert codes(logged(protected, quiet, every=60.0)) == ["CS405"]
    assert codes(logged(with_peers(protected, state="idle"), quiet, every=60.0)) == ["CS401"]


async def test_a_lost_session_is_told_by_what_it_does_since() -> None:
    killed = await snapshot_of("router-killed")

    def summary(state: str) -> str:
        return only(logged(with_peers(killed, state=state), [UP, BROKEN])).summary

    assert summary("idle").endswith("without a word, and it is idle now")
    assert summary("active").endswith("without a word, and it has not come back since")
    assert "takes connections again and says nothing (open_sent)" in summary("open_sent")


async def test_sessions_in_several_states_are_one_finding_that_tells_what_fits_each() -> None:
    mixed = one_peer(await snapshot_of("router-killed"), NODE_NAMES[2], state="idle")
    finding = only(logged(mixed, [ADDED, UP], every=600.0))
    assert "What fits state active: " in finding.remedy
    assert "What fits state idle: " in finding.remedy
    assert "on talos-cp-1 the agent tries to connect" in finding.summary


async def test_a_message_that_is_no_open_is_told_as_a_refusal_that_is_not_logged() -> None:
    finding = only(logged(await snapshot_of("router-killed"), [ADDED, NOT_AN_OPEN]))
    assert finding.code == "CS401"
    assert "most likely a refusal" in finding.summary
    assert "another AS number than 64512" in finding.remedy


async def test_a_session_that_came_up_since_it_was_asked_for_is_not_called_down() -> None:
    """The command is asked every half minute or so; the log tells at once."""
    killed = await snapshot_of("router-killed")
    later = changed(killed, taken_at=killed.taken_at + timedelta(seconds=25))
    assert found(logged(later, [ADDED, UP], every=10.0)) == []
    assert codes(logged(later, [ADDED, UP], every=40.0)) == ["CS401"]
    assert codes(logged(later, [ADDED, UP, BROKEN], every=5.0)) == ["CS401"]


async def test_of_a_session_that_never_came_up_the_address_is_doubted_first() -> None:
    killed = await snapshot_of("router-killed")
    field = "spec.bgpInstances[].peers[].peerAddress in CiliumBGPClusterConfig talos-bgp"
    never = only(logged(killed, [ADDED], every=600.0))
    assert never.remedy.startswith(f"What fits state active: {field} may be wrong")
    for lines in ([ADDED, UP], [ADDED, UP, BROKEN]):
        assert "peerAddress" not in only(logged(killed, lines, every=600.0)).remedy
    lives = one_peer(killed, NODE_NAMES[0], state="established")
    assert "peerAddress" not in only(logged(lives, [ADDED], NODE_NAMES[1:], every=600.0)).remedy


async def test_a_peer_that_is_a_node_of_the_cluster_is_called_that() -> None:
    killed = await snapshot_of("router-killed")
    assert "own address" not in only(logged(killed, [ADDED], every=600.0)).summary
    node = killed.records[NODES][NODE_NAMES[0]]
    addresses = (*node.status.addresses, NodeAddress(type="InternalIP", address=PEER))
    status = msgspec.structs.replace(node.status, addresses=addresses)
    nodes = {**killed.records[NODES], NODE_NAMES[0]: msgspec.structs.replace(node, status=status)}
    finding = only(logged(changed(killed, nodes=MappingProxyType(nodes)), [ADDED], every=600.0))
    assert finding.summary.endswith(f"{PEER} is node talos-cp-1's own address")
    assert "most likely wrong" in finding.remedy
