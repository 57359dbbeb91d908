"""The real kubectl against the lab's API."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.lab.store import Cluster
from tests.lab_serving import NOON, SERVICES, Served, service, serving, small_cluster
from tests.patience import PATIENCE

KUBECTL = shutil.which("kubectl") or ""

pytestmark = pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed here")

CONTAINER = ("kube-system", "cilium-a", "cilium-agent")


class Kubectl:
    """kubectl with a kubeconfig, and a home of its own for its caches."""

    def __init__(self, home: Path, kubeconfig: Path) -> None:
        self._environment = {**os.environ, "HOME": str(home), "KUBECONFIG": str(kubeconfig)}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            KUBECTL,
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        """Exit code, stdout and stderr of a run that ends by itself."""
        process = await self.start(*arguments)
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def says(self, *arguments: str) -> str:
        """What a run prints that succeeds without a complaint."""
        code, out, err = await self.run(*arguments)
        assert (code, err) == (0, "")
        return out

    @asynccontextmanager
    async def following(self, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
        """The output of a run that goes on for the length of the block."""
        process = await self.start(*arguments)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                yield process.stdout
        finally:
            process.terminate()
            await process.communicate()


@pytest.fixture
def cluster() -> Cluster:
    cluster = small_cluster()
    cluster.logs.write(*CONTAINER, NOON, "the first line")
    return cluster


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Served]:
    async with serving(cluster) as served:
        yield served


@pytest.fixture
def kubectl(api: Served, tmp_path: Path) -> Kubectl:
    return Kubectl(tmp_path, api.write_kubeconfig(tmp_path))


async def test_get_prints_a_table_with_the_clusters_ages(kubectl: Kubectl) -> None:
    rows = (await kubectl.says("get", "svc", "-A")).splitlines()
    heading = "NAMESPACE NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE"
    assert rows[0].split() == heading.split()
    first = "home grafana LoadBalancer 10.0.0.1 <pending> 80/TCP 0s"
    assert rows[1].split() == first.split()


async def test_get_understands_short_names_selectors_and_pages(kubectl: Kubectl) -> None:
    assert "bgp-default" in await kubectl.says("get", "ippools")
    names = await kubectl.says(
        "get", "po", "-A", "-l", "k8s-app=cilium", "-o", "name", "--chunk-size=1"
    )
    assert names.split() == ["pod/cilium-a", "pod/cilium-b"]


async def test_get_prints_whole_objects(kubectl: Kubectl) -> None:
    text = await kubectl.says("get", "ippools", "bgp-default", "-o", "yaml")
    assert text.startswith("apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\n")
    assert "  - cidr: 172.29.52.0/24\n" in text


async def test_get_says_what_is_not_there(kubectl: Kubectl) -> None:
    code, _, err = await kubectl.run("get", "svc", "-n", "home", "nobody")
    assert (code, err) == (1, 'Error from server (NotFound): services "nobody" not found\n')


async def test_get_watch_prints_changes(kubectl: Kubectl, cluster: Cluster) -> None:
    async with kubectl.following("get", "svc", "-n", "home", "-w", "-o", "name") as output:
        for name in ("grafana", "mosquitto", "plex"):
            assert await output.readline() == f"service/{name}\n".encode()
        cluster.store.put(SERVICES, service("zigbee"))
        assert await output.readline() == b"service/zigbee\n"


async def test_get_watch_prints_rows(kubectl: Kubectl, cluster: Cluster) -> None:
    async with kubectl.following("get", "svc", "-n", "home", "--watch-only") as output:
        row = asyncio.ensure_future(output.readline())
        while not row.done():
            cluster.store.put(SERVICES, service("zigbee", beat=str(cluster.store.version)))
            await asyncio.wait([row], timeout=0.1)
        assert (await row).startswith(b"NAME")
        assert (await output.readline()).startswith(b"zigbee")


async def test_logs_and_logs_that_follow(kubectl: Kubectl, cluster: Cluster) -> None:
    arguments = ("logs", "-n", "kube-system", "cilium-a")
    assert await kubectl.says(*arguments) == "the first line\n"
    stamped = await kubectl.says(*arguments, "--timestamps", "--tail=1")
    assert stamped == "2026-11-23T12:00:00.000000000Z the first line\n"
    async with kubectl.following(*arguments, "-f") as output:
        assert await output.readline() == b"the first line\n"
        cluster.logs.write(*CONTAINER, NOON, "the second line")
        assert await output.readline() == b"the second line\n"


async def test_describe(kubectl: Kubectl) -> None:
    text = await kubectl.says("describe", "svc", "-n", "home", "grafana")
    assert "LoadBalancer" in text
    assert "Events:" in text
    assert "172.29.52.0/24" in await kubectl.says("describe", "ippools", "bgp-default")


async def test_can_i(tmp_path: Path) -> None:
    async with serving(small_cluster(forbidden=frozenset({"/api/v1/pods/log"}))) as api:
        kubectl = Kubectl(tmp_path, api.write_kubeconfig(tmp_path))
        assert await kubectl.says("auth", "can-i", "list", "pods") == "yes\n"
        log = ("auth", "can-i", "get", "pods", "--subresource=log")
        assert await kubectl.run(*log) == (1, "no\n", "")


async def test_api_resources_lists_the_kinds(kubectl: Kubectl) -> None:
    text = await kubectl.says("api-resources", "--api-group=cilium.io", "-o", "wide")
    pools = next(row for row in text.splitlines() if row.startswith("ciliumloadbalancerippools"))
    assert pools.split()[1:6] == [
        "ippools,ippool,lbippool,lbippools",
        "cilium.io/v2",
        "false",
        "CiliumLoadBalancerIPPool",
        "get,list,watch",
    ]


async def test_changing_is_refused(kubectl: Kubectl) -> None:
    code, _, err = await kubectl.run("delete", "svc", "-n", "home", "grafana")
    assert code == 1
    assert "MethodNotAllowed" in err
