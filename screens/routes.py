"""Routes: which prefixes should be announced by whom, and which are; and every route there is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical

from app.diagnosis.addresses import (
    Announcement,
    Held,
    announcements,
    longest_match,
    routes_by_prefix,
)
from app.diagnosis.diagnoser import Verdict
from app.model.case import Case
from app.model.finding import Health, Ref, rank
from app.model.routes import Link, LinkState, NodeRoute, links, routes
from app.model.wording import count, more, named
from app.report.columns import Row
from app.report.lines import SIGN, Line, Span, Tone, by_health, cut, plain, text_of
from app.report.tables.routes import PLACES, PREFIXES, SCREEN, attribute_words, places, state_of
from app.state import kinds
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import ClusterScreen, Place
from screens.base.empty_state import absence, content
from screens.base.selection import Equivalent, Selection, cilium, selection_of
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import INDENT, LiveText, labelled

BESIDE = (
    kinds.NODE_CONFIGS,
    kinds.BGP_PEERS,
    kinds.SERVICES,
    kinds.ENDPOINT_SLICES,
    kinds.POOLS,
    kinds.CILIUM_NODES,
    kinds.PODS,
    kinds.CLUSTER_CONFIGS,
    kinds.PEER_CONFIGS,
    kinds.ADVERTISEMENTS,
    kinds.PEERING_POLICIES,
    kinds.CONFIG_MAPS,
    kinds.AGENT_LOGS,
)
"""Kinds that tell what should be announced, and by whom."""
COUNTED = 3
"""Sessions whose own counts are shown where the routes were not read."""

_LONGEST = 150
"""Characters at most of why the routes were not read: the rows need the room."""
_AMISS: Mapping[Health, str] = {"fail": "broken", "warn": "to look at", "unknown": "not known"}
_NAMED = 6
_FINDINGS = 2


@dataclass(frozen=True)
class RoutesPicture:
    """What the screen shows."""

    headline: Line = ()
    list: Content = field(default_factory=Content)
    prefixes: Mapping[str, Announcement] = field(default_factory=dict)
    routes: Mapping[str, NodeRoute] | None = None
    """Where every route is shown: by the keys of their rows."""
    held: Mapping[str, Sequence[Held]] = field(default_factory=dict)
    """By prefix, every route that was read."""
    links: Mapping[Link, LinkState] = field(default_factory=dict)
    verdict: Verdict | None = None
    """None while nothing is known."""


class RoutesScreen(ClusterScreen[RoutesPicture]):
    """Prefixes, the selected one with the places it is in; or every route of every node."""

    title_text = "Routes"
    reads = (*kinds.ROUTES, *BESIDE)
    demands = sources = kinds.ROUTES
    AUTO_FOCUS = "#routes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "every", "prefixes/routes", id="routes.every"),
    ]

    _every = False
    _sought = ""
    """The prefix that the cursor is to stay on when the other list comes."""
    _picture = RoutesPicture()
    _costly = True  # the rules are imported with the first picture

    def body(self) -> ComposeResult:
        """The list, and beside or below it where the selected prefix is."""
        with Container(id="split"):
            yield LiveTable(
                PREFIXES.columns, order=("state", "prefix"), opens=self._open_places, id="routes"
            )
            with Vertical(id="side"):
                yield LiveText(indent=INDENT, id="detail")
                order = ("advertised", "node", "peer")
                yield LiveTable(PLACES.columns, order=order, id="places")

    def picture(self, snapshot: Snapshot) -> RoutesPicture:
        """The prefixes, or all routes, as rows."""
        if snapshot.setting_up:
            return RoutesPicture(list=content(snapshot, (), self.demands, "routes"))
        case, verdict = self.link.judge.case(snapshot), self.link.judge.verdict(snapshot)
        found = announcements(case, verdict.findings)
        every = routes(snapshot) if self._every else None
        rows = PREFIXES.rows(found) if every is None else SCREEN.rows(every)
        return RoutesPicture(
            headline=_headline(found, every=every is not None),
            list=_content(case, rows),
            routes=None if every is None else {SCREEN.key(each): each for each in every},
            prefixes={each.prefix: each for each in found},
            held=routes_by_prefix(case),
            links=links(case),
            verdict=verdict,
        )

    def draw(self, picture: RoutesPicture) -> None:
        """Fill the tables."""
        self._picture = picture
        self.set_headline(picture.headline)
        table = self.query_one("#routes", LiveTable)
        # A picture may have been made before the key that chose the other list.
        if not picture.list.rows or (picture.routes is not None) is self._every:
            table.show(picture.list)
            if self._sought:
                self._sought, sought = "", self._sought
                self.select_object(Ref("Prefix", sought))
            self.offer_worst(table)
        self._draw_detail()

    def selection(self) -> Selection | None:
        """The prefix under the cursor."""
        prefix = self._prefix
        if not prefix:
            return None
        route = (self._picture.routes or {}).get(self.query_one("#routes", LiveTable).selected)
        node = route.node if route is not None else ""
        return selection_of(Ref("Prefix", prefix), node)

    def select_object(self, ref: Ref) -> None:
        """Select a prefix, the longest that holds an address, or that of a service."""
        table = self.query_one("#routes", LiveTable)
        if ref.kind == "Service":
            key = f"{ref.namespace}/{ref.name}"
            own = [each for each in self._picture.prefixes.values() if key in each.services]
            prefix = min(own, key=lambda each: rank(each.health)).prefix if own else ""
        else:
            prefix = longest_match(ref.name, self._picture.prefixes)
        row = next((row for row in table.rows if self._prefix_of(row) == prefix), None)
        if row is not None:
            table.select(row.key)
        elif ref.kind == "Prefix":
            self.flash(f"nothing here announces {ref.name}")
        elif ref.kind == "Service":
            self.flash(f"no route leads to {ref}")

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The selected prefix by hand."""
        return route_commands(self.snapshot, self._prefix)

    def action_every(self) -> None:
        """Show every route of every node, or the prefixes again."""
        self._sought = self._prefix
        self._every = not self._every
        table = self.query_one("#routes", LiveTable)
        table.sort_by(*(("prefix", "node") if self._every else ("state", "prefix")))
        table.show_columns(SCREEN.columns if self._every else PREFIXES.columns)
        self._drawn = None
        self.post_message(self.Wanted())

    @property
    def _prefix(self) -> str:
        row = self.query_one("#routes", LiveTable).selected_row
        return "" if row is None else self._prefix_of(row)

    def _prefix_of(self, row: Row) -> str:
        """The prefix that a row is about."""
        if self._picture.routes is None:
            return row.key
        route = self._picture.routes.get(row.key)
        return "" if route is None else route.route.prefix

    @on(LiveTable.Selected, "#routes")
    def _draw_detail(self) -> None:
        picture = self._picture
        found = picture.prefixes.get(self._prefix)
        lines: list[Line] = []
        shown = Content()
        if found is not None and picture.verdict is not None:
            held = picture.held.get(found.prefix, ())
            lines = prefix_lines(found, held, picture.links, picture.verdict)
            rows = PLACES.rows(places(found, held, picture.links))
            shown = Content(rows, absence=plain("no node has it, and none should"))
        self.query_one("#detail", LiveText).show(lines)
        self.query_one("#places", LiveTable).show(shown)

    async def _open_places(self, _: str) -> None:
        self.set_focus(self.query_one("#places", LiveTable))


