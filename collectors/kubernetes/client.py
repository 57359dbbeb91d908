"""The one place that uses `kubernetes.aio` and aiohttp: connections to API servers and providers.

Importing it takes about a second, so `collectors.kubernetes.api` does it on the first use, in a
thread. The library's models are never built and its watch is never used; both cost more than the
rest of the program. Its low-level calls have changed before; when they change again they change
here.

Tokens of the older `auth-provider: oidc` are refreshed here too: the library's own refresh does not
verify the provider's certificate unless the kubeconfig names a CA, and fails when it names one. The
kubeconfig is never written: a refreshed token lives as long as this program. Source: OpenID Connect
Core 1.0 section 12, Discovery 1.0 section 4; client-go/plugin/pkg/client/auth/oidc/oidc.go.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration

from collectors.kubernetes.answers import ApiError, Headers, status_of
from collectors.kubernetes.connection import (
    ApiRequest,
    Credential,
    Transport,
    file_or_data,
    usable_token,
)
from collectors.sanitize import printable_bytes
from collectors.source import Reason

USER_AGENT = "ciliscope"

PROVIDER_TIMEOUT = 15.0
"""Seconds for one request to the provider."""

_MAX_ANSWER = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NETWORK_ERRORS = (aiohttp.ClientError, OSError, ValueError)


class Response:
    """An answer whose body has not been read yet."""

    def __init__(self, answer: aiohttp.ClientResponse, server: str, path: str) -> None:
        self.status = answer.status
        self.headers: Headers = answer.headers
        self._answer = answer
        self._server = server
        self._path = path

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises ApiError."""
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except _NETWORK_ERRORS as error:
            raise unreachable(self._path, self._server, error) from None

    def close(self) -> None:
        """Close its connection, unless it was read to the end."""
        self._answer.close()


class Connection:
    """A pool of connections to one API server, as one user."""

    def __init__(self, transport: Transport) -> None:
        """Blocks, and sends nothing. Raises ApiError(UNREADABLE) for unusable certificates."""
        self.transport = transport
        self._authorization = ""
        if transport.username:
            password = f"{transport.username}:{transport.password}".encode()
            self._authorization = f"Basic {base64.b64encode(password).decode()}"
        try:
            self._client = _client(transport)
        except (OSError, ValueError) as problem:
            raise ApiError(
                Reason.UNREADABLE,
                f"The certificates for {transport.server} in the kubeconfig cannot be used: "
                f"{problem}",
            ) from None
        self._in_use = 0
        self._retired = False

    async def send(self, request: ApiRequest, token: str) -> Response:
        """Ask, and return as soon as the headers are there. Raises ApiError."""
        authorization = f"Bearer {token}" if token else self._authorization
        headers = {"Accept": request.accept}
        if authorization:
            headers["Authorization"] = authorization
        timeout = aiohttp.ClientTimeout(
            total=request.total,
            connect=request.connect,
            sock_connect=request.connect,
            sock_read=request.idle,
        )
        try:
            serialized = await self._client.param_serialize(
                "GET", request.path, query_params=list(request.query), header_params=headers
            )
            async with asyncio.timeout(request.answer):
                answer = await self._client.call_api(*serialized, _request_timeout=timeout)
        except _NETWORK_ERRORS as error:
            raise unreachable(request.path, self.transport.server, error) from None
        return Response(answer.response, self.transport.server, request.path)

    def hold(self) -> None:
        """A request begins: a retired pool stays open until its last request has ended."""
        self._in_use += 1

    async def release(self) -> None:
        """A request has ended."""
        self._in_use -= 1
        if self._retired and not self._in_use:
            await self._client.close()

    async def retire(self) -> None:
        """No new requests: close now, or with the last one."""
        self._retired = True
        if not self._in_use:
            await self._client.close()

    async def close(self) -> None:
        """Close now, whatever is still being read."""
        self._retired = True
        await self._client.close()


def _client(transport: Transport) -> ApiClient:
    secure = transport.server.startswith("https:")
    with ExitStack() as pipes:

        def path_of(content: bytes) -> str | None:
            return pipes.enter_context(_piped(content)) if content and secure else None

        settings = Configuration(
            host=transport.server,
            ssl_ca_cert=path_of(transport.authority),
            cert_file=path_of(transport.certificate),
            key_file=path_of(transport.key or transport.certificate),
            verify_ssl=transport.verify,
            tls_server_name=transport.server_name or None,
            proxy=transport.proxy or None,
            # trust_env off: aiohttp would send passwords from ~/.netrc; `proxy_for` knows the rest.
            client_session_kwargs={"trust_env": False, "headers": list(transport.headers)},
        )
        # kubectl accepts certificate authorities without the extensions that Python 3.13 demands.
        settings.disable_strict_ssl_verification = True
        client = ApiClient(settings)
    # An intermediate certificate may be the trusted one, as with kubectl.
    client.rest_client.ssl_context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.user_agent = USER_AGENT
    return client


@contextmanager
def _piped(content: bytes) -> Iterator[str]:
    """A path that reads as the content, once: Python loads keys from paths alone.

    It is a pipe, so that no key is ever in a file.
    """
    read_end, write_end = os.pipe()
    writer = Thread(target=_write, args=(write_end, content), daemon=True)
    writer.start()
    try:
        yield f"/dev/fd/{read_end}"
    finally:
        os.close(read_end)
        writer.join()


