"""What a request to the API server is about, whether the user may ask it, and how it is refused.

Path grammar: `/api/v1/…` and `/apis/GROUP/VERSION/…`, then `[namespaces/NS/]PLURAL[/NAME[/SUB]]`
(Kubernetes API concepts, "Resource URIs"). Reasons, codes and messages: Kubernetes
`apimachinery/pkg/api/errors/errors.go`, and for pod logs `pkg/registry/core/pod/strategy.go`.

Label and field selectors are read from the query: `apimachinery/pkg/labels/selector.go` and
`pkg/fields/selector.go`; the fields that each kind can be selected by:
`pkg/apis/core/v1/conversion.go`.

A SelfSubjectAccessReview is read as JSON, or as protobuf, which kubectl sends. Field numbers:
`staging/src/k8s.io/api/authorization/v1/generated.proto`; the envelope:
`apimachinery/pkg/runtime/serializer/protobuf`. The answer is JSON, which clients accept.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from app.lab.fields import data, labels_of, made, shown
from app.lab.store import Cluster, JsonObject, Resource

REVIEWS_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
"""Where a review is posted."""

_READS = ("get", "list", "watch")
_MAGIC = b"k8s\x00"
_NAMESPACE_PARTS = frozenset({"status", "finalize"})
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    410: "Expired",
    422: "Invalid",
    504: "Timeout",
}


class Refusal(Exception):
    """A request that is answered with a Status of failure."""

    def __init__(self, code: int, message: str, details: JsonObject | None = None) -> None:
        """`code`: the HTTP status, one of `_REASONS`."""
        super().__init__(message)
        self.code = code
        reason = _REASONS[code]
        self.status = made("Status", message=message, reason=reason, details=details, code=code)
        """The body: a `metav1.Status`."""


class NoSuchPath(Exception):
    """A path the server does not know: 404 with the plain text `404 page not found`."""


def forbidden(
    user: str, verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = ""
) -> Refusal:
    """The user's rights do not cover the request (`authorizer/errors.go`)."""
    what = f"{resource.qualified} {quoted(name)}" if name else resource.qualified
    asked = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f"in the namespace {quoted(namespace)}" if namespace else "at the cluster scope"
    return Refusal(
        403,
        f"{what} is forbidden: User {quoted(user)} cannot {verb} resource {quoted(asked)} "
        f"in API group {quoted(resource.group)} {where}",
        _about(resource, name),
    )


def not_found(resource: Resource, name: str) -> Refusal:
    """There is no object of that name."""
    message = f"{resource.qualified} {quoted(name)} not found"
    return Refusal(404, message, _about(resource, name))


def method_not_allowed() -> Refusal:
    """The lab is read-only, and so is the method list of what it serves."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, message, {})


def too_large(version: int, current: int) -> Refusal:
    """A resourceVersion from the future, such as another cluster's."""
    message = f"Too large resource version: {version}, current: {current}"
    return Refusal(504, message, made("TooLargeVersion"))


def quoted(text: str) -> str:
    """A name in double quotes, as Go's `%q` writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _about(resource: Resource, name: str) -> JsonObject:
    details: JsonObject = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural}


@dataclass(frozen=True, slots=True)
class Target:
    """The objects a request is about."""

    resource: Resource
    version: str
    """The version the objects are asked in."""
    namespace: str
    """"" for a cluster-scoped kind, or for all namespaces."""
    name: str
    """"" for the whole collection."""
    subresource: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of what is answered."""
        return self.resource.api_version(self.version)

    @property
    def path(self) -> str:
        """The collection's path in this namespace."""
        return self.resource.path(self.version, self.namespace)


