"""Why a session is down: what its agent's log, its settings and its siblings say together.

The last thing that was said decides, since that is what the session waits for. Where nothing was
said, several causes look the same (`docs/cilium.md`, "Logs"): then it is told what fits and what
was ruled out, and no more. Source: Cilium pkg/bgp, GoBGP pkg/server/fsm.go; RFC 4271 §6 and §8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from app.model.case import Case
from app.model.desired_peerings import Peering, peerings
from app.model.finding import Ref
from app.model.health import starts
from app.model.lbipam import Address, parse_address
from app.model.session_history import (
    CEASE,
    AgentLogs,
    EventKind,
    SessionEvent,
    SessionLog,
    agent_logs,
)
from app.model.sessions import ESTABLISHED, REPORTING_LAG, UNKNOWN, Session
from app.state.derived import grouped
from app.state.kinds import CILIUM_NODES, NODE_CONFIGS, NODES
from app.state.snapshot import Snapshot

SETTLING = timedelta(seconds=20)
"""How long a session may take to come up after it was configured: GoBGP connects after 1 to 2 s,
and once more after the 5 s of idle hold."""

_WANTED = frozenset({2, 3, 4, 6, 9})
"""Subcodes of a cease that somebody wanted: administrative shutdown, peer de-configured,
administrative reset, other configuration change, hard reset (RFC 4486, RFC 8538)."""
FLAP_WINDOW = timedelta(minutes=20)
FLAPS = 4
"""A session that was lost so often within the window, unannounced, flaps. A router that is started
anew costs one loss or two."""
MOMENT = timedelta(minutes=1)
"""A session that flaps and is down for less than this is about to come up again."""

CONNECTING = ("active", "connect")
"""States in which the agent tries to connect: only there does a peer that is not heard leave it."""

_NETWORKS = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)
"""Address ranges that hardly share a link (RFC 1918, RFC 6598). IPv6 has none: there one interface
has addresses of several ranges as a matter of course."""


@dataclass(frozen=True)
class Down:
    """A session that a living witness says is not established, and why."""

    session: Session
    peering: Peering | None
    """Its configuration; None where it is not known."""
    log: SessionLog
    code: str
    """Of the finding that tells it: CS401 to CS405, CS412."""
    detail: str = ""
    """What tells apart two causes of one code."""
    settling: bool = False
    """It was configured only just now."""

    @property
    def word(self) -> SessionEvent | None:
        """The last thing said."""
        return self.log.last_word

    @property
    def group(self) -> tuple[str, str, str]:
        """Sessions with the same are down for the same cause."""
        return (self.session.peer_address, self.code, self.detail)


@dataclass(frozen=True, eq=False)
class Bgp:
    """Sessions with their configuration and their agents' logs."""

    case: Case

    @cached_property
    def logs(self) -> AgentLogs:
        """The agent logs."""
        return agent_logs(self.case.snapshot)

    @cached_property
    def peerings(self) -> Mapping[tuple[str, str, int], Peering]:
        """Configurations by node, peer address and local AS."""
        return {(p.node, p.peer_address, p.local_asn): p for p in peerings(self.case)}

    @cached_property
    def by_peer(self) -> Mapping[str, tuple[Session, ...]]:
        """Every session by its peer's address."""
        return grouped((session.peer_address, session) for session in self.case.sessions)

    def peering(self, session: Session) -> Peering | None:
        """The configuration of a session."""
        return self.peerings.get((session.node, session.peer_address, session.local_asn or 0))

    def log(self, session: Session) -> SessionLog:
        """What its agent's log says of it."""
        return self.logs.of(session.node, session.peer_address, session.local_asn, session.peer)

    def up(self, peer_address: str) -> tuple[Session, ...]:
        """The sessions with a peer that are up."""
        return tuple(s for s in self.by_peer.get(peer_address, ()) if s.established)


@lru_cache(maxsize=2)
def bgp_of(case: Case) -> Bgp:
    """The sessions of a case, gathered once for all rules."""
    return Bgp(case)


def down(bgp: Bgp) -> tuple[Down, ...]:
    """Every session that is down, with the cause as far as it can be told.

    A session whose log was not read is counted with those of the same peer whose logs agree.
    """
    judged = [_judged(bgp, session) for session in bgp.case.sessions if is_down(bgp, session)]
    causes: dict[str, dict[tuple[str, str, str], Down]] = {}
    for each in judged:
        if each.log.read:
            causes.setdefault(each.session.peer_address, {})[each.group] = each
    return tuple(_with_siblings(each, causes.get(each.session.peer_address, {})) for each in judged)


def flaps(log: SessionLog, now: datetime) -> tuple[SessionEvent, ...]:
    """The recent losses of a session that flaps; none when it does not.

    Those that somebody wanted on the router (a shutdown, a reset, a change) do not count.
    """
    lost = log.losses(now - FLAP_WINDOW) if log.events else ()
    unwanted = tuple(event for event in lost if not _wanted(event))
    return unwanted if len(unwanted) >= FLAPS else ()


def _wanted(loss: SessionEvent) -> bool:
    ceased = loss.cause is EventKind.RECEIVED and loss.code == CEASE
    return ceased and loss.subcode in _WANTED


def password(session: Session, peering: Peering | None) -> bool | None:
    """Whether the session uses a TCP MD5 password: as the agent says, else as is configured."""
    if session.reported is not None:
        return session.reported.tcp_password
    return peering.password_wanted if peering else None


def multihop(session: Session, peering: Peering | None) -> int | None:
    """Hops that its packets may travel; None: not known."""
    if session.reported is not None and session.reported.multihop_ttl:
        return session.reported.multihop_ttl
    return peering.ebgp_multihop if peering else None


