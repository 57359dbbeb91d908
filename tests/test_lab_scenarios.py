"""The scenarios: each loads settled, lives, and says what to conclude."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.lab.fields import mapping, name_of, objects, text
from app.lab.kinds import NODE_CONFIGS, PODS, SERVICES
from app.lab.scenario import (
    FOLDER,
    ScenarioError,
    duration,
    read_scenario,
    scenario_list,
)
from app.lab.store import Cluster, JsonObject
from app.lab.workloads import is_ready
from app.lab.world import World, load_scenario
from tests.lab_cluster import NOON, HandClock
from tests.patience import PATIENCE

NAMES = [name for name, _ in scenario_list()]
SMALL = [name for name in NAMES if name != "large"]


def world(name: str, seed: int = 0) -> tuple[World, HandClock]:
    clock = HandClock()
    return World(read_scenario(name), seed, clock), clock


def peers(cluster: World) -> dict[str, list[str]]:
    """Session states by node, from the command."""
    answer = cluster.cluster("v1.34.2").cilium(["bgp", "peers", "-o", "json"])
    document: object = json.loads(answer.stdout or b"{}")
    return {
        node: [text(peer, "session-state") for peer in objects(document, node)]
        for node in mapping({"d": document}, "d")
    }


def service(cluster: World, name: str) -> JsonObject:
    namespace, _, name = name.partition("/")
    found = cluster.store.get(SERVICES, namespace, name)
    assert found is not None
    return found


def verdict(cluster: World, name: str) -> str:
    conditions = objects(service(cluster, name), "status", "conditions")
    return text(next(iter(conditions), {}), "reason")


def everything(cluster: World) -> str:
    """All objects and log lines, to compare two runs."""
    store = {str(key): cluster.store.all(key) for key in cluster.store.resources}
    pods = cluster.store.all(PODS)
    logs = [
        cluster.plane.logs.of("kube-system", name_of(pod), text(container, "name"))
        for pod in pods
        for container in objects(pod, "spec", "containers")
    ]
    return json.dumps([store, [(log.lines, log.previous) for log in logs if log]], default=str)


# All of them


def test_the_list_begins_with_home_and_describes_each() -> None:
    listed = scenario_list()
    assert listed[0][0] == "home"
    assert all(description for _, description in listed)
    assert not {"base", "services"} & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_says_what_to_conclude(name: str) -> None:
    expect = read_scenario(name).expect
    assert expect.sentence.endswith(".")
    assert all(re.fullmatch(r"CS[1-8]\d\d", code) for code in expect.findings)
    assert bool(expect.findings) != expect.sentence.startswith("Nothing is wrong.")


@pytest.mark.parametrize("name", SMALL)
def test_every_scenario_is_settled_when_it_is_loaded(name: str) -> None:
    cluster, _ = world(name)
    before = everything(cluster)
    cluster.advance(NOON)
    assert everything(cluster) == before
    assert cluster.plane.time == NOON


@pytest.mark.parametrize("name", SMALL)
def test_every_scenario_lives_on(name: str) -> None:
    cluster, clock = world(name)
    for _ in range(20):
        clock.now += timedelta(seconds=30)
        cluster.advance(clock.now)
    assert cluster.store.clock() == clock.now


@pytest.mark.parametrize("name", ["home", "v1-two-policies", "operator-down"])
def test_a_scenario_is_the_same_under_the_same_seed(name: str) -> None:
    first, second, other = (world(name, seed)[0] for seed in (3, 3, 4))
    assert everything(first) == everything(second)
    assert everything(first) != everything(other)


# What they show


def test_home_has_a_dozen_balanced_services_and_a_broken_one() -> None:
    cluster, _ = world("home")
    balanced = [s for s in cluster.store.all(SERVICES) if text(s, "spec", "type") == "LoadBalancer"]
    without = [s for s in balanced if not objects(s, "status", "loadBalancer", "ingress")]
    assert len(balanced) == 13
    assert [name_of(s) for s in without] == ["esphome"]
    assert verdict(cluster, "home/esphome") == "no_pool"
    assert len({text(s, "metadata", "namespace") for s in balanced}) >= 5


def test_home_has_a_past() -> None:
    cluster, _ = world("home")
    config = cluster.store.get(NODE_CONFIGS, "", "talos-cp-1")
    assert text(config, "metadata", "creationTimestamp") < "2026-10-14"
    (instance,) = objects(config, "status", "bgpInstances")
    established = text(objects(instance, "peers")[0], "establishedTime")
    assert established.startswith("2026-11-19T12:0")
    agent = next(a for a in cluster.agents.values() if a.node == "talos-cp-3")
    log = cluster.plane.logs.of("kube-system", agent.pod, "cilium-agent")
    assert log is not None
    assert sum("Peer Down" in line for _, line in log.lines) >= 8
    assert log.lines == sorted(log.lines, key=lambda entry: entry[0])


def test_home_lives() -> None:
    cluster, clock = world("home")
    pods = {name_of(p): p for p in cluster.store.all(PODS, "kube-system")}
    for _ in range(180):
        clock.now += timedelta(seconds=10)
        cluster.advance(clock.now)
    restarted = [p for p in cluster.store.all(PODS, "kube-system") if p != pods[name_of(p)]]
    assert restarted
    assert all(is_ready(pod) for pod in restarted)
    lease = cluster.store.get(
        ("coordination.k8s.io", "leases"), "kube-system", "cilium-operator-resource-lock"
    )
    behind = clock.now.isoformat(timespec="seconds")[:16]
    assert text(lease, "spec", "renewTime").startswith(behind[:16])
    assert peers(cluster)["talos-cp-1"] == ["established"]


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("healthy", [["established"]] * 3),
        ("router-killed", [["active"]] * 3),
        ("v1-router-killed", [["active"]] * 3),
        ("password-mismatch", [["active"]] * 3),
        ("router-refuses-node", [["established"], ["established"], ["active"]]),
        ("no-bgp-config", [[], [], []]),
        ("peer-config-missing", [[], [], []]),
        ("agent-down", [["established"], ["established"]]),
        ("node-not-ready", [["established"], ["established"]]),
        ("bgp-disabled", []),
        ("v1-two-policies", [["established"]] * 3),
    ],
)
def test_sessions_of_a_scenario(name: str, states: list[list[str]]) -> None:
    assert list(peers(world(name)[0]).values()) == states


@pytest.mark.parametrize(
    ("name", "service_name", "reason"),
    [
        ("typo-in-pool-label", "home/frigate", "no_pool"),
        ("pool-exhausted", "games/factorio", "out_of_ips"),
        ("pools-overlap", "home/paperless", "no_pool"),
        ("requested-taken", "home/vaultwarden", "already_allocated"),
        ("operator-down", "media/immich", ""),
        ("lb-ipam-disabled", "home/mosquitto", ""),
    ],
)
def test_the_service_of_a_scenario_has_no_address(
    name: str, service_name: str, reason: str
) -> None:
    cluster, _ = world(name)
    assert objects(service(cluster, service_name), "status", "loadBalancer", "ingress") == []
    assert verdict(cluster, service_name) == reason


def test_what_was_reported_before_bgp_was_switched_off_stays() -> None:
    cluster, _ = world("bgp-disabled")
    for config in cluster.store.all(NODE_CONFIGS):
        (instance,) = objects(config, "status", "bgpInstances")
        assert text(objects(instance, "peers")[0], "peeringState") == "established"


def test_a_large_cluster_has_the_size_that_is_asked_for() -> None:
    cluster, _ = world("large:services=60,nodes=7")
    answer = cluster.cluster("v1.34.2").cilium(["bgp", "peers", "-o", "json"])
    assert len(json.loads(answer.stdout)) == 10
    assert len(cluster.agents) == 10
    generated = [s for s in cluster.store.all(SERVICES) if name_of(s).startswith("app-")]
    assert len(generated) == 60
    assert all(objects(s, "status", "loadBalancer", "ingress") for s in generated)


# Time


async def test_a_running_cluster_reacts_to_a_change_without_being_asked() -> None:
    cluster: Cluster = load_scenario("home")
    running = asyncio.ensure_future(cluster.run())
    broken = cluster.store.get(SERVICES, "home", "esphome")
    assert broken is not None
    labels = {**mapping(broken, "metadata", "labels"), "io.cilium/lb-ipam-pool": "bgp-default"}
    metadata = {**mapping(broken, "metadata"), "labels": labels}
    cluster.store.put(SERVICES, {**broken, "metadata": metadata})
    async with asyncio.timeout(PATIENCE):
        while not objects(
            cluster.store.get(SERVICES, "home", "esphome"), "status", "loadBalancer", "ingress"
        ):
            await cluster.store.changed()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def write(folder: Path, content: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(content)
    return str(path)


def test_a_fault_strikes_for_a_time_again_and_again(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
description: The router dies for a minute every ten minutes
extends: base
faults:
  - {fault: router-killed, at: 60s, for: 1m, every: 10m}
expect: {sentence: It comes and goes.}
""",
    )
    cluster, clock = world(path)
    seen = []
    for _ in range(5):
        clock.now += timedelta(seconds=90)
        cluster.advance(clock.now)
        up = peers(cluster)["talos-cp-1"] == ["established"]
        clock.now += timedelta(seconds=210)
        cluster.advance(clock.now)
        seen.append((up, peers(cluster)["talos-cp-1"] == ["established"]))
    assert seen == [(False, True), (True, True), (False, True), (True, True), (False, True)]