def locate(path: str, cluster: Cluster) -> Target:
    """The target of a resource path. Raises NoSuchPath for anything else."""
    match path.removeprefix("/").split("/"):
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest] if group:
            pass
        case _:
            raise NoSuchPath
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in _NAMESPACE_PARTS:
        _, namespace, *rest = rest
        if not namespace:
            raise NoSuchPath
    if not 1 <= len(rest) <= 3 or not all(rest):
        raise NoSuchPath
    plural, name, subresource = [*rest, "", ""][:3]
    resource = cluster.store.resources.get((group, plural))
    if resource is None or version not in resource.versions:
        raise NoSuchPath
    if resource.namespaced != bool(namespace) and (namespace or name):
        raise NoSuchPath
    if namespace not in cluster.only_in.get(resource.key, {namespace}):
        raise NoSuchPath
    return Target(resource, version, namespace, name, subresource)


def permit(cluster: Cluster, verb: str, target: Target) -> None:
    """Return when the user may do this. Raises a Refusal with 403."""
    if covered(cluster, target.resource, target.namespace, target.subresource):
        raise forbidden(
            cluster.user, verb, target.resource, target.namespace, target.name, target.subresource
        )


def covered(cluster: Cluster, resource: Resource, namespace: str, subresource: str = "") -> bool:
    """Whether the cluster's `forbidden` covers a resource in a namespace ("" for all)."""
    part = f"/{subresource}" if subresource else ""
    return any(
        resource.path(version, place) + part in cluster.forbidden
        for version in resource.versions
        for place in ("", namespace)
    )


class ResourceAttributes(msgspec.Struct, omit_defaults=True):
    """What is to be done to which objects, in the order of the field numbers of protobuf.

    An empty namespace means all of them.
    """

    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class PathAttributes(msgspec.Struct, omit_defaults=True):
    """What is to be done to a path of no object, in the order of the field numbers."""

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
        raise Refusal(400, f"the SelfSubjectAccessReview cannot be read: {problem}") from problem


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
        resource = msgspec.convert(_texts(parts[1], ResourceAttributes), ResourceAttributes)
    if 2 in parts:
        path = msgspec.convert(_texts(parts[2], PathAttributes), PathAttributes)
    return ReviewSpec(resource, path)


def _texts(message: bytes, kind: type[msgspec.Struct]) -> dict[str, str]:
    names = dict(enumerate(kind.__struct_fields__, 1))
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


Operator = Literal["in", "notin", "exists", "absent", "gt", "lt"]
"""How a requirement compares; `=` and `!=` are `in` and `notin` with one value."""

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_INTEGER = re.compile(r"-?[0-9]+")
_TOKEN = re.compile(r"\s*(==|!=|[=,()!<>]|[^\s=,()!<>]+)")
_FIELD = re.compile(r"(?P<path>(?:[^\\=!,]|\\.)+)(?P<op>==|!=|=)(?P<value>(?:[^\\=!,]|\\.)*)")

_ANY_KIND = frozenset({"metadata.name", "metadata.namespace"})

_SOURCE = ("source.component", "reportingComponent")
"""What the field `source` of an event selects by: the first of these that is set."""


class BadSelector(ValueError):
    """The selector cannot be understood, or names a field the kind cannot be selected by."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on an object's labels; a selector is the conjunction of several."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil it; `!=` and `notin` are fulfilled by a missing key."""
        value = labels.get(self.key)
        match self.operator:
            case "exists" | "absent":
                return (value is None) is (self.operator == "absent")
            case "in" | "notin":
                return (value in self.values) is (self.operator == "in")
        (bound,) = self.values
        if value is None or not _INTEGER.fullmatch(value):
            return False
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One condition on a field's text; a missing field is the empty text."""

    path: str
    equal: bool
    value: str

    def matches(self, obj: JsonObject) -> bool:
        """Whether the object fulfils it."""
        paths = _SOURCE if self.path == "source" else (self.path,)
        value = next(filter(None, (shown(obj, path) for path in paths)), "")
        return (value == self.value) is self.equal


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a resource's objects a request is about."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldRequirement, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether no object is left out."""
        return not self.labels and not self.fields

    def matches(self, obj: JsonObject) -> bool:
        """Whether the object is selected."""
        labels = labels_of(obj)
        return all(each.matches(labels) for each in self.labels) and all(
            each.matches(obj) for each in self.fields
        )


