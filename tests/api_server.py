"""A small HTTPS server on loopback that speaks as an API server does, and does what a test says.

Every request is answered by the script of its path: lists one answer after the other (the last one
again and again), watches by a `Watch` that the test holds in its hand.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import trustme
import yaml
from aiohttp import web

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"
Script: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    body: Json | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """The answer as the server sends it."""
        raw = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return web.Response(
            body=raw, status=self.status, headers=self.headers, content_type="application/json"
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    client: str
    """Common name of the client certificate, "" without one."""


class Watch:
    """One watch that a client has opened."""

    def __init__(self, query: dict[str, str]) -> None:
        self.query = query
        self.closed = asyncio.Event()
        """Set when the client has gone, or the watch has ended."""
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._cut = False

    def send(self, event: str, item: Json) -> None:
        """One event."""
        self.raw(json.dumps({"type": event, "object": item}).encode() + b"\n")

    def raw(self, content: bytes) -> None:
        """Bytes as they are."""
        self._out.put_nowait(content)

    def end(self) -> None:
        """End properly, as after `timeoutSeconds`."""
        self._out.put_nowait(None)

    def cut(self) -> None:
        """End as a broken connection does."""
        self._cut = True
        self.end()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Stream to the client until told to stop, or it goes."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            while (content := await self._out.get()) is not None:
                await response.write(content)
            if self._cut and request.transport is not None:
                request.transport.abort()
            return response
        finally:
            self.closed.set()


class ApiServer:
    """The server. `url` and `kubeconfig` are how to get there."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.tokens: set[str] | None = None
        """Tokens that are accepted; None accepts everybody."""
        self.authority = trustme.CA()
        self.hung = asyncio.Event()
        """Set when a request is being left without an answer."""
        self._folder = folder
        self._scripts: dict[str, deque[Answer | Script]] = {}
        self._refused_watches: dict[str, deque[Answer]] = defaultdict(deque)
        self._watches: dict[str, asyncio.Queue[Watch]] = defaultdict(asyncio.Queue)

    def on(self, path: str, *answers: Answer | Script) -> None:
        """What to answer to requests of a path that are no watches, from now on."""
        self._scripts[path] = deque(answers)

    def refuse_watch(self, path: str, answer: Answer) -> None:
        """Answer the next watch of a path like this."""
        self._refused_watches[path].append(answer)

    async def watch(self, path: str) -> Watch:
        """The next watch that a client opens (or has opened) on a path."""
        return await self._watches[path].get()

    def asked_for(self, path: str) -> list[Asked]:
        """Requests of a path so far."""
        return [asked for asked in self.asked if asked.path == path]

    async def hang(self, _: web.Request) -> web.StreamResponse:
        """A script that never answers."""
        self.hung.set()
        await asyncio.Event().wait()
        raise AssertionError

    def kubeconfig(
        self,
        user: Mapping[str, Json] | None = None,
        cluster: Mapping[str, Json] | None = None,
        *,
        name: str = "config",
    ) -> Path:
        """Write a kubeconfig with one context, `test`, and return its path."""
        authority = base64.b64encode(self.authority.cert_pem.bytes()).decode()
        described: dict[str, Json] = {
            "server": self.url,
            "certificate-authority-data": authority,
            **(cluster or {}),
        }
        document = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "lab", "user": "ops"}}],
            "clusters": [{"name": "lab", "cluster": described}],
            "users": [{"name": "ops", "user": dict(user or {})}],
        }
        path = self._folder / name
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer one request by its script."""
        self._note(request)
        if self.tokens is not None:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in self.tokens:
                return status(401, "Unauthorized").response()
        if request.query.get("watch") == "true":
            if self._refused_watches[request.path]:
                return self._refused_watches[request.path].popleft().response()
            watch = Watch(dict(request.query))
            self._watches[request.path].put_nowait(watch)
            return await watch.serve(request)
        script = self._scripts.get(request.path)
        if not script:
            return status(404, "the server could not find the requested resource").response()
        answer = script.popleft() if len(script) > 1 else script[0]
        return answer.response() if isinstance(answer, Answer) else await answer(request)

    def _note(self, request: web.Request) -> None:
        transport = request.transport
        peer = transport.get_extra_info("peercert") if transport is not None else None
        names = [value for part in (peer or {}).get("subject", ()) for _, value in part]
        self.asked.append(
            Asked(request.path, dict(request.query), request.headers.copy(), "/".join(names))
        )


@asynccontextmanager
async def serving(folder: Path, *, host: str = "127.0.0.1") -> AsyncIterator[ApiServer]:
    """A server that runs until the context is left."""
    server = ApiServer(folder)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.authority.issue_cert(host).configure_cert(tls)
    server.authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_OPTIONAL
    application = web.Application()
    for method in ("GET", "POST"):
        application.router.add_route(method, "/{path:.*}", server.respond)
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def status(code: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A refusal, as a Status object."""
    body: Json = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    return Answer(body, code, headers or {})


def listing(*items: Json, version: str = "10", more: str = "") -> Answer:
    """A page of a list."""
    metadata: dict[str, Json] = {"resourceVersion": version}
    if more:
        metadata["continue"] = more
    return Answer({"kind": "List", "metadata": metadata, "items": list(items)})


def thing(name: str, version: str = "1", **rest: Json) -> dict[str, Json]:
    """An object with a name and a version."""
    return {"metadata": {"name": name, "resourceVersion": version}, **rest}


def bookmark(version: str) -> dict[str, Json]:
    """The object of a bookmark, as the API server sends it."""
    return {"kind": "Node", "metadata": {"resourceVersion": version, "creationTimestamp": None}}
