"""BGP path attributes and prefixes from wire format: the only place where the next hop, the AS path
and the communities of a route can be read.

`cilium bgp routes -o json` gives them as base64 of what a BGP UPDATE carries. Nothing here raises:
bytes that are not what their type demands become `Malformed`, a type that we do not decode becomes
`UnknownAttribute`, and the others of the same path are read all the same.

Sources: RFC 4271 §4.3 (attributes, NLRI), RFC 4760 §3 (MP_REACH_NLRI), RFC 6793 (AS numbers of four
bytes), RFC 5065 (confederation segments), RFC 1997 and 8092 (communities), RFC 2545 §3 and RFC 8950
(next hops of IPv6), the IANA registries "BGP Parameters" and "BGP Well-known Communities".
"""

from __future__ import annotations

import base64
import binascii
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from collectors.kubernetes.records import RecordPart

AFI_IPV4 = 1
AFI_IPV6 = 2

AFI_NAMES = {AFI_IPV4: "ipv4", AFI_IPV6: "ipv6", 25: "l2vpn", 16388: "ls", 16397: "opaque"}
"""Address families by their number, in Cilium's spelling (pkg/bgp/types)."""

SAFI_NAMES = {
    1: "unicast",
    2: "multicast",
    4: "mpls_label",
    5: "mcast_vpn",
    65: "vpls",
    66: "mdt",
    70: "evpn",
    128: "mpls_vpn",
    132: "route_target_constraints",
    133: "flowspec_unicast",
    134: "flowspec_vpn",
}
"""Subsequent address families by their number."""

ATTRIBUTE_NAMES = {
    1: "ORIGIN",
    2: "AS_PATH",
    3: "NEXT_HOP",
    4: "MULTI_EXIT_DISC",
    5: "LOCAL_PREF",
    6: "ATOMIC_AGGREGATE",
    7: "AGGREGATOR",
    8: "COMMUNITIES",
    9: "ORIGINATOR_ID",
    10: "CLUSTER_LIST",
    14: "MP_REACH_NLRI",
    15: "MP_UNREACH_NLRI",
    16: "EXTENDED_COMMUNITIES",
    17: "AS4_PATH",
    18: "AS4_AGGREGATOR",
    22: "PMSI_TUNNEL",
    23: "TUNNEL_ENCAPSULATION",
    26: "AIGP",
    29: "BGP-LS",
    32: "LARGE_COMMUNITIES",
    33: "BGPSEC_PATH",
    35: "OTC",
    40: "PREFIX_SID",
    128: "ATTR_SET",
}
"""Attribute types by their number (IANA, BGP Path Attributes)."""

WELL_KNOWN_COMMUNITIES = {
    0xFFFF0000: "graceful-shutdown",
    0xFFFF0001: "accept-own",
    0xFFFF0002: "route-filter-translated-v4",
    0xFFFF0003: "route-filter-v4",
    0xFFFF0004: "route-filter-translated-v6",
    0xFFFF0005: "route-filter-v6",
    0xFFFF0006: "llgr-stale",
    0xFFFF0007: "no-llgr",
    0xFFFF0008: "accept-own-nexthop",
    0xFFFF0009: "standby-pe",
    0xFFFF029A: "blackhole",
    0xFFFFFF01: "no-export",
    0xFFFFFF02: "no-advertise",
    0xFFFFFF03: "no-export-subconfed",
    0xFFFFFF04: "no-peer",
}
"""Communities with a name (IANA, BGP Well-known Communities)."""

_ORIGINS = ("igp", "egp", "incomplete")
_SEGMENTS = {1: "set", 2: "sequence", 3: "confed-sequence", 4: "confed-set"}
_BRACKETS = {"set": "{}", "sequence": "", "confed-sequence": "()", "confed-set": "[]"}
_EXTENDED_LENGTH = 0x10
_IPV4_MAPPED = bytes(10) + b"\xff\xff"
_ADDRESS_BITS = {AFI_IPV4: 32, AFI_IPV6: 128}


