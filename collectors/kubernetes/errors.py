"""What the Kubernetes API, or the way to it, can do to us: one exception, in the operator's words.

It stands below `api`, `kubeconfig` and `credentials`, which all raise it. Whatever aiohttp or the
server throws becomes a reason and one printable sentence that names the server and what it said.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

import msgspec

from collectors.sanitize import one_line, printable_bytes
from collectors.source import ReadError, Reason

MAX_MESSAGE = 600
"""Characters kept of what the other side said."""

_REASONS = {401: Reason.UNAUTHORIZED, 403: Reason.FORBIDDEN, 404: Reason.ABSENT}

Headers: TypeAlias = Mapping[str, str]


class ApiError(ReadError):
    """The API could not be read.

    `status` is the HTTP status (or the code of an ERROR event of a watch) when the server answered,
    `retry_after` the seconds that the other side asks us to wait.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason, shortened(message))
        self.status = status
        self.retry_after = retry_after


class _Status(msgspec.Struct):
    message: str = ""
    code: int = 0


def shortened(text: str) -> str:
    """The text on one line, printable, and at most MAX_MESSAGE characters."""
    line = one_line(text)
    return line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE - 1]}…"


def refusal(path: str, server: str, status: int, body: bytes, headers: Headers) -> ApiError:
    """The error for an answer that is not a success.

    The sentence is that of the `Status` object (Kubernetes API conventions, "Response Status
    Kind"), or the beginning of whatever came instead.
    """
    said = status_of(body)[1] or printable_bytes(body[:MAX_MESSAGE]).strip() or "no explanation"
    opening = {
        401: f"{server} does not accept our credentials",
        403: f"{server} forbids reading {path}",
        404: f"{server} does not serve {path}",
        429: f"{server} is too busy to answer {path}",
    }.get(status, f"{server} answered {path} with an error")
    return ApiError(
        _REASONS.get(status, Reason.REFUSED),
        f"{opening}: {said} (HTTP {status})",
        status=status,
        retry_after=seconds_to_wait(headers),
    )


def status_of(raw: bytes) -> tuple[int, str]:
    """Code and message of a `Status` object; 0 and "" when it is none."""
    try:
        status = msgspec.json.decode(raw, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0, ""
    return status.code, one_line(status.message)


def seconds_to_wait(headers: Headers) -> float | None:
    """`Retry-After` in seconds, from either of its forms (RFC 9110 section 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    then = http_date(value)
    return max(0.0, (then - datetime.now(UTC)).total_seconds()) if then else None


def http_date(value: str) -> datetime | None:
    """An HTTP date (RFC 9110 section 5.6.7) with its zone; None when it is no such date."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def unreachable(path: str, server: str, error: BaseException) -> ApiError:
    """The error for a connection that was not made, was cut, or spoke something else than HTTP."""
    import aiohttp

    match error:
        case aiohttp.ClientConnectorDNSError():
            return ApiError(
                Reason.UNREACHABLE,
                f"The host of {server} cannot be found (DNS): {_cause(error.os_error)}",
            )
        case aiohttp.ClientProxyConnectionError():
            return ApiError(
                Reason.UNREACHABLE,
                f"The proxy {error.host}:{error.port} on the way to {server} cannot be reached: "
                f"{_cause(error.os_error)}",
            )
        case aiohttp.ClientHttpProxyError():
            return ApiError(
                Reason.UNREACHABLE,
                f"The proxy on the way to {server} refuses the connection: "
                f"{error.message} (HTTP {error.status})",
            )
        case aiohttp.ClientConnectorCertificateError():
            return _untrusted(server, error.certificate_error)
        case aiohttp.ClientConnectorError():
            return _no_connection(server, error.os_error)
        case aiohttp.ConnectionTimeoutError():
            return ApiError(Reason.UNREACHABLE, f"{server} does not accept a connection in time")
        case TimeoutError():
            return ApiError(Reason.TIMED_OUT, f"{server} did not answer {path} in time")
        case aiohttp.ClientResponseError():
            return ApiError(
                Reason.UNREADABLE, f"{server} does not answer {path} in HTTP: {error.message}"
            )
        case ssl.SSLCertVerificationError():
            return _untrusted(server, error)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return ApiError(
                Reason.UNREADABLE,
                f"{server}{path} is not an address that can be asked; check `server` and "
                "`proxy-url` of the cluster in the kubeconfig",
            )
        case ValueError():
            return ApiError(Reason.UNREADABLE, f"{path} of {server} cannot be asked: {error}")
    return ApiError(
        Reason.UNREACHABLE, f"The connection to {server} broke while reading {path}: {error}"
    )


def _no_connection(server: str, error: BaseException) -> ApiError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(server, error)
    if isinstance(error, ssl.SSLError):
        said = f"No TLS connection to {server}: {_cause(error)}"
    elif isinstance(error, ConnectionRefusedError):
        said = f"{server} refuses the connection: nothing listens there"
    else:
        said = f"{server} cannot be reached: {_cause(error)}"
    return ApiError(Reason.UNREACHABLE, said)


def _untrusted(server: str, error: BaseException) -> ApiError:
    said = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return ApiError(
        Reason.UNREACHABLE,
        f"The certificate of {server} is not trusted (TLS): {said}; check "
        "`certificate-authority` and `tls-server-name` of the cluster in the kubeconfig",
    )


def _cause(error: BaseException) -> str:
    if isinstance(error, socket.gaierror | OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
