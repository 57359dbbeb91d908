"""One BGP session between a node and a router: its states over time, and what the agent logs.

RFC 4271 §8 as GoBGP runs it inside Cilium, with the waits seen on real clusters: 5 s of idle after
a loss, then a connection attempt per retry interval. GoBGP 3 is in Cilium up to 1.19, GoBGP 4 from
1.20 on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import msgspec

from app.lab.fields import seconds
from app.lab.plane import Plane
from app.lab.scenario import RouterPlan

AFI_NAMES = ("ipv4", "ipv6")

_IDLE_HOLD = 5.0
"""Seconds a session rests after a loss (#26001 of Cilium)."""


class Greeting(Enum):
    """What comes of an attempt to open a session with a router."""

    WELCOME = "the session comes up"
    SILENCE = "no answer"
    STUCK = "the connection opens, then silence"
    WRONG_ASN = "the peer's AS number is not the configured one"


class Router(RouterPlan):
    """One router, by the address that the cluster peers with, as it is now."""

    running: bool = True
    frozen: bool = False
    refuses: set[str] = msgspec.field(default_factory=set)
    """Nodes it has no neighbor for: it closes their connections without a word."""
    shut_down: set[str] = msgspec.field(default_factory=set)
    """Nodes whose neighbor is administratively down on the router."""

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
        return self.holds.get(node, self.hold)

    def keeps(self, password: str) -> bool:
        """Whether an established session still hears keepalives."""
        return self.running and not self.frozen and password == self.password


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """A configured peer, resolved: everything that is compared to find a change."""

    name: str
    address: str
    asn: int
    local_asn: int
    port: int = 179
    hold: int = 90
    keepalive: int = 30
    retry: int = 120
    multihop: int = 1
    restart: int | None = None
    """Graceful restart time in seconds; None is off."""
    families: tuple[str, ...] = ("ipv6", "ipv4")
    password: str = ""

    def resets(self, other: PeerSettings) -> bool:
        """Whether a change to `other` makes a new neighbor rather than an updated one."""
        return (self.address, self.port, self.asn) != (other.address, other.port, other.asn)


@dataclass(slots=True, eq=False)
class Session:
    """The state of one peer of one BGP instance on one node."""

    plane: Plane
    pod: str
    node: str
    instance: str
    settings: PeerSettings
    router: Router | None
    state: str = "idle"
    established: datetime | None = None
    negotiated: bool = False
    """Whether it ever came up since the peer was added: timers, families and counters remain."""
    applied_hold: int = 0
    applied_keepalive: int = 0
    due: datetime | None = None
    """When the next step is taken."""
    last_counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Received and advertised by family as of the last time it was up."""
    _expiring: bool = False

    # What happens to it

    def start(self, *, again: bool = False) -> None:
        """Begin trying to connect."""
        if self._new_speaker:
            self._log("info", "starting outgoing connection manager")
        self.state = "active"
        wait = self._random(1.0, 2.0) if not again else self._random(0.75, 1.0) * self._retry
        self._after(wait)

    def step(self) -> bool:
        """Take the step that is due; True when the state changed."""
        before = (self.state, self.established)
        self.due = None
        match self.state:
            case "idle":
                self.start(again=True)
            case "active":
                self._connect()
            case "open_sent":
                self._opened()
            case "open_confirm":
                self._come_up()
            case "established" if self._expiring:
                self._expire()
        return (self.state, self.established) != before

    def router_changed(self) -> bool:
        """React to what the router does now; True when the state changed at once."""
        router = self.router
        if self.state != "established" or router is None:
            self._skip_quiet_wait()
            return False
        if not router.running:
            self.lose()
            return True
        if self.node in router.refuses or self.node in router.shut_down:
            subcode = 3 if self.node in router.refuses else 2
            words = "peer deconfigured" if subcode == 3 else "administrative shutdown"
            self._notified(6, subcode, f"cease) subcode {subcode}({words}")
            return True
        if self.settings.asn not in (0, router.asn):
            self._notified(6, 3, "cease) subcode 3(peer deconfigured")
            return True
        if router.keeps(self.settings.password):
            self._expiring, self.due = False, None
        elif not self._expiring:
            self._expiring = True
            self._after(self.applied_hold - self._random(0.0, float(self.applied_keepalive)))
        return False

    def lose(self, reason: str = "read-failed") -> None:
        """The TCP connection broke."""
        if self.settings.restart is not None:
            self._log("info", "peer graceful restart", State="BGP_FSM_ESTABLISHED")
            reason = "graceful-restart"
        self._fall(reason)

    def reset(self) -> None:
        """The agent itself ends the session, because its configuration changed."""
        if self.state == "established":
            if self._new_speaker:
                self._log("info", "sent notification", State="BGP_FSM_ESTABLISHED", **_code(6, 6))
            reason = "unknown" if self._new_speaker else "dying"
            self._log("info", "Peer Down", State="BGP_FSM_ESTABLISHED", Reason=reason)
        self.state, self.established, self._expiring = "idle", None, False
        self.negotiated, self.applied_hold, self.applied_keepalive = False, 0, 0
        self.last_counts = {}

    # Steps

    def _connect(self) -> None:
        router, settings = self.router, self.settings
        greeting = Greeting.SILENCE
        if router is not None:
            greeting = router.greeting(
                self.node, settings.asn, settings.password, settings.multihop
            )
        match greeting:
            case Greeting.WELCOME:
                self.state = "open_sent"
                self._after(self._random(0.05, 0.3))
            case Greeting.STUCK if not self._new_speaker:
                self.state = "open_sent"
                self._after(240.0)
            case Greeting.WRONG_ASN:
                self._reject_asn(router)
            case _:
                longest = 1.0 if self._new_speaker else 2.0
                self._after(self._retry * self._random(longest * 0.75, longest), quiet=True)

    def _reject_asn(self, router: Router | None) -> None:
        if self._new_speaker:
            self._log("info", "sent notification", State="BGP_FSM_ACTIVE", **_code(2, 2))
            self._after(self._retry * self._random(1.0, 1.12), quiet=True)
            return
        received = router.asn if router is not None else 0
        words = f"as number mismatch expected {self.settings.asn}, received {received}"
        self._log("warn", "sent notification", Data=words)
        self.state = "idle"
        self._after(max(_IDLE_HOLD, self._retry), quiet=True)

    def _opened(self) -> None:
        router = self.router
        answered = router is not None and router.keeps(self.settings.password)
        self.state = "open_confirm" if answered else "idle"
        self._after(self._random(0.05, 0.3) if answered else _IDLE_HOLD)

    def _come_up(self) -> None:
        router = self.router
        if router is None:
            return
        again = self.negotiated and self.settings.restart is not None
        self.state, self.established, self.negotiated = "established", self.plane.time, True
        self._expiring = False
        self.applied_hold = min(self.settings.hold, router.hold_for(self.node))
        self.applied_keepalive = min(self.settings.keepalive, self.applied_hold // 3)
        shown = {} if self._new_speaker else {"State": "BGP_FSM_OPENCONFIRM"}
        self._log("info", "Peer Up", **shown)
        if again and self._new_speaker:
            self._log("warn", "restart flag is not set", State="BGP_FSM_OPENCONFIRM")
        else:
            self._log_topic("info", "sync finished", "Server")

    def _expire(self) -> None:
        self._log("warn", "hold timer expired", State="BGP_FSM_ESTABLISHED")
        if self._new_speaker:
            self._log("info", "sent notification", State="BGP_FSM_ESTABLISHED", **_code(4, 0))
        else:
            self._log("warn", "sent notification", Data="hold timer expired")
        self.lose("hold-timer-expired")

    def _notified(self, code: int, subcode: int, words: str) -> None:
        if self._new_speaker:
            self._log("info", "received notification", **_code(code, subcode))
        else:
            self._log("warn", "received notification", Code=code, Data="[]", Subcode=subcode)
        self._fall(f"notification-received code {code}({words})")

    def _fall(self, reason: str) -> None:
        self._log("info", "Peer Down", State="BGP_FSM_ESTABLISHED", Reason=reason)
        self.state, self.established, self._expiring = "idle", None, False
        self._after(_IDLE_HOLD)

    # Waiting and writing

    @property
    def _new_speaker(self) -> bool:
        return self.plane.version >= (1, 20)

    @property
    def _retry(self) -> float:
        return float(self.settings.retry)

    def _random(self, low: float, high: float) -> float:
        return self.plane.random.uniform(low, high)

    def _after(self, wait: float, *, quiet: bool = False) -> None:
        """Set the next step; in outlined history a futile retry waits until the detailed part."""
        self.due = self.plane.time + seconds(wait)
        if quiet and self.due < self.plane.horizon:
            self.due = self.plane.horizon

    def _skip_quiet_wait(self) -> None:
        if self.due is not None and self.state in ("active", "idle"):
            self.due = min(self.due, self.plane.time + seconds(self._retry))

    def _log(self, level: str, message: str, **fields: object) -> None:
        self._log_topic(level, message, "Peer", Key=self.settings.address, **fields)

    def _log_topic(self, level: str, message: str, topic: str, **fields: object) -> None:
        asn = self.settings.local_asn
        self.plane.speaker_log(self.pod, level, message, self.instance, asn, Topic=topic, **fields)


def _code(code: int, subcode: int) -> dict[str, object]:
    return {"Code": code, "Subcode": subcode, "Data": ""}