# Files


def test_an_extending_scenario_merges_manifests_and_replaces_other_lists(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
description: Mine
extends: base
manifests:
  - kind: CiliumLoadBalancerIPPool
    metadata: {name: bgp-default}
    spec: {disabled: true}
nodes:
  - {name: alone, addresses: [192.0.2.1]}
backends: {}
faults: []
expect: {sentence: It is mine.}
""",
    )
    scenario = read_scenario(path)
    assert [node.name for node in scenario.nodes] == ["alone"]
    (mine,) = [m for m in scenario.manifests if text(m, "metadata", "name") == "bgp-default"]
    assert mapping(mine, "spec")["disabled"] is True
    assert objects(mine, "spec", "blocks")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("description: [", "is not valid YAML"),
        ("- a\n- b", "a scenario is a mapping"),
        ("description: x\nexpect: {sentence: y}\nmanifest: []", "unknown key `manifest`"),
        (
            "description: x\nexpect: {sentence: y}\nrouters: [{name: r, adress: 192.0.2.1}]",
            "unknown key `adress` in `routers[0]`",
        ),
        (
            "description: x\nexpect: {sentence: y}\nnodes: [{name: n, addresses: [], cpu: 4}]",
            "unknown key `cpu` in `nodes[0]`",
        ),
        ("description: x\nexpect: {sentence: y}\nseed: many", "in `seed`"),
        (
            "description: x\nexpect: {sentence: y}\nfaults: [{fault: router-eaten}]",
            "in `faults[0].fault`",
        ),
        ("description: x", "`expect`"),
        ("extends: nowhere\ndescription: x", "there is no scenario 'nowhere'"),
        ("extends: mine.yaml\ndescription: x", "leads back"),
        ("extends: base\nmanifests: [1]", "`manifests` is a list of objects"),
        ("description: x\nexpect: {sentence: y}\ncilium: new", "'new' is not a Cilium version"),
        ("description: x\nexpect: {sentence: y}\ncli: new", "'new' is not a version"),
        ("description: x\nexpect: {sentence: y}\ncrds: {Cat: true}", "'Cat' is no kind"),
        (
            "description: x\nexpect: {sentence: y}\nrouters: [{name: r, address: a, asn: 1}]",
            "'a' does not appear to be an IPv4 or IPv6 address",
        ),
        (
            "description: x\nexpect: {sentence: y}\nmanifests: [{kind: Service}]",
            "a manifest needs `kind` and `metadata.name`",
        ),
    ],
)
def test_a_bad_file_gets_one_sentence_with_file_and_place(
    tmp_path: Path, content: str, words: str
) -> None:
    with pytest.raises(ScenarioError) as raised:
        read_scenario(write(tmp_path, content))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "mine.yaml" in str(raised.value) or "nowhere" in str(raised.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("history: long", "'long' is no length of time"),
        ("faults: [{fault: exec-fails, node: nobody}]", "there is no node 'nobody'"),
        ("faults: [{fault: router-killed, router: x}]", "there is no router 'x'"),
        ("faults: [{fault: unready, component: x}]", "there is no component 'x'"),
        ("faults: [{fault: agent-upgraded}]", "agent-upgraded needs a `version`"),
        ("clock: soon", "clock: 'soon' is no length of time"),
        ("changes: [{remove: [CiliumBGPPeerConfig/x]}]", "there is no CiliumBGPPeerConfig/x"),
        (
            "manifests: [{kind: Secret, metadata: {name: s, creationTimestamp: soon}}]",
            "Secret/s: 'soon' is no length of time",
        ),
        (
            "manifests: [{kind: CiliumBGPAdvertisement, metadata: {name: a}, spec: {"
            "advertisements: [{advertisementType: PodCIDR, attributes: "
            "{communities: {standard: ['a:b']}}}]}}]",
            "CiliumBGPAdvertisement/a: invalid literal",
        ),
        ("changes: [{manifests: [{kind: Cat, metadata: {name: tom}}]}]", "does not serve Cat/tom"),
    ],
)
def test_what_a_scenario_cannot_do_it_says(tmp_path: Path, more: str, words: str) -> None:
    head = "description: x\nextends: base\nexpect: {sentence: y}\n"
    with pytest.raises(ScenarioError, match=re.escape(words)):
        world(write(tmp_path, head + more))


def test_a_scenario_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ScenarioError, match=r"the scenarios are: .*home"):
        load_scenario("hoem")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario("./nothing.yaml")
    with pytest.raises(ScenarioError, match="write services=NUMBER"):
        load_scenario("large:cats=3")


def test_times_are_written_with_a_unit() -> None:
    assert duration("-10m", "x") == timedelta(minutes=-10)
    assert duration("1.5h", "x") == timedelta(minutes=90)
    with pytest.raises(ScenarioError, match="x: '10' is no length of time"):
        duration("10", "x")


def test_files_that_only_serve_others_are_marked_so() -> None:
    for path in FOLDER.glob("*.yaml"):
        assert read_scenario(path.stem).base == (path.stem in ("base", "services"))


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.dates(), st.text(max_size=5))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["description", "expect", "nodes", "routers", "manifests", "faults", "life", "config"]


@given(st.dictionaries(st.sampled_from(KEYS), trees), st.booleans())
def test_any_file_is_a_scenario_or_is_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, object], extends: bool
) -> None:
    folder = tmp_path_factory.mktemp("scenario")
    path = write(folder, yaml.safe_dump({**content, **({"extends": "base"} if extends else {})}))
    refused = ""
    try:
        read_scenario(path)
    except ScenarioError as error:
        refused = str(error)
    assert "\n" not in refused


@given(st.text(max_size=40))
def test_any_text_is_a_scenario_or_is_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    with pytest.raises(ScenarioError) as raised:
        read_scenario(write(tmp_path_factory.mktemp("scenario"), content))
    assert "\n" not in str(raised.value)


def test_a_time_in_a_manifest_is_taken_as_it_is(tmp_path: Path) -> None:
    cluster, _ = world(
        write(
            tmp_path,
            """
description: Mine
extends: base
manifests:
  - kind: Secret
    metadata: {name: old, namespace: default, creationTimestamp: 2026-11-20T10:00:00Z}
expect: {sentence: It is mine.}
""",
        )
    )
    secret = cluster.store.get(("", "secrets"), "default", "old")
    assert text(secret, "metadata", "creationTimestamp") == "2026-11-20T10:00:00Z"