def _write(descriptor: int, content: bytes) -> None:
    with suppress(BrokenPipeError), open(descriptor, "wb") as pipe:
        pipe.write(content)


class _Discovery(msgspec.Struct):
    token_endpoint: str


class _Tokens(msgspec.Struct):
    id_token: str = ""
    refresh_token: str = ""


class _Claims(msgspec.Struct):
    exp: float | None = None


_Shape = TypeVar("_Shape", _Discovery, _Tokens)


class OidcTokens:
    """The id-token of a user, refreshed with the refresh-token when it has ended or was refused."""

    def __init__(self, user_name: str, config: Mapping[str, str]) -> None:
        self._user = user_name
        self._config = config
        self._id_token = config.get("id-token", "")
        self._refresh_token = config.get("refresh-token", "")
        self._given = False

    async def credential(self) -> Credential:
        """The token of the kubeconfig first, if it has not ended; a refreshed one after that."""
        if self._id_token and not self._given:
            self._given = True
            kept = self._credential()
            if kept.expires is None or kept.expires > datetime.now(UTC):
                return kept
        await self._refresh()
        return self._credential()

    def _credential(self) -> Credential:
        expires = token_end(self._id_token)
        return Credential(usable_token(self._id_token, self._what), expires=expires)

    @property
    def _what(self) -> str:
        return f"The oidc auth-provider of user {self._user!r}"

    async def _refresh(self) -> None:
        needed = ("idp-issuer-url", "client-id")
        missing = [name for name in needed if not self._config.get(name)]
        if not self._refresh_token:
            missing.append("refresh-token")
        if missing:
            raise self._failure(
                f"has no valid id-token and cannot refresh it without {', '.join(missing)}: "
                "log in again"
            )
        issuer = self._config["idp-issuer-url"].rstrip("/")
        found = await self._ask(f"{issuer}/.well-known/openid-configuration", None, _Discovery)
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh_token,
            "client_id": self._config["client-id"],
        }
        if secret := self._config.get("client-secret"):
            form["client_secret"] = secret
        tokens = await self._ask(found.token_endpoint, form, _Tokens)
        if not tokens.id_token:
            raise self._failure(f"got no id_token from {issuer}: log in again")
        self._id_token = tokens.id_token
        self._refresh_token = tokens.refresh_token or self._refresh_token

    async def _ask(self, url: str, form: Mapping[str, str] | None, shape: type[_Shape]) -> _Shape:
        if not url.startswith("https://"):
            raise self._failure(f"will not send tokens to {url}: it is not https")
        timeout = aiohttp.ClientTimeout(total=PROVIDER_TIMEOUT)
        connector = aiohttp.TCPConnector(ssl=self._tls())
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request("POST" if form else "GET", url, data=form) as answer,
            ):
                body = await answer.content.read(_MAX_ANSWER)
                while len(body) < _MAX_ANSWER and (more := await answer.content.read(_MAX_ANSWER)):
                    body += more
                status = answer.status
        except _NETWORK_ERRORS as error:
            raise self._failure(f"gave no token: {unreachable('', url, error).message}") from None
        if status != 200:
            said = status_of(body)[1] or printable_bytes(body[:300])
            raise self._failure(f"was refused by {url} (HTTP {status}): {said}; log in again")
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise self._failure(f"cannot read the answer of {url}: {problem}") from None

    def _tls(self) -> ssl.SSLContext:
        authority = file_or_data(
            self._config.get("idp-certificate-authority", ""),
            self._config.get("idp-certificate-authority-data", ""),
            f"idp-certificate-authority of user {self._user!r}",
        )
        try:
            return ssl.create_default_context(cadata=authority.decode("ascii") or None)
        except (ssl.SSLError, ValueError):
            raise self._failure("has an idp-certificate-authority that is no certificate") from None

    def _failure(self, what: str) -> ApiError:
        return ApiError(Reason.UNAUTHORIZED, f"{self._what} {what}")


def token_end(token: str) -> datetime | None:
    """When a JSON Web Token ends (`exp`, RFC 7519 section 4.1.4); None when it does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
        return _EPOCH + timedelta(seconds=claims.exp) if claims.exp is not None else None
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError):
        return None


class _Said(msgspec.Struct, frozen=True):
    """What is said of an error, in `network_errors.toml`."""

    text: str
    reason: Reason = Reason.UNREACHABLE


_SAID = msgspec.toml.decode(
    Path(__file__).with_name("network_errors.toml").read_bytes(), type=dict[str, dict[str, _Said]]
)


def unreachable(path: str, server: str, error: BaseException) -> ApiError:
    """The error for a connection that was not made, was cut, or spoke something else than HTTP."""
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    said = _said("asking", error)
    if said is None and isinstance(error, aiohttp.ClientConnectorError):
        said = _said("connecting", cause)
    said = said or _SAID["asking"]["other"]
    trust = str(getattr(cause, "verify_message", cause))
    text = said.text.format(server=server, path=path, error=error, cause=_cause(cause), trust=trust)
    return ApiError(said.reason, text)


def _said(table: str, error: BaseException) -> _Said | None:
    names = (each.__name__ for each in type(error).__mro__)
    return next((_SAID[table][name] for name in names if name in _SAID[table]), None)


def _cause(error: BaseException) -> str:
    if isinstance(error, socket.gaierror | OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
