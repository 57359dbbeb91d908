"""The simulated control plane against real clusters: same manifests in, same statuses out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache

import pytest

from app.lab.cilium import CiliumCommand
from app.lab.fields import key_of, mapping, name_of, objects, text
from app.lab.kinds import CLUSTER_CONFIGS, NODE_CONFIGS, PEER_CONFIGS, POOLS, SERVICES
from app.lab.store import JsonObject, ResourceKey
from app.lab.world import Simulation
from tests.lab_history import RECORDINGS, Recording, simulate

NAMES = sorted(path.parent.name for path in RECORDINGS.glob("*/recording.yaml"))

_OLD_COUNTS = (
    "the status was last written when the session came up, with services that were deleted "
    "before the recording was taken"
)

DIFFERENCES: dict[tuple[str, str], str] = {
    ("healthy", "route counts in NodeConfig"): _OLD_COUNTS,
    ("advert-external-only", "route counts in NodeConfig"): _OLD_COUNTS,
    ("advert-without-selector", "route counts in NodeConfig"): _OLD_COUNTS,
    ("local-one-node", "route counts in NodeConfig"): _OLD_COUNTS,
    ("rights-no-exec", "cilium"): "the user may not exec; the simulated cluster has no users",
}
"""What differs because of the real cluster's history or user, not of its control plane."""


@cache
def simulated(name: str) -> Simulation:
    return simulate(Recording(name))


def said(name: str, *argv: str) -> object:
    answer = CiliumCommand(simulated(name)).answer([*argv, "-o", "json"])
    return json.loads(answer.stdout) if answer.stdout else None


def recorded(name: str, *argv: str) -> object:
    out, _, _ = Recording(name).run(*argv, "-o", "json")
    return json.loads(out) if out else None


def compare(name: str, what: str, mine: object, theirs: object) -> None:
    """Equal, unless listed as different; a listed difference that is none is out of date."""
    if (name, what) in DIFFERENCES:
        assert mine != theirs, f"no difference any more: {DIFFERENCES[name, what]}"
    else:
        assert mine == theirs


def conditions(obj: JsonObject, path: Iterable[str] = ("status", "conditions")) -> list[object]:
    """Type, status, reason, message, and whether the verdict is about the present object."""
    generation = mapping(obj, "metadata").get("generation")
    return [
        (
            text(each, "type"),
            text(each, "status"),
            text(each, "reason"),
            text(each, "message"),
            "observedGeneration" not in each or each["observedGeneration"] == generation,
        )
        for each in objects(obj, *path)
    ]


def both(
    name: str, resource: ResourceKey, read: Callable[[JsonObject], object]
) -> tuple[dict[tuple[str, str], object], dict[tuple[str, str], object]]:
    """The same thing of each object: as simulated, as recorded."""
    store = simulated(name).store
    mine = {key_of(obj): read(obj) for obj in store.all(resource)}
    theirs = {key_of(obj): read(obj) for obj in Recording(name).all(resource)}
    return mine, theirs


@pytest.mark.parametrize("name", NAMES)
def test_services_get_the_addresses_and_verdicts_that_the_real_operator_gave(name: str) -> None:
    def read(service: JsonObject) -> object:
        ingress = mapping(service, "status", "loadBalancer").get("ingress")
        has_generation = any(
            "observedGeneration" in each for each in objects(service, "status", "conditions")
        )
        return ingress, conditions(service), has_generation

    mine, theirs = both(name, SERVICES, read)
    assert mine == theirs


@pytest.mark.parametrize("name", NAMES)
def test_pools_count_and_conflict_as_the_real_ones(name: str) -> None:
    mine, theirs = both(name, POOLS, conditions)
    assert mine == theirs


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("resource", [CLUSTER_CONFIGS, PEER_CONFIGS], ids=["cluster", "peer"])
def test_bgp_configurations_are_judged_as_by_the_real_operator(
    name: str, resource: ResourceKey
) -> None:
    if resource not in simulated(name).store.resources:
        assert Recording(name).all(resource) == []
        return
    mine, theirs = both(name, resource, conditions)
    assert mine == theirs


@pytest.mark.parametrize("name", NAMES)
def test_node_configs_are_rendered_as_by_the_real_operator(name: str) -> None:
    def read(config: JsonObject) -> object:
        owners = objects(config, "metadata", "ownerReferences")
        return config["spec"], owners, config["apiVersion"], config["kind"]

    mine, theirs = both(name, NODE_CONFIGS, read)
    assert mine == theirs


def sessions(config: JsonObject) -> dict[str, object]:
    """Everything but counters and times; whether there is a time is kept."""
    return {
        f"{text(instance, 'name')}/{text(peer, 'name')}": {
            "established": "establishedTime" in peer,
            "families": [(text(f, "afi"), text(f, "safi")) for f in objects(peer, "routeCount")],
            **{k: v for k, v in peer.items() if k not in ("establishedTime", "routeCount")},
        }
        for instance in objects(config, "status", "bgpInstances")
        for peer in objects(instance, "peers")
    }


