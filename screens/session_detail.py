"""Everything that is known of one BGP session: why, what to do, both witnesses, what was agreed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING

from app.model.durations import duration
from app.model.selectors import describe
from app.model.sessions import CLI_SOURCE, Witness, configuration_known, readings_by_node
from app.model.wording import count
from app.report.format import age_of, time_of_day
from app.report.lines import SIGN, Line, Span, Tone
from app.state.kinds import ADVERTISEMENTS, BGP_PEERS, PEERING_POLICIES
from app.state.snapshot import State
from screens.session_rows import WINDOW, proof, sparkline, state_words

if TYPE_CHECKING:
    from app.diagnosis.session_status import Standing
    from app.model.desired_peerings import Peering, PeeringFamily, SelectedAdvertisement
    from app.model.finding import Finding
    from app.model.flap_history import Flaps
    from app.state.snapshot import Snapshot
    from collectors.cilium.bgp import BgpPeer
    from collectors.cilium.bgp_messages import Capability
    from collectors.cilium.records import AdvertisedAttributes

_LABEL = 13
"""Width of what stands before each line, so that the eye finds it."""
INDENT = _LABEL + 1
"""Where the text begins, and goes on where it is too long for its line."""
_FINDINGS = 3
_EVIDENCE = 3
_LOSSES = 6


def detail(
    standing: Standing, flaps: Flaps, started: datetime | None, snapshot: Snapshot
) -> list[Line]:
    """The lines of one session, what matters first."""
    return [
        *_head(standing, snapshot),
        *_why(standing, snapshot.taken_at),
        *_witnesses(standing, snapshot),
        *_lost(flaps, started, snapshot.taken_at),
        *_agreed(standing),
        *_carried(standing, snapshot),
        *_configured(standing),
        *_abilities(standing.session.reported if standing.session else None),
        *(line for finding in standing.findings[:_FINDINGS] for line in _finding(finding)),
    ]


def labelled(label: str, text: str, tone: Tone = "") -> Line:
    """A line with a word before it that says what it tells."""
    return (Span(f" {label:<{_LABEL}}", "none"), Span(text, tone))


def _head(standing: Standing, snapshot: Snapshot) -> Iterator[Line]:
    health = standing.health
    peer = standing.peer_address or standing.peer or "a peer that is not found yet"
    yield (
        Span(f" {SIGN[health]} ", health),
        Span(standing.node, "strong"),
        Span(f" AS {standing.local_asn or '?'} → "),
        Span(peer, "strong"),
        Span(f" AS {standing.peer_asn or 'any'}"),
        Span(f"  {state_words(standing, snapshot)[2:]}", health),
    )
    session = standing.session
    if session is not None and not session.configured:
        told = "it is seen, and not configured"
        if not configuration_known(snapshot):
            told = "whether it is configured is not known yet"
        yield labelled("", told, "warn")


def _why(standing: Standing, now: datetime) -> Iterator[Line]:
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


def _witnesses(standing: Standing, snapshot: Snapshot) -> Iterator[Line]:
    session = standing.session
    if session is None:
        yield labelled("told by", "nobody: neither the agent nor the API has such a session")
        return
    for witness in (session.cli, session.api):
        if witness is not None:
            yield _told(witness, snapshot, session.disagree)
    if session.cli is None:
        yield labelled("agent", f"{CLI_SOURCE}: {_unheard(session.node, snapshot)}", "stale")
    if session.api is None:
        v1 = standing.peering is not None and standing.peering.plane == "v1"
        told = "has no status with BGPv1" if v1 else "tells nothing of it"
        yield labelled("API", told, "stale")


def _unheard(node: str, snapshot: Snapshot) -> str:
    """Why the agent of a node tells nothing of a session."""
    health = snapshot.health_of(BGP_PEERS)
    reading = readings_by_node(snapshot).get(node)
    if reading is not None and reading.error:
        agent = snapshot.agents_by_node.get(node)
        name = reading.pod or (agent.name if agent else f"of {node}")
        return f"not read there, agent {name}: {reading.error}"
    if health.error or not health.known:
        return health.error or str(health.state)
    return "no such peer" if reading is not None else "tells nothing of this node"


def _told(witness: Witness, snapshot: Snapshot, disagree: bool) -> Line:
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


def _agreed(standing: Standing) -> Iterator[Line]:
    """Timers and the like: what is configured, and what is in force where it differs."""
    reported = standing.session.reported if standing.session else None
    peering = standing.peering
    if reported is not None:
        yield labelled("timers", _timers(reported))
        restart = f"{reported.restart_time} s" if reported.graceful_restart else "off"
        hops = f"port {reported.peer_port}, {count(reported.multihop_ttl or 1, 'hop')}"
        yield labelled("transport", f"{hops}, graceful restart {restart}")
    elif peering is not None:
        timers = peering.timers
        yield labelled(
            "timers",
            f"configured: hold {timers.hold_time_seconds} s, keepalive "
            f"{timers.keep_alive_time_seconds} s, connect retry "
            f"{timers.connect_retry_time_seconds} s; in force: not known",
        )
        graceful = peering.graceful_restart
        restart = f"{graceful.restart_time_seconds} s" if graceful.enabled else "off"
        hops = f"port {peering.peer_port}, {count(peering.ebgp_multihop, 'hop')}"
        yield labelled("transport", f"{hops}, graceful restart {restart}")
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


def _carried(standing: Standing, snapshot: Snapshot) -> Iterator[Line]:
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


def _neighbor_attributes(standing: Standing, snapshot: Snapshot) -> Iterator[str]:
    """What BGPv1 puts on the routes of this neighbour alone."""
    owner = standing.peering.owner.name if standing.peering else ""
    policy = snapshot.records[PEERING_POLICIES].get(owner)
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
    advertisement = snapshot.records[ADVERTISEMENTS].get(selected.advertisement)
    entries = advertisement.spec.advertisements if advertisement else ()
    entry = entries[selected.index] if selected.index < len(entries) else None
    if entry is None or entry.attributes is None:
        return ""
    told = _attribute_words(entry.attributes)
    return f", with {told}" if told else ""


def _attribute_words(attributes: AdvertisedAttributes) -> str:
    told: list[str] = []
    communities = attributes.communities
    if communities is not None:
        names = (*communities.standard, *communities.well_known, *communities.large)
        told += [f"communities {' '.join(names)}"] if names else []
    if attributes.local_preference is not None:
        told.append(f"local preference {attributes.local_preference}")
    return ", ".join(told)


def _configured(standing: Standing) -> Iterator[Line]:
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
