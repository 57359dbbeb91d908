"""One session with one Kubernetes API server, and its retries: bytes out, failures as ApiError.

All sources share one session, and with it one pool of connections and one set of credentials.
Nothing here is heavy until the first request: the first frame does not wait for it. There is no way
to write: the only method is GET. Source for back-off and jitter: client-go/util/wait, tools/cache,
and RFC 9110 section 10.2.3 (Retry-After).

A dashboard lives longer than a token, a certificate, or the file that names them. What changes
outside is followed here, one request at a time: a new token is used from the next request on, a new
certificate or address gets a new pool of connections while the old one serves out its requests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from collectors.kubernetes.answers import ApiError, http_date, refusal
from collectors.kubernetes.connection import (
    ApiRequest,
    Credential,
    Credentials,
    ExecPlugin,
    Query,
    Renewable,
    TokenFile,
    Transport,
    transport_of,
)
from collectors.kubernetes.kubeconfig import Access, Fingerprint, read_access
from collectors.source import Reason

if TYPE_CHECKING:
    from collectors.kubernetes.client import Connection, Response


LoggedIn: TypeAlias = "tuple[Connection, Credential]"
"""A connection, held for the caller until it calls `release`, and the credential to use on it."""

_BuiltFrom: TypeAlias = tuple[Access, Fingerprint | None, bytes]


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
        return Credentials(user.token, access.origin)
    if user.exec is not None:
        return ExecPlugin(access, user.exec)
    if user.auth_provider is None:
        return Credentials()
    if user.auth_provider.name == "oidc":
        from collectors.kubernetes.client import OidcTokens

        return Renewable(OidcTokens(access.user_name, user.auth_provider.config or {}).credential)
    raise ApiError(
        Reason.UNAUTHORIZED,
        f"The user {access.user_name!r} in {access.origin} has the auth-provider "
        f"{user.auth_provider.name!r}, which kubectl has dropped too: use its credential plugin",
    )


@dataclass(frozen=True, slots=True)
class Timing:
    """Every waiting time of a source that reads the API, in seconds."""

    list_timeout: float = 10.0
    """For one page of a list, and until a watch begins to answer."""
    silence: float = 90.0
    """Without a byte on a watch; servers send a bookmark about every minute."""
    watch: tuple[float, float] = (240.0, 300.0)
    """How long the server is asked to keep a watch: a random time between the two."""
    first_pause: float = 1.0
    longest_pause: float = 30.0
    """Pauses after failures double from the first to the longest, with jitter."""
    absent: float = 60.0
    """Until a kind that is not served is looked for again."""
    refused: float = 300.0
    """Until a 401 or a 403 is tried again."""
    longest_wait: float = 600.0
    """The most that a server can make us wait with Retry-After."""
    short_watch: float = 1.0
    """A watch that ends sooner, with nothing said, counts as a failure."""
    poll: float = 10.0
    """Between two questions of a source that has nothing to watch."""


class Pacing:
    """The pauses of one source, and a way to end them.

    Counts failures in a row; `succeeded` starts the count anew.
    """

    def __init__(self, session: ApiSession, timing: Timing, jitter: Callable[[], float]) -> None:
        """`jitter` gives a number from 0 to 1."""
        self._session = session
        self._timing = timing
        self._jitter = jitter
        self._failures = 0
        self._waiting: asyncio.Timeout | None = None
        self.woken = False
        """Whether `wake` was called; whoever acts on it sets it back."""

    def wake(self) -> None:
        """End the current wait, or the next one if nobody is waiting."""
        self.woken = True
        self._session.try_again()
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0)

    def succeeded(self) -> None:
        """The next failure is a first one."""
        self._failures = 0

    def after(self, error: ApiError) -> float:
        """Seconds to wait after a failure, which is counted."""
        back_off = self.back_off()
        if error.retry_after is not None:
            return min(max(error.retry_after, self._timing.first_pause), self._timing.longest_wait)
        if error.reason in (Reason.UNAUTHORIZED, Reason.FORBIDDEN):
            return self._timing.refused
        return self._timing.absent if error.reason is Reason.ABSENT else back_off

    def back_off(self) -> float:
        """Seconds to wait after one more failure: doubled each time, less up to a half."""
        grown = self._timing.first_pause * (1 << min(self._failures, 20))
        self._failures += 1
        return min(self._timing.longest_pause, grown) * (1 - self._jitter() / 2)

    def watch_timeout(self) -> int:
        """Seconds to ask of the server for a watch: random, so that not all end together."""
        shortest, longest = self._timing.watch
        return round(shortest + (longest - shortest) * self._jitter())

    async def pause(self, seconds: float, error: ApiError | None = None) -> None:
        """Wait; shorter if woken, or if credentials change that were not accepted."""
        with suppress(TimeoutError):
            async with self.interruptible(seconds):
                if error is not None and error.reason is Reason.UNAUTHORIZED:
                    await self._session.credentials_changed()
                else:
                    await asyncio.Event().wait()

    @asynccontextmanager
    async def interruptible(self, seconds: float | None) -> AsyncGenerator[None, None]:
        """A deadline that `wake` brings forward to now: TimeoutError at its end.

        Whoever enters it must not yield to a consumer before leaving it.
        """
        async with asyncio.timeout(0 if self.woken else seconds) as waiting:
            self._waiting = waiting
            try:
                yield
            finally:
                self._waiting = None


CONNECT_TIMEOUT = 5.0
"""Seconds for name, TCP and TLS."""

MAX_BODY = 512 * 1024 * 1024
"""Bytes of one answer: a page of 500 objects, most of them as large as etcd stores."""

MAX_LINE = 64 * 1024 * 1024
"""Bytes of one line of a streamed answer."""

_MAX_REFUSAL = 64 * 1024


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A whole answer."""

    body: bytes
    date: datetime | None
    """The server's clock when it answered (`Date`, whole seconds); None if it did not say."""