@pytest.mark.parametrize("name", NAMES)
def test_agents_report_the_sessions_that_the_real_ones_reported(name: str) -> None:
    mine, theirs = both(name, NODE_CONFIGS, sessions)
    assert mine == theirs


@pytest.mark.parametrize("name", NAMES)
def test_agents_report_the_route_counts_that_the_real_ones_reported(name: str) -> None:
    def read(config: JsonObject) -> object:
        return [
            mapping({"count": count}, "count")
            for instance in objects(config, "status", "bgpInstances")
            for peer in objects(instance, "peers")
            for count in objects(peer, "routeCount")
        ]

    mine, theirs = both(name, NODE_CONFIGS, read)
    compare(name, "route counts in NodeConfig", mine, theirs)


def peers(document: object) -> dict[str, list[JsonObject]] | None:
    """`bgp peers` without what differs by the moment: uptimes, the order of capabilities."""
    if document is None:
        return None
    found: dict[str, list[JsonObject]] = {}
    for node in mapping({"peers": document}, "peers"):
        found[node] = []
        for peer in objects(document, node):
            shown = {k: v for k, v in peer.items() if "capabilities" not in k}
            shown["uptime-nanoseconds"] = "uptime-nanoseconds" in peer
            for side in ("local-capabilities", "remote-capabilities"):
                listed = [text(each, "capabilities") for each in objects(peer, side)]
                shown[side] = (peer[side] is None, sorted(listed))
            found[node].append(shown)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_the_peers_that_the_real_one_printed(name: str) -> None:
    mine, theirs = peers(said(name, "bgp", "peers")), peers(recorded(name, "bgp", "peers"))
    compare(name, "cilium", mine, theirs)


def routes(document: object) -> dict[str, list[tuple[str, str, str, str]]] | None:
    """`bgp routes` as a set per node: neighbour, prefix, encoded attributes; ages left out."""
    if document is None:
        return None
    return {
        node: sorted(
            (
                text(route, "neighbor"),
                text(route, "prefix"),
                str(route["router-asn"]),
                json.dumps({k: v for k, v in path.items() if k != "age-nanoseconds"}),
            )
            for route in objects(document, node)
            for path in objects(route, "paths")
        )
        for node in mapping({"routes": document}, "routes")
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", ["available", "advertised"])
@pytest.mark.parametrize("afi", ["ipv4", "ipv6"])
def test_the_command_prints_the_routes_that_the_real_one_printed(
    name: str, table: str, afi: str
) -> None:
    argv = ("bgp", "routes", table, afi, "unicast")
    compare(name, "cilium", routes(said(name, *argv)), routes(recorded(name, *argv)))


def complaint(text_: str, pods: Iterable[str]) -> list[str]:
    """Lines of stderr in an order of their own, without pod names (those of the bench differ)."""
    for pod in pods:
        text_ = text_.replace(pod, "POD")
    head, _, rest = text_.strip("\n").partition(": ")
    return [head, *sorted(rest.split("\n")), text_[len(text_.rstrip("\n")) :]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "argv",
    [
        ("bgp", "peers"),
        ("bgp", "routes", "available", "ipv4", "unicast"),
        ("bgp", "routes", "advertised", "ipv6", "unicast"),
    ],
    ids=lambda argv: " ".join(argv),
)
def test_the_command_fails_in_the_words_of_the_real_one(name: str, argv: tuple[str, ...]) -> None:
    simulation = simulated(name)
    answer = CiliumCommand(simulation).answer([*argv, "-o", "json"])
    _, err, code = Recording(name).run(*argv, "-o", "json")
    theirs = [name_of(pod) for pod in Recording(name).all(("", "pods"))]
    mine = (answer.exit, complaint(answer.stderr.decode(), simulation.agents))
    compare(name, "cilium", mine, (code, complaint(err, theirs)))


def shape(line: str) -> str:
    """A log line without its time."""
    return re.sub(r'^time="?\S+Z"? ', "", line)


@cache
def recorded_lines(cilium: str) -> frozenset[str]:
    """Every line that the recorded agents and operators of a version wrote, without times."""
    lines: set[str] = set()
    for recording in map(Recording, NAMES):
        if recording.cilium == cilium:
            for path in recording.folder.glob("logs/*/*/*.log"):
                lines |= {shape(line.partition(" ")[2]) for line in path.read_text().splitlines()}
    return frozenset(lines)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_that_the_lab_logs_is_one_that_a_real_cluster_logged(name: str) -> None:
    simulation = simulated(name)
    pods = [(pod, "cilium-agent") for pod in simulation.agents]
    pods.append((simulation.plane.operator_pod, "cilium-operator"))
    logs = [simulation.plane.logs.of("kube-system", *pod) for pod in pods]
    written = {shape(line) for log in logs if log is not None for _, line in log.lines}
    assert written
    assert written - recorded_lines(Recording(name).cilium) == set()
