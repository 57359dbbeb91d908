"""A cluster served over TLS on loopback inside the test, and a client for it."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import aiohttp
import trustme
from aiohttp import web

from app.lab.cilium_stub import Answer
from app.lab.resources import resources
from app.lab.server import KubernetesApi, kubeconfig
from app.lab.store import Cluster, JsonObject, Logs, Store

TOKEN = "a-token-of-this-test"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

PODS = ("", "pods")
SERVICES = ("", "services")
POOLS = ("cilium.io", "ciliumloadbalancerippools")


class Hands:
    """A clock that is moved by hand."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **length: float) -> None:
        self.now += timedelta(**length)


@dataclass
class Served:
    """A served cluster: its address, a session that is let in, and what it takes to be."""

    url: str
    session: aiohttp.ClientSession
    authority: bytes

    async def get(self, path: str, **query: str) -> tuple[int, dict[str, object]]:
        """The status and the JSON body of a GET."""
        async with self.session.get(self.url + path, params=query) as response:
            body = await response.read()
            return response.status, json.loads(body)

    async def raw(self, path: str, **query: str) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of a GET."""
        async with self.session.get(self.url + path, params=query) as response:
            return response.status, await response.read(), response.headers

    async def names(self, path: str, **query: str) -> list[str]:
        """The names in a list."""
        status, body = await self.get(path, **query)
        assert status == 200, body
        items = body["items"]
        assert isinstance(items, list)
        return [item["metadata"]["name"] for item in items]

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[Watched]:
        """A watch that is open for the length of the block."""
        async with self.session.get(self.url + path, params={"watch": "1", **query}) as response:
            assert response.status == 200, await response.text()
            yield Watched(response.content)

    def write_kubeconfig(self, directory: Path) -> Path:
        """A kubeconfig for this server, as the lab writes it."""
        path = directory / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(self.url, self.authority, TOKEN, "lab-test")))
        return path


class Watched:
    """The events of an open watch, one by one."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    async def event(self) -> dict[str, object]:
        """The next event, whole."""
        line = await self._stream.readline()
        return json.loads(line) if line else {}

    async def next(self) -> tuple[str, str]:
        """Type and name of the next event."""
        event = await self.event()
        obj = event["object"]
        assert isinstance(obj, dict)
        return str(event["type"]), obj["metadata"].get("name", "")


@cache
def authority() -> trustme.CA:
    """One certificate authority for the whole run: making one takes time."""
    return trustme.CA()


@asynccontextmanager
async def serving(cluster: Cluster, bookmark_interval: float = 10.0) -> AsyncIterator[Served]:
    """Serve a cluster on a free port of loopback."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1").configure_cert(tls)
    application = KubernetesApi(cluster, TOKEN, bookmark_interval).application()
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    pem = authority().cert_pem.bytes()
    trusted = ssl.create_default_context(cadata=pem.decode())
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {TOKEN}"},
            connector=aiohttp.TCPConnector(ssl=trusted),
        ) as session:
            yield Served(f"https://127.0.0.1:{runner.addresses[0][1]}", session, pem)
    finally:
        await runner.cleanup()


def small_cluster(clock: Hands | None = None, forbidden: frozenset[str] = frozenset()) -> Cluster:
    """Two nodes' worth of pods, three services, a pool; nothing moves by itself."""
    clock = clock or Hands()
    store = Store(clock)
    for resource in resources("1.21.0"):
        store.register(resource)
    for name in ("home", "kube-system"):
        store.put(("", "namespaces"), {"metadata": {"name": name}, "status": {"phase": "Active"}})
    store.put(PODS, pod("cilium-a", "node-1", {"k8s-app": "cilium"}))
    store.put(PODS, pod("cilium-b", "node-2", {"k8s-app": "cilium"}))
    store.put(PODS, pod("coredns", "node-1", {"k8s-app": "kube-dns"}, phase="Pending"))
    for name in ("grafana", "mosquitto", "plex"):
        store.put(SERVICES, service(name))
    store.put(POOLS, pool("bgp-default"))
    return Cluster(
        store=store,
        logs=Logs(),
        clock=clock,
        kubernetes={"major": "1", "minor": "36", "gitVersion": "v1.36.2"},
        cilium=lambda argv: Answer(" ".join(argv).encode(), b"warning\n", 3, 0.0),
        run=_nothing,
        forbidden=forbidden,
    )


async def _nothing() -> None:
    return None


def pod(name: str, node: str, labels: dict[str, str], phase: str = "Running") -> JsonObject:
    """A pod of kube-system with one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "cilium-agent"}]},
        "status": {"phase": phase},
    }


def service(name: str, namespace: str = "home", **labels: str) -> JsonObject:
    """A LoadBalancer service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": [{"port": 80}]},
    }


def pool(name: str) -> JsonObject:
    """A pool, as a client of v2 would write it."""
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumLoadBalancerIPPool",
        "metadata": {"name": name},
        "spec": {"blocks": [{"cidr": "172.29.52.0/24"}]},
    }
