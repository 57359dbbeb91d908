"""BGP as it is on the wire: NLRI, path attributes and capabilities, for the CLI to give in base64.

RFC 4271 §4.3 (attributes, prefixes), 1997 (communities), 8092 (large communities), 4760
(MP_REACH_NLRI), 5492 (capabilities), 4724 (graceful restart), 6793 (four-octet AS numbers),
8950 (extended next hop encoding), draft-walton-bgp-hostname-capability (73).
"""

from __future__ import annotations

import ipaddress
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.lab.fields import AnyAddress, data

AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_TRANSITIVE = 0x40
_OPTIONAL = 0x80
_EXTENDED = 0x10

WELL_KNOWN_COMMUNITIES = data("command", "communities", dict[str, int])
"""The names that `communities.wellKnown` takes (IANA, BGP Well-known Communities)."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a route carries, as an advertisement asks for it."""

    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    local_preference: int | None = None

    def joined(self, other: Attributes) -> Attributes:
        """Both: several advertisements may select one prefix."""
        preferences = [p for p in (self.local_preference, other.local_preference) if p is not None]
        return Attributes(
            tuple(sorted({*self.communities, *other.communities})),
            tuple(sorted({*self.large_communities, *other.large_communities})),
            max(preferences, default=None),
        )


def community(text: str) -> int:
    """A standard community from `64512:100` or a number. Raises ValueError."""
    high, colon, low = text.partition(":")
    return (int(high) << 16) + int(low) if colon else int(high)


def large_community(text: str) -> tuple[int, int, int]:
    """A large community from `64512:100:50`. Raises ValueError."""
    first, second, third = (int(part) for part in text.split(":"))
    return (first, second, third)


def nlri(prefix: AnyNetwork) -> bytes:
    """A prefix: its length in bits and as many bytes as that needs (RFC 4271 §4.3)."""
    octets = (prefix.prefixlen + 7) // 8
    return bytes([prefix.prefixlen]) + prefix.network_address.packed[:octets]


def attribute(flags: int, code: int, value: bytes) -> bytes:
    """One path attribute; the length takes two bytes when the value is longer than 255."""
    if len(value) > 255:
        return bytes([flags | _EXTENDED, code]) + len(value).to_bytes(2, "big") + value
    return bytes([flags, code, len(value)]) + value


def path_attributes(
    prefix: AnyNetwork,
    next_hop: AnyAddress | None,
    as_path: Sequence[int] | None,
    attributes: Attributes,
    *,
    legacy_origin: bool = False,
) -> list[bytes]:
    """The attributes of a route in ascending order of their type.

    `next_hop` None is "self" (0.0.0.0 or ::), as in the local RIB. `as_path` None leaves the
    attribute out, () is the empty path of a route sent to an internal peer.
    """
    listed = [attribute(_TRANSITIVE, 1, b"\x02" if legacy_origin else b"\x00")]
    if as_path is not None:
        hops = b"".join(asn.to_bytes(4, "big") for asn in as_path)
        listed.append(attribute(_TRANSITIVE, 2, bytes([2, len(as_path)]) + hops if hops else b""))
    plain = prefix.version == 4 and (next_hop is None or next_hop.version == 4)
    if plain:
        listed.append(attribute(_TRANSITIVE, 3, next_hop.packed if next_hop else bytes(4)))
    if attributes.local_preference is not None:
        value = attributes.local_preference.to_bytes(4, "big")
        listed.append(attribute(_TRANSITIVE, 5, value))
    if attributes.communities:
        value = b"".join(c.to_bytes(4, "big") for c in attributes.communities)
        listed.append(attribute(_OPTIONAL | _TRANSITIVE, 8, value))
    if not plain:
        listed.append(attribute(_OPTIONAL, 14, _mp_reach(prefix, next_hop)))
    if attributes.large_communities:
        value = b"".join(n.to_bytes(4, "big") for c in attributes.large_communities for n in c)
        listed.append(attribute(_OPTIONAL | _TRANSITIVE, 32, value))
    return listed


def _mp_reach(prefix: AnyNetwork, next_hop: AnyAddress | None) -> bytes:
    """RFC 4760 §3; an IPv4 next hop is written IPv4-mapped (::ffff:a.b.c.d)."""
    hop = bytes(16)
    if next_hop is not None:
        mapped = bytes(10) + b"\xff\xff" if next_hop.version == 4 else b""
        hop = mapped + next_hop.packed
    afi = 1 if prefix.version == 4 else 2
    return afi.to_bytes(2, "big") + bytes([1, len(hop)]) + hop + b"\x00" + nlri(prefix)


AFIS = {"ipv4": 1, "ipv6": 2}


def capabilities(
    hostname: str,
    asn: int,
    afis: Iterable[str],
    restart_seconds: int | None,
    *,
    cilium: bool,
    restarting: bool = False,
) -> list[bytes]:
    """What a speaker offers in its OPEN: route refresh, FQDN, families, four-octet AS number,
    graceful restart, extended next hop; Cilium also extended messages (RFC 8654) and, with
    graceful restart, notifications (RFC 8538). `restarting` sets the restart and forwarding bits
    that a speaker sends before its first session."""
    numbers = [AFIS[afi] for afi in afis]
    name = hostname.encode()[:64]
    offered = [_capability(2, b""), _capability(73, bytes([len(name)]) + name + b"\x00")]
    if cilium:
        offered.append(_capability(6, b""))
    offered += [_capability(1, bytes([0, afi, 0, 1])) for afi in numbers]
    offered.append(_capability(65, asn.to_bytes(4, "big")))
    if restart_seconds is not None:
        flags = (0x4000 if cilium else 0) | (0x8000 if restarting else 0)
        time = (restart_seconds & 0x0FFF) | flags
        kept = 0x80 if restarting else 0
        families = b"".join(bytes([0, afi, 1, kept]) for afi in numbers)
        offered.append(_capability(64, time.to_bytes(2, "big") + families))
    if 1 in numbers:
        offered.append(_capability(5, bytes([0, 1, 0, 1, 0, 2])))
    return offered


def _capability(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def base64(octets: bytes) -> str:
    """Octets as the CLI prints them."""
    return b64encode(octets).decode()


def read(encoded: str) -> tuple[str, str]:
    """An attribute that was written here, as the CLI's table shows it: its name and value."""
    octets = b64decode(encoded)
    flags, code = octets[0], octets[1]
    value = octets[4:] if flags & _EXTENDED else octets[3:]
    match code:
        case 1:
            return ("Origin", "i" if value == b"\x00" else "?")
        case 2:
            numbers = [
                str(int.from_bytes(value[i : i + 4], "big")) for i in range(2, len(value), 4)
            ]
            return ("AsPath", " ".join(numbers))
        case 3:
            return ("Nexthop", str(ipaddress.IPv4Address(value)))
        case 5:
            return ("LocalPref", str(int.from_bytes(value, "big")))
        case 8:
            pairs = [value[i : i + 4] for i in range(0, len(value), 4)]
            shown = [
                f"{int.from_bytes(p[:2], 'big')}:{int.from_bytes(p[2:], 'big')}" for p in pairs
            ]
            return ("Communities", ", ".join(shown))
        case 14:
            hop = ipaddress.IPv6Address(value[4:20])
            return ("Nexthop", f"::ffff:{hop.ipv4_mapped}" if hop.ipv4_mapped else str(hop))
        case _:
            return ("Unknown", value.hex())