def node_addresses(snapshot: Snapshot, node: str) -> tuple[Address, ...]:
    """The addresses of a node, as far as the API tells them."""
    known = snapshot.records[NODES].get(node)
    shown = [(a.type, a.address) for a in known.status.addresses] if known else []
    cilium = snapshot.records[CILIUM_NODES].get(node)
    shown += [(a.type, a.ip) for a in cilium.spec.addresses] if cilium else []
    wanted = [text for type_, text in shown if type_ in ("InternalIP", "ExternalIP")]
    return tuple(dict.fromkeys(a for a in map(parse_address, wanted) if a is not None))


def node_at(snapshot: Snapshot, address: str) -> str:
    """The cluster's node that has an address itself, "" for none."""
    wanted = parse_address(address)
    nodes = sorted({*snapshot.records[NODES], *snapshot.records[CILIUM_NODES]})
    return next((n for n in nodes if wanted in node_addresses(snapshot, n)), "") if wanted else ""


def common_refs(found: Iterable[Down]) -> tuple[Ref, ...]:
    """What of their configuration may be to blame for all of them alike.

    What explains one node does not explain the rest; and since a living witness tells that they are
    down, no silent agent or node explains it.
    """
    sets = [set(each.peering.refs) for each in found if each.peering is not None]
    common = set.intersection(*sets) if sets else set()
    return tuple(sorted(ref for ref in common if ref.kind not in ("Cluster", "Node")))


def is_down(bgp: Bgp, session: Session) -> bool:
    """Whether it is not established, and neither about to be nor established since it was read."""
    if session.established or session.state == UNKNOWN:
        return False
    log = bgp.log(session)
    lost = flaps(log, bgp.case.now)
    if lost and bgp.case.now - lost[-1].at < MOMENT:
        return False
    change = log.last_change
    if change is None or change.kind is not EventKind.UP:
        return True
    if session.cli is not None and session.cli.state == ESTABLISHED:
        return False  # the API tells it, the command told otherwise: the log says who is behind
    return not _came_up_since(session, change.at, bgp.case)


def _came_up_since(session: Session, up: datetime, case: Case) -> bool:
    """Whether it came up after its state was read: a command is asked now and then, the log read
    all the time; the status in the API lags."""
    lag = 0.0 if session.cli is not None and session.shown == session.cli.source else REPORTING_LAG
    read_at = session.as_of(case.snapshot)
    return read_at is not None and read_at - timedelta(seconds=lag) < up <= case.now


def _with_siblings(each: Down, causes: Mapping[tuple[str, str, str], Down]) -> Down:
    if each.log.read or len(causes) != 1:
        return each
    sibling = next(iter(causes.values()))
    return replace(each, code=sibling.code, detail=sibling.detail)


def _judged(bgp: Bgp, session: Session) -> Down:
    peering, log = bgp.peering(session), bgp.log(session)
    code, detail = _cause(bgp, session, peering, log)
    silent = log.last_word is None
    settling = silent and any(
        bgp.case.now - start <= SETTLING for start in _starts(bgp.case, session, log)
    )
    return Down(session, peering, log, code, detail, settling)


def _cause(bgp: Bgp, session: Session, peering: Peering | None, log: SessionLog) -> tuple[str, str]:
    word = log.last_word
    protected = bool(password(session, peering)) and not session.state.startswith("open")
    if word is None:
        if not log.read or session.state not in CONNECTING:
            return "CS401", ""
        if protected:
            return "CS405", ""
        never_up = log.configured is not None and log.last_change is None
        beyond = never_up and _beyond_reach(bgp, session, peering)
        return ("CS412", "") if beyond else ("CS401", "")
    codes = f"{word.code}.{word.subcode}"
    if word.wrong_asn:
        who = "refused here" if word.cause is EventKind.SENT else "refused by the peer"
        return "CS402", f"AS {session.peer_asn or 'any'} {who}"
    match word.cause:
        case EventKind.EXPIRED:
            return ("CS405" if protected else "CS403"), ""
        case EventKind.RECEIVED:
            return "CS404", codes
        case EventKind.SENT:
            return "CS401", f"refused here {codes}"
        case _:
            return "CS401", ""


def _starts(case: Case, session: Session, log: SessionLog) -> Iterator[datetime]:
    """When the session was configured, or its agent started."""
    config = case.records[NODE_CONFIGS].get(session.node)
    configured = (log.configured, config.metadata.creation_timestamp if config else None)
    yield from (moment for moment in configured if moment is not None)
    yield from starts(case.agent(session.node))


def _beyond_reach(bgp: Bgp, session: Session, peering: Peering | None) -> bool:
    """Whether the peer is clearly in another network than the node, and one hop is allowed.

    The API tells addresses without prefix lengths, and not those of every interface. So only
    ranges count that cannot share a link, and no other node may reach the peer in the same way.
    It is a hint alone: a router on the link may have an address of any network.
    """
    external = session.peer_asn is not None and session.local_asn != session.peer_asn
    if multihop(session, peering) != 1 or not external or bgp.up(session.peer_address):
        return False
    peer = parse_address(session.peer_address)
    if peer is None or peer.version != 4 or peer.is_link_local:
        return False
    known = node_addresses(bgp.case.snapshot, session.node)
    own = [address for address in known if address.version == peer.version]
    return bool(own) and all(_range(address) != _range(peer) for address in own)


def _range(address: Address) -> IPv4Network | IPv6Network | None:
    """The private range of an address; None for a public one."""
    return next((net for net in _NETWORKS if address in net), None)