def _content(case: Case, rows: tuple[Row, ...]) -> Content:
    """The rows, with what must be said of the tables, also where they were not read at all."""
    snapshot = case.snapshot
    advertised = tuple(kinds.ADVERTISED.values())
    found = content(snapshot, rows, kinds.ROUTES, "routes", none="nothing is announced")
    unread = not any(snapshot.health_of(kind).known for kind in advertised)
    if not unread or not rows:
        return found
    # The tables fail alike; the first one speaks for all.
    why = cut(text_of(absence(snapshot, advertised[:1], "routes")), _LONGEST)
    lines = [plain(f"the routes are not read: {why}", "warn")]
    counts = list(counted(case))
    rest = f" {more(len(counts) - COUNTED)}" if len(counts) > COUNTED else ""
    if counts:
        lines.append(plain(f"as the sessions count: {'; '.join(counts[:COUNTED])}{rest}"))
    return replace(found, notice=tuple(lines))


def _headline(found: Sequence[Announcement], *, every: bool) -> Line:
    if not found:
        return ()
    amiss = by_health((each.health for each in found), _AMISS, signs=True)
    # Each prefix counts once, in its worst state, so that the numbers add up.
    up = sum(bool(each.advertised) and each.health == "ok" for each in found)
    unread = all(each.advertised is None for each in found)
    words = f"{up} of {count(len(found), 'prefix', 'prefixes')} announced"
    head = Span("routes not read" if unread else words)
    return (head, *amiss, Span("  every route" if every else "", "none"))


