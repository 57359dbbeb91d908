"""The answer of `explain`: of a thing, with the path of a service hop by hop, and of a code.

│ ✓ class       no loadBalancerClass
│ ✗ pool        no pool selects home/typo: …
│               → Set the label …  CS201
· ┄ sessions    not reached (3/3 established)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from app.diagnosis import catalog
from app.diagnosis.catalog import CODES, Code, code
from app.diagnosis.explain import Explanation
from app.diagnosis.inputs import labels
from app.diagnosis.service_path.path import (
    Hop,
    HopState,
    PrefixPath,
    ServicePath,
    ServiceStatus,
    verdict_words,
)
from app.model.finding import Finding, Health, health_of
from app.model.wording import named
from app.report.finding_lines import (
    REPORT,
    SCREEN,
    Form,
    evidence_text,
    names,
    section,
    short_lines,
)
from app.report.lines import (
    BLANK,
    SIGN,
    Line,
    Paragraph,
    Pen,
    Span,
    Tone,
    headed,
    length,
    plain,
    rows_of,
    sign,
    signed,
)
from collectors.sanitize import one_line

_HEALTH: dict[HopState, Health] = {
    HopState.OK: "ok",
    HopState.BROKEN: "fail",
    HopState.UNKNOWN: "unknown",
    HopState.NOT_REACHED: "none",
}
_NAME = 12
"""Cells of the names of hops."""
_NODES = 12
"""Nodes named at most; the rest is counted."""


def path_lines(path: ServicePath, form: Form) -> Iterator[Paragraph]:
    """The path of a service: its hops with evidence, who announces it, what to compare."""
    title = f"{'the' if form is REPORT else 'The'} way of service {path.service}"
    yield Paragraph(plain(one_line(title), "strong"))
    for hop in path.hops:
        yield _hop(hop)
        under = _under(hop)
        if hop.state in (HopState.BROKEN, HopState.UNKNOWN):
            for each in hop.evidence[: form.hop_evidence]:
                text = evidence_text(each, form.value)
                yield Paragraph(under, plain(text, "none"), whole=True)
        if hop.findings:
            yield Paragraph(under, plain(one_line(names(hop.findings, 3)), "accent"), whole=True)
    yield from _around(path, form)


def status_page(status: ServiceStatus, width: int) -> list[Line]:
    """The whole path: every hop with what to do there, who announces it, what to compare."""
    paragraphs = [line for hop in status.path.hops for line in _advised(status, hop)]
    if others := _elsewhere(status):
        paragraphs += [BLANK, Paragraph(plain("Found beside it", "strong"))]
        paragraphs += [line for finding in others for line in short_lines(finding)]
    paragraphs += _around(status.path, SCREEN)
    return [*_heading(status, width), *rows_of(paragraphs, width)]


def status_summary(status: ServiceStatus, width: int) -> list[Line]:
    """The most important part of it: the first hop that is not ok, and what to do there."""
    path, broken = status.path, status.path.broken
    paragraphs: list[Paragraph] = []
    if good := [_name(hop, rails=True) for hop in path.hops if hop.state is HopState.OK]:
        paragraphs.append(signed("ok", " · ".join(good)))
    if broken is not None:
        paragraphs.append(_hop(broken, rails=True))
        for finding in _chief(status, broken):
            texts = _advice(finding, (), summary=finding.summary != broken.reason)
            paragraphs += _behind(broken, texts)
    else:
        odd = (hop for hop in path.hops if hop.state is not HopState.OK)
        paragraphs += [line for hop in islice(odd, 1) for line in _advised(status, hop)]
        for finding in _elsewhere(status) or status.findings:
            paragraphs += short_lines(finding)
        paragraphs += [line for prefix in path.prefixes for line in prefix_lines(prefix)]
    return [*_heading(status, width), *rows_of(paragraphs, width)]


def prefix_lines(prefix: PrefixPath) -> Iterator[Paragraph]:
    """Who should announce a prefix, who does, who is missing, and who should not."""
    expected, actual = prefix.expected or (), prefix.actual
    health, text = _prefix_state(prefix)
    if text:
        yield signed(health, f"{prefix.prefix}  {text}")
        return
    yield Paragraph(sign(health), plain(prefix.prefix, "strong"))
    rows: list[tuple[str, Sequence[str], Tone]] = [
        ("expected", expected, ""),
        ("announced", actual or (), ""),
        ("missing", prefix.missing, "fail"),
        ("should not", prefix.extra, "warn"),
        ("not known", prefix.unknown, "unknown"),
    ]
    for name, nodes, tone in rows:
        if nodes or name in ("expected", "announced"):
            yield Paragraph(plain(f"    {name:<11}"), plain(_nodes(nodes, _NODES), tone))


def announced_text(prefix: PrefixPath) -> str:
    """Who announces a prefix as it should be, who does not, and who should not; in a sentence."""
    if prefix.actual is None:
        return f"expected from {_nodes(prefix.expected or ())}; it is not known who announces it"
    if prefix.expected is None:
        return f"announced by {_nodes(prefix.actual)}; it is not known who should"
    parts = (
        ("announced as it should be by", prefix.right),
        ("missing", prefix.missing),
        ("not known", prefix.unknown),
        ("announced and should not be by", prefix.extra),
    )
    texts = [f"{word}: {_nodes(nodes)}" for word, nodes in parts if nodes]
    return "; ".join(texts) or "expected from no node, announced by none"


def _prefix_state(prefix: PrefixPath) -> tuple[Health, str]:
    """How a prefix is, and where one sentence says all of it, that; "" elsewhere."""
    expected, actual = prefix.expected, prefix.actual
    if expected is None:
        return "unknown", f"announced by {_nodes(actual or (), _NODES)}; who should is not known"
    if actual is None:
        return "unknown", f"expected from {_nodes(expected, _NODES)}; who announces it is not known"
    if prefix.missing or prefix.extra:
        return "warn" if set(actual) & set(expected) or not expected else "fail", ""
    if prefix.unknown:
        return "unknown", ""
    return "ok", f"by all {len(expected)} that should: {_nodes(expected, _NODES)}"


def _around(path: ServicePath, form: Form) -> Iterator[Paragraph]:
    """Who announces the prefixes of a service, and what to compare on the router."""
    if form is REPORT:
        for prefix in path.prefixes:
            text = one_line(announced_text(prefix))
            yield Paragraph(plain(f"  {one_line(prefix.prefix)}  "), plain(text))
    elif path.prefixes:
        yield from (BLANK, Paragraph(plain("Who announces it", "strong")))
        yield from (line for prefix in path.prefixes for line in prefix_lines(prefix))
    if path.router and form is not REPORT:
        yield from (BLANK, Paragraph(plain("To compare on the router", "strong")))
    for peer, commands in path.router.items():
        if form is REPORT:
            yield Paragraph(plain(f"  to compare on the router {one_line(peer)}:"), whole=True)
        else:
            yield Paragraph(plain(f"  {one_line(peer)}", "accent"))
        for command in commands:
            yield Paragraph(plain("    "), plain(one_line(command), "accent"), whole=True)


def _advised(status: ServiceStatus, hop: Hop) -> Iterator[Paragraph]:
    """A hop with what to do there, and what that comes from."""
    yield _hop(hop, rails=True)
    for place, finding in enumerate(hop.findings):
        summary = place > 0 or hop.reason != finding.summary
        yield from _behind(hop, _advice(finding, status.roots(finding), summary=summary))


def _chief(status: ServiceStatus, broken: Hop) -> Sequence[Finding]:
    """What breaks a hop: the root causes of its first finding, or that itself."""
    first = broken.findings[:1]
    return status.roots(first[0]) or first if first else ()


def _hop(hop: Hop, *, rails: bool = False) -> Paragraph:
    """A hop: its sign, name and reason; `rails`: a line down the side joins it with the others."""
    health, reached = _HEALTH[hop.state], hop.state is not HopState.NOT_REACHED
    sign = SIGN[health] if reached or not rails else "┄"
    tone: Tone = "" if reached else "none"
    bold: Tone = "strong" if hop.state is HopState.BROKEN else tone
    name = Span(f" {_name(hop, rails=rails):<{_NAME}}", bold)
    under, reason = _under(hop, rails=rails), one_line(hop.reason or str(hop.state))
    return Paragraph((under[0], Span(sign, health), name), plain(reason, tone), under)


def _name(hop: Hop, *, rails: bool) -> str:
    """The name of a hop; with rails as the question that it answers, where its name is none."""
    return f"{hop.name}?" if rails and hop.name == "advertised" else hop.name


def _under(hop: Hop, *, rails: bool = False) -> Line:
    """What precedes the lines below a hop: the rail, and spaces up to its reason."""
    reached = hop.state is not HopState.NOT_REACHED
    rail = Span("  ") if not rails else Span("│ ") if reached else Span("· ", "none")
    return (rail, Span(" " * (_NAME + 2)))


def _behind(hop: Hop, texts: Iterable[Paragraph]) -> Iterator[Paragraph]:
    """Texts under the reason of a hop."""
    under = _under(hop, rails=True)
    for text in texts:
        below = plain(" " * length(text.head))
        yield Paragraph((*under, *text.head), text.body, (*under, *below))


def _advice(finding: Finding, roots: Iterable[Finding], *, summary: bool) -> Iterator[Paragraph]:
    """What to do about a finding, with its code, and what it comes from."""
    if summary:
        health = health_of(finding.severity)
        yield Paragraph((), (Span(f"{SIGN[health]} ", health), Span(finding.summary)))
    yield _remedy(finding)
    for root in roots:
        yield Paragraph((), (Span("because ", "strong"), Span(root.summary)))
        yield _remedy(root)


def _remedy(finding: Finding) -> Paragraph:
    body = (Span(finding.advice), Span(f"  {finding.code}", "accent"))
    return Paragraph((Span("→ ", "accent"),), body)


def _heading(status: ServiceStatus, width: int) -> list[Line]:
    """The service, and at the right edge the state of its path."""
    health = status.health
    words = f"{SIGN[health]} {verdict_words(status.path, health)} "
    return headed(plain(f" {status.path.service}", "strong"), plain(words, health), width)


def _elsewhere(status: ServiceStatus) -> tuple[Finding, ...]:
    """Findings about the service that are not on its path."""
    shown = {finding.id for hop in status.path.hops for finding in hop.findings}
    shown |= {root.id for f in status.findings if f.id in shown for root in status.roots(f)}
    return tuple(finding for finding in status.findings if finding.id not in shown)


def _nodes(nodes: Sequence[str], most: int | None = None) -> str:
    """The names, the first few of them where there is a limit."""
    return named(nodes, most or len(nodes)) or "no node"


def explanation_text(explanation: Explanation, pen: Pen) -> str:
    """The answer as text, a newline at the end."""
    return pen.text(explanation_lines(explanation, REPORT))


def explanation_lines(explanation: Explanation, form: Form) -> Iterator[Paragraph]:
    """The answer: the facts, the paths hop by hop, and what is wrong.

    Where the facts are what was asked for, they come first and the findings before the paths. In a
    report the findings come last otherwise, on a screen first: each where it is seen.
    """
    yield Paragraph(plain(one_line(f"{explanation.kind} {explanation.name}"), "strong"))
    facts = [list(_facts(explanation)), *_unread(explanation)]
    paths = [list(path_lines(path, form)) for path in explanation.paths]
    findings = list(_findings(explanation, form))
    if explanation.answered:
        parts = [*facts, findings, *paths]
    else:
        parts = [*facts, *paths, findings] if form is REPORT else [findings, *paths, *facts]
    for part in filter(None, parts):
        yield BLANK
        yield from part


def code_lines(code: str) -> Iterator[Paragraph]:
    """What a code means, how to see it by hand, and what to do."""
    entry = catalog.code(code)
    severities = " or ".join(entry.severities)
    yield Paragraph(plain(f"{entry.code} {entry.title}", "strong"))
    yield Paragraph(plain(f"category {entry.category}, severity {severities}", "none"))
    parts = (
        ("", entry.meaning),
        ("How to see it by hand", entry.check),
        ("What to do", entry.fix),
        ("What it can follow from", ", ".join(entry.follows_from)),
        ("Source", entry.source),
    )
    for heading, text in parts:
        if text.strip():
            yield BLANK
            yield from [Paragraph(plain(heading, "strong"))] if heading else []
            yield from (
                Paragraph(plain(f"  {line}".rstrip())) for line in text.strip().splitlines()
            )


def _facts(explanation: Explanation) -> Iterator[Paragraph]:
    width = max((len(name) for name, _ in explanation.facts), default=0)
    for name, value in explanation.facts:
        yield Paragraph(plain(f"  {name:<{width}}  ", "accent"), plain(one_line(value)))


def _unread(explanation: Explanation) -> Iterator[list[Paragraph]]:
    """The sources without which not all can be judged, and why the first cannot be read."""
    if explanation.unread:
        why = next((f": {source.error}" for source in explanation.unread if source.error), "")
        text = f"not all can be judged for want of {labels(explanation.unread)}{why}"
        yield [signed("unknown", one_line(text))]


def _findings(explanation: Explanation, form: Form) -> Iterator[Paragraph]:
    if explanation.findings:
        yield from section(explanation.findings, form)
    elif form is not REPORT:
        yield Paragraph(plain("nothing is known to be wrong with it", "ok"))


def page(entry: Code) -> str:
    """The page of a code, as Markdown; `explain CODE` prints it."""
    return "\n".join([f"# {entry.code}: {entry.title}", "", *_body(entry)])


def _body(entry: Code) -> Iterator[str]:
    severities = " or ".join(f"**{severity}**" for severity in entry.severities)
    yield f"Category `{entry.category}`, severity {severities}."
    yield from ("", entry.meaning, "")
    yield from ("## How to see it by hand", "", entry.check, "")
    yield from ("## What to do", "", entry.fix, "")
    effects = [each for each in map(code, CODES) if entry.code in each.follows_from]
    if entry.follows_from:
        causes = map(code, entry.follows_from)
        yield from ("## What it can follow from", "", *_links(causes), "")
    if effects:
        yield from ("## What can follow from it", "", *_links(effects), "")
    yield from ("## Source", "", entry.source, "")


def _links(entries: Iterable[Code]) -> Iterator[str]:
    return (f"- [{entry.code}]({entry.code}.md) {entry.title}" for entry in entries)
