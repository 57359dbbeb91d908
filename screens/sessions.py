"""Sessions: every BGP session that exists or should, why it is not well, and what tells so."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll

from app.diagnosis.session_status import SessionStatus, standings
from app.model.desired_peerings import Peering, PeeringFamily, SelectedAdvertisement
from app.model.finding import Finding, Health, Ref, rank
from app.model.selectors import describe
from app.model.session_history import Flaps
from app.model.session_history import key_of as link_of
from app.model.sessions import CLI_SOURCE, Witness, configuration_known, readings_by_node
from app.model.wording import count, duration
from app.report.columns import Column
from app.report.lines import SIGN, Line, Span, Tone, age_of, by_health, time_of_day
from app.report.tables.sessions import BY_NODE, BY_PEER, WINDOW, SessionRow, proof, sparkline
from app.state import kinds
from app.state.kinds import Kind
from app.state.snapshot import Snapshot, State
from collectors.cilium.command_records import BgpPeer, Capability
from collectors.cilium.records import AdvertisedAttributes
from screens.base.cluster_screen import ClusterScreen, Place
from screens.base.empty_state import content
from screens.base.selection import Equivalent, Selection, cilium, kubectl
from screens.session_matrix import WITNESSES, matrix
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import INDENT, LiveText, labelled

READS = (
    kinds.NODE_CONFIGS,
    kinds.BGP_PEERS,
    kinds.PODS,
    kinds.CILIUM_NODES,
    kinds.NODES,
    kinds.PEERING_POLICIES,
    kinds.CLUSTER_CONFIGS,
    kinds.PEER_CONFIGS,
    kinds.ADVERTISEMENTS,
    kinds.NODE_CONFIG_OVERRIDES,
    kinds.DAEMON_SETS,
    kinds.CONFIG_MAPS,
    kinds.AGENT_LOGS,
)
_AMISS: Mapping[Health, str] = {"fail": "down", "unknown": "not known", "warn": "to look at"}


@dataclass(frozen=True)
class SessionsPicture:
    """What the screen shows."""

    headline: Line
    columns: tuple[Column, ...]
    grid: Content
    list: Content
    sessions: Mapping[str, SessionRow]
    """By the keys of their rows."""


def _headline(found: Sequence[SessionStatus], *, by_peer: bool) -> Line:
    """How many are up, how many are not, and how they are grouped."""
    if not found:
        return ()
    up = sum(s.session is not None and s.session.established and s.session.current for s in found)
    amiss = by_health((s.health for s in found), _AMISS, signs=True)
    grouped = f"  by {'peer' if by_peer else 'node'}"
    return (Span(f"{up} of {len(found)} established"), *amiss, Span(grouped, "none"))


def _is_about(standing: SessionStatus, ref: Ref) -> bool:
    match ref.kind:
        case "Session":
            return standing.ref == ref
        case "Peer":
            return ref.name in (standing.peer_address, standing.peer)
        case _:
            return standing.node == ref.name


class SessionsScreen(ClusterScreen[SessionsPicture]):
    """The BGP sessions: a matrix of nodes and peers, the list, and the selected one."""

    title_text = "Sessions"
    reads = READS
    sources = WITNESSES
    AUTO_FOCUS = "#sessions"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "group", "by node/peer", id="sessions.group"),
    ]

    _by_peer = False
    _picture: SessionsPicture | None = None
    _losses_shown = 0
    _costly = True  # the rules are imported with the first picture

    def body(self) -> ComposeResult:
        """Matrix, list, detail."""
        yield LiveTable(opens=self._open_node, id="matrix")
        with Container(id="split"):
            yield LiveTable(BY_NODE.columns, order=("node", "peer"), id="sessions")
            with VerticalScroll(id="side"):
                yield LiveText(indent=INDENT, id="detail")

    def picture(self, snapshot: Snapshot) -> SessionsPicture:
        """The sessions as matrix and rows."""
        self._losses_shown = self.link.losses.counted
        if snapshot.setting_up:
            return self._pictured(snapshot, ())
        case, verdict = self.link.judge.case(snapshot), self.link.judge.verdict(snapshot)
        return self._pictured(snapshot, standings(case, verdict.findings))

    def draw(self, picture: SessionsPicture) -> None:
        """Fill the tables."""
        first = self._picture is None or not self._picture.sessions
        self._picture = picture
        self.set_headline(picture.headline)
        grid = self.query_one("#matrix", LiveTable)
        grid.set_class(not picture.grid.rows, "-empty")
        grid.show_columns(picture.columns)
        grid.show(picture.grid)
        self.query_one("#sessions", LiveTable).show(picture.list)
        if first:
            self._select_worst(picture.sessions.values())
        self._draw_detail()

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Also when a loss was counted since; the count follows the snapshot that tells it."""
        lost = self.link.losses.counted != self._losses_shown
        return lost or super().differs(new, drawn)

    def selection(self) -> Selection | None:
        """The session under the cursor."""
        row = self._selected
        if row is None:
            return None
        standing = row.standing
        peer = standing.peer_address or standing.peer
        return Selection(
            ref=standing.ref, question=("session", standing.node, peer), node=standing.node
        )

    def select_object(self, ref: Ref) -> None:
        """Select a session, or the first one of a node or of a peer; the broken ones first."""
        if self._picture is None:
            return
        self._select_worst(
            row for row in self._picture.sessions.values() if _is_about(row.standing, ref)
        )

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The selected session by hand, then all of them."""
        row = self._selected
        node, peer = (row.standing.node, row.standing.peer_address) if row else ("", "")
        return session_commands(self.snapshot, node, peer)

    def action_group(self) -> None:
        """Group the sessions by peer, or by node again."""
        self._by_peer = not self._by_peer
        table = self.query_one("#sessions", LiveTable)
        table.sort_by(*(("peer", "node") if self._by_peer else ("node", "peer")))
        table.show_columns((BY_PEER if self._by_peer else BY_NODE).columns)
        if self._picture is not None:
            found = tuple(row.standing for row in self._picture.sessions.values())
            self.draw(self._pictured(self.snapshot, found))

    def _select_worst(self, found: Iterable[SessionRow]) -> None:
        """Select what is worst of these: what one comes for."""
        worst = min(found, key=lambda row: rank(row.standing.health), default=None)
        if worst is not None:
            self.query_one("#sessions", LiveTable).select(worst.key)

    @property
    def _selected(self) -> SessionRow | None:
        if self._picture is None:
            return None
        return self._picture.sessions.get(self.query_one("#sessions", LiveTable).selected)

    def _pictured(self, snapshot: Snapshot, found: Sequence[SessionStatus]) -> SessionsPicture:
        sessions = [standing.session for standing in found if standing.session]
        missing = {(s.node, s.peer_address): s.peer_asn for s in found if s.missing}
        health = {standing.key: standing.health for standing in found}
        columns, grid = matrix(
            sessions, "NODE", snapshot, lambda session: health[link_of(session)], missing
        )
        losses = self.link.losses
        shown = [SessionRow(each, losses.of(each.key), snapshot) for each in found]
        rows = (BY_PEER if self._by_peer else BY_NODE).rows(shown)
        return SessionsPicture(
            headline=_headline(found, by_peer=self._by_peer),
            columns=columns,
            grid=replace(content(snapshot, grid, WITNESSES, ""), notice=()),
            list=content(snapshot, rows, WITNESSES, "", none="no BGP sessions configured"),
            sessions={row.key: row for row in shown},
        )

    @on(LiveTable.Selected, "#sessions")
    def _draw_detail(self) -> None:
        row = self._selected
        lines = session_lines(row, self.link.losses.started) if row is not None else []
        self.query_one("#detail", LiveText).show(lines)

    async def _open_node(self, node: str) -> None:
        self.select_object(Ref("Node", node))
        self.set_focus(self.query_one("#sessions", LiveTable))


_FINDINGS = 3
_EVIDENCE = 3
_LOSSES = 6


def session_lines(row: SessionRow, started: datetime | None) -> list[Line]:
    """The lines of one session, what matters first; `started`: since when losses are counted."""
    standing, snapshot = row.standing, row.snapshot
    return [
        *_head(row),
        *_why(standing, row.now),
        *_witnesses(standing, snapshot),
        *_lost(row.flaps, started, row.now),
        *_agreed(standing),
        *_carried(standing, snapshot),
        *_configured(standing),
        *_abilities(standing.session.reported if standing.session else None),
        *(line for finding in standing.findings[:_FINDINGS] for line in _finding(finding)),
    ]


def _head(row: SessionRow) -> Iterator[Line]:
    standing, health = row.standing, row.standing.health
    peer = standing.peer_address or standing.peer or "a peer that is not found yet"
    yield (
        Span(f" {SIGN[health]} ", health),
        Span(standing.node, "strong"),
        Span(f" AS {standing.local_asn or '?'} → "),
        Span(peer, "strong"),
        Span(f" AS {standing.peer_asn or 'any'}"),
        Span(f"{'   ' if row.disagree else '  '}{row.state}", health),
    )
    session = standing.session
    if session is not None and not session.configured:
        known = configuration_known(row.snapshot)
        words = "it is seen, and not configured"
        yield labelled("", words if known else "whether it is configured is not known yet", "warn")


def _why(standing: SessionStatus, now: datetime) -> Iterator[Line]:
    if standing.reason:
        tone: Tone = standing.health if standing.health in ("fail", "warn") else ""
        yield labelled("why", standing.reason, tone)
    if standing.word is not None:
        yield labelled("", proof(standing.word, now))
    if standing.findings:
        yield labelled("do", standing.findings[0].advice)


def _finding(finding: Finding) -> Iterator[Line]:
    yield labelled(finding.code, finding.summary)
    for seen in finding.evidence[:_EVIDENCE]:
        where = " ".join(filter(None, (seen.object, seen.field)))
        yield labelled("", f"{seen.source}: {where} {seen.value}".rstrip(), "none")


def _witnesses(standing: SessionStatus, snapshot: Snapshot) -> Iterator[Line]:
    session = standing.session
    if session is None:
        yield labelled("told by", "nobody: neither the agent nor the API has such a session")
        return
    for witness in (session.cli, session.api):
        if witness is not None:
            yield _reported(witness, snapshot, session.disagree)
    if session.cli is None:
        yield labelled("agent", f"{CLI_SOURCE}: {_unheard(session.node, snapshot)}", "stale")
    if session.api is None:
        v1 = standing.peering is not None and standing.peering.plane == "v1"
        words = "has no status with BGPv1" if v1 else "tells nothing of it"
        yield labelled("API", words, "stale")


def _unheard(node: str, snapshot: Snapshot) -> str:
    """Why the agent of a node tells nothing of a session."""
    health = snapshot.health_of(kinds.BGP_PEERS)
    reading = readings_by_node(snapshot).get(node)
    if reading is not None and reading.error:
        agent = snapshot.agents_by_node.get(node)
        name = reading.pod or (agent.name if agent else f"of {node}")
        return f"not read there, agent {name}: {reading.error}"
    if health.error or not health.known:
        return health.error or str(health.state)
    return "no such peer" if reading is not None else "tells nothing of this node"


def _reported(witness: Witness, snapshot: Snapshot, disagree: bool) -> Line:
    uptime = witness.uptime(snapshot.taken_at)
    up = f" for {duration(uptime)}" if uptime is not None else ""
    agent = witness.source == CLI_SOURCE
    fresh = snapshot.health_of(witness.kind).state is State.FRESH
    differ = " ≠" if disagree else ""
    age = age_of(witness.read_at(snapshot), snapshot.taken_at)
    text = (
        f"{witness.source}: {witness.state}{up}{differ}, {'' if fresh else 'last '}read {age} ago"
    )
    tone: Tone = "warn" if disagree else "" if fresh else "stale"
    return labelled("agent" if agent else "API", text, tone)


def _lost(flaps: Flaps, started: datetime | None, now: datetime) -> Iterator[Line]:
    since = f"since {time_of_day(started, now)}" if started else "yet"
    if not flaps.count:
        yield labelled("lost", f"not seen {since}")
        return
    moments = [loss.until for loss in flaps.recent[-_LOSSES:]]
    spark = sparkline(flaps, now)
    minutes = int(WINDOW.total_seconds() // 60)
    shown = f" {spark} ({minutes} min)" if spark else ""
    when = ", ".join(time_of_day(moment, now) for moment in reversed(moments))
    logged = any(loss.logged for loss in flaps.recent)
    yield labelled("lost", f"{count(flaps.count, 'time')}{shown}: {when}")
    yield labelled("", f"watched {since}{'; the log of the agent tells more' * logged}", "none")


def _agreed(standing: SessionStatus) -> Iterator[Line]:
    """Timers and the like: what is configured, and what is in force where it differs."""
    reported = standing.session.reported if standing.session else None
    peering = standing.peering
    if reported is not None:
        graceful, restart = reported.graceful_restart, reported.restart_time
        port, hops = reported.peer_port, reported.multihop_ttl or 1
        timers = _timers(reported)
    elif peering is not None:
        graceful = peering.graceful_restart.enabled
        restart = peering.graceful_restart.restart_time_seconds
        port, hops = peering.peer_port, peering.ebgp_multihop
        timers = (
            f"configured: hold {peering.timers.hold_time_seconds} s, keepalive "
            f"{peering.timers.keep_alive_time_seconds} s, connect retry "
            f"{peering.timers.connect_retry_time_seconds} s; in force: not known"
        )
    if reported is not None or peering is not None:
        restarts = f"{restart} s" if graceful else "off"
        yield labelled("timers", timers)
        transport = f"port {port}, {count(hops, 'hop')}, graceful restart {restarts}"
        yield labelled("transport", transport)
    yield from _password(peering, reported)


def _timers(reported: BgpPeer) -> str:
    hold, keepalive = reported.applied_hold_time, reported.applied_keepalive
    configured = (reported.configured_hold_time, reported.configured_keepalive)
    retry = f"connect retry {reported.connect_retry} s"
    asked = f"hold {configured[0]} s, keepalive {configured[1]} s"
    if not hold:
        return f"configured: {asked}, {retry}; nothing is negotiated yet"
    if (hold, keepalive) == configured:
        return f"{asked}, as configured; {retry}"
    return f"hold {hold} s, keepalive {keepalive} s; configured: {asked}; {retry}"


def _password(peering: Peering | None, reported: BgpPeer | None) -> Iterator[Line]:
    secret = peering.auth_secret if peering else ""
    in_use = reported.tcp_password if reported else None
    if not secret and not in_use:
        if peering is not None or reported is not None:
            yield labelled("password", "none")
        return
    name = f"Secret {secret}" if secret else "in use"
    if secret and in_use is not None:
        name += ", in use" if in_use else ", and the agent uses none"
    yield labelled("password", name, "warn" if secret and in_use is False else "")


def _carried(standing: SessionStatus, snapshot: Snapshot) -> Iterator[Line]:
    """Families with what they count and what the agent makes their export policy from."""
    counts = {
        f"{f.afi}/{f.safi}": f"{f.received} received, {f.advertised} advertised"
        for f in (standing.session.families if standing.session else ())
    }
    configured = {
        f"{family.afi}/{family.safi}": family
        for family in (standing.peering.families if standing.peering else ())
    }
    for name in sorted({*counts, *configured}):
        yield labelled(name, counts.get(name, "no counts"))
        family = configured.get(name)
        exports = _exports(family, snapshot) if family is not None else []
        for label, text in zip_longest(("policy",), exports, fillvalue=""):
            if text:
                yield labelled(label, text, "none")
    yield from (labelled("", text, "none") for text in _neighbor_attributes(standing, snapshot))


def _exports(family: PeeringFamily, snapshot: Snapshot) -> list[str]:
    """What goes out, thing by thing; the agent rejects all else."""
    if family.advertisements:
        *most, last = (f"exports {_advert(each, snapshot)}" for each in family.advertisements)
        return [*most, f"{last}; nothing else"]
    if family.selector is None:
        return ["exports nothing: it selects no advertisement"]
    chosen = describe(family.selector)
    return [f"exports nothing: it selects advertisements by {chosen}, and there is none"]


def _neighbor_attributes(standing: SessionStatus, snapshot: Snapshot) -> Iterator[str]:
    """What BGPv1 puts on the routes of this neighbour alone."""
    owner = standing.peering.owner.name if standing.peering else ""
    policy = snapshot.records[kinds.PEERING_POLICIES].get(owner)
    for router in policy.spec.virtual_routers if policy else ():
        for neighbor in router.neighbors if router.local_asn == standing.local_asn else ():
            if neighbor.peer_address.partition("/")[0] != standing.peer_address:
                continue
            for each in neighbor.advertised_path_attributes:
                chosen = describe(each.selector) if each.selector else "all"
                what = "" if each.selector_type == "PodCIDR" else f" ({chosen})"
                yield f"routes of {each.selector_type}{what} get {_attribute_words(each)}"


def _advert(selected: SelectedAdvertisement, snapshot: Snapshot) -> str:
    what = selected.type
    if selected.type == "Service":
        chosen = "no service" if selected.selector is None else describe(selected.selector)
        what = f"{' '.join(selected.addresses) or 'no address'} of services: {chosen}"
    attributes = _attributes(selected, snapshot)
    return f"{what} ({selected.advertisement}){attributes}"


def _attributes(selected: SelectedAdvertisement, snapshot: Snapshot) -> str:
    advertisement = snapshot.records[kinds.ADVERTISEMENTS].get(selected.advertisement)
    entries = advertisement.spec.advertisements if advertisement else ()
    entry = entries[selected.index] if selected.index < len(entries) else None
    if entry is None or entry.attributes is None:
        return ""
    words = _attribute_words(entry.attributes)
    return f", with {words}" if words else ""


def _attribute_words(attributes: AdvertisedAttributes) -> str:
    words: list[str] = []
    communities = attributes.communities
    if communities is not None:
        names = (*communities.standard, *communities.well_known, *communities.large)
        words += [f"communities {' '.join(names)}"] if names else []
    if attributes.local_preference is not None:
        words.append(f"local preference {attributes.local_preference}")
    return ", ".join(words)


def _configured(standing: SessionStatus) -> Iterator[Line]:
    peering = standing.peering
    if peering is None:
        return
    name = f", peer {peering.peer}" if peering.peer else ""
    config = f", CiliumBGPPeerConfig {peering.peer_config}" if peering.peer_config else ""
    yield labelled("configured", f"{peering.owner}, instance {peering.instance}{name}{config}")


def _abilities(reported: BgpPeer | None) -> Iterator[Line]:
    """What both sides said they can do; what only one of them did is what they do not share."""
    if reported is None or not (reported.local_capabilities or reported.remote_capabilities):
        return
    here, there = reported.local_capabilities, reported.remote_capabilities
    yield labelled("here can", _listed(here))
    yield labelled("peer can", _listed(there) if there else "nothing was heard of it yet")


def _listed(capabilities: Sequence[Capability]) -> str:
    return "; ".join(dict.fromkeys(each.text for each in capabilities)) or "nothing is told"


def session_commands(snapshot: Snapshot, node: str, peer: str) -> tuple[Equivalent, ...]:
    """A session by hand: the agent, its status in the API, its log, then all sessions."""
    own: list[Equivalent] = []
    if node:
        words = f"bgp peers --node {shlex.quote(node)}"
        own.append(cilium(snapshot, f"the sessions of {node}", words))
    status = f"get ciliumbgpnodeconfig {shlex.quote(node)} -o yaml"
    wrote = kubectl(snapshot, "what its agent wrote into the API", status)
    written = [wrote] if node in snapshot.records[kinds.NODE_CONFIGS] else []
    agent = snapshot.agents_by_node.get(node)
    if agent is None:
        own += written
    else:
        name, where = shlex.quote(agent.name), agent.namespace
        inside = f"exec {name} -c cilium-agent -- cilium-dbg bgp"
        log = f"logs {name} -c cilium-agent --timestamps"
        sees = f"the session as the agent of {node} sees it"
        lets_out = f"what the agent of {node} lets out, its route policies"
        logs = f"what the agent of {node} logs about {peer}"
        own += [
            kubectl(snapshot, sees, f"{inside} peers", where),
            *written,
            kubectl(snapshot, lets_out, f"{inside} route-policies", where),
            kubectl(snapshot, logs, log, where, grep=peer or "bgp"),
        ]
    plurals = ",".join(kind.plural for kind in _kinds(snapshot))
    return (
        *own,
        cilium(snapshot, "all sessions", "bgp peers"),
        kubectl(snapshot, "what configures them", f"get {plurals} -o yaml"),
    )


def _kinds(snapshot: Snapshot) -> tuple[Kind[object], ...]:
    if snapshot.records[kinds.PEERING_POLICIES] and not snapshot.records[kinds.NODE_CONFIGS]:
        return (kinds.PEERING_POLICIES,)
    return (kinds.CLUSTER_CONFIGS, kinds.PEER_CONFIGS, kinds.ADVERTISEMENTS)


PLACE = Place(
    make=SessionsScreen,
    key="f3",
    words=("sessions", "peers"),
    shows="the BGP sessions",
    kinds=("no", "nodes", "node", "cbgpnode", "ciliumbgpnodeconfigs"),
)