class AsPathSegment(RecordPart, frozen=True):
    """One segment of an AS path."""

    kind: str
    """`sequence`, `set`, `confed-sequence` or `confed-set`."""
    asns: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """As routers print it: `64512 64513`, `{65001 65002}`, `(65010)`."""
        brackets = _BRACKETS[self.kind]
        return f"{brackets[:1]}{' '.join(map(str, self.asns))}{brackets[1:]}"


class MpReach(RecordPart, frozen=True):
    """MP_REACH_NLRI: next hop and prefixes of a family other than IPv4 unicast (RFC 4760 §3)."""

    family: str
    """`ipv6/unicast`, or numbers where there is no name."""
    next_hop: str = ""
    """Global address; of a family that is not IP, the bytes in hexadecimal."""
    link_local: str = ""
    """The link-local address beside it (RFC 2545 §3), "" if none."""
    ipv4_mapped: bool = False
    """The next hop is `::ffff:a.b.c.d`: the session runs over IPv4, and a router without an IPv6
    address on that link cannot reach the prefix."""
    prefixes: tuple[str, ...] = ()
    """Prefixes; of a family that is not IP, nothing."""


class UnknownAttribute(RecordPart, frozen=True):
    """An attribute that is kept as it is: we know at most its name."""

    type: int
    name: str
    """Name in the IANA registry, "" if it has none that we know."""
    flags: int
    """First byte: 0x80 optional, 0x40 transitive, 0x20 partial, 0x10 extended length."""
    value: bytes


class Malformed(RecordPart, frozen=True):
    """Bytes that are not what they claim to be."""

    what: str
    """The attribute by name or type, or `prefix`."""
    problem: str
    raw: bytes


class PathAttributes(RecordPart, frozen=True):
    """The attributes of one path. What is not on the wire is "", None or empty."""

    origin: str = ""
    """`igp`, `egp` or `incomplete`."""
    as_path: tuple[AsPathSegment, ...] | None = None
    """None when there is no AS_PATH, empty when it has no segment (a route of our own AS)."""
    next_hop: str = ""
    """NEXT_HOP, else the global next hop of MP_REACH_NLRI. 0.0.0.0 and :: mean the node itself."""
    med: int | None = None
    local_pref: int | None = None
    communities: tuple[str, ...] = ()
    """`64512:100`, or the name of a well-known one."""
    large_communities: tuple[str, ...] = ()
    """`64512:1:2`."""
    mp_reach: MpReach | None = None
    unknown: tuple[UnknownAttribute, ...] = ()
    malformed: tuple[Malformed, ...] = ()

    @property
    def next_hop_is_self(self) -> bool:
        """Whether the next hop is the unspecified address, as in a speaker's own table."""
        return self.next_hop in ("0.0.0.0", "::")  # noqa: S104  (a next hop, nothing is bound)

    @property
    def as_path_text(self) -> str:
        """The AS path as routers print it, "" when absent or empty."""
        return " ".join(segment.text for segment in self.as_path or ())


_NOTHING = PathAttributes()


class BadBytes(Exception):
    """The bytes do not fit their type; the message says why."""


