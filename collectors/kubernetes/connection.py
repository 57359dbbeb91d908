"""How to reach an API server: the address, the certificates, the proxy, and what to ask for.

Nothing here connects; `collectors.kubernetes.client` does. The proxy is chosen as kubectl chooses
it. Python's own rules differ where it matters: `NO_PROXY` may hold networks (10.0.0.0/8), a leading
dot matters, and loopback never goes through a proxy. Source: Go, golang.org/x/net/http/httpproxy,
`Config.ProxyFunc`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, quote, urlsplit

from collectors.kubernetes.credentials import Credential, file_or_data, pem
from collectors.kubernetes.errors import ApiError
from collectors.kubernetes.kubeconfig import Access
from collectors.source import Reason

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
