"""Server-side printing: the columns `kubectl get` shows, with ages by the cluster's own clock.

Columns: Kubernetes `pkg/printers/internalversion/printers.go` and, for Cilium's kinds, the
`additionalPrinterColumns` of their CustomResourceDefinitions. Other kinds show name and age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from app.lab.fields import data, integer, labels_of, objects, shown, texts, truth
from app.lab.store import JsonObject, Resource

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


def _restarts(pod: JsonObject, _: datetime) -> str:
    statuses = objects(pod, "status", "containerStatuses")
    return str(sum(integer(status, "restartCount") for status in statuses))


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


def _event_object(event: JsonObject, _: datetime) -> str:
    kind = shown(event, "involvedObject.kind").lower()
    return f"{kind}/{shown(event, 'involvedObject.name')}"


def _replicas_ready(deployment: JsonObject, _: datetime) -> str:
    wanted = shown(deployment, "spec.replicas", "1")
    return f"{shown(deployment, 'status.readyReplicas', '0')}/{wanted}"


_CELLS: Mapping[str, Cell] = {
    "<age>": _since("metadata.creationTimestamp"),
    "<last seen>": _since("lastTimestamp", "eventTime", "metadata.creationTimestamp"),
    "<ready>": _ready,
    "<pod status>": _pod_status,
    "<restarts>": _restarts,
    "<external ip>": _external_ip,
    "<ports>": _ports,
    "<node status>": _node_status,
    "<roles>": _roles,
    "<event object>": _event_object,
    "<replicas ready>": _replicas_ready,
    "<pool conflict>": _status_of("cilium.io/PoolConflict"),
    "<pool available>": _status_of("cilium.io/IPsAvailable", "message"),
    "<valid>": _status_of("Valid"),
    "<ipv4>": _pair("ipv4"),
    "<ipv6>": _pair("ipv6"),
    "<cilium internal ip>": _address("CiliumInternalIP"),
    "<internal ip>": _address("InternalIP"),
}
"""What `data/api.yaml` names in `columns`, beside paths."""
