"""Watches of the lab's API: what each client is told, and when it is told to start anew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from app.lab.access import locate
from app.lab.reads import watch_lines, watch_of
from app.lab.store import Cluster, JsonObject
from tests.lab_serving import (
    PODS,
    POOLS,
    SERVICES,
    Served,
    pod,
    pool,
    service,
    serving,
    small_cluster,
)
from tests.patience import PATIENCE

HOME = "/api/v1/namespaces/home/services"


@pytest.fixture
def cluster() -> Cluster:
    return small_cluster()


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Served]:
    async with serving(cluster) as served:
        yield served


def version_of(body: JsonObject) -> str:
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["resourceVersion"])


async def test_a_watch_tells_what_changes_after_a_version(api: Served, cluster: Cluster) -> None:
    _, listed = await api.get(HOME)
    async with api.watch(HOME, resourceVersion=version_of(listed)) as watch:
        cluster.store.put(SERVICES, service("zigbee"))
        assert await watch.next() == ("ADDED", "zigbee")
        cluster.store.put(SERVICES, service("zigbee", tier="x"))
        event = await watch.event()
        assert event["type"] == "MODIFIED"
        changed = event["object"]
        assert isinstance(changed, dict)
        assert (changed["kind"], changed["apiVersion"]) == ("Service", "v1")
        cluster.store.put(SERVICES, service("other", namespace="media"))
        cluster.store.delete(SERVICES, "home", "zigbee")
        assert await watch.next() == ("DELETED", "zigbee")


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_a_watch_from_nowhere_begins_with_everything(
    api: Served, cluster: Cluster, query: dict[str, str]
) -> None:
    async with api.watch(HOME, **query) as watch:
        assert [await watch.next() for _ in range(3)] == [
            ("ADDED", "grafana"),
            ("ADDED", "mosquitto"),
            ("ADDED", "plex"),
        ]
        cluster.store.put(SERVICES, service("zigbee"))
        assert await watch.next() == ("ADDED", "zigbee")


async def test_initial_events_end_with_a_marked_bookmark(api: Served) -> None:
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    async with api.watch(HOME, allowWatchBookmarks="true", **query) as watch:
        assert [await watch.next() for _ in range(3)][-1] == ("ADDED", "plex")
        mark = await watch.event()
        assert mark["type"] == "BOOKMARK"
        assert '"k8s.io/initial-events-end": "true"' in json.dumps(mark)


async def test_an_object_that_enters_or_leaves_the_selection(api: Served, cluster: Cluster) -> None:
    _, listed = await api.get(HOME)
    query = {"labelSelector": "pool=a", "resourceVersion": version_of(listed)}
    async with api.watch(HOME, **query) as watch:
        cluster.store.put(SERVICES, service("grafana", pool="a"))
        assert await watch.next() == ("ADDED", "grafana")
        cluster.store.put(SERVICES, service("grafana", pool="b"))
        left = await watch.event()
        gone = left["object"]
        assert isinstance(gone, dict)
        assert (left["type"], gone["metadata"]["labels"]) == ("DELETED", {"pool": "a"})
        assert gone["metadata"]["resourceVersion"] == str(cluster.store.version)
        cluster.store.delete(SERVICES, "home", "grafana")
        cluster.store.put(SERVICES, service("plex", pool="a"))
        assert await watch.next() == ("ADDED", "plex")


async def test_a_change_while_another_is_being_written_is_told_next() -> None:
    cluster = small_cluster()
    target = locate(HOME, cluster)
    watch = watch_of(cluster, target, {"resourceVersion": str(cluster.store.version)})
    lines = watch_lines(cluster, watch, 60, lambda obj: obj)
    cluster.store.put(SERVICES, service("first"))
    async with asyncio.timeout(PATIENCE), aclosing(lines):
        for name in ("second", "third"):
            await anext(lines)
            cluster.store.put(SERVICES, service(name))
        assert "third" in str(await anext(lines))


async def test_a_watch_of_one_version_of_a_kind(api: Served, cluster: Cluster) -> None:
    path = "/apis/cilium.io/v2alpha1/ciliumloadbalancerippools"
    async with api.watch(path) as watch:
        await watch.next()
        cluster.store.put(POOLS, pool("extra"))
        event = await watch.event()
        obj = event["object"]
        assert isinstance(obj, dict)
        assert obj["apiVersion"] == "cilium.io/v2alpha1"


async def test_bookmarks_come_to_those_who_asked(cluster: Cluster) -> None:
    async with serving(cluster, bookmark_interval=0.05) as api:
        start = str(cluster.store.version)
        query = {"resourceVersion": start, "allowWatchBookmarks": "true"}
        async with (
            api.watch(HOME, **query) as watch,
            api.watch(HOME, resourceVersion=start) as dull,
        ):
            cluster.store.put(PODS, pod("elsewhere", "node-1", {}))
            wanted = {
                "type": "BOOKMARK",
                "object": {
                    "kind": "Service",
                    "apiVersion": "v1",
                    "metadata": {
                        "resourceVersion": str(cluster.store.version),
                        "creationTimestamp": None,
                    },
                },
            }
            # One of before may be on its way.
            while (event := await watch.event()) != wanted:
                assert event["type"] == "BOOKMARK"
                assert f"'resourceVersion': '{start}'" in str(event)
            cluster.store.put(SERVICES, service("zigbee"))
            assert await dull.next() == ("ADDED", "zigbee")


async def test_a_watch_too_old_says_410_and_ends(api: Served, cluster: Cluster) -> None:
    start = str(cluster.store.version)
    cluster.store.put(SERVICES, service("zigbee"))
    cluster.store.compact()
    async with api.watch(HOME, resourceVersion=start) as watch:
        event = await watch.event()
        status = event["object"]
        assert isinstance(status, dict)
        assert (event["type"], status["code"], status["reason"]) == ("ERROR", 410, "Expired")
        assert await watch.event() == {}


async def test_a_watch_ends_when_its_time_is_over(api: Served) -> None:
    async with asyncio.timeout(PATIENCE), api.watch(HOME, timeoutSeconds="1") as watch:
        for _ in range(3):
            await watch.event()
        assert await watch.event() == {}
