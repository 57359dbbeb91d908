"""What a line of a log names: the objects that its structured fields speak of.

Nothing is guessed out of free text but the two pools of a conflict, whose fields Cilium swaps
(operator/pkg/lbipam/lbipam.go). What is no name or no address is not taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from app.model.finding import Ref, session_ref
from collectors.logs.excerpts import topic
from screens.base.selection import Selection

if TYPE_CHECKING:
    from collectors.logs.joining import LogEntry
    from collectors.logs.lines import LogLine

POOL = "CiliumLoadBalancerIPPool"

SCREEN_OF: Mapping[str, str] = {
    "Service": "services",
    POOL: "pools",
    "Session": "sessions",
    "Peer": "sessions",
    "Node": "sessions",
    "Prefix": "routes",
}
"""The screen that shows what a line names, by its kind."""

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
"""A name in Kubernetes (RFC 1123)."""
_CONFLICT = re.compile(r"\bPool '([^']+)'")
_POOL_FIELDS = ("poolName", "pool-name", "poolName1", "poolName2", "pool1-name", "pool2-name")
_LONGEST = {4: 32, 6: 128}


@lru_cache(maxsize=20_000)
def named(entry: LogEntry) -> tuple[Ref, ...]:
    """What the line is about, what says most first: service, pool, session, address, node."""
    if entry.marker not in ("", "previous"):
        return ()
    line = entry.line
    found = (*_services(line), *_pools(line), *_sessions(entry), *_prefixes(line), *_nodes(line))
    return tuple(dict.fromkeys(found))


def names(entry: LogEntry, ref: Ref) -> bool:
    """Whether the line is about this; about a peer is what tells of any session with it."""
    if ref.kind != "Peer":
        return ref in named(entry)
    return any(
        found == ref or (found.kind == "Session" and found.name.partition("/")[2] == ref.name)
        for found in named(entry)
    )


def selection_of(ref: Ref, node: str = "") -> Selection:
    """A thing that a line names, with the words that `explain` takes for it."""
    asked: tuple[str, ...] = ()
    match ref.kind:
        case "Service":
            asked = ("service", f"{ref.namespace}/{ref.name}")
        case "CiliumLoadBalancerIPPool":
            asked = ("pool", ref.name)
        case "Session":
            asked = ("session", *ref.name.split("/", 1))
            node = asked[1]
        case "Node":
            asked, node = ("session", ref.name), ref.name
        case "Prefix":
            asked = ("ip", ref.name.partition("/")[0])
    return Selection(ref=ref, question=asked, node=node)


def _services(line: LogLine) -> Iterator[Ref]:
    namespace, slash, name = line.service.partition("/")
    if slash and _NAME.fullmatch(namespace) and _NAME.fullmatch(name):
        yield Ref("Service", name, namespace)


def _pools(line: LogLine) -> Iterator[Ref]:
    told = [line.field(field) for field in _POOL_FIELDS]
    if topic(line) == "ipam":
        told += _CONFLICT.findall(line.message)
    yield from (Ref(POOL, name) for name in told if _NAME.fullmatch(name))


def _sessions(entry: LogEntry) -> Iterator[Ref]:
    """A peer by its address; `peer` of other modules is somebody else."""
    address = _address(entry.line.peer) if topic(entry.line) == "bgp" else ""
    if address:
        yield session_ref(entry.node, address) if entry.node else Ref("Peer", address)


def _prefixes(line: LogLine) -> Iterator[Ref]:
    for text in line.address.split(", "):
        address = _address(text)
        if address:
            yield Ref("Prefix", f"{address}/{_LONGEST[ip_address(address).version]}")


def _nodes(line: LogLine) -> Iterator[Ref]:
    if _NAME.fullmatch(line.node):
        yield Ref("Node", line.node)


def _address(text: str) -> str:
    """One spelling for one address; "" for what is none. A policy's mask is no part of it."""
    try:
        return str(ip_address(text.partition("/")[0]))
    except ValueError:
        return ""
