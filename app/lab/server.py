"""The lab's process: one cluster, served on loopback until its parent lets go of it.

Started by `app.lab.launch` with a state directory of its own. It prints one line of JSON when it
can be used and ends when its standard input does, so it cannot outlive the parent, however that
one ended. Whatever it wrote into the state directory goes with it.

Served is the part of the Kubernetes API that reading needs: versions, health, discovery, list, get,
watch, container logs and SelfSubjectAccessReview, with the answers, refusals and headers of a real
API server (Kubernetes API concepts). Plus one private path, by which the lab's `cilium` command
asks for its answers. Everything needs the bearer token; nothing can be changed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import json
import os
import secrets
import shlex
import signal
import ssl
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from email.utils import format_datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import trustme
from aiohttp import web

from app.lab import reads
from app.lab.access import (
    REVIEWS_PATH,
    NoSuchPath,
    Refusal,
    Target,
    locate,
    method_not_allowed,
    not_found,
    permit,
    review,
)
from app.lab.fields import made
from app.lab.recording import load_recording
from app.lab.resources import discovery_document, table
from app.lab.store import CannotServe, Cluster, JsonObject

_CILIUM_PATH = "/lab/cilium"
"""Where the lab's `cilium` command posts `{"argv": […]}`."""

_HEALTH = ("/livez", "/readyz", "/healthz")
_HOST = "127.0.0.1"
_GRACE = 1.5
"""Seconds after which the process ends even when it cannot end well."""

_Piece = TypeVar("_Piece")


class _Command(msgspec.Struct):
    argv: list[str]


class KubernetesApi:
    """Serves a cluster to whoever has the token."""

    def __init__(self, cluster: Cluster, token: str, bookmark_interval: float = 10.0) -> None:
        """A watch that asked for bookmarks gets one every `bookmark_interval` seconds."""
        self._cluster = cluster
        self._credentials = f"Bearer {token}".encode()
        self._bookmark_interval = bookmark_interval

    def application(self) -> web.Application:
        """The web application; run it with `handler_cancellation`, so that watches can end."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        application.on_response_prepare.append(self._date)
        return application

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(self._cluster.clock(), usegmt=True)
        response.headers["Cache-Control"] = "no-cache, private"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, self._credentials):
                raise Refusal(401, "Unauthorized")
            if request.method == "POST":
                return await self._post(request)
            if request.method != "GET":
                raise method_not_allowed()
            return await self._get(request)
        except Refusal as refusal:
            return _json(refusal.status, refusal.code)
        except NoSuchPath:
            return web.Response(status=404, text="404 page not found\n")

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/version" and path not in self._cluster.documents:
            return _json(self._cluster.kubernetes)
        if path.startswith(_HEALTH):
            return web.Response(text="ok")
        document = self._document(path)
        if document is not None:
            return document
        target = locate(path, self._cluster)
        if reads.switched_on(request.query, "watch") and not target.name:
            permit(self._cluster, "watch", target)
            return await self._watch(request, target)
        permit(self._cluster, "get" if target.name else "list", target)
        if not target.name:
            return self._list(request, target)
        if target.subresource:
            return await self._log(request, target)
        return self._object(request, target)

    def _document(self, path: str) -> web.Response | None:
        """A recorded document that is no list, or a generated discovery document."""
        documents = self._cluster.documents
        if path in documents and path not in self._cluster.list_versions:
            return _body(documents[path])
        if "/apis" in documents:
            return None
        generated = discovery_document(path, self._cluster.store.resources.values())
        return None if generated is None else _json(generated)

    def _list(self, request: web.Request, target: Target) -> web.Response:
        page = reads.page_of(self._cluster, target, request.query)
        if _wants_table(request):
            return _json(self._table(request, target, page.items, page.metadata))
        recorded = self._cluster.documents.get(target.path)
        if page.whole and recorded is not None:
            return _body(recorded)
        return _json(reads.list_document(page, target))

    def _object(self, request: web.Request, target: Target) -> web.Response:
        key, cluster = target.resource.key, self._cluster
        obj = cluster.store.get(key, target.namespace, target.name)
        if obj is None:
            raise not_found(target.resource, target.name)
        if _wants_table(request):
            version: JsonObject = {"resourceVersion": reads.list_version(cluster, target)}
            return _json(self._table(request, target, [obj], version))
        return _json(reads.with_type(obj, target))

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        watch = reads.watch_of(self._cluster, target, request.query)

        def present(obj: JsonObject) -> JsonObject:
            if not _wants_table(request):
                return reads.with_type(obj, target)
            return self._table(request, target, [obj], {})

        lines = reads.watch_lines(self._cluster, watch, self._bookmark_interval, present)
        return await _stream(request, "application/json", lines, _line, watch.seconds)

    async def _log(self, request: web.Request, target: Target) -> web.StreamResponse:
        if (target.resource.key, target.subresource) != (("", "pods"), "log"):
            raise NoSuchPath
        query = reads.log_query(self._cluster, target, request.query)
        return await _stream(request, "text/plain", reads.log_text(self._cluster, query), bytes)

    async def _post(self, request: web.Request) -> web.Response:
        if request.path == REVIEWS_PATH:
            return _json(review(self._cluster, await request.read()), 201)
        if request.path == _CILIUM_PATH:
            return self._command(await request.read())
        raise method_not_allowed()

    def _command(self, body: bytes) -> web.Response:
        try:
            command = msgspec.json.decode(body, type=_Command)
        except msgspec.DecodeError as problem:
            raise Refusal(400, f"the command cannot be read: {problem}") from problem
        # Octets become base64, and an infinite duration null.
        return _body(msgspec.json.encode(self._cluster.cilium(command.argv)._asdict()))

    def _table(
        self, request: web.Request, target: Target, objects: list[JsonObject], metadata: JsonObject
    ) -> JsonObject:
        include = request.query.get("includeObject", "Metadata")
        shown = [reads.with_type(obj, target) for obj in objects]
        return table(target.resource, shown, metadata, self._cluster.clock(), include)


def _wants_table(request: web.Request) -> bool:
    first = request.headers.get("Accept", "").partition(",")[0].replace(" ", "")
    return "as=Table" in first.split(";") and "g=meta.k8s.io" in first.split(";")


async def _stream(
    request: web.Request,
    content_type: str,
    pieces: AsyncGenerator[_Piece, None],
    encode: Callable[[_Piece], bytes],
    seconds: float | None = None,
) -> web.StreamResponse:
    """Answer piece by piece, for so many seconds at most."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.enable_chunked_encoding()
    await response.prepare(request)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(pieces):
            async for piece in pieces:
                await response.write(encode(piece))
    await response.write_eof()
    return response