def selection(resource: Resource, label_selector: str, field_selector: str) -> Selection:
    """The selection a request asks for. Raises BadSelector."""
    return Selection(
        parse_label_selector(label_selector), parse_field_selector(field_selector, resource)
    )


def parse_label_selector(text: str) -> tuple[Requirement, ...]:
    """The requirements of `a=b,c!=d,e in (f,g),h,!i,j>1`. Raises BadSelector."""
    words = deque(_TOKEN.findall(text))
    found: list[Requirement] = []
    while _peek(words):
        found.append(_requirement(words))
        if _peek(words):
            _expect(words, ",")
            if not _peek(words):
                raise BadSelector("unable to parse requirement: found '', expected: identifier")
    return tuple(found)


def parse_field_selector(text: str, resource: Resource) -> tuple[FieldRequirement, ...]:
    """The requirements of `status.phase!=Failed,metadata.name=x`. Raises BadSelector."""
    terms = re.findall(r"(?:[^\\,]|\\.?)+", text, re.DOTALL)
    return tuple(_field(term, text, resource) for term in terms)


_Words = deque[str]
"""What is left of a label selector."""


def _peek(words: _Words) -> str:
    """The next word, "" at the end."""
    return words[0] if words else ""


def _take(words: _Words) -> str:
    return words.popleft() if words else ""


def _expect(words: _Words, due: str) -> None:
    """Take a certain word. Raises BadSelector."""
    word = _take(words)
    if word != due:
        raise BadSelector(f"unable to parse requirement: found '{word}', expected: '{due}'")


def _requirement(words: _Words) -> Requirement:
    if _peek(words) == "!":
        _take(words)
        return Requirement(_valid(_KEY, _take(words), "label key"), "absent")
    key = _valid(_KEY, _take(words), "label key")
    operator = _peek(words)
    if operator in ("", ","):
        return Requirement(key, "exists")
    _take(words)
    match operator:
        case "=" | "==":
            return Requirement(key, "in", frozenset({_value(words)}))
        case "!=":
            return Requirement(key, "notin", frozenset({_value(words)}))
        case "<" | ">":
            return Requirement(key, "lt" if operator == "<" else "gt", _bound(words))
        case "in" | "notin":
            values = frozenset(_set(words))
            if not values:
                raise BadSelector("for 'in', 'notin' operators, values set can't be empty")
            return Requirement(key, operator, values)
    raise BadSelector(
        f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt"
    )


def _value(words: _Words) -> str:
    if _peek(words) in ("", ","):
        return ""
    return _valid(_VALUE, _take(words), "label value")


def _bound(words: _Words) -> frozenset[str]:
    word = _take(words)
    if not _INTEGER.fullmatch(word):
        raise BadSelector("for 'Gt', 'Lt' operators, the value must be an integer")
    return frozenset({word})


def _set(words: _Words) -> Iterator[str]:
    _expect(words, "(")
    while _peek(words) != ")":
        yield _value(words)
        if _peek(words) != ")":
            _expect(words, ",")
            if _peek(words) == ")":
                yield ""
    _expect(words, ")")


def _valid(pattern: re.Pattern[str], word: str, what: str) -> str:
    name = word.rpartition("/")[2]
    if not pattern.fullmatch(word) or len(name) > 63:
        raise BadSelector(f"unable to parse requirement: invalid {what} {word!r}")
    return word


def _field(term: str, text: str, resource: Resource) -> FieldRequirement:
    found = _FIELD.fullmatch(term)
    if found is None:
        raise BadSelector(f"invalid selector: '{text}'; can't understand '{term}'")
    path = found["path"]
    known = data("api", "selectable", dict[str, frozenset[str]]).get(resource.qualified, ())
    if path not in _ANY_KIND and path not in known:
        raise BadSelector(f"field label not supported: {path}")
    value = re.sub(r"\\(.)", r"\1", found["value"])
    return FieldRequirement(path, found["op"] != "!=", value)
