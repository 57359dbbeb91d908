"""CS1, the parts: pods, operators, DaemonSets; each code, and what only looks like it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diagnosis.diagnoser import diagnose
from app.diagnosis.rules.cilium import RULES
from app.diagnosis.rules.pods import PULLING, STARTING, trouble
from app.model.case import Case
from app.model.finding import Ref, Severity
from app.state.kinds import DAEMON_SETS, DEPLOYMENTS, LEASES, NODES, PODS
from app.state.snapshot import Snapshot, State
from collectors.kubernetes.records import (
    ClusterVersion,
    Condition,
    DaemonSet,
    DaemonSetStatus,
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    Metadata,
    Pod,
    PodStatus,
)
from collectors.logs.follow import ContainerLog
from collectors.logs.targets import Target
from tests.diagnosed import (
    NAMESPACE,
    aged,
    agent_of,
    diagnosed,
    ended,
    one,
    put,
    seconds_ago,
    told,
    unread,
    unready,
    waiting,
    with_health,
    with_pod,
)
from tests.recorded import NAMES, changed, snapshot_of

NODE = "talos-cp-2"
BROKEN = {"agent-just-killed", "exec-fails-one-node"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - BROKEN))
async def test_where_cilium_itself_is_well_nothing_is_said(name: str) -> None:
    assert diagnosed(await snapshot_of(name), RULES) == ()


async def test_a_killed_agent_is_one_root_and_tells_how_it_ended() -> None:
    found = diagnosed(await snapshot_of("agent-just-killed"))
    assert told(found) == [("CS101", "fail", False), ("CS102", "fail", True)]
    killed = one(found, "CS102")
    assert "crash-loops" in killed.summary
    assert "exit code 137, killed by signal 9" in killed.summary
    assert "talos-cp-1" in killed.summary
    assert Ref("Node", "talos-cp-1") in killed.about
    assert "killed from outside" in killed.remedy
    assert killed.command.endswith("--previous --tail=50")
    behind = one(found, "CS101")
    assert behind.summary.startswith("2 of 3 agent pods are ready: cilium-p5m78 on talos-cp-1")
    assert behind.caused_by == (killed.id,)


async def test_the_last_lines_before_the_end_are_evidence() -> None:
    snapshot = await snapshot_of("agent-just-killed")
    log = ContainerLog(Target(NAMESPACE, "cilium-p5m78", "cilium-agent", "talos-cp-1"))
    lines = [f"2026-11-23T05:05:{at}.0Z level=error msg=line-{at}".encode() for at in (10, 20, 30)]
    new = b"2026-11-23T05:05:59.0Z level=info msg=begun-anew"
    before = log.previous([log.stamped(line) for line in lines[:2]])
    since = log.read([log.stamped(line) for line in (lines[2], new)])
    entries = {entry.key: entry for entry in (*before, *since)}
    found = diagnosed(changed(snapshot, agent_logs=MappingProxyType(entries)))
    quoted = [e.value for e in one(found, "CS102").evidence if e.source.startswith("log")]
    assert [text.rpartition("=")[2] for text in quoted] == ["line-10", "line-20", "line-30"]


async def test_one_error_in_all_agents_is_told_once() -> None:
    snapshot = await snapshot_of("healthy")
    moment = seconds_ago(snapshot, 30)
    for node in ("talos-cp-1", "talos-cp-2"):
        snapshot = with_pod(
            snapshot,
            agent_of(snapshot, node),
            lambda pod: ended(waiting(pod, "CrashLoopBackOff"), moment, 1, restarts=4),
        )
    found = diagnosed(snapshot, RULES)
    assert told(found) == [("CS101", "fail", False), ("CS102", "fail", True)]
    assert one(found, "CS102").subject == Ref("DaemonSet", "cilium", NAMESPACE)
    assert "2 agent pods" in one(found, "CS102").summary


PodChange = Callable[[Snapshot, Pod], Pod]
CONTAINERS: list[tuple[str, PodChange, list[tuple[str, str, bool]]]] = [
    (
        "killed for its memory, not ready again",
        lambda s, p: ended(unready(p), seconds_ago(s, 60), 137, "OOMKilled"),
        [("CS101", "fail", False), ("CS102", "fail", True)],
    ),
    (
        "killed once and ready again",
        lambda s, p: ended(p, seconds_ago(s, 60), 137),
        [],
    ),
    (
        "ends again and again between being ready",
        lambda s, p: ended(p, seconds_ago(s, 60), 1, restarts=5),
        [("CS102", "warn", True)],
    ),
    (
        "ended often, but long ago",
        lambda s, p: ended(p, seconds_ago(s, 3600), 1, restarts=5),
        [],
    ),
    (
        "ended by itself and well, as at a shutdown of the node",
        lambda s, p: ended(p, seconds_ago(s, 60), 0, restarts=5),
        [],
    ),
    (
        "no image",
        lambda _, p: waiting(p, "ImagePullBackOff", "not found"),
        [("CS101", "fail", False), ("CS114", "fail", True)],
    ),
    (
        "its image is being pulled",
        lambda s, p: msgspec.structs.replace(
            aged(waiting(p, "ContainerCreating"), seconds_ago(s, PULLING - 10)),
            status=msgspec.structs.replace(waiting(p, "ContainerCreating").status, phase="Pending"),
        ),
        [("CS101", "info", True)],
    ),
    (
        "its containers are not made for too long",
        lambda s, p: msgspec.structs.replace(
            aged(waiting(p, "ContainerCreating"), seconds_ago(s, PULLING + 10)),
            status=msgspec.structs.replace(waiting(p, "ContainerCreating").status, phase="Pending"),
        ),
        [("CS101", "fail", False), ("CS114", "fail", True)],
    ),
    (
        "runs and is not ready, for no reason that is told",
        lambda _, p: unready(p),
        [("CS101", "fail", True)],
    ),
    (
        "comes up",
        lambda s, p: aged(unready(p), seconds_ago(s, STARTING - 10)),
        [("CS101", "info", True)],
    ),
    (
        "came up too long ago",
        lambda s, p: aged(unready(p), seconds_ago(s, STARTING + 10)),
        [("CS101", "fail", True)],
    ),
    (
        "is being replaced",
        lambda s, p: msgspec.structs.replace(
            p,
            metadata=msgspec.structs.replace(p.metadata, deletion_timestamp=seconds_ago(s, -20)),
        ),
        [("CS101", "info", True)],
    ),
    (
        "was evicted, and another one is there",
        lambda _, p: msgspec.structs.replace(p, status=PodStatus(phase="Failed")),
        [("CS101", "fail", False), ("CS105", "fail", True)],
    ),
]


@pytest.mark.parametrize(
    ("change", "expected"), [row[1:] for row in CONTAINERS], ids=[row[0] for row in CONTAINERS]
)
async def test_what_a_pod_does(change: PodChange, expected: list[tuple[str, str, bool]]) -> None:
    snapshot = await snapshot_of("healthy")
    broken = with_pod(snapshot, agent_of(snapshot, NODE), lambda pod: change(snapshot, pod))
    assert told(diagnosed(broken, RULES)) == expected


async def test_an_evicted_pod_beside_a_living_one_is_only_left_over() -> None:
    snapshot = await snapshot_of("healthy")
    pod = snapshot.agents_by_node[NODE]
    left = Pod(
        Metadata(name="cilium-old", namespace=NAMESPACE, labels=pod.metadata.labels),
        spec=pod.spec,
        status=PodStatus(phase="Failed", reason="Evicted"),
    )
    pods = MappingProxyType({**snapshot.records[PODS], left.key: left})
    assert diagnosed(changed(snapshot, pods=pods), RULES) == ()


async def test_what_a_pod_was_when_the_connection_broke_does_not_grow_worse() -> None:
    snapshot = await snapshot_of("healthy")
    name = agent_of(snapshot, NODE)
    young = with_pod(snapshot, name, lambda pod: aged(unready(pod), seconds_ago(snapshot, 10)))
    cut = changed(young, taken_at=young.taken_at + timedelta(minutes=10))
    assert one(diagnosed(cut, RULES), "CS101").severity == "info"


async def test_a_server_whose_clock_is_ahead_does_not_make_pods_old() -> None:
    """A pod made 10 s ago by the server's clock, which is 10 minutes ahead of ours."""
    snapshot = await snapshot_of("healthy")
    created = snapshot.taken_at + timedelta(seconds=590)
    young = with_pod(snapshot, agent_of(snapshot, NODE), lambda pod: aged(unready(pod), created))
    ahead = changed(young, version={"version": ClusterVersion("v1.36.2", 600.0)})
    assert one(diagnosed(ahead, RULES), "CS101").severity == "info"
    level = changed(young, version={"version": ClusterVersion("v1.36.2", 600.0 + STARTING)})
    assert one(diagnosed(level, RULES), "CS101").severity == "fail"