def _line(document: JsonObject) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def _json(document: JsonObject, status: int = 200) -> web.Response:
    return _body(_line(document), status)


def _body(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until asked to stop; 0 then, 2 when there was nothing to serve."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    options = _options(argv)
    try:
        cluster = _cluster(options)
        asyncio.run(_serve(cluster, options.state, options.context, options.replay is not None))
    except CannotServe as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except OSError as problem:
        sys.stderr.write(f"The lab cannot be served: {problem}.\n")
        return 2
    return 0


def kubeconfig(url: str, authority: bytes, token: str, context: str) -> JsonObject:
    """A kubeconfig with one cluster, one user and one context; its JSON is valid YAML."""
    certificate = base64.b64encode(authority).decode()
    return made("Kubeconfig", context=context, url=url, certificate=certificate, token=token)


class _Options(argparse.Namespace):
    state: Path
    context: str
    scenario: str
    replay: Path | None
    seed: int


def _options(argv: Sequence[str] | None) -> _Options:
    parser = argparse.ArgumentParser(prog="app.lab.server", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="directory for this lab alone")
    parser.add_argument("--context", required=True, help="name of the kubeconfig's context")
    parser.add_argument("--scenario", default="home", help="name or path of a scenario")
    parser.add_argument("--replay", type=Path, help="directory of a recording, not a scenario")
    parser.add_argument("--seed", type=int, default=0, help="what the scenario leaves to chance")
    return parser.parse_args(argv, namespace=_Options())


def _cluster(options: _Options) -> Cluster:
    """The cluster to serve. Raises CannotServe."""
    if options.replay is not None:
        return load_recording(options.replay)
    # Imported here: a replay needs no simulation.
    from app.lab.world import load_scenario

    return load_scenario(options.scenario, options.seed)


async def _serve(cluster: Cluster, state: Path, context: str, frozen: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, stop.set)
    token = secrets.token_urlsafe(32)
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(_HOST, "localhost").configure_cert(tls)
    async with _listening(cluster, token, tls) as url:
        config = kubeconfig(url, authority.cert_pem.bytes(), token, context)
        written = _write(state, json.dumps(config, indent=1))
        try:
            ready = {
                "kubeconfig": str(written[0]),
                "cilium": str(written[1]),
                "at": cluster.clock().isoformat() if frozen else None,
                "url": url,
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await _live(cluster, stop)
        finally:
            _remove(state, written)


@asynccontextmanager
async def _listening(cluster: Cluster, token: str, tls: ssl.SSLContext) -> AsyncIterator[str]:
    """Serve on a free port of loopback; gives the URL."""
    application = KubernetesApi(cluster, token).application()
    # Watches never end by themselves: cancel them when their client goes, or when we do.
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, _HOST, 0, ssl_context=tls).start()
        yield f"https://{_HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _live(cluster: Cluster, stop: asyncio.Event) -> None:
    """Let the cluster live until `stop`; its own exception ends the process."""
    life = asyncio.ensure_future(cluster.run())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({life, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
    finally:
        life.cancel()
        stopped.cancel()
        await asyncio.gather(life, stopped, return_exceptions=True)


def _write(state: Path, config: str) -> tuple[Path, Path]:
    """Write the kubeconfig and the `cilium` program; returns both paths."""
    program = Path(__file__).with_name("cilium_stub.py")
    command = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(program))}"
    files = (state / "kubeconfig", state / "bin" / "cilium")
    files[1].parent.mkdir(mode=0o700)
    for path, mode, text in (
        (files[0], 0o600, config),
        (files[1], 0o700, f'#!/bin/sh\nexec {command} "$@"\n'),
    ):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
    return files


def _remove(state: Path, files: Sequence[Path]) -> None:
    """Remove what `_write` wrote, and the directories that are empty then."""
    for path in files:
        path.unlink(missing_ok=True)
    for directory in (state / "bin", state):
        with suppress(OSError):
            directory.rmdir()


def _end_with_stdin() -> None:
    """End this process when its parent is gone, whatever it is doing then."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
