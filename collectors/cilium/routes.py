"""Routes in the agents' BGP tables: `cilium bgp routes <available|advertised> <afi> unicast`.

`available` is the speaker's own table (loc-rib): what some peer's advertisement selects.
`advertised` is what really goes to each peer, after the policy (adj-rib-out). A prefix in the first
and not in the second is the answer to "why does the router not have it". The command shows nothing
of what a router sends to us.

As with the sessions there is one record per agent, and an agent that failed is a record with an
error. Source: Cilium, api/v1/models/bgp_{route,path}.go and cilium-cli/bgp/routes.go; the bytes are
read by `path_attributes`; `docs/cilium.md`, "The `cilium` command".
"""

from __future__ import annotations

from functools import partial

import msgspec

from collectors.cilium.answer import (
    AgentAnswer,
    CiliumCommand,
    Count,
    Reading,
    parse_agents,
    read_items,
)
from collectors.cilium.path_attributes import (
    Malformed,
    PathAttributes,
    decode_path_attributes,
    decode_prefix,
    read_bytes,
)
from collectors.kubernetes.records import RecordPart
from collectors.process import Completed


class Path(RecordPart, frozen=True):
    """One path to a prefix."""

    age: float = 0.0
    """Seconds since it is in the table."""
    best: bool = False
    """Never set for `advertised`: what goes to a peer is the best path by nature."""
    stale: bool = False
    """Kept over a graceful restart. Cilium up to 1.21 never sets it."""
    afi: str = ""
    safi: str = ""
    nlri: str = ""
    """The prefix as it is in the table, "" when its bytes are malformed."""
    nlri_problem: Malformed | None = None
    attributes: PathAttributes = PathAttributes()


class Route(RecordPart, frozen=True):
    """One prefix in one table of one speaker."""

    prefix: str = ""
    router_asn: int = 0
    """AS number of the BGP instance whose table it is."""
    neighbor: str = ""
    """Address of the peer it is advertised to; "" for `available`."""
    paths: tuple[Path, ...] = ()


class NodeRoutes(AgentAnswer, frozen=True):
    """One agent's answer about its one of its tables."""

    routes: tuple[Route, ...] = ()
    """Empty without an error: the table is empty."""


class _Bytes(msgspec.Struct, frozen=True, gc=False):
    base64: str = ""


class _Family(msgspec.Struct, frozen=True, gc=False):
    afi: str = ""
    safi: str = ""


class _Path(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """Path on the wire."""

    age_nanoseconds: Count = 0
    best: bool = False
    stale: bool = False
    family: _Family = _Family()
    nlri: _Bytes = _Bytes()
    path_attributes: tuple[_Bytes, ...] = ()


class _Route(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """Route on the wire."""

    prefix: str = ""
    router_asn: Count = 0
    neighbor: str = ""
    paths: tuple[_Path, ...] = ()


_ROUTES = msgspec.json.Decoder(tuple[_Route, ...])


def parse_routes(completed: Completed, label: str = "cilium bgp routes") -> Reading:
    """Read what `cilium bgp routes … -o json` printed and how it ended. Raises ReadError.

    `label` is the command as a message names it.
    """
    return parse_agents(completed, label, NodeRoutes, _answered)


def _command(table: str, afi: str) -> CiliumCommand:
    words = ("bgp", "routes", table, afi, "unicast")
    return CiliumCommand(
        kind=f"routes_{table}_{afi}",
        argv=(*words, "-o", "json"),
        parse=partial(parse_routes, label=" ".join(("cilium", *words))),
        deadline=40.0,
        interval=30.0,
    )


AVAILABLE_IPV4 = _command("available", "ipv4")
AVAILABLE_IPV6 = _command("available", "ipv6")
ADVERTISED_IPV4 = _command("advertised", "ipv4")
ADVERTISED_IPV6 = _command("advertised", "ipv6")

COMMANDS = (AVAILABLE_IPV4, AVAILABLE_IPV6, ADVERTISED_IPV4, ADVERTISED_IPV6)
"""Of kinds `routes_available_ipv4`, `routes_available_ipv6`, and so on."""


def _answered(node: str, raw: bytes) -> NodeRoutes:
    routes, problem = read_items(raw, _ROUTES, _Route)
    return NodeRoutes(node, routes=tuple(map(_route, routes)), error=problem)


def _route(wire: _Route) -> Route:
    return Route(wire.prefix, wire.router_asn, wire.neighbor, tuple(map(_path, wire.paths)))


def _path(wire: _Path) -> Path:
    prefix = decode_prefix(read_bytes(wire.nlri.base64), wire.family.afi)
    return Path(
        age=wire.age_nanoseconds / 1e9,
        best=wire.best,
        stale=wire.stale,
        afi=wire.family.afi,
        safi=wire.family.safi,
        nlri="" if isinstance(prefix, Malformed) else prefix,
        nlri_problem=prefix if isinstance(prefix, Malformed) else None,
        attributes=decode_path_attributes(read_bytes(each.base64) for each in wire.path_attributes),
    )
