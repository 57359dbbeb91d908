"""CS1, the state: answers, versions, configuration, nodes."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

import msgspec
import pytest

from app.diagnosis.rules.cilium import RULES
from app.model.finding import Ref
from app.state.kinds import BGP_PEERS, CILIUM_STATUS, CONFIG_MAPS, DAEMON_SETS, NODES, PODS
from app.state.snapshot import Snapshot
from collectors.cilium.answer import ONE_FAILS_ALL
from collectors.cilium.command_records import NO_TEXT, AgentStatus, FailingController
from collectors.kubernetes.records import Condition, ManagedField, Pod
from tests.diagnosed import (
    NAMESPACE,
    aged,
    agent_of,
    diagnosed,
    ended,
    later,
    one,
    put,
    seconds_ago,
    told,
    unready,
    waiting,
    with_health,
    with_pod,
)
from tests.recorded import changed, records_of, snapshot_of

NODE = "talos-cp-2"

# --- CS106, CS110, CS113


async def test_an_agent_that_does_not_answer() -> None:
    found = diagnosed(await snapshot_of("exec-fails-one-node"))
    assert told(found) == [("CS106", "fail", True)]
    silent = one(found, "CS106")
    assert silent.subject == Ref("Node", NODE)
    assert "cilium-kqkzr" in silent.summary
    assert "task not found" in silent.summary
    assert "and 5 others" in silent.summary
    assert Ref("Pod", "cilium-kqkzr", NAMESPACE) in silent.about


async def test_an_agent_that_answers_something_is_not_all_silent() -> None:
    snapshot = await snapshot_of("exec-fails-one-node")
    healthy = await snapshot_of("healthy")
    part = changed(snapshot, cilium_status=healthy.records[CILIUM_STATUS])
    silent = one(diagnosed(part), "CS106")
    assert silent.severity == "warn"
    assert "though it answers `status`" in silent.summary


async def test_an_answer_from_before_the_pod_was_ready_says_nothing_of_it() -> None:
    snapshot = await snapshot_of("exec-fails-one-node")

    def since(moment: datetime) -> Snapshot:
        ready = (Condition("Ready", "True", last_transition_time=moment),)
        return with_pod(
            snapshot,
            "cilium-kqkzr",
            lambda pod: msgspec.structs.replace(
                pod, status=msgspec.structs.replace(pod.status, conditions=ready)
            ),
        )

    assert diagnosed(since(seconds_ago(snapshot, -1))) == ()
    assert told(diagnosed(since(seconds_ago(snapshot, 1)))) == [("CS106", "fail", True)]


async def test_an_agent_that_is_not_ready_is_not_called_silent() -> None:
    snapshot = await snapshot_of("exec-fails-one-node")
    down = with_pod(snapshot, "cilium-kqkzr", unready)
    assert told(diagnosed(down)) == [("CS101", "fail", True)]


def all_silent(snapshot: Snapshot) -> Snapshot:
    sample = snapshot.records[BGP_PEERS]["pod:cilium-kqkzr"]
    silent = {
        f"pod:{pod.name}": msgspec.structs.replace(sample, pod=pod.name)
        for pod in snapshot.agents_by_node.values()
    }
    return changed(snapshot, bgp_peers=MappingProxyType(silent))


async def test_exec_that_fails_everywhere_is_one_thing() -> None:
    snapshot = await snapshot_of("exec-fails-one-node")
    found = one(diagnosed(all_silent(snapshot)), "CS106")
    assert found.subject == Ref("DaemonSet", "cilium", NAMESPACE)
    assert "none of the 3 agents answers" in found.summary
    assert {Ref("Node", node) for node in snapshot.agents_by_node} <= set(found.about)


async def test_bgp_that_is_off_and_exec_that_is_forbidden_are_answers_of_another_kind() -> None:
    for name in ("bgp-disabled", "rights-no-exec"):
        assert diagnosed(await snapshot_of(name), RULES) == ()


@pytest.mark.parametrize(
    ("failures", "age", "codes"),
    [(4, 10.0, []), (5, 10.0, ["CS110"]), (50, 3600.0, []), (9, None, ["CS110"])],
)
async def test_a_controller_that_keeps_failing(
    failures: int, age: float | None, codes: list[str]
) -> None:
    snapshot = await snapshot_of("healthy")
    status = snapshot.records[CILIUM_STATUS]["status"]
    at = None if age is None else seconds_ago(snapshot, age)
    failing = FailingController("sync-lb-maps", failures, "no space left", at)
    agents = tuple(
        msgspec.structs.replace(agent, failing_controllers=(failing,)) for agent in status.agents
    )
    found = diagnosed(
        changed(
            snapshot, cilium_status=put(snapshot.records[CILIUM_STATUS], "status", agents=agents)
        ),
        RULES,
    )
    assert [finding.code for finding in found] == codes
    for finding in found:
        assert finding.detail == "sync-lb-maps"
        assert "no space left" in finding.summary
        assert finding.subject.kind == "DaemonSet"


@pytest.mark.parametrize(
    ("managed", "answered", "codes"), [(5, True, []), (3, True, ["CS113"]), (3, False, [])]
)
async def test_pods_that_cilium_does_not_manage(
    managed: int, answered: bool, codes: list[str]
) -> None:
    snapshot = await snapshot_of("healthy")
    status = snapshot.records[CILIUM_STATUS]["status"]
    agents = tuple(msgspec.structs.replace(agent, answered=answered) for agent in status.agents[:1])
    new = put(
        snapshot.records[CILIUM_STATUS], "status", pods_all=5, pods_managed=managed, agents=agents
    )
    found = diagnosed(changed(snapshot, cilium_status=new), RULES)
    assert [f.code for f in found if f.code == "CS113"] == codes


# --- CS107


def tagged(pod: Pod, tag: str) -> Pod:
    first, *others = pod.spec.containers
    image = msgspec.structs.replace(first, image=f"quay.io/cilium/cilium:{tag}")
    return msgspec.structs.replace(
        pod, spec=msgspec.structs.replace(pod.spec, containers=(image, *others))
    )


VERSIONS: list[tuple[str, str, float, list[tuple[str, str]]]] = [
    ("cilium-kqkzr", "v1.20.3", 3600, [("CS107", "warn")]),
    ("cilium-kqkzr", "v1.20.3", 60, [("CS107", "info")]),
    ("cilium-operator", "v1.20.3", 3600, [("CS107", "warn")]),
    ("cilium-operator", "v1.20.3", 60, [("CS107", "info")]),
    ("cilium-operator", "v1.21.4", 3600, []),
    ("cilium-operator", "latest", 3600, []),
    ("cilium-kqkzr", "v1.21.0-dev@sha256:00", 3600, []),
]


@pytest.mark.parametrize(("pod", "tag", "age", "expected"), VERSIONS)
async def test_versions_side_by_side(
    pod: str, tag: str, age: float, expected: list[tuple[str, str]]
) -> None:
    snapshot = later(await snapshot_of("healthy"), 7200)
    mixed = with_pod(snapshot, pod, lambda p: aged(tagged(p, tag), seconds_ago(snapshot, age)))
    found = diagnosed(mixed, RULES)
    assert [(f.code, str(f.severity)) for f in found] == expected


async def test_a_command_that_prints_nothing_when_one_agent_fails_is_old() -> None:
    snapshot = await snapshot_of("exec-fails-one-node")
    problems = ("agent cilium-kqkzr: exec failed", ONE_FAILS_ALL)
    old = with_health(snapshot, "bgp_peers", problems=problems)
    assert "older than 0.18.6" in one(diagnosed(old, RULES), "CS107").summary
    everyone = (*(f"agent cilium-{n}: exec failed" for n in range(3)), ONE_FAILS_ALL)
    none_left = with_health(snapshot, "bgp_peers", problems=everyone)
    assert "CS107" not in {f.code for f in diagnosed(none_left, RULES)}
    silent = AgentStatus("cilium-kqkzr", error=NO_TEXT)
    wordless = put(snapshot.records[CILIUM_STATUS], "status", agents=(silent,))
    found = one(diagnosed(changed(snapshot, cilium_status=wordless), RULES), "CS107")
    assert "older than 0.16.17" in found.summary


# --- CS111, CS112


def written(snapshot: Snapshot, *ago: float) -> Snapshot:
    """The snapshot whose cilium-config was written so many seconds ago."""
    key = f"{NAMESPACE}/cilium-config"
    found = snapshot.records[CONFIG_MAPS][key]
    fields = tuple(
        ManagedField("kubectl-patch", "Update", time=seconds_ago(snapshot, each)) for each in ago
    )
    metadata = msgspec.structs.replace(
        found.metadata, managed_fields=(*found.metadata.managed_fields, *fields)
    )
    return changed(snapshot, config_maps=put(snapshot.records[CONFIG_MAPS], key, metadata=metadata))


async def test_pods_older_than_their_configuration() -> None:
    snapshot = later(await snapshot_of("healthy"), 7200)
    found = diagnosed(written(snapshot, 3600), RULES)
    assert told(found) == [("CS111", "warn", True)] * 2
    assert {f.subject.kind for f in found} == {"DaemonSet", "Deployment"}
    assert all("by kubectl-patch" in f.summary for f in found)


async def test_configuration_that_the_pods_do_run_with() -> None:
    snapshot = later(await snapshot_of("healthy"), 7200)
    young = snapshot
    for pod in snapshot.records[PODS].values():
        young = with_pod(young, pod.name, lambda p: aged(p, seconds_ago(snapshot, 3000)))
    assert diagnosed(written(young, 3600), RULES) == ()
    assert diagnosed(written(snapshot, 5), RULES) == ()
    created = snapshot.records[CONFIG_MAPS][
        f"{NAMESPACE}/cilium-config"
    ].metadata.creation_timestamp
    assert created is not None
    install = (snapshot.taken_at - created).total_seconds() - 30
    old = snapshot
    for pod in snapshot.records[PODS].values():
        old = with_pod(old, pod.name, lambda p: aged(p, seconds_ago(snapshot, install + 60)))
    assert diagnosed(written(old, install), RULES) == ()


async def test_a_container_that_was_restarted_counts_as_new() -> None:
    snapshot = later(await snapshot_of("healthy"), 7200)
    name = agent_of(snapshot, NODE)

    def restarted(pod: Pod) -> Pod:
        new = aged(pod, seconds_ago(snapshot, 3000))
        return msgspec.structs.replace(
            new,
            metadata=pod.metadata,
            status=msgspec.structs.replace(new.status, start_time=pod.status.start_time),
        )

    found = diagnosed(written(with_pod(snapshot, name, restarted), 3600), RULES)
    agents = next(f for f in found if f.subject.kind == "DaemonSet")
    assert agents.summary.startswith("2 agent pods")
    assert name not in agents.summary


async def test_a_rollout_that_goes_on_is_not_told_to_be_missing() -> None:
    snapshot = later(await snapshot_of("healthy"), 7200)
    key = f"{NAMESPACE}/cilium"
    status = snapshot.records[DAEMON_SETS][key].status
    rolls = msgspec.structs.replace(status, updated_number_scheduled=1)
    going = changed(snapshot, daemon_sets=put(snapshot.records[DAEMON_SETS], key, status=rolls))
    assert [f.subject.kind for f in diagnosed(written(going, 3600), RULES)] == ["Deployment"]


def node_ready(snapshot: Snapshot, status: str, ago: float = 600) -> Snapshot:
    node = snapshot.records[NODES][NODE]
    kept = [c for c in node.status.conditions if c.type != "Ready"]
    ready = Condition(
        "Ready", status, "KubeletNotReady", "no cni\nplugin.", None, seconds_ago(snapshot, ago)
    )
    new = msgspec.structs.replace(node.status, conditions=(*kept, ready))
    return changed(snapshot, nodes=put(snapshot.records[NODES], NODE, status=new))


@pytest.mark.parametrize(
    ("status", "codes"), [("True", []), ("False", ["CS112"]), ("Unknown", ["CS112"])]
)
async def test_a_node_that_is_not_ready(status: str, codes: list[str]) -> None:
    snapshot = await snapshot_of("healthy")
    found = diagnosed(node_ready(snapshot, status), RULES)
    assert [f.code for f in found] == codes
    assert all("NotReady for 10 min" in f.summary for f in found)


async def test_a_dead_node_explains_its_agent_and_a_crashing_agent_its_node() -> None:
    snapshot = await snapshot_of("healthy")
    name = agent_of(snapshot, NODE)
    dead = with_pod(node_ready(snapshot, "Unknown"), name, unready)
    assert told(diagnosed(dead, RULES)) == [("CS101", "fail", False), ("CS112", "fail", True)]
    crash = with_pod(
        node_ready(snapshot, "False"),
        name,
        lambda pod: ended(waiting(pod, "CrashLoopBackOff"), seconds_ago(snapshot, 9), 1),
    )
    assert told(diagnosed(crash, RULES)) == [
        ("CS101", "fail", False),
        ("CS102", "fail", True),
        ("CS112", "fail", False),
    ]


async def test_two_nodes_with_two_troubles_are_two_roots() -> None:
    """A CS101 that a dead node explains in part only stands for what is not explained."""
    snapshot = await snapshot_of("healthy")
    dead = with_pod(node_ready(snapshot, "Unknown"), agent_of(snapshot, NODE), unready)
    both = with_pod(dead, agent_of(snapshot, "talos-cp-1"), unready)
    assert told(diagnosed(both, RULES)) == [("CS101", "fail", True), ("CS112", "fail", True)]


async def test_the_order_of_objects_does_not_matter() -> None:
    mute = await snapshot_of("exec-fails-one-node")
    snapshots = [await snapshot_of("agent-just-killed"), mute, all_silent(mute)]
    for snapshot in snapshots:
        kinds = ("pods", "nodes", "daemon_sets", "bgp_peers")
        turned = {
            kind: MappingProxyType(dict(reversed(list(records_of(snapshot, kind).items()))))
            for kind in kinds
        }
        assert set(diagnosed(changed(snapshot, **turned))) == set(diagnosed(snapshot))
