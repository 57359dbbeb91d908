"""SelfSubjectAccessReview: may I do this? Asked in JSON, or in protobuf as kubectl asks it.

Field numbers: Kubernetes `staging/src/k8s.io/api/authorization/v1/generated.proto`; the envelope:
`apimachinery/pkg/runtime/serializer/protobuf`. The answer is JSON either way, which clients accept.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from app.lab.refusals import bad_request
from app.lab.routes import covered
from app.lab.store import Cluster, JsonObject

REVIEWS_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
"""Where a review is posted."""

_READS = ("get", "list", "watch")
_MAGIC = b"k8s\x00"
_RESOURCE_FIELDS = {
    1: "namespace",
    2: "verb",
    3: "group",
    4: "version",
    5: "resource",
    6: "subresource",
    7: "name",
}
_PATH_FIELDS = {1: "path", 2: "verb"}


class ResourceAttributes(msgspec.Struct, omit_defaults=True):
    """What is to be done to which objects; an empty namespace means all of them."""

    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class PathAttributes(msgspec.Struct, omit_defaults=True):
    """What is to be done to a path that is no object's."""

    path: str = ""
    verb: str = ""


class ReviewSpec(msgspec.Struct, rename="camel", omit_defaults=True):
    """The question; one of the two."""

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: PathAttributes | None = None


class _Review(msgspec.Struct):
    spec: ReviewSpec


def review(cluster: Cluster, body: bytes) -> JsonObject:
    """The review with its answer. Raises a Refusal with 400."""
    spec = decode_review(body)
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": None},
        "spec": msgspec.to_builtins(spec),
        "status": {"allowed": _allowed(cluster, spec)},
    }


def decode_review(body: bytes) -> ReviewSpec:
    """The question in a request's body. Raises a Refusal with 400."""
    try:
        if not body.startswith(_MAGIC):
            return msgspec.json.decode(body, type=_Review).spec
        envelope = dict(_fields(body[len(_MAGIC) :]))
        return _spec(dict(_fields(envelope.get(2, b""))).get(2, b""))
    except (msgspec.DecodeError, ValueError) as problem:
        raise bad_request(f"the SelfSubjectAccessReview cannot be read: {problem}") from problem


def _allowed(cluster: Cluster, spec: ReviewSpec) -> bool:
    asked = spec.resource_attributes
    if asked is None:
        return (spec.non_resource_attributes or PathAttributes()).path not in cluster.forbidden
    # The lab answers 405 to what writes. An exec is a `create`: the `cilium` command needs it.
    if asked.verb not in _READS and asked.subresource != "exec":
        return False
    resource = cluster.store.resources.get((asked.group, asked.resource))
    return resource is None or not covered(cluster, resource, asked.namespace, asked.subresource)


def _spec(message: bytes) -> ReviewSpec:
    parts = dict(_fields(message))
    resource = path = None
    if 1 in parts:
        resource = msgspec.convert(_texts(parts[1], _RESOURCE_FIELDS), ResourceAttributes)
    if 2 in parts:
        path = msgspec.convert(_texts(parts[2], _PATH_FIELDS), PathAttributes)
    return ReviewSpec(resource, path)


def _texts(message: bytes, names: dict[int, str]) -> dict[str, str]:
    return {names[n]: value.decode() for n, value in _fields(message) if n in names}


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message. Raises ValueError."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == 0:
            _, place = _varint(message, place)
            continue
        if tag & 7 != 2:
            raise ValueError(f"protobuf wire type {tag & 7} is not expected here")
        length, place = _varint(message, place)
        if place + length > len(message):
            raise ValueError("the protobuf message is cut short")
        yield tag >> 3, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("the protobuf message is cut short")