async def test_no_daemon_set_and_no_agent_at_all() -> None:
    snapshot = await snapshot_of("healthy")
    bare = changed(snapshot, daemon_sets={}, pods={})
    assert one(diagnosed(bare, RULES), "CS101").severity == "fail"
    elsewhere = changed(bare, config_maps={}, deployments={}, leases={})
    assert told(diagnosed(elsewhere, RULES)) == [("CS101", "unknown", True)]
    renamed = changed(snapshot, daemon_sets={})
    assert diagnosed(renamed, RULES) == ()


async def test_a_daemon_set_that_fits_no_node_runs_no_agent() -> None:
    snapshot = await snapshot_of("healthy")
    none = put(snapshot.records[DAEMON_SETS], f"{NAMESPACE}/cilium", status=DaemonSetStatus())
    gone = changed(snapshot, daemon_sets=none, pods={}, deployments={})
    assert "node selector" in one(diagnosed(gone, RULES), "CS101").summary


async def test_pods_that_are_not_read_are_not_missed() -> None:
    for kind in ("pods", "daemon_sets", "nodes", "deployments", "leases", "config_maps"):
        assert diagnosed(unread(await snapshot_of("healthy"), kind), RULES) == ()


# --- CS103, CS104


async def operator_gone(*, replicas: int = 1) -> Snapshot:
    snapshot = await snapshot_of("healthy")
    without = with_pod(snapshot, "cilium-operator", lambda _: None)
    key = f"{NAMESPACE}/cilium-operator"
    deployments = put(
        without.records[DEPLOYMENTS], key, spec=DeploymentSpec(replicas), status=DeploymentStatus()
    )
    return changed(without, deployments=deployments)


