"""What the API server answers: its objects as records, its refusals as errors.

Bytes in, records out: fast where the bytes are clean, lossless where they are not. A clean object
is decoded straight into its record. One with unsafe text, a null where the schema has a list, or
bad UTF-8 takes the slow way: parsed, made printable, nulls dropped, converted. One that fails there
too becomes a problem with its name; the other objects are not lost with it.

An error is a reason and one printable sentence that names the server and what it said. What aiohttp
raises is turned into one in `collectors.kubernetes.client`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, TypeAlias, TypeVar, cast

import msgspec

from collectors.kubernetes.records import Object
from collectors.sanitize import JsonValue, is_clean_json, one_line, printable_bytes, printable_json
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


Record = TypeVar("Record", bound=Object)


_DIFFICULT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that it cannot read at once, deep nesting included."""


class Undecodable(ReadError):
    """The bytes are not an object of this kind."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.UNREADABLE, message)


class ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata` of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _RawList(msgspec.Struct, frozen=True):
    metadata: ListMetadata | None = None
    items: list[msgspec.Raw] | None = None


class _RawEvent(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    """One page of a list."""

    records: tuple[Record, ...]
    resource_version: str
    continue_token: str
    """"" on the last page."""
    problems: tuple[str, ...]
    """One sentence for each object that could not be read."""


def decode_page(body: bytes, record: type[Record]) -> Page[Record]:
    """A page of a list. Raises Undecodable when the body is no list at all."""
    try:
        page = msgspec.json.decode(body, type=_RawList)
    except _DIFFICULT:
        page = _reread(body, _RawList, "a list")
    records: list[Record] = []
    problems: list[str] = []
    for item in page.items or ():
        try:
            records.append(decode_object(bytes(item), record))
        except Undecodable as problem:
            problems.append(str(problem))
    metadata = page.metadata or ListMetadata()
    return Page(tuple(records), metadata.resource_version, metadata.continue_, tuple(problems))


def decode_event(line: bytes) -> tuple[str, bytes]:
    """Type and raw object of one line of a watch. Raises Undecodable."""
    try:
        event = msgspec.json.decode(line, type=_RawEvent)
    except _DIFFICULT:
        event = _reread(line, _RawEvent, "a watch event")
    return one_line(event.type), bytes(event.object)


def decode_object(raw: bytes, record: type[Record]) -> Record:
    """One object. Raises Undecodable."""
    if is_clean_json(raw):
        try:
            return msgspec.json.decode(raw, type=record)
        except _DIFFICULT:
            pass  # the slow way finds out whether only a null or a bad byte was in the way
    value = _printable_value(raw)
    try:
        return msgspec.convert(value, record, strict=False)
    except msgspec.ValidationError as problem:
        raise Undecodable(f"{record.__name__} {_name(value)} cannot be read: {problem}") from None


def _reread(body: bytes, shape: type[_Shape], what: str) -> _Shape:
    value = _printable_value(body)
    try:
        return msgspec.json.decode(json.dumps(value).encode(), type=shape)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Undecodable(f"the answer is not {what}: {one_line(str(problem))}") from None


_Shape = TypeVar("_Shape", _RawList, _RawEvent)


def _printable_value(raw: bytes) -> JsonValue:
    try:
        value = json.loads(raw.decode("utf-8", "replace"), strict=False)
        return without_nulls(printable_json(cast("JsonValue", value)))
    except ValueError as problem:
        raise Undecodable(f"the answer is not JSON: {one_line(str(problem))}") from None
    except RecursionError:
        raise Undecodable("the answer is not JSON that can be read: nested too deeply") from None


def without_nulls(value: JsonValue) -> JsonValue:
    """The value without null members and elements: Go writes null for what is empty."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return value


def _name(value: JsonValue) -> str:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return "without metadata"
    parts = (metadata.get("namespace"), metadata.get("name"))
    return "/".join(one_line(str(part)) for part in parts if part) or "without a name"
