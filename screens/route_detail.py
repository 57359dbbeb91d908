"""One prefix in words: what it is, where it should be, why it is not, and its attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from app.model.wording import count, named
from app.report.lines import SIGN, Line, Span, Tone
from screens.route_rows import attribute_words, state_of
from screens.widgets.live_text import labelled

if TYPE_CHECKING:
    from app.diagnosis.prefix_overview import Announcement, Held
    from app.diagnosis.verdict import Verdict
    from app.model.case import Case
    from app.model.routes import Link, LinkState

_NAMED = 6
_FINDINGS = 2


def detail(
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
            told = ", ".join(f"{f.advertised} {f.afi}" for f in session.families)
            yield f"{session.node} advertises {told}"


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
        yield labelled("why", f"no session of {_listed(silent)} is established", tone)


def _nodes(found: Announcement) -> Iterator[Line]:
    told: tuple[tuple[str, Sequence[str], Tone], ...] = (
        ("missing on", found.missing, "fail"),
        ("extra on", found.extra, "warn"),
        ("not known of", found.unknown, "unknown"),
    )
    for label, nodes, tone in told:
        if nodes:
            yield labelled(label, _listed(nodes), tone)
    if len(found.services) > 1:
        yield labelled("services", _listed(found.services))


def _listed(names: Sequence[str]) -> str:
    return named(names, _NAMED)


def _attributes(held: Sequence[Held]) -> Iterator[Line]:
    sent = [each.route for each in held if each.table == "advertised"]
    own = [each.route for each in held if each.table == "available"]
    label = "sent with" if sent else "held with"
    for words in attribute_words(sent or own):
        yield labelled(label, words)
        label = ""
