"""Pods: what a row says of a pod of Cilium and of one that is missing, and what its detail says."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest

from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Ref
from app.report.columns import Row
from app.report.lines import text_of
from app.report.tables.pods import SCREEN
from app.state.kinds import DAEMON_SETS, DEPLOYMENTS, NODES, PODS
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import (
    Condition,
    Container,
    ContainerState,
    ContainerStatus,
    ContainerTerminated,
    Pod,
)
from screens.pods import picture, pod_commands
from tests.diagnosed import (
    NAMESPACE,
    aged,
    agent_of,
    ended,
    put,
    seconds_ago,
    unread,
    unready,
    waiting,
    with_pod,
)
from tests.lab_reading import read_here
from tests.pod_pages import detail, drawn, seen
from tests.recorded import NAMES, changed, snapshot_of

PLACES = {column.key: place for place, column in enumerate(SCREEN.columns)}


def cell(row: Row, column: str) -> str:
    return row.cells[PLACES[column]].text


def row_of(snapshot: Snapshot, key: str) -> Row:
    return next(row for row in seen(snapshot).content.rows if row.key == key)


def told_row(snapshot: Snapshot, name: str) -> Row:
    """The row of the pod whose name begins so."""
    start = f"{NAMESPACE}/{name}"
    return next(row for row in seen(snapshot).content.rows if row.key.startswith(start))


# --- recordings and scenarios


@pytest.mark.parametrize(
    ("recording", "pod", "health", "status", "last"),
    [
        ("healthy", "cilium-p5m78", "ok", "✓ Running", "-"),
        ("agent-just-killed", "cilium-p5m78", "fail", "✗ CrashLoopBackOff", "137 Error 3s ago"),
        ("agent-just-killed", "cilium-kqkzr", "ok", "✓ Running", "-"),
        ("exec-fails-one-node", "cilium-kqkzr", "fail", "✗ no answer", "-"),
        ("v1-healthy", "cilium-operator", "ok", "✓ Running", "-"),
    ],
)
async def test_a_row_says_how_a_pod_is_and_how_it_last_ended(
    recording: str, pod: str, health: str, status: str, last: str
) -> None:
    row = told_row(await snapshot_of(recording), pod)
    assert row.health == health
    assert (cell(row, "status"), cell(row, "last")) == (status, last)
    assert row.labels["app.kubernetes.io/part-of"] == "cilium"


@pytest.mark.parametrize("name", NAMES)
async def test_every_recording_has_a_row_for_each_pod_and_none_is_missing(name: str) -> None:
    snapshot = await snapshot_of(name)
    found = seen(snapshot)
    assert sorted(row.cells[0].text for row in found.content.rows) == ["agent"] * 3 + ["operator ★"]
    for key in found.details:
        for width in (30, 52, 80, 200):
            assert drawn(found, snapshot, key, width)
            assert drawn(found, snapshot, key, width, whole=False)


SCENARIOS = {
    "agent-down": ("agent talos-cp-1 ✗ CrashLoopBackOff",),
    "operator-down": ("operator talos-cp-1 ✗ CrashLoopBackOff",),
    "image-missing": ("agent talos-cp-2 ✗ ImagePullBackOff",),
    "upgrade-stuck": ("agent talos-cp-2 ! version skew",),
    "node-not-ready": ("agent talos-cp-3 ✗ NodeNotReady", "envoy talos-cp-3 ✗ NodeNotReady"),
    "config-not-rolled-out": (
        *(f"agent talos-cp-{number} ! old config" for number in (1, 2, 3)),
        "operator talos-cp-1 ! old config",
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_scenario_shows_what_is_broken_and_nothing_else(scenario: str) -> None:
    snapshot = await read_here(scenario)
    rows = seen(snapshot).content.rows
    odd = [row for row in rows if row.health != "ok"]
    told = {f"{cell(r, 'component').split()[0]} {cell(r, 'node')} {cell(r, 'status')}" for r in odd}
    assert told == set(SCENARIOS[scenario])
    skewed = [cell(row, "version") for row in rows if "≠" in cell(row, "version")]
    assert skewed == (["v1.19.4 ≠"] if scenario == "upgrade-stuck" else [])
    leaders = [cell(row, "component") for row in rows if "★" in cell(row, "component")]
    assert leaders == ([] if scenario == "operator-down" else ["operator ★"])


# --- what is missing


async def test_a_node_without_its_agent_has_a_row_that_says_so() -> None:
    healthy = await snapshot_of("healthy")
    snapshot = with_pod(healthy, agent_of(healthy, "talos-cp-2"), lambda _: None)
    found = seen(snapshot)
    row = row_of(snapshot, "node/talos-cp-2")
    assert row.health == "fail"
    shown = {column: cell(row, column) for column in ("component", "ready", "status", "node")}
    assert list(shown.values()) == ["agent", "0/1", "✗ no pod", "talos-cp-2"]
    assert text_of(found.headline) == "3 of 4 pods ready · 1 broken"
    assert found.details[row.key].pod.ref == Ref("Node", "talos-cp-2")
    text = detail(snapshot, "node/talos-cp-2")
    assert "CS105" in text
    assert "Events of DaemonSet cilium" in text
    assert "SuccessfulCreate" in text
    commands = [each.command for each in pod_commands(found.details[row.key].pod, snapshot)]
    assert commands[0] == "kubectl --context healthy describe daemonset cilium -n kube-system"
    assert commands[1] == "kubectl --context healthy describe node talos-cp-2"


async def test_missing_pods_are_counted_where_the_node_is_not_known() -> None:
    healthy = await snapshot_of("healthy")
    sets = put(
        healthy.records[DAEMON_SETS],
        f"{NAMESPACE}/cilium",
        status=msgspec.structs.replace(
            healthy.records[DAEMON_SETS][f"{NAMESPACE}/cilium"].status, desired_number_scheduled=5
        ),
    )
    row = row_of(changed(healthy, daemon_sets=sets), "missing/agent")
    assert (row.health, cell(row, "status"), cell(row, "ready")) == ("fail", "✗ 2 missing", "0/2")


@pytest.mark.parametrize(("replicas", "status"), [(1, "✗ 1 missing"), (0, "✗ none is wanted")])
async def test_an_operator_that_is_not_there_has_a_row(replicas: int, status: str) -> None:
    healthy = await snapshot_of("healthy")
    key = f"{NAMESPACE}/cilium-operator"
    deployment = healthy.records[DEPLOYMENTS][key]
    gone = changed(
        with_pod(healthy, "cilium-operator", lambda _: None),
        deployments=put(
            healthy.records[DEPLOYMENTS],
            key,
            spec=msgspec.structs.replace(deployment.spec, replicas=replicas),
            status=msgspec.structs.replace(deployment.status, ready_replicas=0),
        ),
    )
    row = row_of(gone, "missing/operator")
    assert (row.health, cell(row, "status")) == ("fail", status)
    assert seen(gone).details[row.key].pod.findings[0].code == "CS103"


async def test_what_could_not_be_read_is_not_missing() -> None:
    healthy = await snapshot_of("healthy")
    bare = unread(with_pod(healthy, agent_of(healthy, "talos-cp-2"), lambda _: None), "daemon_sets")
    assert not [
        row for row in seen(bare).content.rows if "/" not in row.key or row.key[:4] == "node"
    ]
    assert not seen(unread(healthy, "pods")).content.rows


# --- how a pod is


async def test_a_pod_that_comes_up_is_on_its_way_not_broken() -> None:
    healthy = await snapshot_of("healthy")
    moment = seconds_ago(healthy, 20)
    name = agent_of(healthy, "talos-cp-2")
    coming = with_pod(healthy, name, lambda pod: unready(aged(pod, moment), moment))
    row = told_row(coming, name)
    assert (row.health, cell(row, "status"), cell(row, "age")) == ("warn", "! not ready", "20s")


async def test_a_pod_that_is_left_over_is_nothing_to_look_at() -> None:
    healthy = await snapshot_of("healthy")
    key = next(key for key in healthy.records[PODS] if "operator" in key)
    pod = healthy.records[PODS][key]
    old = msgspec.structs.replace(
        pod,
        metadata=msgspec.structs.replace(pod.metadata, name="cilium-operator-old", uid="old"),
        status=msgspec.structs.replace(pod.status, phase="Failed", reason="Evicted", conditions=()),
    )
    more = changed(healthy, pods=MappingProxyType({**healthy.records[PODS], old.key: old}))
    row = row_of(more, old.key)
    assert (row.health, cell(row, "status")) == ("none", "· Evicted")


async def test_a_second_operator_without_a_place_is_no_fault() -> None:
    healthy = await snapshot_of("healthy")
    key = next(key for key in healthy.records[PODS] if "operator" in key)
    pod = healthy.records[PODS][key]
    nowhere = Condition(type="PodScheduled", status="False", message="0/3 nodes are available")
    spare = msgspec.structs.replace(
        pod,
        metadata=msgspec.structs.replace(pod.metadata, name="cilium-operator-spare", uid="spare"),
        spec=msgspec.structs.replace(pod.spec, node_name=""),
        status=msgspec.structs.replace(
            pod.status, phase="Pending", conditions=(nowhere,), container_statuses=()
        ),
    )
    more = changed(healthy, pods=MappingProxyType({**healthy.records[PODS], spare.key: spare}))
    row = row_of(more, spare.key)
    assert (row.health, cell(row, "status"), cell(row, "node")) == ("none", "· Pending", "-")
    text = detail(more, spare.key)
    assert "✗ PodScheduled=False" in text
    assert "0/3 nodes are available" in text
    assert "none yet: no kubelet" in text


async def test_a_version_beside_the_others_is_marked_and_a_tie_goes_to_the_daemon_set() -> None:
    healthy = await snapshot_of("healthy")

    def newer(pod: Pod) -> Pod:
        containers = (Container("cilium-agent", "quay.io/cilium/cilium:v1.21.1"),)
        return msgspec.structs.replace(
            pod, spec=msgspec.structs.replace(pod.spec, containers=containers)
        )

    one = agent_of(healthy, "talos-cp-1")
    mixed = with_pod(healthy, one, newer)
    assert cell(told_row(mixed, one), "version") == "v1.21.1 ≠"
    # One of two: what the DaemonSet asks for is the usual one.
    tied = with_pod(mixed, agent_of(healthy, "talos-cp-3"), lambda _: None)
    assert cell(told_row(tied, one), "version") == "v1.21.1 ≠"
    other = told_row(tied, agent_of(healthy, "talos-cp-2"))
    assert cell(other, "version") == "v1.21.0-dev"


async def test_rows_are_sorted_by_what_cells_mean() -> None:
    healthy = await snapshot_of("healthy")
    first, second = agent_of(healthy, "talos-cp-1"), agent_of(healthy, "talos-cp-2")
    late, early = seconds_ago(healthy, 240), seconds_ago(healthy, 90_000)
    snapshot = with_pod(healthy, first, lambda p: ended(p, late, 137, "OOMKilled", 12))
    snapshot = with_pod(snapshot, second, lambda p: ended(aged(p, early), early, 1, restarts=3))
    one, two = told_row(snapshot, first), told_row(snapshot, second)
    assert cell(one, "last") == "137 OOMKilled 4m ago"
    assert cell(two, "last") == "1 Error 25h ago"
    for column, larger, less in (("restarts", one, two), ("last", two, one), ("age", two, one)):
        more, fewer = (row.cells[PLACES[column]].sort for row in (larger, less))
        assert isinstance(more, float | int)
        assert isinstance(fewer, float | int)
        assert more > fewer, column
    later = changed(snapshot, taken_at=snapshot.taken_at + timedelta(seconds=1))
    assert told_row(later, first) == one, "a second that no cell tells changes no row"


async def test_a_pod_that_did_not_change_keeps_its_row_and_one_that_did_does_not() -> None:
    healthy, judge = await snapshot_of("healthy"), Diagnoser()
    first = {row.key: row for row in picture(healthy, judge).content.rows}
    name = agent_of(healthy, "talos-cp-2")
    broken = with_pod(healthy, name, lambda pod: waiting(pod, "CrashLoopBackOff"))
    for snapshot, other in ((broken, {f"{NAMESPACE}/{name}"}), (healthy, set[str]())):
        rows = {row.key: row for row in picture(snapshot, judge).content.rows}
        assert {key for key, row in rows.items() if row != first[key]} == other
        assert all(row is first[key] for key, row in rows.items() if not key.endswith(name))
    down = put(
        healthy.records[NODES],
        "talos-cp-2",
        status=msgspec.structs.replace(
            healthy.records[NODES]["talos-cp-2"].status,
            conditions=(Condition("Ready", "Unknown", last_transition_time=healthy.taken_at),),
        ),
    )
    rows = {row.key: row for row in picture(changed(healthy, nodes=down), judge).content.rows}
    lost = [row for row in rows.values() if cell(row, "node") == "talos-cp-2"]
    assert {cell(row, "status")[2:] for row in lost} == {"NodeNotReady"}


# --- the detail


async def test_the_detail_has_cause_containers_conditions_node_and_events() -> None:
    text = detail(await snapshot_of("agent-just-killed"), f"{NAMESPACE}/cilium-p5m78", 120)
    for expected in (
        "crash-loops (CrashLoopBackOff)",
        "CS102",
        "$ kubectl --context agent-just-killed -n kube-system logs cilium-p5m78 -c cilium-agent",
        "--previous --tail=50",
        "✗ cilium-agent  waits: CrashLoopBackOff, 1 restart",
        "last end  3s ago, exit code 137 (Error), killed by signal 9, after 00:23:57",
        "image     quay.io/cilium/cilium:v1.21.0-dev",
        "✓ before them ran config, clean-cilium-state",
        "✗ Ready=False  since 3s  ContainersNotReady: containers with unready status",
        "✓ PodScheduled  since 31m",
        "Node talos-cp-1\n ✓ Ready  since 31m",
        " !   3s      BackOff  Back-off restarting failed container cilium-agent",
        "and 1 older",
    ):
        assert expected in text
    assert "-n kube-system get pods" not in text, "what follows needs no remedy of its own"


async def test_a_condition_that_is_well_does_not_say_why_it_was_not() -> None:
    text = detail(await snapshot_of("healthy"), f"{NAMESPACE}/cilium-p5m78")
    assert "✓ Ready  since" in text
    assert "ContainersNotReady" not in text


async def test_where_there_is_little_room_the_cause_and_the_remedy_stand_first() -> None:
    snapshot = await snapshot_of("agent-just-killed")
    lines = detail(snapshot, f"{NAMESPACE}/cilium-p5m78", 80, whole=False).split("\n")
    assert lines[1].strip() == "agent on talos-cp-1, v1.21.0-dev, 31m old"
    assert "CS102" in "".join(lines[:6])
    assert any("→ it was killed" in line for line in lines[:7])
    assert not any("Conditions" in line for line in lines)


async def test_a_node_that_fell_silent_makes_the_containers_its_last_word() -> None:
    text = detail(await read_here("node-not-ready"), f"{NAMESPACE}/cilium-4s9vt")
    assert "Containers, as the kubelet last said, which is silent" in text
    assert "? Ready=Unknown  since" in text
    assert "CS112" in text


async def test_an_operator_whose_lease_ran_out_led_last() -> None:
    snapshot = await read_here("operator-down")
    text = detail(snapshot, f"{NAMESPACE}/cilium-operator")
    assert "led last" in text.split("\n")[0]
    assert "★" not in text
    assert "CS104" in text


async def test_init_containers_that_hold_a_pod_are_told_and_what_they_say_stays_one_line() -> None:
    healthy = await snapshot_of("healthy")
    name = agent_of(healthy, "talos-cp-1")
    state = ContainerState(
        terminated=ContainerTerminated(exit_code=1, reason="Error", message="no bpffs\nat all")
    )

    def held(pod: Pod) -> Pod:
        init = (ContainerStatus("mount-bpf-fs", restart_count=4, state=state),)
        pod = waiting(pod, "PodInitializing")
        return msgspec.structs.replace(
            pod, status=msgspec.structs.replace(pod.status, init_container_statuses=init)
        )

    broken = with_pod(healthy, name, held)
    text = detail(broken, f"{NAMESPACE}/{name}")
    assert "✗ init container mount-bpf-fs  has ended, 4 restarts" in text
    assert "it said   no bpffs at all" in text
    assert "· cilium-agent  waits: PodInitializing" in text
    commands = [
        each.command
        for each in pod_commands(seen(broken).details[f"{NAMESPACE}/{name}"].pod, broken)
    ]
    log = f"kubectl --context healthy logs {name} -n kube-system -c mount-bpf-fs --tail=100"
    assert commands[2:4] == [f"{log} --previous", log]


async def test_a_disruption_is_bad_when_true() -> None:
    healthy = await snapshot_of("healthy")
    name = agent_of(healthy, "talos-cp-1")
    evicted = Condition(type="DisruptionTarget", status="True", reason="EvictionByEvictionAPI")

    def disrupted(pod: Pod) -> Pod:
        conditions = (*pod.status.conditions, evicted)
        return msgspec.structs.replace(
            pod, status=msgspec.structs.replace(pod.status, conditions=conditions)
        )

    text = detail(with_pod(healthy, name, disrupted), f"{NAMESPACE}/{name}")
    assert "✗ DisruptionTarget  EvictionByEvictionAPI" in text
