"""BGP in wire format: the path attributes of a route and the capabilities of a session.

Only here can the next hop, the AS path and the communities of a route be read, and whether two
speakers exchange a family at all: only if both announce it in their OPEN. `cilium bgp routes -o
json` gives the attributes as base64 of what an UPDATE carries, `cilium bgp peers -o json` the
capabilities of both sides (Cilium 1.19 and later). Nothing here raises: bytes that are not what
their type demands are kept with what is wrong, a type that we do not decode is kept as it is, and
the others are read all the same.

Sources, attributes: RFC 4271 §4.3 (attributes, NLRI), RFC 4760 §3 (MP_REACH_NLRI), RFC 6793 (AS
numbers of four bytes), RFC 5065 (confederation segments), RFC 1997 and 8092 (communities), RFC 2545
§3 and RFC 8950 (next hops of IPv6), the IANA registries "BGP Parameters" and "BGP Well-known
Communities". Capabilities: RFC 5492 §4 (format), RFC 4760 §8 (multiprotocol), RFC 8950 §4 (extended
next hop), RFC 4724 §3 and RFC 8538 §2 (graceful restart), RFC 6793 §3 (AS numbers of four bytes),
RFC 7911 §4 (additional paths), RFC 9234 §4.1 (role), draft-walton-bgp-hostname-capability, and the
IANA registry "Capability Codes".
"""

from __future__ import annotations

import base64
import binascii
import socket
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import msgspec

from collectors.cilium.command_records import (
    AsPathSegment,
    Capability,
    Malformed,
    PathAttributes,
    UnknownAttribute,
)
from collectors.sanitize import one_line, printable_bytes

AFI_IPV4 = 1
AFI_IPV6 = 2
MULTIPROTOCOL = 1


class _Names(msgspec.Struct, frozen=True):
    """The tables of `bgp_names.toml`."""

    afi: dict[int, str]
    safi: dict[int, str]
    attributes: dict[int, str]
    capabilities: dict[int, str]
    communities: dict[str, int]


_NAMES = msgspec.toml.decode(Path(__file__).with_name("bgp_names.toml").read_bytes(), type=_Names)
_COMMUNITIES = {number: name for name, number in _NAMES.communities.items()}
_ORIGINS = ("igp", "egp", "incomplete")
_SEGMENTS = {1: "set", 2: "sequence", 3: "confed-sequence", 4: "confed-set"}
_EXTENDED_LENGTH = 0x10
_ADDRESS_BITS = {AFI_IPV4: 32, AFI_IPV6: 128}


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
            malformed.append(
                Malformed(_attribute_name(raw[1]), "comes twice; the first one counts", raw)
            )
        else:
            known[raw[1]] = part
    return PathAttributes(
        origin=known.get(1, _NOTHING).origin,
        as_path=known.get(2, _NOTHING).as_path,
        next_hop=known.get(3, _NOTHING).next_hop or known.get(14, _NOTHING).next_hop,
        med=known.get(4, _NOTHING).med,
        local_pref=known.get(5, _NOTHING).local_pref,
        communities=known.get(8, _NOTHING).communities,
        large_communities=known.get(32, _NOTHING).large_communities,
        unknown=tuple(unknown),
        malformed=tuple(malformed),
    )


def family_name(afi: int, safi: int) -> str:
    """`ipv6/unicast`; a number stands where there is no name."""
    return f"{_NAMES.afi.get(afi, afi)}/{_NAMES.safi.get(safi, safi)}"


