"""BGP messages in words: the capabilities of an OPEN and the codes of a NOTIFICATION.

`cilium bgp peers -o json` gives the capabilities of both sides as base64 (Cilium 1.19 and later).
Two speakers exchange a family only if both announce it, so this is the evidence when a session is
established and one family stays empty. Nothing here raises: a malformed capability is kept, with
its problem in words. The agent's log gives a notification as `Code=6 Subcode=2`.

Sources, capabilities: RFC 5492 §4 (format), RFC 4760 §8 (multiprotocol), RFC 8950 §4 (extended next
hop), RFC 4724 §3 and RFC 8538 §2 (graceful restart), RFC 6793 §3 (AS numbers of four bytes), RFC
7911 §4 (additional paths), RFC 9234 §4.1 (role), draft-walton-bgp-hostname-capability, and the IANA
registry "Capability Codes". Notifications: RFC 4271 sections 4.5 and 6 (codes 1 to 6), RFC 4486
(cease), RFC 5492, RFC 6608, RFC 7313, RFC 8538, RFC 9234, RFC 9384, RFC 9687; IANA, "BGP Error
(Notification) Codes".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache

from collectors.cilium.path_attributes import (
    AFI_NAMES,
    BadBytes,
    demand_length,
    demand_multiple,
    family_name,
)
from collectors.kubernetes.records import RecordPart
from collectors.sanitize import one_line, printable_bytes

CAPABILITY_NAMES = {
    1: "multiprotocol",
    2: "route refresh",
    3: "outbound route filtering",
    5: "extended next hop",
    6: "extended message",
    7: "BGPsec",
    8: "multiple labels",
    9: "role",
    64: "graceful restart",
    65: "four-byte AS numbers",
    67: "dynamic capability",
    68: "multisession",
    69: "additional paths",
    70: "enhanced route refresh",
    71: "long-lived graceful restart",
    72: "routing policy distribution",
    73: "FQDN",
    75: "software version",
    76: "paths limit",
    128: "route refresh (Cisco)",
    130: "outbound route filtering (Cisco)",
    131: "multisession (Cisco)",
}
"""Capabilities by their code (IANA, Capability Codes; 128 and above as deployed)."""

MULTIPROTOCOL = 1

_ROLES = ("provider", "route server", "route server client", "customer", "peer")
_DIRECTIONS = {1: "receive", 2: "send", 3: "send and receive"}


class Capability(RecordPart, frozen=True):
    """One capability of one side of a session."""

    code: int
    """-1 for bytes that have no code, being too short."""
    name: str
    """Its name, or `capability N`."""
    detail: str = ""
    """What it says, in words; "" when its presence is all."""
    families: tuple[str, ...] = ()
    """The families it names, as `ipv6/unicast`."""
    problem: str = ""
    """What is wrong with its bytes, "" when nothing is."""

    @property
    def text(self) -> str:
        """The capability in words: `graceful restart: 120 s, ipv4/unicast`."""
        said = "; ".join(part for part in (self.detail, self.problem) if part)
        return f"{self.name}: {said}" if said else self.name


def decode_capabilities(raws: Iterable[bytes]) -> tuple[Capability, ...]:
    """The capabilities of one side, from elements that hold one or more each. Never raises."""
    return tuple(capability for raw in raws for capability in _decode(raw))


def families_of(capabilities: Iterable[Capability]) -> frozenset[str]:
    """The families a side can exchange: those of its multiprotocol capabilities."""
    return frozenset(
        family
        for capability in capabilities
        if capability.code == MULTIPROTOCOL
        for family in capability.families
    )


@lru_cache(maxsize=1024)
def _decode(raw: bytes) -> tuple[Capability, ...]:
    found: list[Capability] = []
    at = 0
    while at < len(raw):
        value = raw[at + 2 : at + 2 + raw[at + 1]] if at + 1 < len(raw) else b""
        if at + 1 >= len(raw):
            found.append(Capability(raw[at], _name(raw[at]), problem="ends before its length"))
            break
        found.append(_one(raw[at], raw[at + 1], value))
        at += 2 + raw[at + 1]
    return tuple(found) or (Capability(-1, "empty capability", problem="it has no bytes"),)


def _one(code: int, length: int, value: bytes) -> Capability:
    name = _name(code)
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


def _extended_next_hop(value: bytes) -> tuple[str, tuple[str, ...]]:
    return _by_family("!HHH", value, lambda hop: f" over {AFI_NAMES.get(hop, hop)}")


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


def _four_byte_asn(value: bytes) -> tuple[str, tuple[str, ...]]:
    (asn,) = _unpacked("!I", value)
    return f"AS {asn}", ()


def _additional_paths(value: bytes) -> tuple[str, tuple[str, ...]]:
    return _by_family("!HBB", value, lambda way: f" {_DIRECTIONS.get(way, way)}")


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
    5: _extended_next_hop,
    6: _nothing,
    9: _role,
    64: _graceful_restart,
    65: _four_byte_asn,
    69: _additional_paths,
    70: _nothing,
    73: _fqdn,
    75: _software_version,
    128: _nothing,
}


def _unpacked(form: str, value: bytes) -> tuple[int, ...]:
    demand_length(value, struct.calcsize(form))
    return struct.unpack(form, value)


def _by_family(form: str, value: bytes, words: Callable[[int], str]) -> tuple[str, tuple[str, ...]]:
    """Entries of AFI, SAFI and a number: each family with its number in words; the families."""
    demand_multiple(value, struct.calcsize(form))
    entries = [
        (family_name(a, s), words(number)) for a, s, number in struct.iter_unpack(form, value)
    ]
    return ", ".join(map("".join, entries)), tuple(family for family, _ in entries)


def _name(code: int) -> str:
    return CAPABILITY_NAMES.get(code, f"capability {code}")


def notification_words(code: int, subcode: int) -> str:
    """What a notification means, in a few words; an unassigned code or subcode is said to be one.

    The subcode alone is enough where it is known; 0 (unspecific) gives the name of the code.
    """
    words = _SUBCODES.get((code, subcode))
    if words is not None:
        return words
    name = _NOTIFICATION_CODES.get(code)
    if name is None:
        return "unassigned notification"
    return name if subcode == 0 else f"{name}, unassigned subcode"


_NOTIFICATION_CODES = {
    1: "message header error",
    2: "OPEN message error",
    3: "UPDATE message error",
    4: "hold timer expired",
    5: "finite state machine error",
    6: "cease",
    7: "ROUTE-REFRESH message error",
    8: "send hold timer expired",
}
_SUBCODES = {
    (1, 1): "connection not synchronized",
    (1, 2): "bad message length",
    (1, 3): "bad message type",
    (2, 1): "unsupported version number",
    (2, 2): "AS number mismatch",
    (2, 3): "bad BGP identifier (router ID)",
    (2, 4): "unsupported optional parameter",
    (2, 6): "unacceptable hold time",
    (2, 7): "unsupported capability",
    (2, 11): "role mismatch",
    (3, 1): "malformed attribute list",
    (3, 2): "unrecognized well-known attribute",
    (3, 3): "missing well-known attribute",
    (3, 4): "attribute flags error",
    (3, 5): "attribute length error",
    (3, 6): "invalid ORIGIN attribute",
    (3, 8): "invalid NEXT_HOP attribute",
    (3, 9): "optional attribute error",
    (3, 10): "invalid network field",
    (3, 11): "malformed AS_PATH",
    (5, 1): "unexpected message in OpenSent state",
    (5, 2): "unexpected message in OpenConfirm state",
    (5, 3): "unexpected message in Established state",
    (6, 1): "maximum number of prefixes reached",
    (6, 2): "administrative shutdown",
    (6, 3): "peer de-configured",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other configuration change",
    (6, 7): "connection collision resolution",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
    (6, 10): "BFD down",
    (7, 1): "invalid message length",
}
