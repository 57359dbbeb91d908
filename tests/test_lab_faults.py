"""What can go wrong in the lab, and that it is mended again: pods, agents, rights, the command."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from app.lab.cilium import CiliumCommand
from app.lab.fields import integer, mapping, name_of, objects, text
from app.lab.kinds import (
    CONFIG_MAPS,
    DAEMON_SETS,
    ENDPOINT_SLICES,
    LEASES,
    NODE_CONFIGS,
    PEERING_POLICIES,
    PODS,
    POOLS,
)
from app.lab.scenario import read_scenario
from app.lab.store import JsonObject
from app.lab.world import World
from tests.lab_cluster import NOON, HandClock
from tests.lab_history import Recording


def world(folder: Path, more: str) -> World:
    """The home cluster with something wrong."""
    path = folder / "mine.yaml"
    path.write_text(f"description: x\nextends: base\nexpect: {{sentence: y}}\n{more}\n")
    scenario = read_scenario(str(path))
    return World(scenario, scenario.seed, HandClock())


def agent_pod(cluster: World, node: str = "talos-cp-2") -> JsonObject:
    pods = cluster.workloads.pods("k8s-app", "cilium")
    return next(pod for pod in pods if text(pod, "spec", "nodeName") == node)


def counts(cluster: World) -> tuple[int, int, int]:
    """Desired, there and ready agents, as the DaemonSet tells."""
    found = cluster.store.get(DAEMON_SETS, "kube-system", "cilium")
    names = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")
    desired, there, ready = (integer(found, "status", name) for name in names)
    return desired, there, ready


def states(cluster: World) -> dict[str, list[str]]:
    """Session states by node, in truth."""
    return {
        agent.node: [session.state for session in agent.sessions]
        for agent in sorted(cluster.agents.values(), key=lambda agent: agent.node)
    }


def said(cluster: World, *argv: str) -> object:
    found: object = json.loads(CiliumCommand(cluster).answer([*argv, "-o", "json"]).stdout)
    return found


def announced(cluster: World, node: str) -> set[str]:
    """The IPv4 prefixes that a node tells its peers."""
    routes = said(cluster, "bgp", "routes", "advertised", "ipv4", "unicast")
    return {text(route, "prefix") for route in objects(routes, node)}


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("unready", (3, 3, 2)),
        ("pod-missing", (3, 2, 2)),
        ("image-missing", (3, 3, 2)),
    ],
)
def test_a_fault_of_a_pod_shows_in_its_workload_until_it_is_mended(
    tmp_path: Path, fault: str, wanted: tuple[int, int, int]
) -> None:
    plan = f"{{fault: {fault}, node: talos-cp-2, at: -10m"
    assert counts(world(tmp_path, f"faults: [{plan}}}]")) == wanted
    mended = world(tmp_path, f"faults: [{plan}, for: 5m}}]")
    assert counts(mended) == (3, 3, 3)
    assert set(map(tuple, states(mended).values())) == {("established",)}


def test_an_unready_agent_goes_on_and_one_without_image_does_not(tmp_path: Path) -> None:
    unready = world(tmp_path, "faults: [{fault: unready, node: talos-cp-2}]")
    assert states(unready)["talos-cp-2"] == ["established"]
    held = world(tmp_path, "faults: [{fault: image-missing, node: talos-cp-2}]")
    pod = agent_pod(held)
    (container,) = objects(pod, "status", "containerStatuses")
    assert text(pod, "status", "phase") == "Pending"
    assert text(container, "state", "waiting", "reason") == "ImagePullBackOff"
    assert states(held)["talos-cp-2"] == []


def test_an_upgraded_agent_runs_another_image(tmp_path: Path) -> None:
    plan = "{fault: agent-upgraded, node: talos-cp-2, version: 1.19.4}"
    cluster = world(tmp_path, f"faults: [{plan}]")
    images = [
        text(container, "image").rpartition(":")[2]
        for node in ("talos-cp-1", "talos-cp-2")
        for container in objects(agent_pod(cluster, node), "spec", "containers")
    ]
    assert images == ["v1.19.1", "v1.19.4"]


def test_a_lease_that_is_stuck_was_renewed_until_then(tmp_path: Path) -> None:
    cluster = world(tmp_path, "faults: [{fault: lease-stuck, at: -5m}]")
    lease = cluster.store.get(LEASES, "kube-system", "cilium-operator-resource-lock")
    assert text(lease, "spec", "renewTime") == "2026-11-23T11:55:00.000000Z"


def test_a_controller_fails_ever_more_often(tmp_path: Path) -> None:
    cluster = world(tmp_path, "faults: [{fault: controller-fails, node: talos-cp-2, at: -50s}]")
    status = mapping(said(cluster, "status"), "cilium_status", name_of(agent_pod(cluster)))
    failing = {
        text(each, "name"): integer(each, "status", "consecutive-failure-count")
        for each in objects(status, "controllers")
        if integer(each, "status", "consecutive-failure-count")
    }
    assert failing == {"cilium-health-ep": 11}


def test_an_agent_whose_status_is_stuck_keeps_its_last_word(tmp_path: Path) -> None:
    cluster = world(
        tmp_path,
        "faults: [{fault: status-stuck, node: talos-cp-2, at: -1h},"
        " {fault: router-killed, at: -30m}]",
    )
    told = {}
    for config in cluster.store.all(NODE_CONFIGS):
        (instance,) = objects(config, "status", "bgpInstances")
        told[name_of(config)] = text(objects(instance, "peers")[0], "peeringState")
    assert told["talos-cp-2"] == "established"
    assert told["talos-cp-1"] != "established"
    assert states(cluster)["talos-cp-2"] != ["established"]


def test_routes_that_are_stuck_outlive_their_service_and_follow_again(tmp_path: Path) -> None:
    gone = "changes: [{at: -30m, remove: [Service/home/home-assistant]}]"
    plan = "{fault: routes-stuck, node: talos-cp-1, at: -1h"
    stuck = world(tmp_path, f"{gone}\nfaults: [{plan}}}]")
    assert "172.29.52.100/32" in announced(stuck, "talos-cp-1")
    assert "172.29.52.100/32" not in announced(stuck, "talos-cp-2")
    mended = world(tmp_path, f"{gone}\nfaults: [{plan}, for: 40m}}]")
    assert "172.29.52.100/32" not in announced(mended, "talos-cp-1")


def test_agents_between_two_policies_change_nothing_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    second = "{kind: CiliumBGPPeeringPolicy, metadata: {name: second}, spec: {virtualRouters: []}}"
    path.write_text(
        "description: x\nextends: v1-home\nexpect: {sentence: y}\nchanges:\n"
        f"  - {{at: -30m, manifests: [{second}]}}\n"
        "  - {at: -20m, remove: [Service/home/home-assistant]}\n"
    )
    cluster = World(read_scenario(str(path)), 0, HandClock())
    assert "172.29.52.100/32" in announced(cluster, "talos-cp-1")
    cluster.store.delete(PEERING_POLICIES, "", "second")
    cluster.advance(NOON)
    assert "172.29.52.100/32" not in announced(cluster, "talos-cp-1")


def test_what_an_object_owns_goes_with_it(tmp_path: Path) -> None:
    cluster = world(tmp_path, "changes: [{remove: [Service/home/home-assistant]}]")
    slices = cluster.store.all(ENDPOINT_SLICES, "home")
    assert [s for s in slices if name_of(s).startswith("home-assistant")] == []
    assert [s for s in slices if name_of(s).startswith("zigbee2mqtt")]


def test_definitions_are_left_over_or_missing(tmp_path: Path) -> None:
    left = world(
        tmp_path, "crds: {CiliumBGPPeeringPolicy: true, CiliumL2AnnouncementPolicy: false}"
    )
    assert PEERING_POLICIES in left.store.resources
    assert ("cilium.io", "ciliuml2announcementpolicies") not in left.store.resources
    assert POOLS in left.store.resources


def test_the_clocks_of_a_cluster_may_be_ahead(tmp_path: Path) -> None:
    cluster = world(tmp_path, "clock: 10m")
    assert cluster.cluster("v1.34.2").clock() == NOON + timedelta(minutes=10)


def test_a_pod_with_an_address_of_another_network_is_not_managed(tmp_path: Path) -> None:
    pod = "{kind: Pod, metadata: {name: p, namespace: default}, spec: {nodeName: talos-cp-1}, "
    for address, managed in (("10.42.0.7", -1), ("10.244.0.7", 0)):
        cluster = world(tmp_path, f"manifests: [{pod} status: {{podIP: {address}}}}}]")
        counted = mapping(said(cluster, "status"), "pods_count")
        assert integer(counted, "by_cilium") - integer(counted, "all") == managed


def test_a_user_who_may_not_exec_is_told_as_by_a_real_cluster(tmp_path: Path) -> None:
    cluster = world(tmp_path, "forbidden: [/api/v1/namespaces/kube-system/pods/exec]")
    answer = CiliumCommand(cluster).answer(["bgp", "peers", "-o", "json"])
    _, recorded, code = Recording("rights-no-exec").run("bgp", "peers", "-o", "json")

    def shape(error: str) -> list[str]:
        words = error.replace("bench-viewer", "lab").split()
        return [word for word in words if not word.strip('":;,').count("cilium-")][:24]

    assert (answer.exit, answer.stdout) == (code, b"")
    assert shape(answer.stderr.decode()) == shape(recorded)
    assert cluster.cluster("v1.34.2").forbidden == cluster.forbidden


def test_an_old_command_knows_no_routes(tmp_path: Path) -> None:
    command = CiliumCommand(world(tmp_path, "cli: 0.15.19"))
    asked = ["bgp", "routes", "available", "ipv4", "unicast"]
    answer = command.answer([*asked, "-o", "json"])
    assert (answer.exit, answer.stderr) == (1, b"unknown shorthand flag: 'o' in -o\n")
    assert b"Access to BGP control plane" in command.answer(asked).stdout
    assert b"cilium-cli: v0.15.19 " in command.answer(["version"]).stdout
    assert json.loads(command.answer(["bgp", "peers", "-o", "json"]).stdout)


@pytest.mark.parametrize(("cli", "answers"), [("0.18.5", False), ("0.18.6", True)])
def test_one_silent_agent_costs_an_old_command_all_answers(
    tmp_path: Path, cli: str, answers: bool
) -> None:
    cluster = world(tmp_path, f"cli: {cli}\nfaults: [{{fault: exec-fails, node: talos-cp-2}}]")
    for argv in (["bgp", "peers"], ["bgp", "routes", "available", "ipv4", "unicast"]):
        answer = CiliumCommand(cluster).answer([*argv, "-o", "json"])
        assert bool(answer.stdout) is answers
        assert answer.exit == (0 if answers else 1)
        assert name_of(agent_pod(cluster)) in answer.stderr.decode()


def test_a_router_may_offer_one_node_another_hold_time(tmp_path: Path) -> None:
    router = "{name: r, address: 172.29.51.1, asn: 64513, holds: {talos-cp-2: 9}}"
    cluster = world(tmp_path, f"routers: [{router}]")
    assert {a.node: [s.applied_hold for s in a.sessions] for a in cluster.agents.values()} == {
        "talos-cp-1": [30],
        "talos-cp-2": [9],
        "talos-cp-3": [30],
    }


def test_the_settings_are_those_of_the_lab(tmp_path: Path) -> None:
    """Nothing above changes a cluster that asks for none of it."""
    cluster = world(tmp_path, "")
    assert counts(cluster) == (3, 3, 3)
    assert not cluster.forbidden
    assert cluster.store.get(CONFIG_MAPS, "kube-system", "cilium-config")
    assert all(text(pod, "status", "phase") == "Running" for pod in cluster.store.all(PODS))
