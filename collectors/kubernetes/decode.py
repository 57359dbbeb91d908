"""Bytes of the API in, records out: fast where the bytes are clean, lossless where they are not.

A clean object is decoded straight into its record. One with unsafe text, a null where the schema
has a list, or bad UTF-8 takes the slow way: parsed, made printable, nulls dropped, converted. One
that fails there too becomes a problem with its name; the other objects are not lost with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import msgspec

from collectors.kubernetes.records import Object
from collectors.sanitize import JsonValue, is_clean_json, one_line, printable_json
from collectors.source import ReadError, Reason

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
