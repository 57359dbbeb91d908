"""Which proxy stands between us and an API server, decided as kubectl decides it.

Python's own rules differ from Go's where it matters: `NO_PROXY` may hold networks (10.0.0.0/8), a
leading dot matters, and loopback never goes through a proxy. Source: Go,
golang.org/x/net/http/httpproxy, `Config.ProxyFunc`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from collectors.api_errors import ApiError
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