@lru_cache(maxsize=8192)
def _decode_attribute(raw: bytes) -> PathAttributes:
    """One attribute as a PathAttributes that has nothing else. Cached: paths repeat them."""
    try:
        flags, kind, value = _split(raw)
    except BadBytes as problem:
        what = _attribute_name(raw[1]) if len(raw) > 1 else "attribute"
        return PathAttributes(malformed=(Malformed(what, str(problem), raw),))
    decode = _ATTRIBUTES.get(kind)
    if decode is None:
        name = _NAMES.attributes.get(kind, "")
        return PathAttributes(unknown=(UnknownAttribute(kind, name, flags, value),))
    try:
        return decode(value)
    except BadBytes as problem:
        return PathAttributes(malformed=(Malformed(_attribute_name(kind), str(problem), raw),))


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
    (number,) = _unpacked("!B", value)
    if number >= len(_ORIGINS):
        raise BadBytes(f"origin {number} does not exist")
    return PathAttributes(origin=_ORIGINS[number])


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


def _large_communities(value: bytes) -> PathAttributes:
    numbers = _numbers(value, 12)
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
        return PathAttributes(next_hop=hop.hex())
    if length not in (4, 16, 32):
        raise BadBytes(f"a next hop of {length} bytes does not exist for {family}")
    _check_prefixes(rest, afi)
    return PathAttributes(next_hop=_address(hop[:16]))


_ATTRIBUTES: dict[int, Callable[[bytes], PathAttributes]] = {
    1: _origin,
    2: _as_path,
    3: lambda value: PathAttributes(next_hop=_address(bytes(_unpacked("!4B", value)))),
    4: lambda value: PathAttributes(med=_unpacked("!I", value)[0]),
    5: lambda value: PathAttributes(local_pref=_unpacked("!I", value)[0]),
    8: lambda value: PathAttributes(communities=tuple(map(_community, _numbers(value, 4)))),
    14: _mp_reach,
    32: _large_communities,
}


def _check_prefixes(value: bytes, afi: int) -> None:
    """Raises BadBytes for what is not NLRI: length in bits, then that many (RFC 4271 §4.3)."""
    at = 0
    while at < len(value):
        bits = value[at]
        if bits > _ADDRESS_BITS[afi]:
            raise BadBytes(f"prefix length {bits} is more than {_ADDRESS_BITS[afi]}")
        at += 1 + (bits + 7) // 8
        if at > len(value):
            raise BadBytes(f"a prefix of {bits} bits is cut short")


def _address(value: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value)


def _numbers(value: bytes, unit: int = 4) -> tuple[int, ...]:
    _demand_multiple(value, unit)
    return struct.unpack(f"!{len(value) // 4}I", value)


def _community(number: int) -> str:
    return _COMMUNITIES.get(number, f"{number >> 16}:{number & 0xFFFF}")


def _attribute_name(kind: int) -> str:
    return _NAMES.attributes.get(kind, f"attribute {kind}")


def _demand_multiple(value: bytes, unit: int) -> None:
    if len(value) % unit:
        raise BadBytes(f"{len(value)} bytes, not a multiple of {unit}")


_ROLES = ("provider", "route server", "route server client", "customer", "peer")
_DIRECTIONS = {1: "receive", 2: "send", 3: "send and receive"}


def decode_capabilities(raws: Iterable[bytes]) -> tuple[Capability, ...]:
    """The capabilities of one side, from elements that hold one or more each. Never raises."""
    return tuple(capability for raw in raws for capability in _capabilities_in(raw))


def families_of(capabilities: Iterable[Capability]) -> frozenset[str]:
    """The families a side can exchange: those of its multiprotocol capabilities."""
    return frozenset(
        family
        for capability in capabilities
        if capability.code == MULTIPROTOCOL
        for family in capability.families
    )


@lru_cache(maxsize=1024)
def _capabilities_in(raw: bytes) -> tuple[Capability, ...]:
    found: list[Capability] = []
    at = 0
    while at < len(raw):
        value = raw[at + 2 : at + 2 + raw[at + 1]] if at + 1 < len(raw) else b""
        if at + 1 >= len(raw):
            found.append(
                Capability(raw[at], _capability_name(raw[at]), problem="ends before its length")
            )
            break
        found.append(_capability(raw[at], raw[at + 1], value))
        at += 2 + raw[at + 1]
    return tuple(found) or (Capability(-1, "empty capability", problem="it has no bytes"),)


