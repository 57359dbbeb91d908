"""One object, or a list of them in pages, as the API server writes them.

A page token carries the version of the first page, so that all pages together are one moment of
the cluster; when the store no longer knows that moment the token is answered with 410
(Kubernetes API concepts, "Retrieving large results sets in chunks").
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from app.lab.refusals import bad_request, too_large, too_old
from app.lab.routes import Target, collection_path
from app.lab.selectors import BadSelector, Selection, selection
from app.lab.store import Cluster, Expired, JsonObject

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


class _Continue(msgspec.Struct):
    v: str
    rv: int
    start: str


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of one."""

    items: list[JsonObject]
    metadata: JsonObject
    """The list's `metadata`: its version, and how to go on."""
    whole: bool
    """Whether these are all objects of the collection, unfiltered and of now."""


def with_type(obj: JsonObject, target: Target) -> JsonObject:
    """An object on its own: kind first, and the version that was asked for."""
    kind: JsonObject = {"kind": target.resource.kind, "apiVersion": target.api_version}
    if target.resource.custom:
        return {**obj, **kind}
    return {**kind, **obj, **kind}


def in_list(obj: JsonObject, target: Target) -> JsonObject:
    """An object in a list: only custom resources repeat their kind."""
    if target.resource.custom:
        return with_type(obj, target)
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def list_document(page: Page, target: Target) -> JsonObject:
    """The body of a list."""
    return {
        "kind": f"{target.resource.kind}List",
        "apiVersion": target.api_version,
        "metadata": page.metadata,
        "items": [in_list(obj, target) for obj in page.items],
    }


def list_version(cluster: Cluster, target: Target) -> str:
    """The resourceVersion a list has now."""
    everywhere = collection_path(target.resource, target.version)
    recorded = cluster.list_versions
    return recorded.get(target.path) or recorded.get(everywhere) or str(cluster.store.version)


def selected(target: Target, query: Mapping[str, str]) -> Selection:
    """What the query selects. Raises a Refusal with 400."""
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    try:
        return selection(target.resource, labels, fields)
    except BadSelector as problem:
        kind = f"{target.api_version}, Resource={target.resource.plural}"
        slash = "" if target.resource.group else "/"
        raise bad_request(
            f'Unable to find "{slash}{kind}" that match label selector "{labels}", '
            f'field selector "{fields}": {problem}'
        ) from problem


def page_of(cluster: Cluster, target: Target, query: Mapping[str, str]) -> Page:
    """The part of a collection that a query asks for. Raises a Refusal with 400, 410 or 504."""
    wanted = selected(target, query)
    limit = whole_number(query, "limit") or 0
    token = _token(query.get("continue", ""))
    version = str(token.rv) if token else _asked_version(cluster, target, query)
    found = [obj for obj in _objects(cluster, target, version) if wanted.matches(obj)]
    rest = [obj for obj in found if token is None or _place(obj) >= token.start]
    items = rest[:limit] if limit > 0 else rest
    metadata: JsonObject = {"resourceVersion": version}
    if len(items) < len(rest):
        metadata["continue"] = _continue(version, rest[limit])
        if wanted.everything:
            metadata["remainingItemCount"] = len(rest) - len(items)
    now = version == list_version(cluster, target)
    complete = wanted.everything and len(items) == len(found)
    return Page(items, metadata, now and complete)


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a number, None when it is absent. Raises a Refusal with 400."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as problem:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from problem


def truth(query: Mapping[str, str], name: str) -> bool:
    """A query parameter that is a switch."""
    return query.get(name, "") in ("1", "t", "T", "true", "True", "TRUE")


def check_version(cluster: Cluster, text: str) -> int:
    """A resourceVersion parameter as a number. Raises a Refusal with 400 or 504."""
    if not text.isascii() or not text.isdigit():
        raise bad_request(f'Invalid value: "{text}": resourceVersion is not a number')
    if int(text) > cluster.store.version:
        raise too_large(int(text), cluster.store.version)
    return int(text)


def _asked_version(cluster: Cluster, target: Target, query: Mapping[str, str]) -> str:
    asked = query.get("resourceVersion", "")
    if asked in ("", "0"):
        return list_version(cluster, target)
    check_version(cluster, asked)
    exact = query.get("resourceVersionMatch") == "Exact"
    return asked if exact else list_version(cluster, target)


def _objects(cluster: Cluster, target: Target, version: str) -> list[JsonObject]:
    key, namespace = target.resource.key, target.namespace
    if version == list_version(cluster, target):
        return cluster.store.all(key, namespace)
    try:
        return cluster.store.at(key, int(version), namespace)
    except Expired as expired:
        raise too_old(_EXPIRED) from expired


def _token(text: str) -> _Continue | None:
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=_Continue)
    except (ValueError, binascii.Error, msgspec.DecodeError) as problem:
        raise bad_request(f"continue key is not valid: {problem}") from problem


def _continue(version: str, first: JsonObject) -> str:
    token = _Continue("meta.k8s.io/v1", int(version), _place(first))
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _place(obj: JsonObject) -> str:
    """An object's key in etcd, by which lists are ordered."""
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101 - the store took it by its metadata
    return f"{metadata.get('namespace', '')}/{metadata['name']}"
