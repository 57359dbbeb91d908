"""Every kind a simulated cluster serves, how discovery describes it, and its columns in kubectl.

Names, scopes, short names and categories are those of a Kubernetes 1.36 API server and of the
CustomResourceDefinitions of Cilium 1.17 and 1.21 (their recorded discovery documents). Shapes of
the documents: `apimachinery/pkg/apis/meta/v1` (APIVersions, APIGroupList, APIResourceList). A
client that asks for aggregated discovery accepts them.

Columns that `kubectl get` shows, with ages by the cluster's own clock: Kubernetes
`pkg/printers/internalversion/printers.go` and, for Cilium's kinds, the `additionalPrinterColumns`
of their CustomResourceDefinitions. Other kinds show name and age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from app.lab.fields import data, integer, labels_of, made, objects, shown, texts, truth
from app.lab.plane import Minor, minor
from app.lab.store import JsonObject, Resource

_OLDEST = (1, 17)
"""The oldest version that is known."""
_ALPHA = "v2alpha1"


def _cilium_resources(version: Minor) -> dict[str, Resource]:
    """The kinds that a version of Cilium registers, with the versions it serves each under."""
    known = data("api", "cilium", tuple[Resource, ...])
    if version < (1, 18):
        known = tuple(
            replace(each, versions=(_ALPHA,)) if _ALPHA in each.versions else each for each in known
        )
    return {each.kind: each for each in (known if version < (1, 19) else known[:-1])}


def resources(
    cilium_version: str, crds: Mapping[str, bool] = MappingProxyType({})
) -> tuple[Resource, ...]:
    """Everything a cluster with this Cilium serves; the version as in `1.19.1` or an image tag.

    `crds` names kinds that are served although this version does not bring them, or are not
    although it does. Raises ValueError when it is no version, or no such kind.
    """
    kinds, earlier = _cilium_resources(minor(cilium_version)), _cilium_resources(_OLDEST)
    for kind, served in crds.items():
        if kind not in kinds | earlier:
            raise ValueError(f"crds: {kind!r} is no kind of Cilium's")
        resource = kinds.pop(kind, earlier[kind])
        if served:
            kinds[kind] = resource
    return (*data("api", "standard", tuple[Resource, ...]), *kinds.values())


_REVIEWS = Resource(
    "authorization.k8s.io", ("v1",), "selfsubjectaccessreviews", "SelfSubjectAccessReview", False
)
"""What every API server serves and stores nowhere."""


def discovery_document(path: str, resources: Iterable[Resource]) -> JsonObject | None:
    """The document at `/api`, `/apis`, `/api/v1`, `/apis/GROUP` or `/apis/GROUP/VERSION`.

    None when these resources make no such document.
    """
    known = [*resources, _REVIEWS]
    match path.strip("/").split("/"):
        case ["api"]:
            return made("APIVersions")
        case ["apis"]:
            return _group_list(known)
        case ["api", version]:
            return _resource_list("", version, known)
        case ["apis", group] if _versions(group, known):
            return {"kind": "APIGroup", "apiVersion": "v1", **_group_entry(group, known)}
        case ["apis", group, version]:
            return _resource_list(group, version, known)
    return None


def _group_list(resources: Sequence[Resource]) -> JsonObject:
    names = dict.fromkeys(resource.group for resource in resources if resource.group)
    groups = [_group_entry(name, resources) for name in names]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group_entry(group: str, resources: Sequence[Resource]) -> JsonObject:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in _versions(group, resources)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _versions(group: str, resources: Sequence[Resource]) -> list[str]:
    served = (v for resource in resources if resource.group == group for v in resource.versions)
    return sorted(set(served), key=preference)


def preference(version: str) -> tuple[bool, str]:
    """Stable versions before others, as the API server prefers them."""
    return ("alpha" in version or "beta" in version, version)


def _resource_list(group: str, version: str, resources: Sequence[Resource]) -> JsonObject | None:
    entries = [
        entry
        for resource in resources
        if resource.group == group and version in resource.versions
        for entry in _resource_entries(resource)
    ]
    if not entries:
        return None
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }


def _resource_entries(resource: Resource) -> list[JsonObject]:
    entry: JsonObject = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["create"] if resource == _REVIEWS else ["get", "list", "watch"],
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.key != ("", "pods"):
        return [entry]
    log = {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod"}
    return [entry, {**log, "verbs": ["get"]}]


Cell = Callable[[JsonObject, datetime], object]
"""What a column shows of an object at a moment."""

_ANY_KIND = {"Name": "metadata.name", "Age": "<age>"}


def table(
    resource: Resource,
    found: Sequence[JsonObject],
    metadata: JsonObject,
    now: datetime,
    include: str = "Metadata",
) -> JsonObject:
    """A `meta.k8s.io/v1` Table; `include` is what each row carries: Metadata, Object or None."""
    columns = data("api", "columns", dict[str, dict[str, str]]).get(resource.qualified, _ANY_KIND)
    cells = [_CELLS.get(what) or _field(*what.split("|")) for what in columns.values()]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(name) for name in columns],
        "rows": [_row(obj, cells, now, include) for obj in found],
    }


def human_duration(seconds: float) -> str:
    """A length of time in at most two units, as `apimachinery/pkg/util/duration` writes it."""
    total = int(seconds)
    if total < 0:
        return "<invalid>" if total < -1 else "0s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(high: int, high_unit: str, low: int, low_unit: str) -> str:
    return f"{high}{high_unit}{low}{low_unit}" if low else f"{high}{high_unit}"


def _definition(name: str) -> JsonObject:
    form = "name" if name == "Name" else ""
    return {"name": name, "type": "string", "format": form, "description": "", "priority": 0}


def _row(obj: JsonObject, cells: Iterable[Cell], now: datetime, include: str) -> JsonObject:
    row: JsonObject = {"cells": [cell(obj, now) for cell in cells]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        row["object"] = {**kind, "metadata": obj.get("metadata")}
    return row


def _since(*paths: str) -> Cell:
    """How long ago the first of some times was that the object has."""

    def cell(obj: JsonObject, now: datetime) -> str:
        text = next(filter(None, (shown(obj, path) for path in paths)), "")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return "<unknown>"
        return human_duration((now - moment.replace(tzinfo=UTC)).total_seconds())

    return cell


def _field(path: str, missing: str = "") -> Cell:
    return lambda obj, _: shown(obj, path, missing)


def _status_of(kind: str, part: str = "status") -> Cell:
    """A part of the condition of one type."""
    return lambda obj, _: _typed(objects(obj, "status", "conditions"), kind, part)


def _address(kind: str) -> Cell:
    return lambda node, _: _typed(objects(node, "spec", "addresses"), kind, "ip")


def _typed(entries: Iterable[JsonObject], kind: str, part: str) -> str:
    return next((shown(each, part) for each in entries if shown(each, "type") == kind), "")


def _ready(pod: JsonObject, _: datetime) -> str:
    statuses = objects(pod, "status", "containerStatuses")
    ready = sum(truth(status, "ready") for status in statuses)
    return f"{ready}/{len(objects(pod, 'spec', 'containers'))}"


def _pod_status(pod: JsonObject, _: datetime) -> str:
    if shown(pod, "metadata.deletionTimestamp"):
        return "Terminating"
    for status in objects(pod, "status", "containerStatuses"):
        reason = shown(status, "state.waiting.reason") or shown(status, "state.terminated.reason")
        if reason:
            return reason
    return shown(pod, "status.reason") or shown(pod, "status.phase")


def _external_ip(service: JsonObject, _: datetime) -> str:
    addresses = [
        shown(ingress, "ip") or shown(ingress, "hostname")
        for ingress in objects(service, "status", "loadBalancer", "ingress")
    ] + texts(service, "spec", "externalIPs")
    waiting = "<pending>" if shown(service, "spec.type") == "LoadBalancer" else "<none>"
    return ",".join(addresses) or waiting


def _ports(service: JsonObject, _: datetime) -> str:
    listed = []
    for port in objects(service, "spec", "ports"):
        node = shown(port, "nodePort")
        number = f"{shown(port, 'port')}:{node}" if node else shown(port, "port")
        listed.append(f"{number}/{shown(port, 'protocol', 'TCP')}")
    return ",".join(listed) or "<none>"


def _node_status(node: JsonObject, _: datetime) -> str:
    ready = _typed(objects(node, "status", "conditions"), "Ready", "status")
    word = "Ready" if ready == "True" else "NotReady" if ready else "Unknown"
    return f"{word},SchedulingDisabled" if truth(node, "spec", "unschedulable") else word


def _roles(node: JsonObject, _: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    names = sorted(key.removeprefix(prefix) for key in labels_of(node) if key.startswith(prefix))
    return ",".join(names) or "<none>"


def _pair(family: str) -> Cell:
    def cell(endpoint: JsonObject, _: datetime) -> str:
        pairs = objects(endpoint, "status", "networking", "addressing")
        return next(filter(None, (shown(pair, family) for pair in pairs)), "")

    return cell


_CELLS: Mapping[str, Cell] = {
    "<age>": _since("metadata.creationTimestamp"),
    "<last seen>": _since("lastTimestamp", "eventTime", "metadata.creationTimestamp"),
    "<ready>": _ready,
    "<pod status>": _pod_status,
    "<restarts>": lambda pod, _: str(
        sum(integer(each, "restartCount") for each in objects(pod, "status", "containerStatuses"))
    ),
    "<external ip>": _external_ip,
    "<ports>": _ports,
    "<node status>": _node_status,
    "<roles>": _roles,
    "<event object>": lambda event, _: (
        f"{shown(event, 'involvedObject.kind').lower()}/{shown(event, 'involvedObject.name')}"
    ),
    "<replicas ready>": lambda owner, _: (
        f"{shown(owner, 'status.readyReplicas', '0')}/{shown(owner, 'spec.replicas', '1')}"
    ),
    "<pool conflict>": _status_of("cilium.io/PoolConflict"),
    "<pool available>": _status_of("cilium.io/IPsAvailable", "message"),
    "<valid>": _status_of("Valid"),
    "<ipv4>": _pair("ipv4"),
    "<ipv6>": _pair("ipv6"),
    "<cilium internal ip>": _address("CiliumInternalIP"),
    "<internal ip>": _address("InternalIP"),
}
"""What `data/api.yaml` names in `columns`, beside paths."""
