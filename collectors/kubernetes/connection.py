"""The one place that touches `kubernetes.aio`: its configuration, its low-level client, the proxy.

Its models are never built and its watch is never used; both cost more than the rest of the program.
Its low-level calls have changed before, and when they change again they change here. Importing it
takes about a second, so it happens on the first use, in a thread.

The proxy is chosen as kubectl chooses it. Python's own rules differ where it matters: `NO_PROXY`
may hold networks (10.0.0.0/8), a leading dot matters, and loopback never goes through a proxy.
Source: Go, golang.org/x/net/http/httpproxy, `Config.ProxyFunc`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import SplitResult, quote, urlsplit

from collectors.kubernetes.credentials import Credential, file_or_data, pem
from collectors.kubernetes.errors import ApiError, Headers
from collectors.kubernetes.kubeconfig import Access
from collectors.source import Reason

_PORTS = {"http": 80, "https": 443}


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
    raise ApiError(
        Reason.UNREADABLE,
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


Query: TypeAlias = Sequence[tuple[str, str]]

USER_AGENT = "ciliscope"
_NAME = "ciliscope"
_HEADER_SAFE = "!#$&'*+-.^_`|~"


class _Content(Protocol):
    def iter_any(self) -> AsyncIterator[bytes]: ...


class Response(Protocol):
    """An answer whose body has not been read yet: the part of aiohttp's that we use."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def content(self) -> _Content: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines of one request, in seconds; None for none."""

    connect: float
    total: float | None = None
    idle: float | None = None
    """Without a byte arriving."""


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
        raise ApiError(
            Reason.UNREADABLE,
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
        raise ApiError(
            Reason.UNREADABLE,
            f"The user {access.user_name!r} in {access.origin} sets `as-…` without `as`: "
            "name the user to impersonate",
        )
    if any(not value.isprintable() for _, value in present):
        raise ApiError(
            Reason.UNREADABLE,
            f"The user {access.user_name!r} in {access.origin} has unprintable text under `as`",
        )
    return present


class _Settings(Protocol):
    api_key: dict[str, str]
    client_session_kwargs: dict[str, object] | None
    disable_strict_ssl_verification: bool
    proxy: str | None


class _Rest(Protocol):
    ssl_context: ssl.SSLContext


class _RestResponse(Protocol):
    @property
    def response(self) -> Response: ...


class _Client(Protocol):
    rest_client: _Rest
    user_agent: str

    async def param_serialize(
        self,
        method: str,
        path: str,
        *,
        query_params: list[tuple[str, str]],
        header_params: dict[str, str],
        auth_settings: list[str],
    ) -> tuple[object, ...]: ...
    async def call_api(self, *request: object, _request_timeout: object) -> _RestResponse: ...
    async def close(self) -> None: ...


class Connection:
    """A pool of connections to one API server, as one user."""

    def __init__(self, transport: Transport, settings: _Settings, client: _Client) -> None:
        self.transport = transport
        self._settings = settings
        self._client = client
        self._in_use = 0
        self._retired = False

    async def request(
        self, path: str, query: Query, accept: str, token: str, limits: Limits
    ) -> Response:
        """Ask, and return as soon as the headers are there. Raises what aiohttp raises."""
        import aiohttp

        if token:
            self._settings.api_key["BearerToken"] = f"Bearer {token}"
        request = await self._client.param_serialize(
            "GET",
            path,
            query_params=list(query),
            header_params={"Accept": accept},
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(
            total=limits.total,
            connect=limits.connect,
            sock_connect=limits.connect,
            sock_read=limits.idle,
        )
        answer = await self._client.call_api(*request, _request_timeout=timeout)
        return answer.response

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


async def connect(transport: Transport) -> Connection:
    """Make a pool; nothing is sent yet. Raises ApiError(UNREADABLE) for unusable certificates."""
    try:
        return await asyncio.to_thread(_build, transport)
    except (ssl.SSLError, ValueError) as problem:
        raise ApiError(
            Reason.UNREADABLE,
            f"The certificates for {transport.server} in the kubeconfig cannot be used: {problem}",
        ) from None
    except OSError as problem:
        raise ApiError(
            Reason.UNREADABLE,
            f"The certificates for {transport.server} cannot be stored: {problem}",
        ) from None


def _build(transport: Transport) -> Connection:
    from kubernetes.aio import config
    from kubernetes.aio.client import ApiClient, Configuration

    settings: _Settings = Configuration()
    # The library wants certificates in files and reads them once; they are gone after that.
    with tempfile.TemporaryDirectory(prefix=f"{_NAME}-") as folder:
        described = _as_kubeconfig(transport, Path(folder))
        # Nothing in it waits: plugins and providers are ours, what is left reads files.
        asyncio.run(config.load_kube_config_from_dict(described, client_configuration=settings))
        settings.proxy = transport.proxy or None
        # kubectl accepts certificate authorities without the extensions that Python 3.13 wants.
        settings.disable_strict_ssl_verification = True
        # trust_env off: aiohttp would send passwords from ~/.netrc; `proxies` knows the rest.
        settings.client_session_kwargs = {"trust_env": False, "headers": list(transport.headers)}
        client: _Client = ApiClient(settings)
    # An intermediate certificate may be the trusted one, as with kubectl.
    client.rest_client.ssl_context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.user_agent = USER_AGENT
    return Connection(transport, settings, client)


def _as_kubeconfig(transport: Transport, folder: Path) -> dict[str, object]:
    cluster: dict[str, object] = {
        "server": transport.server,
        "insecure-skip-tls-verify": not transport.verify,
    }
    if transport.server_name:
        cluster["tls-server-name"] = transport.server_name
    user: dict[str, object] = {}
    if transport.username:
        user = {"username": transport.username, "password": transport.password}
    for part, key, content in (
        (cluster, "certificate-authority", transport.authority),
        (user, "client-certificate", transport.certificate),
        (user, "client-key", transport.key),
    ):
        if content:
            path = folder / key
            path.touch(mode=0o600)
            path.write_bytes(content)
            part[key] = str(path)
    context = {"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}
    return {
        "current-context": _NAME,
        "contexts": [context],
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": user}],
    }
