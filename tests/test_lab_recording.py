"""Recordings of a real cluster, served again."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.lab.recording import RecordingUnreadable, load_recording, question
from app.lab.store import Cluster
from tests.lab_serving import Served, serving

ROOT = Path(__file__).parent / "recordings"
RECORDINGS = sorted(path.parent for path in ROOT.glob("*/recording.yaml"))
SYSTEM = "/api/v1/namespaces/kube-system"

everywhere = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A recording that a test may damage."""
    target = tmp_path / "copy"
    shutil.copytree(ROOT / "healthy", target)
    return target


@pytest.fixture
async def healthy() -> AsyncIterator[Served]:
    async with serving(load_recording(ROOT / "healthy"), bookmark_interval=0.05) as api:
        yield api


@pytest.fixture
async def without_rights() -> AsyncIterator[Served]:
    async with serving(load_recording(ROOT / "rights-no-exec")) as api:
        yield api


def head(recording: Path) -> dict[str, object]:
    found = yaml.safe_load((recording / "recording.yaml").read_text())
    assert isinstance(found, dict)
    return found


def test_there_are_recordings_to_serve() -> None:
    assert len(RECORDINGS) >= 25


@everywhere
async def test_every_body_is_served_byte_for_byte(recording: Path) -> None:
    bodies = sorted((recording / "api").rglob("*.json"))
    assert bodies
    async with serving(load_recording(recording)) as api:
        for body in bodies:
            path = f"/{body.relative_to(recording / 'api').with_suffix('')}"
            status, served, headers = await api.raw(path)
            assert (status, served) == (200, body.read_bytes()), path
            assert headers["Content-Type"].startswith("application/json")


@everywhere
async def test_what_was_not_served_is_refused_as_it_was(recording: Path) -> None:
    paths = head(recording)["not_served"]
    assert isinstance(paths, list)
    async with serving(load_recording(recording)) as api:
        for path in paths:
            status, _, _ = await api.raw(path)
            assert status == (403 if path.endswith("/leases") else 404), path


@everywhere
async def test_every_log_is_served_line_for_line_with_its_times(recording: Path) -> None:
    logs = sorted((recording / "logs").glob("*/*/*.log"))
    assert logs or recording.name == "rights-no-exec"
    async with serving(load_recording(recording)) as api:
        for log in logs:
            namespace, pod, _ = log.relative_to(recording / "logs").parts
            path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
            status, served, _ = await api.raw(f"{path}/log", container=log.stem, timestamps="true")
            # The pod may have been replaced between the two recordings.
            there = (await api.raw(path))[0] == 200
            assert (status, served == log.read_bytes()) == ((200, True) if there else (404, False))


@everywhere
def test_every_recorded_command_is_answered_at_once(recording: Path) -> None:
    cluster = load_recording(recording)
    for run in json.loads((recording / "cli" / "index.json").read_text()):
        answer = cluster.cilium(run["argv"])
        assert answer.stdout == (recording / "cli" / run["stdout"]).read_bytes()
        assert answer.stderr == (recording / "cli" / run["stderr"]).read_bytes()
        assert (answer.exit, answer.seconds) == (run["exit"], 0.0)


@everywhere
def test_the_clock_stands_still_at_the_moment_of_the_recording(recording: Path) -> None:
    cluster = load_recording(recording)
    taken = datetime.fromisoformat(str(head(recording)["taken_at"]))
    assert cluster.clock() == cluster.clock() == taken


@everywhere
async def test_derived_lists_hold_the_recorded_objects_in_their_order(recording: Path) -> None:
    async with serving(load_recording(recording)) as api:
        for kind in ("pods", "services", "events"):
            _, whole = await api.get(f"/api/v1/{kind}")
            _, filtered = await api.get(f"/api/v1/{kind}", labelSelector="!no-such-label")
            assert filtered == whole
            _, inside = await api.get(f"{SYSTEM}/{kind}")
            items = whole["items"]
            assert isinstance(items, list)
            assert inside["items"] == [
                item for item in items if item["metadata"]["namespace"] == "kube-system"
            ]
            assert inside["metadata"] == whole["metadata"]


async def test_objects_are_served_alone_and_in_each_version(healthy: Served) -> None:
    for version in ("v2", "v2alpha1"):
        path = f"/apis/cilium.io/{version}/ciliumbgpnodeconfigs"
        _, listed = await healthy.get(path)
        items = listed["items"]
        assert isinstance(items, list)
        assert (await healthy.get(f"{path}/talos-cp-1"))[1] == items[0]
        assert (await healthy.get(path, limit="1"))[1]["items"] == items[:1]


