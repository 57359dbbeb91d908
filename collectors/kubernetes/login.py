"""Being logged in to one cluster: the kubeconfig, the credentials and the connection, kept in step.

A dashboard lives longer than a token, a certificate, or the file that names them. What changes
outside is followed here, one request at a time: a new token is used from the next request on, a new
certificate or address gets a new pool of connections while the old one serves out its requests.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from collectors.kubernetes.connection import Transport, transport_of
from collectors.kubernetes.credentials import (
    Credential,
    Credentials,
    ExecPlugin,
    FixedToken,
    Renewable,
    TokenFile,
)
from collectors.kubernetes.errors import ApiError
from collectors.kubernetes.kubeconfig import Access, Fingerprint, read_access
from collectors.source import Reason

if TYPE_CHECKING:
    from collectors.kubernetes.client import Connection

LoggedIn: TypeAlias = "tuple[Connection, Credential]"
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
        self._announce_change()

    async def close(self) -> None:
        """Close every connection, also those still being read."""
        connection, self._connection, self._built_from = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _read(self) -> tuple[Access, Credentials]:
        access, credentials = self.access, self._credentials
        if access is None or credentials is None:
            return await self._adopt(await self._read_files())
        if not self._files_changed():
            return access, credentials
        stamp = access.fingerprint
        try:
            return await self._adopt(await self._read_files())
        except ApiError:
            # Half written, or gone for now: what was read before still stands.
            self._seen = stamp
            return access, credentials

    async def _read_files(self) -> Access:
        return await asyncio.to_thread(read_access, self._kubeconfig, self.wanted, os.environ)

    async def _adopt(self, access: Access) -> tuple[Access, Credentials]:
        credentials = self._credentials
        if credentials is None or access != self.access:
            credentials = await asyncio.to_thread(credentials_of, access)
            self._announce_change()
        self.access, self._seen, self._credentials = access, access.fingerprint, credentials
        self.wanted = access.context or self.wanted
        return access, credentials

    async def _connected(self, access: Access, credential: Credential) -> LoggedIn:
        if credential != self._credential:
            self._credential = credential
            self._announce_change()
        built_from = (access, self._seen, credential.certificate)
        connection = self._connection
        if connection is None or built_from != self._built_from:
            transport = await asyncio.to_thread(transport_of, access, credential, os.environ)
            if connection is None or transport != connection.transport:
                fresh = await asyncio.to_thread(_connection, transport)
                if connection is not None:
                    await connection.retire()
                self._connection = connection = fresh
            self._built_from = built_from
        connection.hold()
        return connection, credential

    def _files_changed(self) -> bool:
        return self.access is not None and self.access.fingerprint != self._seen

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _connection(transport: Transport) -> Connection:
    from collectors.kubernetes.client import Connection  # takes a second, and this is a thread

    return Connection(transport)


def credentials_of(access: Access) -> Credentials:
    """Where a user's credentials come from. May block. Raises ApiError(UNAUTHORIZED).

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
        from collectors.kubernetes.client import OidcTokens

        return Renewable(OidcTokens(access.user_name, user.auth_provider.config or {}).credential)
    raise ApiError(
        Reason.UNAUTHORIZED,
        f"The user {access.user_name!r} in {access.origin} has the auth-provider "
        f"{user.auth_provider.name!r}, which kubectl has dropped too: use its credential plugin",
    )
