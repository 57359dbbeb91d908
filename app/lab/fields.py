"""Typed reading of API objects and of the lab's data, so that nothing untyped is ever held.

A Kubernetes object arrives as nested mappings and lists of anything. These functions read one
place of it and give the empty value of the asked type where there is nothing of that type, as
the Go structs of the real components do. New objects are made from templates in `data/`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from string import Template
from typing import TypeVar

import msgspec
import yaml

from app.lab.store import JsonObject, ObjectKey

AnyAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's safe loader where PyYAML was built with it, ten times as fast."""

_Shape = TypeVar("_Shape")


@cache
def _file(name: str) -> JsonObject:
    path = Path(__file__).parent / "data" / f"{name}.yaml"
    return mapping(yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER))  # noqa: S506


def data(file: str, key: str, shape: type[_Shape], **values: object) -> _Shape:
    """A part of one of the files in `data/`; `$name` in it stands for a value."""
    return msgspec.convert(_filled(_file(file)[key], values), shape)


def made(kind: str, /, **values: object) -> JsonObject:
    """A new object from its template in `data/cluster.yaml`; `$name` stands for a value.

    Where the value is None the key is left out.
    """
    return mapping(_filled(mapping(_file("cluster"), "objects")[kind], values))


def _filled(part: object, values: Mapping[str, object]) -> object:
    if isinstance(part, dict):
        filled = {key: _filled(value, values) for key, value in part.items()}
        return {key: new for key, new in filled.items() if new is not None or part[key] is None}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    if not isinstance(part, str) or "$" not in part:
        return part
    return values[part[1:]] if part[1:] in values else Template(part).substitute(values)


def mapping(obj: object, *path: str) -> JsonObject:
    """The mapping at a path, {} when there is none."""
    here = _at(obj, path)
    return here if isinstance(here, dict) else {}


def objects(obj: object, *path: str) -> list[JsonObject]:
    """The mappings in the list at a path."""
    here = _at(obj, path)
    return [entry for entry in here if isinstance(entry, dict)] if isinstance(here, list) else []


def texts(obj: object, *path: str) -> list[str]:
    """The strings in the list at a path."""
    here = _at(obj, path)
    return [entry for entry in here if isinstance(entry, str)] if isinstance(here, list) else []


def text(obj: object, *path: str) -> str:
    """The string at a path, "" when there is none."""
    here = _at(obj, path)
    return here if isinstance(here, str) else ""


def integer(obj: object, *path: str, default: int = 0) -> int:
    """The whole number at a path."""
    here = _at(obj, path)
    return here if isinstance(here, int) and not isinstance(here, bool) else default


def truth(obj: object, *path: str) -> bool:
    """The boolean at a path, False when there is none."""
    return _at(obj, path) is True


def present(obj: object, *path: str) -> bool:
    """Whether anything but null is at a path (a nil selector is not an empty one)."""
    return _at(obj, path) is not None


def shown(obj: object, path: str, missing: str = "") -> str:
    """Any value at a path such as `spec.nodeName`, as columns and field selectors show it."""
    value = _at(obj, path.split("."))
    if isinstance(value, bool):
        return str(value).lower()
    return missing if value is None else str(value)


def name_of(obj: JsonObject) -> str:
    """`metadata.name`."""
    return text(obj, "metadata", "name")


def key_of(obj: JsonObject) -> ObjectKey:
    """Namespace and name."""
    return (text(obj, "metadata", "namespace"), name_of(obj))


def labels_of(obj: JsonObject) -> dict[str, str]:
    """`metadata.labels`."""
    labels = mapping(obj, "metadata", "labels")
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def annotation(obj: JsonObject, *names: str) -> str:
    """The first of the named annotations that is set, else ""."""
    return next(filter(None, (text(obj, "metadata", "annotations", name) for name in names)), "")


def created(obj: JsonObject) -> datetime:
    """`metadata.creationTimestamp`, the epoch when there is none."""
    return moment(text(obj, "metadata", "creationTimestamp"))


def moment(stamp: str) -> datetime:
    """A time as Kubernetes writes it; the epoch for ""."""
    if not stamp:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return datetime.fromisoformat(stamp)


def selects(selector: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches; the empty selector matches everything.

    What an absent selector means differs per field (`docs/cilium.md`, Selectors) and is the
    caller's.
    """
    required = mapping(selector, "matchLabels")
    if any(labels.get(key) != value for key, value in required.items()):
        return False
    return all(_meets(rule, labels) for rule in objects(selector, "matchExpressions"))


def _meets(rule: JsonObject, labels: Mapping[str, str]) -> bool:
    actual = labels.get(text(rule, "key"))
    values = texts(rule, "values")
    match text(rule, "operator"):
        case "In":
            return actual is not None and actual in values
        case "NotIn":
            return actual is None or actual not in values
        case "Exists":
            return actual is not None
        case "DoesNotExist":
            return actual is None
        case _:
            return False


def _at(obj: object, path: Sequence[str]) -> object:
    for step in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(step)
    return obj


def merged(base: JsonObject, patch: Mapping[str, object]) -> JsonObject:
    """A copy with a JSON merge patch (RFC 7396): mappings merge, null deletes, else replace."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(mapping(result, key), value)
        else:
            result[key] = value
    return result


def with_status(obj: JsonObject, **parts: object) -> JsonObject:
    """A copy with these parts of its status replaced."""
    return {**obj, "status": {**mapping(obj, "status"), **parts}}


def service_labels(service: JsonObject) -> dict[str, str]:
    """The labels that Cilium's service selectors see: the service's own and two virtual ones."""
    namespace, name = key_of(service)
    return labels_of(service) | {
        "io.kubernetes.service.name": name,
        "io.kubernetes.service.namespace": namespace,
    }


def ip_address(word: str) -> AnyAddress | None:
    """An IP address, None for what is none."""
    try:
        return ipaddress.ip_address(word)
    except ValueError:
        return None


def go_duration(seconds: int) -> str:
    """A length of time as Go prints it: `41s`, `5m0s`, `1h0m41s`."""
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def seconds(count: float) -> timedelta:
    """A duration."""
    return timedelta(seconds=count)
