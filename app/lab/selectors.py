"""Label and field selectors, as an API server reads them from a request's query.

Grammar: Kubernetes `apimachinery/pkg/labels/selector.go` and `pkg/fields/selector.go`; the fields
that each kind can be selected by: `pkg/apis/core/v1/conversion.go`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from app.lab.fields import data, labels_of, shown
from app.lab.store import JsonObject, Resource

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