async def test_selectors_work_on_recorded_objects(healthy: Served) -> None:
    agents = await healthy.names(f"{SYSTEM}/pods", labelSelector="k8s-app=cilium")
    assert len(agents) == 3
    on_one = {"labelSelector": "k8s-app=cilium", "fieldSelector": "spec.nodeName=talos-cp-1"}
    assert len(await healthy.names("/api/v1/pods", **on_one)) == 1


async def test_pages_of_a_recording_make_the_whole(healthy: Served) -> None:
    _, whole = await healthy.get("/api/v1/pods")
    found: list[object] = []
    query = {"limit": "3"}
    while True:
        _, page = await healthy.get("/api/v1/pods", **query)
        items, metadata = page["items"], page["metadata"]
        assert isinstance(items, list)
        assert isinstance(metadata, dict)
        found += items
        if not metadata.get("continue"):
            break
        query["continue"] = metadata["continue"]
    assert found == whole["items"]


async def test_a_watch_of_a_recording_is_silent_but_for_bookmarks(healthy: Served) -> None:
    _, listed = await healthy.get("/api/v1/pods")
    metadata = listed["metadata"]
    assert isinstance(metadata, dict)
    version = metadata["resourceVersion"]
    query = {"resourceVersion": version, "allowWatchBookmarks": "true"}
    async with healthy.watch("/api/v1/pods", **query) as watch:
        for _ in range(3):
            event = await watch.event()
            assert event["type"] == "BOOKMARK"
            assert f'"resourceVersion": "{version}"' in json.dumps(event)


async def test_each_group_has_its_document(healthy: Served) -> None:
    _, group = await healthy.get("/apis/cilium.io")
    assert (group["kind"], group["name"]) == ("APIGroup", "cilium.io")
    _, kinds = await healthy.get("/apis/batch/v1")
    assert (kinds["groupVersion"], kinds["resources"]) == ("batch/v1", [])


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/secrets",
        "/api/v1/configmaps",
        "/api/v1/namespaces/home/configmaps",
        "/apis/coordination.k8s.io/v1/leases",
        "/apis/batch/v1/jobs",
        "/apis/cilium.io/v2/ciliumidentities",
    ],
)
async def test_what_was_not_recorded_is_not_found(healthy: Served, path: str) -> None:
    assert (await healthy.raw(path))[0] == 404


async def test_a_kind_of_one_namespace_is_served_there(healthy: Served) -> None:
    assert "cilium-config" in await healthy.names(f"{SYSTEM}/configmaps")
    assert (await healthy.get(f"{SYSTEM}/configmaps/cilium-config"))[0] == 200
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    assert (await healthy.get(f"{lease}/cilium-operator-resource-lock"))[0] == 200


async def test_who_could_not_read_the_logs_still_cannot(without_rights: Served) -> None:
    pods = await without_rights.names(f"{SYSTEM}/pods", labelSelector="k8s-app=cilium")
    status, body = await without_rights.get(f"{SYSTEM}/pods/{pods[0]}/log")
    assert (status, body["message"]) == (
        403,
        f'pods "{pods[0]}" is forbidden: User "bench-viewer" cannot get resource "pods/log" '
        'in API group "" in the namespace "kube-system"',
    )


async def test_who_could_not_list_leases_cannot_get_one(without_rights: Served) -> None:
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x"
    status, body = await without_rights.get(lease)
    assert (status, body["message"]) == (
        403,
        'leases.coordination.k8s.io "x" is forbidden: User "bench-viewer" cannot get resource '
        '"leases" in API group "coordination.k8s.io" in the namespace "kube-system"',
    )


async def test_a_pod_without_a_recorded_log_has_an_empty_one(healthy: Served) -> None:
    pods = await healthy.names("/api/v1/namespaces/home/pods")
    assert (await healthy.raw(f"/api/v1/namespaces/home/pods/{pods[0]}/log"))[:2] == (200, b"")


async def test_the_log_before_a_restart_is_the_previous_one(copy: Path) -> None:
    folder = next((copy / "logs" / "kube-system").glob("cilium-operator-*"))
    line = "2026-11-23T04:00:00.000000001Z goodbye\n"
    (folder / "cilium-operator.previous.log").write_text(line)
    async with serving(load_recording(copy)) as api:
        path = f"{SYSTEM}/pods/{folder.name}/log"
        _, body, _ = await api.raw(path, previous="true", timestamps="true")
        assert body == line.encode()