class ApiSession:
    """Reads from the API server of one context, for as long as the program runs.

    The context is fixed by the first reading: `kubectl config use-context` in another window does
    not move a running dashboard to another cluster. Everything else is followed.
    """

    def __init__(
        self,
        kubeconfig: str | None = None,
        context: str | None = None,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        poll: float = 2.0,
    ) -> None:
        """Remember what to read; nothing is read yet.

        `kubeconfig` and `context` are as kubectl's flags. `connect_timeout` is in seconds; `poll`
        is how often, in seconds, `credentials_changed` looks at the files.
        """
        self._kubeconfig = kubeconfig
        self._wanted = context
        self._connect_timeout = connect_timeout
        self._poll = poll
        self.access: Access | None = None
        """What the kubeconfig says; None until `identify` has read it."""
        self._lock = asyncio.Lock()
        self._seen: Fingerprint | None = None
        self._credentials: Credentials | None = None
        self._credential: Credential | None = None
        self._changed = asyncio.Event()
        self._connection: Connection | None = None
        self._built_from: _BuiltFrom | None = None

    @property
    def context(self) -> str:
        """Name of the context, "" in a cluster; what was asked for until `identify` has read it."""
        return self.access.context if self.access else self._wanted or ""

    @property
    def server(self) -> str:
        """URL of the API server; "" until `identify` has read it."""
        return self.access.server if self.access else ""

    async def identify(self) -> None:
        """Read the kubeconfig and nothing else; the names are known after it. Raises ApiError."""
        async with self._lock:
            await self._read()

    async def open(self) -> None:
        """Read the kubeconfig, get credentials, and be ready to ask. Raises ApiError."""
        connection, _ = await self._ready()
        await connection.release()

    async def credentials_changed(self) -> None:
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

    async def get(
        self,
        path: str,
        query: Query = (),
        *,
        timeout: float = 10.0,
        accept: str = "application/json",
    ) -> ApiResponse:
        """A whole answer, within `timeout` seconds from the first byte sent. Raises ApiError."""
        request = ApiRequest(
            path=path,
            query=query,
            accept=accept,
            connect=self._connect_timeout,
            total=timeout,
            answer=timeout,
        )
        async with self._asked(request) as response:
            body = await _body(response, MAX_BODY)
            if len(body) > MAX_BODY:
                text = f"{self.server} answered {path} with more than {MAX_BODY} bytes"
                raise ApiError(Reason.UNREADABLE, text, status=response.status)
            return ApiResponse(body, http_date(response.headers.get("Date", "")))

    @asynccontextmanager
    async def lines(
        self,
        path: str,
        query: Query = (),
        *,
        idle: float = 310.0,
        answer: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The lines of a streamed answer as they come, without their newlines.

        A line may have up to 64 MiB. What stands after the last newline is a line too when the
        server has ended the answer properly. `idle` is how many seconds may pass without a byte,
        `answer` how many until the answer begins (that of a quiet log may not begin for long).
        Both, and everything else that goes wrong, raise ApiError, also out of the iterator.
        Leaving the context closes the connection at once.
        """
        connect = self._connect_timeout
        request = ApiRequest(path=path, query=query, connect=connect, idle=idle, answer=answer)
        where = f"The answer of {self.server} for {path}"
        async with (
            self._asked(request) as response,
            aclosing(response.chunks()) as chunks,
            aclosing(split_lines(chunks, where)) as lines,
        ):
            yield lines

    @asynccontextmanager
    async def _asked(self, request: ApiRequest) -> AsyncGenerator[Response, None]:
        """A successful answer, before its body; its connection is closed unless read to the end."""
        login = await self._ready()
        try:
            response = await login[0].send(request, login[1].token)
            try:
                if response.status == 401 and (renewed := await self._renewed(login)):
                    login, refused = renewed, login
                    response.close()
                    await refused[0].release()
                    response = await login[0].send(request, login[1].token)
                if response.status != 200:
                    body = await _body(response, _MAX_REFUSAL)
                    raise refusal(
                        request.path, self.server, response.status, body, response.headers
                    )
                yield response
            finally:
                response.close()
        finally:
            await login[0].release()

    # --- being logged in

    async def _ready(self) -> LoggedIn:
        """What to make the next request with. Raises ApiError."""
        async with self._lock:
            access, credentials = await self._read()
            return await self._connected(access, await credentials.current())

    async def _renewed(self, refused: LoggedIn) -> LoggedIn | None:
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
        return await asyncio.to_thread(read_access, self._kubeconfig, self._wanted, os.environ)

    async def _adopt(self, access: Access) -> tuple[Access, Credentials]:
        credentials = self._credentials
        if credentials is None or access != self.access:
            credentials = await asyncio.to_thread(credentials_of, access)
            self._announce_change()
        self.access, self._seen, self._credentials = access, access.fingerprint, credentials
        self._wanted = access.context or self._wanted
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


async def _body(response: Response, limit: int) -> bytes:
    """The body; what is longer than the limit, in bytes, is not read to its end."""
    body = bytearray()
    async with aclosing(response.chunks()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                break
    return bytes(body)


async def split_lines(
    chunks: AsyncIterable[bytes], where: str, limit: int = MAX_LINE
) -> AsyncGenerator[bytes, None]:
    """The lines in a stream of chunks, wherever these are cut; a last one without newline too.

    `where` names the stream in the ApiError(UNREADABLE) raised for a line over `limit` bytes.
    """
    rest = bytearray()
    async for chunk in chunks:
        first, newline, more = chunk.partition(b"\n")
        rest += first
        if len(rest) > limit:
            raise ApiError(Reason.UNREADABLE, f"{where} has a line of more than {limit} bytes")
        if newline:
            yield bytes(rest)
            *lines, last = more.split(b"\n")
            for line in lines:
                yield line
            rest = bytearray(last)
    if rest:
        yield bytes(rest)
