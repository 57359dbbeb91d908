"""The routers that a lab cluster peers with: what they are and how they behave at the moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

AFI_NAMES = ("ipv4", "ipv6")


class Greeting(Enum):
    """What comes of an attempt to open a session with a router."""

    WELCOME = "the session comes up"
    SILENCE = "nobody answers"
    STUCK = "the connection opens and nobody speaks"
    WRONG_ASN = "the peer's AS number is not the configured one"


@dataclass(slots=True)
class Router:
    """One router, by the address that the cluster peers with."""

    name: str
    address: str
    asn: int
    hold_seconds: int = 90
    families: tuple[str, ...] = AFI_NAMES
    routes: dict[str, int] = field(default_factory=lambda: {"ipv4": 1})
    """How many routes it sends, by address family."""
    password: str = ""
    hops: int = 1
    """IP hops from the nodes; a session over more than one needs ebgpMultihop."""
    holds: dict[str, int] = field(default_factory=dict)
    """Nodes to which it offers another hold time."""
    running: bool = True
    frozen: bool = False
    refuses: set[str] = field(default_factory=set)
    """Nodes it has no neighbour for: it closes their connections without a word."""
    shut_down: set[str] = field(default_factory=set)
    """Nodes whose neighbour is administratively down on the router."""

    def greeting(self, node: str, peer_asn: int, password: str, ttl: int) -> Greeting:
        """How it answers a node that connects expecting `peer_asn` (0 accepts any)."""
        unheard = not self.running or password != self.password or self.hops > max(ttl, 1)
        if unheard or node in self.refuses or node in self.shut_down:
            return Greeting.SILENCE
        if self.frozen:
            return Greeting.STUCK
        if peer_asn not in (0, self.asn):
            return Greeting.WRONG_ASN
        return Greeting.WELCOME

    def hold_for(self, node: str) -> int:
        """The hold time that it offers a node, in seconds."""
        return self.holds.get(node, self.hold_seconds)

    def keeps(self, password: str) -> bool:
        """Whether an established session still hears keepalives."""
        return self.running and not self.frozen and password == self.password
