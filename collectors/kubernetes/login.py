"""Being logged in to one cluster: the kubeconfig, the credentials and the connection, kept in step.

A dashboard lives longer than a token, a certificate, or the file that names them. What changes
outside is followed here, one request at a time: a new token is used from the next request on, a new
certificate or address gets a new pool of connections while the old one serves out its requests.

Tokens of the older `auth-provider: oidc` are refreshed here too: the client library's own refresh
does not verify the provider's certificate unless the kubeconfig names a CA, and fails when it names
one. The kubeconfig is never written: a refreshed token lives as long as this program. Source:
OpenID Connect Core 1.0 section 12, Discovery 1.0 section 4;
client-go/plugin/pkg/client/auth/oidc/oidc.go.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar

import msgspec

from collectors.kubernetes.connection import Connection, connect, transport_of
from collectors.kubernetes.credentials import (
    Credential,
    Credentials,
    ExecPlugin,
    FixedToken,
    Renewable,
    TokenFile,
    file_or_data,
    usable_token,
)
from collectors.kubernetes.errors import ApiError, status_of, unreachable
from collectors.kubernetes.kubeconfig import Access, Fingerprint, read_access
from collectors.sanitize import printable_bytes
from collectors.source import Reason

PROVIDER_TIMEOUT = 15.0
"""Seconds for one request to the provider."""

_MAX_ANSWER = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        import aiohttp

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
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
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


LoggedIn: TypeAlias = tuple[Connection, Credential]
"""A connection, held for the caller until it calls `release`, and the credential to use on it."""

_BuiltFrom: TypeAlias = tuple[Access, Fingerprint | None, bytes]


class Login:
    """One context of the kubeconfig, in use.

    The context is fixed by the first reading: `kubectl config use-context` in another window does
    not move a running dashboard to another cluster. Everything else is followed.
    """

    def __init__(self, kubeconfig: str | None, context: str | None, *, poll: float) -> None:
        self.access: Access | None = None
        """None until the kubeconfig has been read."""
        self.wanted = context
        self._kubeconfig = kubeconfig
        self._poll = poll
        self._lock = asyncio.Lock()
        self._seen: Fingerprint | None = None
        self._credentials: Credentials | None = None
        self._credential: Credential | None = None
        self._changed = asyncio.Event()
        self._connection: Connection | None = None
        self._built_from: _BuiltFrom | None = None

    async def identify(self) -> Access:
        """What the kubeconfig says. Raises ApiError."""
        async with self._lock:
            return (await self._read())[0]

    async def ready(self) -> LoggedIn:
        """What to make the next request with. Raises ApiError."""
        async with self._lock:
            access, credentials = await self._read()
            return await self._connected(access, await credentials.current())

    async def renewed(self, refused: LoggedIn) -> LoggedIn | None:
        """What to try after a 401, None if there is nothing new. Raises ApiError.

        Requests that were refused together get one renewal together: credentials that cost
        something are not had anew right after they were.
        """
        async with self._lock:
            self._seen = None
            access, credentials = await self._read()
            fresh = await self._connected(access, await credentials.renewed())
            if fresh != refused:
                return fresh
            await fresh[0].release()
            return None

    async def changed(self) -> None:
        """Return when there is reason to hope for other credentials than those of now.

        Somebody else's request got new ones, `try_again` was called, or a file that the kubeconfig
        consists of or names has changed.
        """
        changed = self._changed
        while not (changed.is_set() or self._files_changed()):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await changed.wait()

    def try_again(self) -> None:
        """Earlier failures to get credentials count no more, and the files are read again."""
        self._seen = None
        if self._credentials is not None:
            self._credentials.forgive()
        self._tell()

    async def close(self) -> None:
        """Close every connection, also those still being read."""
        connection, self._connection, self._built_from = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _read(self) -> tuple[Access, Credentials]:
        access, credentials = self.access, self._credentials
        if access is None or credentials is None:
            return self._adopt(await self._read_files())
        if not self._files_changed():
            return access, credentials
        stamp = access.fingerprint
        try:
            return self._adopt(await self._read_files())
        except ApiError:
            # Half written, or gone for now: what was read before still stands.
            self._seen = stamp
            return access, credentials

    async def _read_files(self) -> Access:
        return await asyncio.to_thread(read_access, self._kubeconfig, self.wanted, os.environ)

    def _adopt(self, access: Access) -> tuple[Access, Credentials]:
        credentials = self._credentials
        if credentials is None or access != self.access:
            credentials = credentials_of(access)
            self._tell()
        self.access, self._seen, self._credentials = access, access.fingerprint, credentials
        self.wanted = access.context or self.wanted
        return access, credentials

    async def _connected(self, access: Access, credential: Credential) -> LoggedIn:
        if credential != self._credential:
            self._credential = credential
            self._tell()
        built_from = (access, self._seen, credential.certificate)
        connection = self._connection
        if connection is None or built_from != self._built_from:
            transport = await asyncio.to_thread(transport_of, access, credential, os.environ)
            if connection is None or transport != connection.transport:
                fresh = await connect(transport)
                if connection is not None:
                    await connection.retire()
                self._connection = connection = fresh
            self._built_from = built_from
        connection.hold()
        return connection, credential

    def _files_changed(self) -> bool:
        return self.access is not None and self.access.fingerprint != self._seen

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def credentials_of(access: Access) -> Credentials:
    """Where the credentials of a context's user come from. Raises ApiError(UNAUTHORIZED).

    In the order of client-go: a token file, a token, a plugin, an identity provider. Client
    certificates and passwords of the kubeconfig belong to the connection.
    """
    user = access.user
    if user.token_file:
        return TokenFile(user.token_file)
    if user.token:
        return FixedToken(user.token, access.origin)
    if user.exec is not None:
        return ExecPlugin(access, user.exec)
    if user.auth_provider is None:
        return FixedToken("", access.origin)
    if user.auth_provider.name == "oidc":
        return Renewable(OidcTokens(access.user_name, user.auth_provider.config or {}).credential)
    raise ApiError(
        Reason.UNAUTHORIZED,
        f"The user {access.user_name!r} in {access.origin} has the auth-provider "
        f"{user.auth_provider.name!r}, which kubectl has dropped too: use its credential plugin",
    )