@pytest.fixture
def replayed() -> Cluster:
    return load_recording(ROOT / "healthy")


@pytest.mark.parametrize(
    "argv",
    [
        "bgp peers -o json",
        "--context x --kubeconfig y bgp peers -o json",
        "bgp peers --output=json -n kube-system",
        "bgp -nkube-system neighbors -ojson",
        "bgp peers --wait-duration 15s -o=json",
        "bgp peers --wait-duration=15s --namespace=kube-system --output json",
    ],
)
def test_a_run_is_known_however_its_flags_are_written(replayed: Cluster, argv: str) -> None:
    assert replayed.cilium(argv.split()) == replayed.cilium(["bgp", "peers", "-o", "json"])
    assert replayed.cilium(argv.split()).exit == 0


def test_bare_routes_are_those_available_over_ipv4(replayed: Cluster) -> None:
    whole = ["bgp", "routes", "available", "ipv4", "unicast", "-o", "json"]
    assert replayed.cilium(["bgp", "routes", "-o", "json"]) == replayed.cilium(whole)


@pytest.mark.parametrize("argv", ["connectivity test", "status", "bgp peers", "", "sysdump"])
def test_a_run_that_was_not_recorded_fails_as_the_real_program(
    replayed: Cluster, argv: str
) -> None:
    answer = replayed.cilium(argv.split())
    assert (answer.exit, answer.stdout) == (1, b"")
    assert answer.stderr.startswith(b"\nError: this recording holds no run of ")


def test_the_version_is_told_without_a_recording_of_it(replayed: Cluster) -> None:
    client = replayed.cilium(["version", "--client"]).stdout.decode()
    assert client.startswith("cilium-cli: v0.19.7 ")
    assert "running" not in client
    assert "cilium image (running): 1.21.0-dev\n" in replayed.cilium(["version"]).stdout.decode()


def test_a_run_that_was_killed_hangs_again(copy: Path) -> None:
    index = copy / "cli" / "index.json"
    runs = json.loads(index.read_text())
    runs[0]["exit"] = 124
    index.write_text(json.dumps(runs))
    assert math.isinf(load_recording(copy).cilium(runs[0]["argv"]).seconds)


@given(st.lists(st.text(max_size=8)))
def test_any_arguments_ask_something(argv: list[str]) -> None:
    words, flags = question(argv)
    assert all(not word.startswith("-") or word == "-" for word in words)
    assert all(name.startswith("-") for name, _ in flags)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("recording.yaml", None, "recording.yaml cannot be read: No such file"),
        ("recording.yaml", "a: [", "recording.yaml is not YAML"),
        ("recording.yaml", "description: x", "missing required field `taken_at`"),
        ("recording.yaml", "taken_at: noon", "recording.yaml is incomplete: Invalid RFC3339"),
        ("recording.yaml", 'taken_at: "2026-11-23T04:49:52"', "recording.yaml is incomplete"),
        ("api/version.json", None, "lacks "),
        ("api/api/v1/pods.json", "{", "pods.json cannot be served: it is not a JSON object"),
        ("api/api/v1/pods.json", "[]", "pods.json cannot be served: it is not a JSON object"),
        ("api/api/v1/pods.json", '{"items": 1}', "its items are not a list"),
        ("api/api/v1/pods.json", '{"items": [{}]}', "item 1 has no metadata.name"),
        ("api/api/v1/pods.json", '{"items": []}', "resourceVersion is not a number"),
        ("cli/index.json", None, "index.json cannot be read"),
        ("cli/index.json", "[{}]", "index.json cannot be read: Object missing"),
        ("cli/0.stdout", None, "0.stdout cannot be read"),
    ],
)
def test_a_damaged_recording_is_one_clear_sentence(
    copy: Path, name: str, text: str | None, words: str
) -> None:
    if text is None:
        (copy / name).unlink()
    else:
        (copy / name).write_text(text)
    with pytest.raises(RecordingUnreadable) as caught:
        load_recording(copy)
    assert words in str(caught.value)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["no time at all", "2026-11-23T04:47:00 naive", "2026-11-23 x"])
def test_a_log_line_without_its_time_is_named(copy: Path, line: str) -> None:
    log = next((copy / "logs").rglob("*.log"))
    log.write_text(f"2026-11-23T04:47:00Z fine\n{line}\n")
    with pytest.raises(RecordingUnreadable, match="line 2 does not begin with an RFC 3339 time"):
        load_recording(copy)


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingUnreadable, match=r"There is no recording at .*: no such dir"):
        load_recording(tmp_path / "nowhere")