async def test_no_operator_explains_that_nobody_leads() -> None:
    gone = await operator_gone()
    silent = changed(gone, taken_at=gone.taken_at + timedelta(minutes=5))
    silent = with_health(silent, "leases", read_at=silent.taken_at)
    found = diagnosed(silent, RULES)
    assert told(found) == [("CS103", "fail", True), ("CS104", "fail", False)]
    assert one(found, "CS104").caused_by == (one(found, "CS103").id,)
    assert "no pod is there" in one(found, "CS103").summary
    scaled = one(diagnosed(await operator_gone(replicas=0), RULES), "CS103")
    assert "scaled to 0" in scaled.summary


async def test_an_operator_that_crashes_explains_that_none_is_ready() -> None:
    snapshot = await snapshot_of("healthy")
    crashed = with_pod(
        snapshot,
        "cilium-operator",
        lambda pod: ended(waiting(pod, "CrashLoopBackOff"), seconds_ago(snapshot, 60), 1),
    )
    assert told(diagnosed(crashed, RULES)) == [("CS102", "fail", True), ("CS103", "fail", False)]
    starts = with_pod(
        snapshot, "cilium-operator", lambda pod: aged(unready(pod), seconds_ago(snapshot, 20))
    )
    assert told(diagnosed(starts, RULES)) == [("CS103", "info", True)]
    plain = with_pod(snapshot, "cilium-operator", unready)
    assert told(diagnosed(plain, RULES)) == [("CS103", "fail", True)]


async def test_a_second_operator_that_finds_no_node_is_no_failure() -> None:
    snapshot = await snapshot_of("healthy")
    pod = next(
        pod for pod in snapshot.records[PODS].values() if pod.name.startswith("cilium-operator")
    )
    pending = Pod(
        msgspec.structs.replace(pod.metadata, name="cilium-operator-second"),
        spec=msgspec.structs.replace(pod.spec, node_name=""),
        status=PodStatus(
            phase="Pending",
            conditions=(
                Condition("PodScheduled", "False", "Unschedulable", "no free ports"),
                Condition("Ready", "False"),
            ),
        ),
    )
    both = changed(
        snapshot, pods=MappingProxyType({**snapshot.records[PODS], pending.key: pending})
    )
    assert told(diagnosed(both, RULES)) == [("CS114", "info", True)]
    alone = with_pod(both, pod.name, lambda _: None)
    assert told(diagnosed(alone, RULES)) == [("CS103", "fail", False), ("CS114", "fail", True)]