def read_bytes(text: str) -> bytes:
    """Bytes from base64. What is none becomes no bytes, and every decoder calls that malformed."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def decode_path_attributes(raws: Iterable[bytes]) -> PathAttributes:
    """The attributes of a path, one per element in wire format. Never raises.

    Of an attribute that comes twice the first counts (RFC 7606 §3 g); the second is malformed.
    """
    known: dict[int, PathAttributes] = {}
    unknown: list[UnknownAttribute] = []
    malformed: list[Malformed] = []
    for raw in raws:
        part = _decode_attribute(raw)
        unknown += part.unknown
        malformed += part.malformed
        if part.unknown or part.malformed:
            continue
        if raw[1] in known:
            malformed.append(Malformed(_name(raw[1]), "comes twice; the first one counts", raw))
        else:
            known[raw[1]] = part
    mp_reach = known.get(14, _NOTHING).mp_reach
    return PathAttributes(
        origin=known.get(1, _NOTHING).origin,
        as_path=known.get(2, _NOTHING).as_path,
        next_hop=known.get(3, _NOTHING).next_hop or (mp_reach.next_hop if mp_reach else ""),
        med=known.get(4, _NOTHING).med,
        local_pref=known.get(5, _NOTHING).local_pref,
        communities=known.get(8, _NOTHING).communities,
        large_communities=known.get(32, _NOTHING).large_communities,
        mp_reach=mp_reach,
        unknown=tuple(unknown),
        malformed=tuple(malformed),
    )


def decode_prefix(raw: bytes, afi: str) -> str | Malformed:
    """One NLRI: length in bits, then that many bits (RFC 4271 §4.3). `afi` is `ipv4` or `ipv6`."""
    number = {"ipv4": AFI_IPV4, "ipv6": AFI_IPV6}.get(afi)
    if number is None:
        return Malformed("prefix", f"address family {afi or 'unknown'} is not IP", raw)
    try:
        prefixes = tuple(_prefixes(raw, number))
    except BadBytes as problem:
        return Malformed("prefix", str(problem), raw)
    if len(prefixes) != 1:
        return Malformed("prefix", f"{len(prefixes)} prefixes where there must be one", raw)
    return prefixes[0]


def family_name(afi: int, safi: int) -> str:
    """`ipv6/unicast`; a number stands where there is no name."""
    return f"{AFI_NAMES.get(afi, afi)}/{SAFI_NAMES.get(safi, safi)}"


@lru_cache(maxsize=8192)
def _decode_attribute(raw: bytes) -> PathAttributes:
    """One attribute as a PathAttributes that has nothing else. Cached: paths repeat them."""
    try:
        flags, kind, value = _split(raw)
    except BadBytes as problem:
        what = _name(raw[1]) if len(raw) > 1 else "attribute"
        return PathAttributes(malformed=(Malformed(what, str(problem), raw),))
    decode = _DECODERS.get(kind)
    if decode is None:
        name = ATTRIBUTE_NAMES.get(kind, "")
        return PathAttributes(unknown=(UnknownAttribute(kind, name, flags, value),))
    try:
        return decode(value)
    except BadBytes as problem:
        return PathAttributes(malformed=(Malformed(_name(kind), str(problem), raw),))


def _split(raw: bytes) -> tuple[int, int, bytes]:
    """Flags, type and value of one attribute (RFC 4271 §4.3)."""
    header = 4 if raw and raw[0] & _EXTENDED_LENGTH else 3
    if len(raw) < header:
        raise BadBytes(f"{len(raw)} bytes, shorter than its header of {header}")
    length = int.from_bytes(raw[2:header], "big")
    value = raw[header:]
    if len(value) != length:
        raise BadBytes(f"says {length} bytes and has {len(value)}")
    return raw[0], raw[1], value


def _origin(value: bytes) -> PathAttributes:
    demand_length(value, 1)
    if value[0] >= len(_ORIGINS):
        raise BadBytes(f"origin {value[0]} does not exist")
    return PathAttributes(origin=_ORIGINS[value[0]])


def _as_path(value: bytes) -> PathAttributes:
    segments: list[AsPathSegment] = []
    at = 0
    while at < len(value):
        kind = _SEGMENTS.get(value[at])
        if kind is None:
            raise BadBytes(f"segment type {value[at]} does not exist")
        if at + 2 > len(value):
            raise BadBytes("ends inside the header of a segment")
        end = at + 2 + 4 * value[at + 1]
        if end > len(value):
            raise BadBytes(f"a segment of {value[at + 1]} AS numbers is cut short")
        segments.append(AsPathSegment(kind, _numbers(value[at + 2 : end])))
        at = end
    return PathAttributes(as_path=tuple(segments))


def _next_hop(value: bytes) -> PathAttributes:
    demand_length(value, 4)
    return PathAttributes(next_hop=_address(value))


def _med(value: bytes) -> PathAttributes:
    demand_length(value, 4)
    return PathAttributes(med=int.from_bytes(value, "big"))


def _local_pref(value: bytes) -> PathAttributes:
    demand_length(value, 4)
    return PathAttributes(local_pref=int.from_bytes(value, "big"))


def _communities(value: bytes) -> PathAttributes:
    demand_multiple(value, 4)
    return PathAttributes(communities=tuple(map(_community, _numbers(value))))


def _large_communities(value: bytes) -> PathAttributes:
    demand_multiple(value, 12)
    numbers = _numbers(value)
    triples = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return PathAttributes(large_communities=tuple(":".join(map(str, each)) for each in triples))


def _mp_reach(value: bytes) -> PathAttributes:
    # AFI (2), SAFI (1), length of the next hop (1), next hop, a reserved byte, then the prefixes.
    if len(value) < 5:
        raise BadBytes(f"{len(value)} bytes, shorter than 5")
    afi, safi, length = struct.unpack_from("!HBB", value)
    hop, rest = value[4 : 4 + length], value[5 + length :]
    if 5 + length > len(value):
        raise BadBytes(f"says its next hop has {length} bytes and ends before that")
    family = family_name(afi, safi)
    if afi not in _ADDRESS_BITS or safi not in (1, 2):
        return PathAttributes(mp_reach=MpReach(family, next_hop=hop.hex()))
    if length not in (4, 16, 32):
        raise BadBytes(f"a next hop of {length} bytes does not exist for {family}")
    reach = MpReach(
        family,
        next_hop=_address(hop[:16]),
        link_local=_address(hop[16:]) if length == 32 else "",
        ipv4_mapped=hop.startswith(_IPV4_MAPPED) and length != 4,
        prefixes=tuple(_prefixes(rest, afi)),
    )
    return PathAttributes(mp_reach=reach)


_DECODERS: dict[int, Callable[[bytes], PathAttributes]] = {
    1: _origin,
    2: _as_path,
    3: _next_hop,
    4: _med,
    5: _local_pref,
    8: _communities,
    14: _mp_reach,
    32: _large_communities,
}


def _prefixes(value: bytes, afi: int) -> Iterator[str]:
    at = 0
    size = _ADDRESS_BITS[afi] // 8
    while at < len(value):
        bits = value[at]
        if bits > 8 * size:
            raise BadBytes(f"prefix length {bits} is more than {8 * size}")
        end = at + 1 + (bits + 7) // 8
        if end > len(value):
            raise BadBytes(f"a prefix of {bits} bits is cut short")
        address = bytearray(value[at + 1 : end].ljust(size, b"\0"))
        if bits % 8:  # what follows the prefix in its last byte has no meaning (RFC 4271 §4.3)
            address[bits // 8] &= 0xFF00 >> bits % 8 & 0xFF
        yield f"{_address(bytes(address))}/{bits}"
        at = end


def _address(value: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value)


def _numbers(value: bytes) -> tuple[int, ...]:
    return struct.unpack(f"!{len(value) // 4}I", value)


def _community(number: int) -> str:
    return WELL_KNOWN_COMMUNITIES.get(number, f"{number >> 16}:{number & 0xFFFF}")


def _name(kind: int) -> str:
    return ATTRIBUTE_NAMES.get(kind, f"attribute {kind}")


def demand_length(value: bytes, length: int) -> None:
    """Raises BadBytes for any other length."""
    if len(value) != length:
        raise BadBytes(f"{len(value)} bytes where there must be {length}")


def demand_multiple(value: bytes, unit: int) -> None:
    """Raises BadBytes for a length that is no multiple of the unit."""
    if len(value) % unit:
        raise BadBytes(f"{len(value)} bytes, not a multiple of {unit}")
