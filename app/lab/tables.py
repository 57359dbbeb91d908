"""Server-side printing: the columns `kubectl get` shows, with ages by the cluster's own clock.

Columns: Kubernetes `pkg/printers/internalversion/printers.go` and, for Cilium's kinds, the
`additionalPrinterColumns` of their CustomResourceDefinitions. Other kinds show name and age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from app.lab.store import JsonObject, Resource

Cell = Callable[[JsonObject, datetime], object]
"""What a column shows of an object at a moment."""


def table(
    resource: Resource,
    objects: Sequence[JsonObject],
    metadata: JsonObject,
    now: datetime,
    include: str = "Metadata",
) -> JsonObject:
    """A `meta.k8s.io/v1` Table; `include` is what each row carries: Metadata, Object or None."""
    columns = _COLUMNS.get(resource.key, _ANY_KIND)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(name) for name in columns],
        "rows": [_row(obj, columns.values(), now, include) for obj in objects],
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
        row["object"] = {**kind, "metadata": _at(obj, "metadata")}
    return row


def _at(obj: object, path: str) -> object:
    value = obj
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(obj: object, path: str, missing: str = "") -> str:
    value = _at(obj, path)
    return missing if value is None else str(value)


def _several(obj: object, path: str) -> list[object]:
    value = _at(obj, path)
    return value if isinstance(value, list) else []


def _name(obj: JsonObject, _: datetime) -> str:
    return _text(obj, "metadata.name")


def _since(*paths: str) -> Cell:
    """How long ago the first of some times was that the object has."""

    def cell(obj: JsonObject, now: datetime) -> str:
        text = next(filter(None, (_text(obj, path) for path in paths)), "")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return "<unknown>"
        return human_duration((now - moment.replace(tzinfo=UTC)).total_seconds())

    return cell


def _field(path: str, missing: str = "") -> Cell:
    return lambda obj, _: _text(obj, path, missing)


def _switch(path: str) -> Cell:
    return lambda obj, _: str(_at(obj, path) is True).lower()


def _status_of(kind: str, part: str = "status") -> Cell:
    """A part of the condition of one type."""
    return lambda obj, _: _condition(obj, kind, part)


def _condition(obj: JsonObject, kind: str, part: str = "status") -> str:
    conditions = _several(obj, "status.conditions")
    return next((_text(c, part) for c in conditions if _text(c, "type") == kind), "")


def _ready(pod: JsonObject, _: datetime) -> str:
    statuses = _several(pod, "status.containerStatuses")
    ready = sum(_at(status, "ready") is True for status in statuses)
    return f"{ready}/{len(_several(pod, 'spec.containers'))}"


def _pod_status(pod: JsonObject, _: datetime) -> str:
    if _at(pod, "metadata.deletionTimestamp"):
        return "Terminating"
    for status in _several(pod, "status.containerStatuses"):
        reason = _text(status, "state.waiting.reason") or _text(status, "state.terminated.reason")
        if reason:
            return reason
    return _text(pod, "status.reason") or _text(pod, "status.phase")


def _restarts(pod: JsonObject, _: datetime) -> str:
    counts = (_at(s, "restartCount") for s in _several(pod, "status.containerStatuses"))
    return str(sum(count for count in counts if isinstance(count, int)))


def _external_ip(service: JsonObject, _: datetime) -> str:
    addresses = [
        _text(ingress, "ip") or _text(ingress, "hostname")
        for ingress in _several(service, "status.loadBalancer.ingress")
    ] + [str(address) for address in _several(service, "spec.externalIPs")]
    waiting = "<pending>" if _text(service, "spec.type") == "LoadBalancer" else "<none>"
    return ",".join(addresses) or waiting


def _ports(service: JsonObject, _: datetime) -> str:
    texts = []
    for port in _several(service, "spec.ports"):
        node = _at(port, "nodePort")
        number = f"{_text(port, 'port')}:{node}" if node else _text(port, "port")
        texts.append(f"{number}/{_text(port, 'protocol', 'TCP')}")
    return ",".join(texts) or "<none>"


def _node_status(node: JsonObject, _: datetime) -> str:
    ready = _condition(node, "Ready")
    word = "Ready" if ready == "True" else "NotReady" if ready else "Unknown"
    return f"{word},SchedulingDisabled" if _at(node, "spec.unschedulable") is True else word


def _roles(node: JsonObject, _: datetime) -> str:
    labels = _at(node, "metadata.labels")
    keys = [str(key) for key in labels] if isinstance(labels, Mapping) else []
    prefix = "node-role.kubernetes.io/"
    names = sorted(key.removeprefix(prefix) for key in keys if key.startswith(prefix))
    return ",".join(names) or "<none>"


def _address(kind: str) -> Cell:
    def cell(node: JsonObject, _: datetime) -> str:
        addresses = _several(node, "spec.addresses")
        return next((_text(a, "ip") for a in addresses if _text(a, "type") == kind), "")

    return cell


def _pair(family: str) -> Cell:
    def cell(endpoint: JsonObject, _: datetime) -> str:
        pairs = _several(endpoint, "status.networking.addressing")
        return next(filter(None, (_text(pair, family) for pair in pairs)), "")

    return cell


def _event_object(event: JsonObject, _: datetime) -> str:
    kind = _text(event, "involvedObject.kind").lower()
    return f"{kind}/{_text(event, 'involvedObject.name')}"


def _replicas_ready(deployment: JsonObject, _: datetime) -> str:
    wanted = _text(deployment, "spec.replicas", "1")
    return f"{_text(deployment, 'status.readyReplicas', '0')}/{wanted}"


_AGE = _since("metadata.creationTimestamp")
_ANY_KIND: Mapping[str, Cell] = {"Name": _name, "Age": _AGE}
_POLICY: Mapping[str, Cell] = {"Name": _name, "Age": _AGE, "Valid": _status_of("Valid")}
_COLUMNS: Mapping[tuple[str, str], Mapping[str, Cell]] = {
    ("", "pods"): {
        "Name": _name,
        "Ready": _ready,
        "Status": _pod_status,
        "Restarts": _restarts,
        "Age": _AGE,
    },
    ("", "services"): {
        "Name": _name,
        "Type": _field("spec.type"),
        "Cluster-IP": _field("spec.clusterIP", "<none>"),
        "External-IP": _external_ip,
        "Port(s)": _ports,
        "Age": _AGE,
    },
    ("", "nodes"): {
        "Name": _name,
        "Status": _node_status,
        "Roles": _roles,
        "Age": _AGE,
        "Version": _field("status.nodeInfo.kubeletVersion"),
    },
    ("", "namespaces"): {"Name": _name, "Status": _field("status.phase"), "Age": _AGE},
    ("", "events"): {
        "Last Seen": _since("lastTimestamp", "eventTime", "metadata.creationTimestamp"),
        "Type": _field("type"),
        "Reason": _field("reason"),
        "Object": _event_object,
        "Message": _field("message"),
    },
    ("apps", "daemonsets"): {
        "Name": _name,
        "Desired": _field("status.desiredNumberScheduled", "0"),
        "Current": _field("status.currentNumberScheduled", "0"),
        "Ready": _field("status.numberReady", "0"),
        "Age": _AGE,
    },
    ("apps", "deployments"): {
        "Name": _name,
        "Ready": _replicas_ready,
        "Up-to-date": _field("status.updatedReplicas", "0"),
        "Available": _field("status.availableReplicas", "0"),
        "Age": _AGE,
    },
    ("coordination.k8s.io", "leases"): {
        "Name": _name,
        "Holder": _field("spec.holderIdentity"),
        "Age": _AGE,
    },
    ("cilium.io", "ciliumloadbalancerippools"): {
        "Name": _name,
        "Disabled": _switch("spec.disabled"),
        "Conflicting": _status_of("cilium.io/PoolConflict"),
        "IPs Available": _status_of("cilium.io/IPsAvailable", "message"),
        "Age": _AGE,
    },
    ("cilium.io", "ciliumnetworkpolicies"): _POLICY,
    ("cilium.io", "ciliumclusterwidenetworkpolicies"): _POLICY,
    ("cilium.io", "ciliumendpoints"): {
        "Name": _name,
        "Security Identity": _field("status.identity.id"),
        "Endpoint State": _field("status.state"),
        "IPv4": _pair("ipv4"),
        "IPv6": _pair("ipv6"),
    },
    ("cilium.io", "ciliumnodes"): {
        "Name": _name,
        "CiliumInternalIP": _address("CiliumInternalIP"),
        "InternalIP": _address("InternalIP"),
        "Age": _AGE,
    },
}