def route_commands(snapshot: Snapshot, prefix: str) -> tuple[Equivalent, ...]:
    """A prefix by hand: on the agents, then on the router."""
    families = ("ipv6",) if ":" in prefix else ("ipv4",) if prefix else ("ipv4", "ipv6")
    found = []
    for afi in families:
        for table, tells in (("advertised", "what goes to the peers"), ("available", "the tables")):
            words = f"bgp routes {table} {afi} unicast"
            found.append(cilium(snapshot, f"{tells}, {afi}", words, grep=prefix))
    if prefix:
        shown = f"show bgp {families[0]} unicast {prefix}"
        found.append(Equivalent("the same on a router with FRR", f"vtysh -c {shlex.quote(shown)}"))
    return tuple(found)


def prefix_lines(
    found: Announcement,
    held: Sequence[Held],
    links: Mapping[Link, LinkState],
    verdict: Verdict,
) -> list[Line]:
    """The lines of one prefix, what matters first."""
    return [
        _head(found),
        *_why(found, links, verdict),
        *_nodes(found),
        *_attributes(held),
    ]


def counted(case: Case) -> Iterator[str]:
    """What sessions count where the routes were not read: so many prefixes a family."""
    for session in case.sessions:
        if session.established and session.families:
            counts = ", ".join(f"{f.advertised} {f.afi}" for f in session.families)
            yield f"{session.node} advertises {counts}"


def _head(found: Announcement) -> Line:
    width = "?" if found.advertised is None else str(len(found.advertised))
    health = found.health
    return (
        Span(f" {SIGN[health]} ", health),
        Span(found.prefix, "strong"),
        Span(f"  {found.what or 'nobody asked for it'}"),
        Span(f"  {state_of(found)}", health),
        Span(f", by {width} of {count(len(found.expected), 'node')}" if found.expected else ""),
    )


def _why(found: Announcement, links: Mapping[Link, LinkState], verdict: Verdict) -> Iterator[Line]:
    tone: Tone = found.health if found.health in ("fail", "warn") else ""
    for finding in found.findings[:_FINDINGS] if found.health != "ok" else ():
        yield labelled(finding.code, finding.summary, tone)
        causes = verdict.causes(finding)
        for cause in causes[:_FINDINGS]:
            yield labelled(f"← {cause.code}", cause.summary)
        remedy = causes[0].advice if causes else finding.advice
        yield labelled("do", remedy)
    speaking = {node for (node, _), state in links.items() if state.up}
    silent = [node for node in found.missing if node not in speaking]
    if silent and not found.findings:
        yield labelled("why", f"no session of {named(silent, _NAMED)} is established", tone)


def _nodes(found: Announcement) -> Iterator[Line]:
    groups: tuple[tuple[str, Sequence[str], Tone], ...] = (
        ("missing on", found.missing, "fail"),
        ("extra on", found.extra, "warn"),
        ("not known of", found.unknown, "unknown"),
    )
    for label, nodes, tone in groups:
        if nodes:
            yield labelled(label, named(nodes, _NAMED), tone)
    if len(found.services) > 1:
        yield labelled("services", named(found.services, _NAMED))


def _attributes(held: Sequence[Held]) -> Iterator[Line]:
    sent = [each.route for each in held if each.table == "advertised"]
    own = [each.route for each in held if each.table == "available"]
    label = "sent with" if sent else "held with"
    for words in attribute_words(sent or own):
        yield labelled(label, words)
        label = ""


PLACE = Place(
    make=RoutesScreen,
    key="f4",
    words=("routes",),
    shows="what is announced, and what should be",
)
