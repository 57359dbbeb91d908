"""The arguments of `cilium bgp routes` (cilium-cli/bgp/routes.go)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.lab.command_line import UsageError


@dataclass(frozen=True, slots=True)
class RouteQuestion:
    """Which table of which family is asked for."""

    advertised: bool
    """What is told to peers; else what the node has itself."""
    afi: str
    """"" for a family that the lab speaks nothing of."""
    asn: int = 0
    """0: every instance."""
    peer: str = ""
    """"": every peer."""

    @classmethod
    def of(cls, words: Sequence[str]) -> RouteQuestion:
        """From `available|advertised AFI SAFI [vrouter ASN] [peer ADDRESS]`. Raises UsageError."""
        if words[0] not in ("available", "advertised"):
            raise UsageError(f"invalid table type: {words[0]}")
        if len(words) < 3:
            raise UsageError("missing address family arguments, please see help for more options")
        if words[1] not in ("ipv4", "ipv6", "l2vpn", "ls", "opaque"):
            raise UsageError(f'unknown AFI {words[1]}: unknown afi: "{words[1]}"')
        asn, peer = 0, ""
        rest = list(words[3:])
        while rest:
            key, *following = rest
            value = following[0] if following else ""
            if key == "vrouter" and value.isdigit():
                asn = int(value)
            elif key in ("peer", "neighbor") and value:
                peer = value
            else:
                raise UsageError(f"invalid argument: {' '.join(rest)}")
            rest = rest[2:]
        return cls(words[0] == "advertised", words[1] if words[2] == "unicast" else "", asn, peer)
