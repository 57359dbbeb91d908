"""The part of the Kubernetes API that reading needs, served for one cluster.

Over HTTP: versions, health, discovery, list, get, watch, container logs and
SelfSubjectAccessReview, with the answers, refusals and headers of a real API server (Kubernetes
API concepts). Plus one private path, by which the lab's `cilium` command asks for its answers.
Everything needs the bearer token; nothing can be changed.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import math
from contextlib import aclosing
from email.utils import format_datetime

import msgspec
from aiohttp import web

from app.lab.access import (
    REVIEWS_PATH,
    NoSuchPath,
    Refusal,
    Target,
    bad_request,
    locate,
    method_not_allowed,
    not_found,
    permit,
    review,
    unauthorized,
)
from app.lab.container_logs import log_query, log_text
from app.lab.listing import (
    list_document,
    list_version,
    page_of,
    switched_on,
    watch_lines,
    watch_of,
    with_type,
)
from app.lab.resources import discovery_document
from app.lab.store import Cluster, JsonObject
from app.lab.tables import table

CILIUM_PATH = "/lab/cilium"
"""Where the lab's `cilium` command posts `{"argv": […]}`."""

_HEALTH = ("/livez", "/readyz", "/healthz")


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
            self._authenticate(request)
            if request.method == "POST":
                return await self._post(request)
            if request.method != "GET":
                raise method_not_allowed()
            return await self._get(request)
        except Refusal as refusal:
            return _json(refusal.status, refusal.code)
        except NoSuchPath:
            return web.Response(status=404, text="404 page not found\n")

    def _authenticate(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._credentials):
            raise unauthorized()

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
        if switched_on(request.query, "watch") and not target.name:
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
        page = page_of(self._cluster, target, request.query)
        if _wants_table(request):
            return _json(self._table(request, target, page.items, page.metadata))
        recorded = self._cluster.documents.get(target.path)
        if page.whole and recorded is not None:
            return _body(recorded)
        return _json(list_document(page, target))

    def _object(self, request: web.Request, target: Target) -> web.Response:
        key, cluster = target.resource.key, self._cluster
        obj = cluster.store.get(key, target.namespace, target.name)
        if obj is None:
            raise not_found(target.resource, target.name)
        if _wants_table(request):
            version: JsonObject = {"resourceVersion": list_version(cluster, target)}
            return _json(self._table(request, target, [obj], version))
        return _json(with_type(obj, target))

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        watch = watch_of(self._cluster, target, request.query)

        def present(obj: JsonObject) -> JsonObject:
            if not _wants_table(request):
                return with_type(obj, target)
            return self._table(request, target, [obj], {})

        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async with asyncio.timeout(watch.seconds):
                lines = watch_lines(self._cluster, watch, self._bookmark_interval, present)
                async with aclosing(lines):
                    async for line in lines:
                        await response.write(msgspec.json.encode(line) + b"\n")
        except TimeoutError:
            pass
        await response.write_eof()
        return response

    async def _log(self, request: web.Request, target: Target) -> web.StreamResponse:
        if (target.resource.key, target.subresource) != (("", "pods"), "log"):
            raise NoSuchPath
        query = log_query(self._cluster, target, request.query)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async with aclosing(log_text(self._cluster, query)) as pieces:
            async for piece in pieces:
                await response.write(piece)
        await response.write_eof()
        return response

    async def _post(self, request: web.Request) -> web.Response:
        if request.path == REVIEWS_PATH:
            return _json(review(self._cluster, await request.read()), 201)
        if request.path == CILIUM_PATH:
            return self._command(await request.read())
        raise method_not_allowed()

    def _command(self, body: bytes) -> web.Response:
        try:
            command = msgspec.json.decode(body, type=_Command)
        except msgspec.DecodeError as problem:
            raise bad_request(f"the command cannot be read: {problem}") from problem
        answer = self._cluster.cilium(command.argv)
        return _json(
            {
                "stdout": base64.b64encode(answer.stdout).decode(),
                "stderr": base64.b64encode(answer.stderr).decode(),
                "exit": answer.exit,
                "script": [
                    [seconds, base64.b64encode(piece).decode()] for seconds, piece in answer.script
                ],
                "cancellable": answer.cancellable,
                "seconds": None if math.isinf(answer.seconds) else answer.seconds,
            }
        )

    def _table(
        self,
        request: web.Request,
        target: Target,
        objects: list[JsonObject],
        metadata: JsonObject,
    ) -> JsonObject:
        include = request.query.get("includeObject", "Metadata")
        shown = [with_type(obj, target) for obj in objects]
        return table(target.resource, shown, metadata, self._cluster.clock(), include)


def _wants_table(request: web.Request) -> bool:
    first = request.headers.get("Accept", "").partition(",")[0].replace(" ", "")
    return "as=Table" in first.split(";") and "g=meta.k8s.io" in first.split(";")


def _json(document: JsonObject, status: int = 200) -> web.Response:
    return _body(msgspec.json.encode(document) + b"\n", status)


def _body(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
