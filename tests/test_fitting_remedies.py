"""What a finding says fits the branch that raised it: component, witness, cause and size."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest

from app.diagnosis.rules.agent_health import versions
from app.diagnosis.rules.pods import NAMED, crashing
from app.diagnosis.rules.visibility import failing
from app.model.case import Case
from app.model.finding import Finding
from app.model.wording import named
from app.state.kinds import BGP_PEERS, NODE_CONFIGS, PODS
from app.state.snapshot import Snapshot, State
from collectors.kubernetes.records import Pod
from tests.diagnosed import (
    ended,
    one,
    seconds_ago,
    unready,
    waiting,
    with_health,
    with_pod,
)
from tests.recorded import changed, snapshot_of
from tests.test_rules_sessions import only, unreported, without_peers
from tests.test_session_causes import NODE_NAMES, PEER


def crashed(snapshot: Snapshot, labels: dict[str, str], reason: str, code: int) -> Finding:
    """A pod with these labels ended like this and crash-loops."""

    def change(pod: Pod) -> Pod:
        made = msgspec.structs.replace(
            pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels)
        )
        return waiting(ended(made, seconds_ago(snapshot, 30), code, reason), "CrashLoopBackOff")

    name = snapshot.agents_by_node[NODE_NAMES[0]].name
    return one(crashing(Case(with_pod(snapshot, name, change))), "CS102")


@pytest.mark.parametrize(
    ("labels", "value", "mostly"),
    [
        ({"k8s-app": "cilium"}, "`resources.limits.memory`", "a missing kernel feature"),
        (
            {"io.cilium/app": "operator"},
            "`operator.resources.limits.memory`",
            "a right that it lacks",
        ),
        ({"k8s-app": "cilium-envoy"}, "`envoy.resources.limits.memory`", "a port of the node"),
    ],
)
async def test_cs102_names_the_value_and_the_usual_cause_of_the_component(
    labels: dict[str, str], value: str, mostly: str
) -> None:
    snapshot = await snapshot_of("healthy")
    assert value in crashed(snapshot, labels, "OOMKilled", 137).remedy
    assert mostly in crashed(snapshot, labels, "Error", 1).remedy


def many(snapshot: Snapshot, count: int) -> Snapshot:
    """So many agents, all of them crash-looping."""
    agent = snapshot.agents_by_node[NODE_NAMES[0]]
    bad = waiting(ended(unready(agent), seconds_ago(snapshot, 30), 1), "CrashLoopBackOff")
    pods = {key: pod for key, pod in snapshot.records[PODS].items() if pod != agent}
    for number in range(count):
        metadata = msgspec.structs.replace(bad.metadata, name=f"cilium-{number:03}")
        spec = msgspec.structs.replace(bad.spec, node_name=f"node-{number:03}")
        made = msgspec.structs.replace(bad, metadata=metadata, spec=spec)
        pods[made.key] = made
    return changed(snapshot, pods=MappingProxyType(pods))


async def test_a_thousand_pods_are_one_sentence_all_the_same() -> None:
    (found,) = crashing(Case(many(await snapshot_of("healthy"), 1000)))
    assert "and 996 more" in found.summary
    assert len(found.summary) < 700
    assert len({evidence.object for evidence in found.evidence}) == NAMED
    assert len(found.about) == 2000


def test_some_names_a_few_and_counts_the_rest() -> None:
    assert named([]) == ""
    assert named(["a", "b"]) == "a, b"
    assert named(list("abcd"), NAMED) == "a, b, c, d"
    assert named(list("abcdef"), NAMED, "; ") == "a; b; c; d; and 2 more"


async def test_cs107_does_not_claim_how_an_upgrade_went() -> None:
    snapshot = await snapshot_of("healthy")
    name = snapshot.agents_by_node[NODE_NAMES[0]].name

    def older(pod: Pod) -> Pod:
        first, *rest = pod.spec.containers
        image = msgspec.structs.replace(first, image="quay.io/cilium/cilium:v1.18.1")
        return msgspec.structs.replace(
            pod, spec=msgspec.structs.replace(pod.spec, containers=(image, *rest))
        )

    mixed = with_pod(snapshot, name, older)
    later = changed(mixed, taken_at=mixed.taken_at + timedelta(hours=2))
    heard = {k: replace(h, read_at=later.taken_at) for k, h in later.health.items()}
    (found,) = versions(Case(changed(later, health=MappingProxyType(heard))))
    assert "none of them has started lately" in found.summary
    assert "did not finish" not in found.summary
    assert len(found.evidence) == 3


async def test_cs407_shows_the_witness_that_was_asked() -> None:
    healthy = await snapshot_of("healthy")
    asked = only(unreported(without_peers(healthy, *NODE_NAMES)))
    assert asked.evidence[-1].source.endswith("bgp peers")
    config = healthy.records[NODE_CONFIGS][NODE_NAMES[0]]
    assert config.status is not None
    bare = msgspec.structs.replace(
        config, status=msgspec.structs.replace(config.status, bgp_instances=())
    )
    unasked = {n: r for n, r in healthy.records[BGP_PEERS].items() if n != NODE_NAMES[0]}
    api_alone = only(
        changed(
            healthy,
            node_configs=MappingProxyType({**healthy.records[NODE_CONFIGS], NODE_NAMES[0]: bare}),
            bgp_peers=MappingProxyType(unasked),
        )
    )
    assert "the agent reports no such peer" in api_alone.summary
    assert api_alone.evidence[-1].object == f"CiliumBGPNodeConfig {NODE_NAMES[0]}"
    assert not api_alone.evidence[-1].source.endswith("bgp peers")


async def test_cs407_is_mended_where_it_is_broken() -> None:
    healthy = await snapshot_of("healthy")
    configs = {n: c for n, c in healthy.records[NODE_CONFIGS].items() if n != NODE_NAMES[2]}
    unrendered = only(
        without_peers(changed(healthy, node_configs=MappingProxyType(configs)), NODE_NAMES[2])
    )
    assert "an operator leads" in unrendered.remedy
    assert unrendered.command.startswith("kubectl get ciliumbgpnodeconfigs")
    missing = only(await snapshot_of("peer-config-missing"))
    assert "peerConfigRef" in missing.remedy
    assert "Secret" not in missing.remedy


async def test_cs401_says_what_it_takes_to_know() -> None:
    v1 = await snapshot_of("v1-healthy", cli=False)
    assert "Run without --no-cli" in only(v1).remedy
    agents = {
        key: unready(pod) if pod in v1.agents_by_node.values() else pod
        for key, pod in v1.records[PODS].items()
    }
    dead = only(changed(v1, pods=MappingProxyType(agents)))
    assert dead.remedy.startswith("Bring the agent of ")
    assert dead.command.startswith("kubectl -n kube-system get pods")
    assert PEER in dead.summary


@pytest.mark.parametrize("state", [State.LOADING, State.STALE])
async def test_cs802_does_not_point_at_an_error_that_there_is_not(state: State) -> None:
    snapshot = await snapshot_of("healthy")
    since = snapshot.taken_at - timedelta(minutes=1)
    (found,) = failing(Case(with_health(snapshot, "pools", state=state, since=since, error="")))
    assert "the error says" not in found.remedy
    assert "nothing says what is in the way" in found.remedy
