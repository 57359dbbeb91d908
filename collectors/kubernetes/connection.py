"""How to reach an API server, and who we are to it: address, proxy, certificates, tokens.

Nothing here connects; `collectors.kubernetes.client` does. Credential plugins run here and not in
the client library, which would give them the terminal that the dashboard draws on, tell them that
they may ask questions there, forget when certificates expire, and go on as nobody when they fail.
Source: Kubernetes, "Client authentication (client.authentication.k8s.io)";
client-go/plugin/pkg/client/auth/exec/exec.go.

The proxy is chosen as kubectl chooses it. Python's own rules differ where it matters: `NO_PROXY`
may hold networks (10.0.0.0/8), a leading dot matters, and loopback never goes through a proxy.
Source: Go, golang.org/x/net/http/httpproxy, `Config.ProxyFunc`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TypeAlias
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from collectors.kubernetes.answers import ApiError, shortened
from collectors.kubernetes.kubeconfig import Access, Cluster, Exec, unreadable
from collectors.process import CommandFailure, CommandMissing, Completed, run
from collectors.source import Reason

PLUGIN_TIMEOUT = 30.0
"""Seconds a credential plugin may take."""

REFRESH_BEFORE = timedelta(seconds=60)
"""How long before its end a credential is replaced."""

_SHORTEST_USE = timedelta(seconds=10)
"""A credential that has ended by our clock is used all the same: the clock may be wrong."""

TOKEN_FILE_PERIOD = 60.0
"""Seconds after which a token file is read again, as client-go does."""

PAUSES = (60.0, 300.0)
"""Seconds to wait after the first and after every further failure to get a credential."""

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_CLUSTER_EXTENSION = "client.authentication.k8s.io/exec"


@dataclass(frozen=True, slots=True)
class Credential:
    """What proves who we are. Empty: nothing but what the connection itself proves."""

    token: str = ""
    certificate: bytes = b""
    """PEM; "" for the one in the kubeconfig, if any."""
    key: bytes = b""
    expires: datetime | None = None
    """None: until it is refused."""

    def due(self, now: datetime) -> datetime | None:
        """When to replace it, if it was had `now`; one that ends soon is used up to its half."""
        if self.expires is None:
            return None
        life = self.expires - now
        return now + max(life - REFRESH_BEFORE, life / 2, _SHORTEST_USE)


class Credentials:
    """Where credentials come from: here, the token in the kubeconfig, or none.

    A new token comes with a new kubeconfig. Calls must not overlap: the session makes them one at a
    time.
    """

    def __init__(self, token: str = "", origin: str = "") -> None:
        self._fixed = Credential(usable_token(token, origin) if token else "")

    async def current(self) -> Credential:
        """The credential to use now. Raises ApiError(UNAUTHORIZED) when there is none."""
        return self._fixed

    async def renewed(self) -> Credential:
        """The credential to use after the current one was refused; the same if it has no other."""
        return await self.current()

    def forgive(self) -> None:
        """Forget that the last attempts failed: the operator asks to try again."""


class TokenFile(Credentials):
    """A token in a file that another program renews: a service account's, for one."""

    def __init__(self, path: str, *, period: float = TOKEN_FILE_PERIOD) -> None:
        self._path = Path(path)
        self._period = period
        self._credential = Credential()
        self._read_at = -float("inf")

    async def current(self) -> Credential:
        """The token as of at most a minute ago. A file that vanishes leaves the last token."""
        if monotonic() - self._read_at >= self._period:
            try:
                self._read()
            except ApiError:
                if not self._credential.token:
                    raise
        return self._credential

    async def renewed(self) -> Credential:
        """The token as it is now."""
        self._read()
        return self._credential

    def _read(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8").strip()
        except OSError as problem:
            raise _unauthorized(
                f"The token file {self._path} cannot be read: {problem.strerror}"
            ) from None
        except UnicodeDecodeError:
            raise _unauthorized(f"The token file {self._path} holds no token") from None
        self._credential = Credential(usable_token(text, str(self._path)))
        self._read_at = monotonic()


Fetch: TypeAlias = Callable[[], Awaitable[Credential]]
"""Gets a new credential, however long that takes. Raises ApiError(UNAUTHORIZED)."""


class Renewable(Credentials):
    """Credentials that can be had anew: kept until they expire or are refused.

    What fails is not tried again at once, as it may open a browser each time: after one minute,
    then every five.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        pauses: tuple[float, float] = PAUSES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._fetch = fetch
        self._pauses = pauses
        self._clock = clock
        self._credential: Credential | None = None
        self._due: datetime | None = None
        self._failure: ApiError | None = None
        self._attempts = 0
        self._not_before = -float("inf")

    async def current(self) -> Credential:
        """The credential, fetched anew when there is none or its end is near."""
        if self._credential is None or (self._due and datetime.now(UTC) >= self._due):
            return await self._fetch_unless_paused()
        return self._credential

    async def renewed(self) -> Credential:
        """A new credential, but not sooner after the last renewal than after a failure."""
        if self._failure is None and self._clock() < self._not_before and self._credential:
            return self._credential
        renewed = await self._fetch_unless_paused()
        self._pause()
        return renewed

    def forgive(self) -> None:
        """The next request may try at once."""
        self._attempts, self._not_before, self._failure = 0, -float("inf"), None

    async def _fetch_unless_paused(self) -> Credential:
        left = self._not_before - self._clock()
        if self._failure is not None and left > 0:
            raise ApiError(Reason.UNAUTHORIZED, self._failure.message, retry_after=left)
        try:
            self._credential = await self._fetch()
        except ApiError as failure:
            self._failure = failure
            self._pause()
            left = self._not_before - self._clock()
            raise ApiError(failure.reason, failure.message, retry_after=left) from None
        self._failure = None
        self._due = self._credential.due(datetime.now(UTC))
        return self._credential

    def _pause(self) -> None:
        now = self._clock()
        if now - self._not_before > self._pauses[1]:
            self._attempts = 0
        self._not_before = now + self._pauses[min(self._attempts, 1)]
        self._attempts += 1


class ExecPlugin(Renewable):
    """The program that the kubeconfig names under `exec`."""

    def __init__(
        self,
        access: Access,
        plugin: Exec,
        *,
        timeout: float = PLUGIN_TIMEOUT,
        pauses: tuple[float, float] = PAUSES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(self._run, pauses=pauses, clock=clock)
        self._access = access
        self._plugin = plugin
        self._timeout = timeout
        self._name = f"The credential plugin {plugin.command} of user {access.user_name!r}"

    async def _run(self) -> Credential:
        plugin = self._plugin
        if plugin.interactive_mode == "Always":
            raise _unauthorized(
                f"{self._name} wants to ask questions (interactiveMode: Always), which a dashboard "
                "cannot pass on: run any kubectl command once, then set interactiveMode to "
                "IfAvailable"
            )
        if plugin.api_version not in _VERSIONS:
            raise _unauthorized(
                f"{self._name} has the apiVersion {plugin.api_version!r} in {self._access.origin}; "
                f"it must be {_VERSIONS[0]}"
            )
        environment = {variable.name: variable.value for variable in plugin.env or ()}
        environment["KUBERNETES_EXEC_INFO"] = exec_info(self._access, plugin).decode()
        try:
            completed = await run(
                self._program(), *(plugin.args or ()), timeout=self._timeout, env=environment
            )
        except CommandMissing as problem:
            hint = f"; {shortened(plugin.install_hint)}" if plugin.install_hint else ""
            raise _unauthorized(f"{self._name} cannot be run: {problem}{hint}") from None
        except CommandFailure as problem:
            raise _unauthorized(f"{self._name} gave no answer: {problem}") from None
        return self._read(completed)

    def _program(self) -> str:
        """The command; a relative path starts at the kubeconfig's folder, a bare name at PATH."""
        command = self._plugin.command
        return str(self._access.base / command) if os.sep in command else command

    def _read(self, completed: Completed) -> Credential:
        if completed.code:
            said = shortened(completed.err.strip()) or "it said nothing"
            raise _unauthorized(f"{self._name} failed with exit code {completed.code}: {said}")
        try:
            answer = msgspec.json.decode(completed.out, type=_ExecCredential)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise _unauthorized(
                f"{self._name} did not print an ExecCredential: {problem}"
            ) from None
        if answer.api_version != self._plugin.api_version:
            raise _unauthorized(
                f"{self._name} answered in {answer.api_version!r}, "
                f"the kubeconfig asks for {self._plugin.api_version!r}"
            )
        status = answer.status or _Status()
        certificate, key = status.client_certificate_data, status.client_key_data
        if bool(certificate) != bool(key) or not (status.token or certificate):
            raise _unauthorized(
                f"{self._name} gave neither a token nor a client certificate with its key"
            )
        expires = status.expiration_timestamp
        return Credential(
            token=usable_token(status.token, self._name) if status.token else "",
            certificate=certificate.encode(),
            key=key.encode(),
            expires=expires.replace(tzinfo=expires.tzinfo or UTC) if expires else None,
        )


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


def exec_info(access: Access, plugin: Exec) -> bytes:
    """`KUBERNETES_EXEC_INFO`: the input of a plugin. Not interactive: it has no terminal."""
    spec: dict[str, object] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = _cluster_info(access)
    request = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    return msgspec.json.encode(request)


def _cluster_info(access: Access) -> dict[str, object]:
    cluster = access.cluster
    extensions = {each.name: each.extension for each in reversed(cluster.extensions or ())}
    info = {
        "server": access.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.standard_b64encode(pem(cluster, access)).decode(),
        "proxy-url": cluster.proxy_url,
        "config": extensions.get(_CLUSTER_EXTENSION),
    }
    return {name: value for name, value in info.items() if value not in ("", False, None)}


def pem(cluster: Cluster, access: Access) -> bytes:
    """The cluster's CA as PEM, b"" if it names none. Raises ApiError(UNREADABLE)."""
    return file_or_data(
        cluster.certificate_authority,
        cluster.certificate_authority_data,
        f"certificate-authority of the cluster {access.cluster_name!r}",
    )


def file_or_data(path: str, data: str, what: str) -> bytes:
    """Content given inline in base64, or by the name of a file. Raises ApiError(UNREADABLE)."""
    try:
        if data:
            return base64.b64decode("".join(data.split()), validate=True)
        return Path(path).read_bytes() if path else b""
    except (binascii.Error, ValueError):
        raise unreadable(f"The {what} in the kubeconfig is not base64") from None
    except OSError as problem:
        raise unreadable(f"The {what} cannot be read: {path}: {problem.strerror}") from None


def usable_token(token: str, origin: str) -> str:
    """The token, if it can stand in a header (RFC 9110 section 5.5); never shows it."""
    if token and token.isascii() and token.isprintable():
        return token
    raise _unauthorized(
        f"{origin} holds no usable token: it is empty or has unprintable characters"
    )


def _unauthorized(message: str) -> ApiError:
    return ApiError(Reason.UNAUTHORIZED, message)


Query: TypeAlias = Sequence[tuple[str, str]]

_PORTS = {"http": 80, "https": 443}
_HEADER_SAFE = "!#$&'*+-.^_`|~"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """What to get. Deadlines are in seconds; None for none."""

    path: str
    query: Query
    accept: str = "application/json"
    connect: float
    """For name, TCP and TLS."""
    total: float | None = None
    idle: float | None = None
    """Without a byte arriving."""
    answer: float | None = None
    """Until the headers are there."""


@dataclass(frozen=True, slots=True)
class Transport:
    """Everything a connection depends on but the token: when it changes, a new pool is needed."""

    server: str
    authority: bytes
    certificate: bytes
    key: bytes
    verify: bool
    server_name: str
    proxy: str
    headers: tuple[tuple[str, str], ...]
    username: str
    password: str


def transport_of(access: Access, credential: Credential, environ: Mapping[str, str]) -> Transport:
    """How to connect. Blocks on certificate files. Raises ApiError(UNREADABLE), naming the key."""
    cluster, user = access.cluster, access.user
    certificate, key = credential.certificate, credential.key
    if not certificate:
        whose = f"of user {access.user_name!r}"
        certificate = file_or_data(
            user.client_certificate, user.client_certificate_data, f"client-certificate {whose}"
        )
        key = file_or_data(user.client_key, user.client_key_data, f"client-key {whose}")
    if b"ENCRYPTED" in key:
        # OpenSSL would ask for its password on the terminal.
        raise unreadable(
            f"The client-key of user {access.user_name!r} is encrypted, which kubectl cannot read "
            "either: decrypt it, or use a credential plugin",
        )
    return Transport(
        server=access.server,
        authority=pem(cluster, access),
        certificate=certificate,
        key=key,
        verify=not cluster.insecure_skip_tls_verify,
        server_name=cluster.tls_server_name,
        proxy=proxy_for(access.server, cluster.proxy_url, environ),
        headers=_impersonation(access),
        username=user.username,
        password=user.password,
    )


def _impersonation(access: Access) -> tuple[tuple[str, str], ...]:
    """Headers for `as`, `as-uid`, `as-groups`, `as-user-extra`; the client library ignores them.

    Source: client-go/transport/round_trippers.go.
    """
    user = access.user
    groups, extra = user.impersonate_groups or (), user.impersonate_user_extra or {}
    headers = [
        ("Impersonate-User", user.impersonate),
        ("Impersonate-Uid", user.impersonate_uid),
        *(("Impersonate-Group", group) for group in groups),
        *(
            (f"Impersonate-Extra-{quote(name, safe=_HEADER_SAFE)}", value)
            for name, values in extra.items()
            for value in values
        ),
    ]
    present = tuple((name, value) for name, value in headers if value)
    if present and not user.impersonate:
        raise unreadable(
            f"The user {access.user_name!r} in {access.origin} sets `as-…` without `as`: "
            "name the user to impersonate",
        )
    if any(not value.isprintable() for _, value in present):
        raise unreadable(
            f"The user {access.user_name!r} in {access.origin} has unprintable text under `as`",
        )
    return present


def proxy_for(server: str, proxy_url: str, environ: Mapping[str, str]) -> str:
    """The proxy for a server: the cluster's `proxy-url`, else the environment's; "" for none.

    Raises ApiError(UNREADABLE) when it is not an HTTP proxy: SOCKS is not supported.
    """
    if proxy_url:
        return _supported(proxy_url, "`proxy-url` of the cluster in the kubeconfig")
    target = urlsplit(server)
    names = ("HTTPS_PROXY", "https_proxy")
    if target.scheme == "http":
        names = ("HTTP_PROXY", "http_proxy")
    name = next((name for name in names if environ.get(name)), "")
    if not name or _bypassed(target, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return ""
    value = environ[name]
    return _supported(value if "://" in value else f"http://{value}", f"the variable {name}")


def _supported(proxy: str, origin: str) -> str:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _PORTS and bool(parts.hostname)
        scheme = parts.scheme
    except ValueError:
        usable, scheme = False, ""
    if usable:
        return proxy
    what = f"a {scheme} proxy" if scheme else "no proxy address"
    raise unreadable(
        f"{origin} names {what}, which is not supported: use an http:// or https:// proxy",
    )


def _bypassed(target: SplitResult, exceptions: str) -> bool:
    host = (target.hostname or "").rstrip(".").lower()
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    port = str(target.port or _PORTS[target.scheme])
    return any(
        _matches(exception.strip().lower(), host, address, port)
        for exception in exceptions.split(",")
        if exception.strip()
    )


def _matches(
    exception: str,
    host: str,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
    port: str,
) -> bool:
    if exception == "*":
        return True
    if address is not None and "/" in exception:
        try:
            return address in ipaddress.ip_network(exception, strict=False)
        except ValueError:
            return False
    name, colon, wanted = exception.rpartition(":")
    if colon and wanted.isdigit() and _address(exception) is None:
        if wanted != port:
            return False
        exception = name
    if address is not None:
        return _address(exception.strip("[]")) == address
    exception = exception.removeprefix("*")
    if exception.startswith("."):
        return host.endswith(exception)
    return host == exception or host.endswith(f".{exception}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