def _capability(code: int, length: int, value: bytes) -> Capability:
    name = _capability_name(code)
    if len(value) != length:
        problem = f"says {length} bytes and has {len(value)}"
        return Capability(code, name, detail=value.hex(" "), problem=problem)
    describe = _DESCRIBERS.get(code)
    if describe is None:
        return Capability(code, name, detail=value.hex(" "))
    try:
        detail, families = describe(value)
    except BadBytes as problem:
        return Capability(code, name, detail=value.hex(" "), problem=str(problem))
    return Capability(code, name, detail, families)


def _multiprotocol(value: bytes) -> tuple[str, tuple[str, ...]]:
    afi, _, safi = _unpacked("!HBB", value)
    family = family_name(afi, safi)
    return family, (family,)


def _role(value: bytes) -> tuple[str, tuple[str, ...]]:
    (number,) = _unpacked("!B", value)
    return (_ROLES[number] if number < len(_ROLES) else str(number)), ()


def _graceful_restart(value: bytes) -> tuple[str, tuple[str, ...]]:
    if len(value) < 2:
        raise BadBytes(f"{len(value)} bytes, shorter than 2")
    flags, seconds = value[0] >> 4, int.from_bytes(value[:2], "big") & 0x0FFF
    words = [f"{seconds} s"]
    words += ["restarting"] * bool(flags & 0x8) + ["keeps on notifications"] * bool(flags & 0x4)
    kept, families = _by_family(
        "!HBB", value[2:], lambda flags: " (forwarding kept)" if flags & 0x80 else ""
    )
    return ", ".join([*words, *filter(None, [kept])]), families


def _fqdn(value: bytes) -> tuple[str, tuple[str, ...]]:
    names: list[str] = []
    at = 0
    while at < len(value) and len(names) < 2:
        name = value[at + 1 : at + 1 + value[at]]
        if len(name) != value[at]:
            raise BadBytes("a name is cut short")
        names.append(one_line(printable_bytes(name)))
        at += 1 + len(name)
    return ".".join(name for name in names if name), ()


def _software_version(value: bytes) -> tuple[str, tuple[str, ...]]:
    if not value or len(value) != 1 + value[0]:
        raise BadBytes("the text has another length than it says")
    return one_line(printable_bytes(value[1:])), ()


def _nothing(value: bytes) -> tuple[str, tuple[str, ...]]:
    if value:
        raise BadBytes(f"{len(value)} bytes where there must be none")
    return "", ()


_DESCRIBERS: dict[int, Callable[[bytes], tuple[str, tuple[str, ...]]]] = {
    1: _multiprotocol,
    2: _nothing,
    5: lambda value: _by_family("!HHH", value, lambda hop: f" over {_NAMES.afi.get(hop, hop)}"),
    6: _nothing,
    9: _role,
    64: _graceful_restart,
    65: lambda value: (f"AS {_unpacked('!I', value)[0]}", ()),
    69: lambda value: _by_family("!HBB", value, lambda way: f" {_DIRECTIONS.get(way, way)}"),
    70: _nothing,
    73: _fqdn,
    75: _software_version,
    128: _nothing,
}


def _unpacked(form: str, value: bytes) -> tuple[int, ...]:
    if len(value) != (length := struct.calcsize(form)):
        raise BadBytes(f"{len(value)} bytes where there must be {length}")
    return struct.unpack(form, value)


def _by_family(form: str, value: bytes, words: Callable[[int], str]) -> tuple[str, tuple[str, ...]]:
    """Entries of AFI, SAFI and a number: each family with its number in words; the families."""
    _demand_multiple(value, struct.calcsize(form))
    entries = [
        (family_name(a, s), words(number)) for a, s, number in struct.iter_unpack(form, value)
    ]
    return ", ".join(map("".join, entries)), tuple(family for family, _ in entries)


def _capability_name(code: int) -> str:
    return _NAMES.capabilities.get(code, f"capability {code}")
