"""Container logs of the lab: what each option leaves, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest

from app.lab.store import Cluster, ContainerLog, JsonObject
from tests.lab_serving import NOON, PODS, Hands, Served, pod, serving, small_cluster
from tests.patience import PATIENCE

LOG = "/api/v1/namespaces/kube-system/pods/cilium-a/log"
CONTAINER = ("kube-system", "cilium-a", "cilium-agent")


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def cluster(clock: Hands) -> Cluster:
    cluster = small_cluster(clock)
    for seconds in range(5):
        cluster.logs.write(*CONTAINER, NOON + timedelta(seconds=seconds), f"line {seconds}")
    clock.forward(seconds=5)
    return cluster


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Served]:
    async with serving(cluster) as served:
        yield served


async def lines(api: Served, **query: str) -> list[str]:
    status, body, _ = await api.raw(LOG, **query)
    assert status == 200, body
    return body.decode().splitlines()


@asynccontextmanager
async def followed(api: Served, **query: str) -> AsyncIterator[aiohttp.StreamReader]:
    async with (
        asyncio.timeout(PATIENCE),
        api.session.get(api.url + LOG, params={"follow": "true", **query}) as response,
    ):
        assert response.status == 200
        yield response.content


async def test_the_whole_log_of_the_only_container(api: Served) -> None:
    assert await lines(api) == [f"line {n}" for n in range(5)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"tailLines": "2"}, ["line 3", "line 4"]),
        ({"tailLines": "0"}, []),
        ({"sinceSeconds": "2"}, ["line 3", "line 4"]),
        ({"sinceTime": "2026-11-23T12:00:03Z"}, ["line 3", "line 4"]),
        ({"sinceTime": "2026-11-23T13:00:04.9+01:00"}, ["line 4"]),
        ({"tailLines": "1", "sinceSeconds": "4"}, ["line 4"]),
        ({"limitBytes": "9"}, ["line 0", "li"]),
        ({"container": "cilium-agent", "tailLines": "1"}, ["line 4"]),
        (
            {"timestamps": "true", "tailLines": "1"},
            ["2026-11-23T12:00:04.000000000Z line 4"],
        ),
    ],
)
async def test_each_option_leaves_its_part(
    api: Served, query: dict[str, str], expected: list[str]
) -> None:
    assert await lines(api, **query) == expected


async def test_recorded_times_are_told_to_the_nanosecond(cluster: Cluster, api: Served) -> None:
    stamp = "2026-11-23T11:00:00.123456789Z"
    cluster.logs.load(*CONTAINER, ContainerLog([(NOON, "hello")], stamps=[stamp]))
    assert await lines(api, timestamps="true") == [f"{stamp} hello"]


async def test_bytes_that_are_no_text_come_out_as_they_went_in(
    cluster: Cluster, api: Served
) -> None:
    odd = b"\xff\x1b[31m red".decode("utf-8", "surrogateescape")
    cluster.logs.load(*CONTAINER, ContainerLog([(NOON, odd)]))
    _, body, _ = await api.raw(LOG)
    assert body == b"\xff\x1b[31m red\n"


async def test_a_follower_gets_each_new_line(cluster: Cluster, api: Served) -> None:
    async with followed(api, tailLines="1") as log:
        assert await log.readline() == b"line 4\n"
        for number in (5, 6):
            cluster.logs.write(*CONTAINER, NOON, f"line {number}")
            assert await log.readline() == f"line {number}\n".encode()


async def test_a_follower_of_a_silent_container_hears_its_first_line(
    cluster: Cluster, api: Served
) -> None:
    cluster.logs.load(*CONTAINER, ContainerLog())
    async with followed(api) as log:
        cluster.logs.write(*CONTAINER, NOON, "awake")
        assert await log.readline() == b"awake\n"


async def test_following_ends_with_the_container(cluster: Cluster, api: Served) -> None:
    async with followed(api, tailLines="0") as log:
        cluster.logs.write(*CONTAINER, NOON, "last words")
        cluster.logs.restarted(*CONTAINER)
        cluster.logs.write(*CONTAINER, NOON, "another life")
        assert await log.read() == b"last words\n"


async def test_following_ends_with_the_pod(cluster: Cluster, api: Served) -> None:
    async with followed(api, tailLines="0") as log:
        cluster.store.delete(PODS, "kube-system", "cilium-a")
        assert await log.read() == b""


async def test_a_follower_loses_nothing_when_old_lines_are_dropped(api: Served) -> None:
    cluster = small_cluster()
    cluster.logs = type(cluster.logs)(keep=10)
    async with serving(cluster) as bounded, followed(bounded) as log:
        for number in range(100):
            cluster.logs.write(*CONTAINER, NOON, str(number))
            assert await log.readline() == f"{number}\n".encode()


async def test_the_log_before_a_restart(cluster: Cluster, api: Served) -> None:
    cluster.logs.restarted(*CONTAINER)
    cluster.logs.write(*CONTAINER, NOON, "after")
    assert await lines(api) == ["after"]
    assert (await lines(api, previous="true"))[-1] == "line 4"
    assert await lines(api, previous="true", follow="true", tailLines="1") == ["line 4"]


async def test_a_pod_that_never_wrote_has_an_empty_log(api: Served) -> None:
    status, body, _ = await api.raw("/api/v1/namespaces/kube-system/pods/cilium-b/log")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize(
    ("pod_name", "query", "code", "message"),
    [
        ("nobody", {}, 404, 'pods "nobody" not found'),
        ("cilium-a", {"container": "envoy"}, 400, "container envoy is not valid for pod cilium-a"),
        (
            "cilium-a",
            {"previous": "true"},
            400,
            'previous terminated container "cilium-agent" in pod "cilium-a" not found',
        ),
        (
            "two",
            {},
            400,
            "a container name must be specified for pod two, choose one of: [a b] "
            "or one of the init containers: [c]",
        ),
        ("cilium-a", {"tailLines": "-1"}, 422, "must be greater than or equal to 0"),
        ("cilium-a", {"sinceSeconds": "0"}, 422, "must be greater than 0"),
        ("cilium-a", {"sinceSeconds": "x"}, 400, 'parsing "x"'),
        ("cilium-a", {"sinceTime": "noon"}, 400, 'cannot parse "noon" as RFC 3339'),
        ("cilium-a", {"sinceTime": "2026-11-23T12:00:00"}, 400, "has no time zone"),
        (
            "cilium-a",
            {"sinceSeconds": "1", "sinceTime": "2026-11-23T12:00:00Z"},
            422,
            "at most one of `sinceTime` or `sinceSeconds`",
        ),
    ],
)
async def test_what_is_refused(
    cluster: Cluster, api: Served, pod_name: str, query: dict[str, str], code: int, message: str
) -> None:
    two: JsonObject = pod("two", "node-1", {})
    two["spec"] = {
        "containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": "c"}],
    }
    cluster.store.put(PODS, two)
    status, body = await api.get(f"/api/v1/namespaces/kube-system/pods/{pod_name}/log", **query)
    assert status == code
    assert message in str(body["message"])