async def test_an_operator_that_nobody_sees_is_judged_by_its_lease() -> None:
    """A managed control plane runs it out of sight: no Deployment, no pod, but the lease lives."""
    gone = changed(await operator_gone(), deployments={})
    assert diagnosed(gone, RULES) == ()


@pytest.mark.parametrize(("silence", "codes"), [(29, []), (31, ["CS104"])])
async def test_a_lease_that_is_not_renewed(silence: float, codes: list[str]) -> None:
    snapshot = await snapshot_of("healthy")
    lease = next(iter(snapshot.records[LEASES].values()))
    spec = msgspec.structs.replace(lease.spec, renew_time=seconds_ago(snapshot, silence))
    silent = changed(snapshot, leases=put(snapshot.records[LEASES], lease.key, spec=spec))
    found = diagnosed(silent, RULES)
    assert [finding.code for finding in found] == codes
    assert all("talos-cp-2" in finding.summary for finding in found)
    # The watch broke when it was last renewed: what became of it since is not known.
    cut = changed(snapshot, taken_at=snapshot.taken_at + timedelta(minutes=5))
    assert diagnosed(cut, RULES) == ()
    assert diagnosed(with_health(silent, "leases", state=State.FORBIDDEN), RULES) == ()


async def test_an_operator_that_has_only_just_come_up_need_not_lead_yet() -> None:
    snapshot = await snapshot_of("healthy")
    lease = next(iter(snapshot.records[LEASES].values()))
    spec = msgspec.structs.replace(lease.spec, renew_time=seconds_ago(snapshot, 60))
    silent = changed(snapshot, leases=put(snapshot.records[LEASES], lease.key, spec=spec))

    def came_up(pod: Pod) -> Pod:
        ready = Condition("Ready", "True", last_transition_time=seconds_ago(snapshot, 5))
        return msgspec.structs.replace(
            pod, status=msgspec.structs.replace(pod.status, conditions=(ready,))
        )

    assert diagnosed(with_pod(silent, "cilium-operator", came_up), RULES) == ()


# --- CS105, CS108, CS109


async def test_a_node_without_an_agent_pod() -> None:
    snapshot = await snapshot_of("healthy")
    bare = with_pod(snapshot, agent_of(snapshot, NODE), lambda _: None)
    found = diagnosed(bare, RULES)
    assert told(found) == [("CS101", "fail", False), ("CS105", "fail", True)]
    assert one(found, "CS105").subject == Ref("Node", NODE)
    assert f"1 missing ({NODE})" in one(found, "CS101").summary


async def test_a_node_that_the_daemon_set_leaves_out_is_not_missed() -> None:
    snapshot = await snapshot_of("healthy")
    bare = with_pod(snapshot, agent_of(snapshot, NODE), lambda _: None)
    key = f"{NAMESPACE}/cilium"
    status = bare.records[DAEMON_SETS][key].status
    two = msgspec.structs.replace(status, desired_number_scheduled=2, number_ready=2)
    assert (
        diagnosed(changed(bare, daemon_sets=put(bare.records[DAEMON_SETS], key, status=two)), RULES)
        == ()
    )


async def test_a_node_that_joins_has_no_agent_yet() -> None:
    snapshot = await snapshot_of("healthy")
    bare = with_pod(snapshot, agent_of(snapshot, NODE), lambda _: None)
    node = snapshot.records[NODES][NODE]
    metadata = msgspec.structs.replace(node.metadata, creation_timestamp=seconds_ago(snapshot, 20))
    joins = changed(bare, nodes=put(bare.records[NODES], NODE, metadata=metadata))
    assert "CS105" not in {finding.code for finding in diagnosed(joins, RULES)}


