"""The error of everything that reads the Kubernetes API, in the operator's words.

A reason and one printable sentence that names the server and what it said. What aiohttp raises is
turned into one in `collectors.kubernetes.client`.
"""

from __future__ import annotations

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