async def test_a_pod_that_is_being_replaced_may_be_missing_for_a_moment() -> None:
    snapshot = await snapshot_of("healthy")
    rolling = with_pod(
        snapshot,
        agent_of(snapshot, "talos-cp-1"),
        lambda pod: aged(pod, seconds_ago(snapshot, 20)),
    )
    bare = with_pod(rolling, agent_of(snapshot, NODE), lambda _: None)
    assert told(diagnosed(bare, RULES)) == [("CS101", "info", True)]


async def test_envoy_where_it_is_deployed() -> None:
    snapshot = await snapshot_of("healthy")
    agents = snapshot.records[DAEMON_SETS][f"{NAMESPACE}/cilium"]
    metadata = msgspec.structs.replace(agents.metadata, name="cilium-envoy")
    envoy = DaemonSet(metadata, status=agents.status)
    pods = {
        f"{NAMESPACE}/cilium-envoy-{node}": msgspec.structs.replace(
            pod,
            metadata=msgspec.structs.replace(
                pod.metadata, name=f"cilium-envoy-{node}", labels={"k8s-app": "cilium-envoy"}
            ),
        )
        for node, pod in snapshot.agents_by_node.items()
    }
    deployed = changed(
        snapshot,
        daemon_sets=MappingProxyType({**snapshot.records[DAEMON_SETS], envoy.key: envoy}),
        pods=MappingProxyType({**snapshot.records[PODS], **pods}),
    )
    assert diagnosed(deployed, RULES) == ()
    broken = with_pod(deployed, f"cilium-envoy-{NODE}", unready)
    found = diagnosed(broken, RULES)
    assert told(found) == [("CS108", "fail", True)]
    assert Ref("Node", NODE) not in one(found, "CS108").about


@pytest.mark.parametrize(
    ("ready", "replicas", "codes"), [(1, 1, []), (0, 1, ["CS109"]), (0, 0, []), (1, 2, ["CS109"])]
)
async def test_hubble_where_it_is_deployed(ready: int, replicas: int, codes: list[str]) -> None:
    snapshot = await snapshot_of("healthy")
    relay = Deployment(
        Metadata(name="hubble-relay", namespace=NAMESPACE),
        DeploymentSpec(replicas),
        DeploymentStatus(ready_replicas=ready),
    )
    deployments = MappingProxyType({**snapshot.records[DEPLOYMENTS], relay.key: relay})
    found = diagnosed(changed(snapshot, deployments=deployments), RULES)
    assert [finding.code for finding in found] == codes


_REASONS = st.sampled_from(["", "CrashLoopBackOff", "ContainerCreating", "ErrImagePull", "x\n."])


@given(
    reason=_REASONS,
    code=st.integers(-(2**31), 2**31 - 1),
    restarts=st.integers(0, 2**31 - 1),
    phase=st.sampled_from(["", "Pending", "Running", "Failed", "Unknown"]),
    age=st.floats(-1e6, 1e9),
)
async def test_no_status_of_a_pod_is_too_odd(
    reason: str, code: int, restarts: int, phase: str, age: float
) -> None:
    snapshot = _CACHE.get("healthy") or await snapshot_of("healthy")
    _CACHE["healthy"] = snapshot
    moment = snapshot.taken_at - timedelta(seconds=age)

    def odd(pod: Pod) -> Pod:
        new = ended(waiting(pod, reason), moment, code, restarts=restarts)
        return aged(
            msgspec.structs.replace(new, status=msgspec.structs.replace(new.status, phase=phase)),
            moment,
        )

    broken = with_pod(snapshot, agent_of(snapshot, NODE), odd)
    for finding in diagnosed(broken, RULES):
        assert finding.summary
        assert not finding.summary.endswith(".")
    case = Case(broken)
    assert all(trouble(case, found) is None or not found.ready for found in case.pods)


_CACHE: dict[str, Snapshot] = {}


async def test_cs105_is_told_also_where_no_agent_pod_is_left_at_all() -> None:
    healthy = await snapshot_of("healthy")
    pods = {
        key: pod
        for key, pod in healthy.records[PODS].items()
        if pod.metadata.labels.get("k8s-app") != "cilium"
    }
    found = diagnose(Case(changed(healthy, pods=MappingProxyType(pods))))
    told = [f for f in found if f.root and f.severity is Severity.FAIL]
    assert [f.code for f in told] == ["CS105"]
    assert "talos-cp-1, talos-cp-2, talos-cp-3" in told[0].summary
