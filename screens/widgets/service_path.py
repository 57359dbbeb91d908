"""The way of a service as lines, hop by hop, to the first that is broken and what to do about it.

│ ✓ class       no loadBalancerClass
│ ✗ pool        no pool selects home/typo: …
│               → Set the label …  CS201
· ┄ sessions    not reached (3/3 established)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from app.diagnosis.service_path.path import Hop, HopName, HopState, PrefixPath, ServicePath
from app.diagnosis.service_status import ServiceStatus, verdict_words
from app.model.severity import health_of
from app.report.lines import SIGN, Line, Span, Tone, headed, plain, wrapped

if TYPE_CHECKING:
    from app.model.finding import Finding
    from app.model.health import Health

NAMES: dict[HopName, str] = {"advertised": "advertised?"}
"""What a hop is called where its own name does not ask the question."""
_HEALTH: dict[HopState, Health] = {
    HopState.OK: "ok",
    HopState.BROKEN: "fail",
    HopState.UNKNOWN: "unknown",
}
_NAME = 12
"""Cells of the names of hops."""
_INDENT = 5 + _NAME
"""Cells before the reason of a hop."""
_NODES = 12
"""Nodes named at most; the rest is counted."""


def path_lines(told: ServiceStatus, width: int) -> list[Line]:
    """The whole way: every hop, who announces each prefix, what to compare on the router."""
    path = told.path
    lines = heading(told, width)
    for hop, before in _with_break(path):
        lines += _hop(told, hop, width, beyond=before)
    others = _elsewhere(told)
    if others:
        lines += [(), plain(" Found beside it", "strong")]
        for finding in others:
            lines += _finding(finding, width, 3)
    if path.prefixes:
        lines += [(), plain(" Who announces it", "strong")]
        for prefix in path.prefixes:
            lines += prefix_lines(prefix, width)
    if path.router:
        lines += [(), plain(" To compare on the router", "strong")]
        for peer, commands in path.router.items():
            lines += wrapped((Span("   "), Span(peer, "accent")), width, 5)
            for command in commands:
                lines += wrapped(plain(f"     {command}"), width, 7)
    return lines


def short_lines(told: ServiceStatus, width: int) -> list[Line]:
    """What matters most of it: the first hop that is not well, and what to do there."""
    path = told.path
    broken = path.broken
    good = [NAMES.get(h.name, h.name) for h in path.hops if h.state is HopState.OK]
    lines = heading(told, width)
    if good:
        lines += wrapped((Span(" ✓ ", "ok"), Span(" · ".join(good))), width, 3)
    if broken is not None:
        return lines + _broken(told, broken, width)
    for hop in path.hops:
        if hop.state is not HopState.OK:
            lines += _hop(told, hop, width, beyond=hop.state is HopState.NOT_REACHED)
            break
    for finding in _elsewhere(told) or told.findings:
        lines += _finding(finding, width, 3)
    for prefix in path.prefixes:
        lines += prefix_lines(prefix, width)
    return lines


def heading(told: ServiceStatus, width: int) -> list[Line]:
    """The service, and at the right edge what its way comes to."""
    health = told.health
    words = f"{SIGN[health]} {verdict_words(told.path, health)} "
    return headed(plain(f" {told.path.service}", "strong"), plain(words, health), width)


def prefix_lines(prefix: PrefixPath, width: int) -> list[Line]:
    """Who should announce a prefix, who does, who is missing, and who should not."""
    expected, actual = prefix.expected or (), prefix.actual
    head = f"{prefix.prefix}  "
    if prefix.expected is None:
        told = f"{head}announced by {_nodes(actual or ())}; who should is not known"
        return wrapped((Span(f" {SIGN['unknown']} ", "unknown"), Span(told)), width, 3)
    if actual is None:
        told = f"{head}expected from {_nodes(expected)}; who announces it is not known"
        return wrapped((Span(f" {SIGN['unknown']} ", "unknown"), Span(told)), width, 3)
    if not (prefix.missing or prefix.extra or prefix.unknown):
        told = f"{head}by all {len(expected)} that should: {_nodes(expected)}"
        return wrapped((Span(f" {SIGN['ok']} ", "ok"), Span(told)), width, 3)
    health: Health = "unknown"
    if prefix.missing or prefix.extra:
        health = "warn" if set(actual) & set(expected) or not expected else "fail"
    lines = wrapped((Span(f" {SIGN[health]} ", health), Span(prefix.prefix, "strong")), width, 3)
    rows: list[tuple[str, Sequence[str], Tone]] = [
        ("expected", expected, ""),
        ("announced", actual, ""),
        ("missing", prefix.missing, "fail"),
        ("should not", prefix.extra, "warn"),
        ("not known", prefix.unknown, "unknown"),
    ]
    for name, nodes, tone in rows:
        if nodes or name in ("expected", "announced"):
            line = (Span(f"     {name:<11}"), Span(_nodes(nodes), tone))
            lines += wrapped(line, width, 16)
    return lines


def _with_break(path: ServicePath) -> Iterator[tuple[Hop, bool]]:
    """Every hop, and whether it lies behind the first that is broken."""
    broken = False
    for hop in path.hops:
        yield hop, broken or hop.state is HopState.NOT_REACHED
        broken = broken or hop.state is HopState.BROKEN


def _hop(told: ServiceStatus, hop: Hop, width: int, *, beyond: bool) -> list[Line]:
    """One hop: its sign, name and reason, and what was found there."""
    rail = Span(" · " if beyond else " │ ", "none" if beyond else "")
    health: Health = "none" if beyond else _HEALTH[hop.state]
    sign = "┄" if beyond else SIGN[health]
    name = NAMES.get(hop.name, hop.name)
    bold: Tone = "strong" if hop.state is HopState.BROKEN else "none" if beyond else ""
    head = (rail, Span(sign, health), Span(f" {name:<{_NAME}}", bold))
    tone: Tone = "none" if beyond else ""
    lines = _hung(head, rail, [(Span(hop.reason or str(hop.state), tone),)], width)
    if beyond and not hop.findings:
        return lines
    texts: list[Line] = []
    for place, finding in enumerate(hop.findings):
        said = hop.reason == finding.summary
        texts += _finding_texts(finding, told.roots(finding), told=said and place == 0)
    return [*lines, *_hung((rail, Span(" " * (_INDENT - 3))), rail, texts, width)]


def _broken(told: ServiceStatus, hop: Hop, width: int) -> list[Line]:
    """The broken hop, and of what was found what it all comes from."""
    rail = Span(" │ ")
    sign = Span(SIGN["fail"], "fail")
    head = (rail, sign, Span(f" {NAMES.get(hop.name, hop.name):<{_NAME}}", "strong"))
    lines = _hung(head, rail, [plain(hop.reason)], width)
    roots = told.roots(hop.findings[0]) if hop.findings else ()
    texts: list[Line] = []
    for finding in roots or hop.findings[:1]:
        stands = finding.summary == hop.reason
        texts += _finding_texts(finding, (), told=stands)
    return lines + _hung((rail, Span(" " * (_INDENT - 3))), rail, texts, width)


def _finding_texts(finding: Finding, roots: Iterable[Finding], *, told: bool) -> Iterator[Line]:
    """Summary (unless it stands there already), remedy with the code, and what it comes from."""
    if not told:
        yield (Span(f"{SIGN[health_of(finding.severity)]} ", health_of(finding.severity)),
               Span(finding.summary))  # fmt: skip
    yield (Span("→ ", "accent"), Span(finding.advice), Span(f"  {finding.code}", "accent"))
    for root in roots:
        yield (Span("because ", "strong"), Span(root.summary))
        yield (Span("→ ", "accent"), Span(root.advice), Span(f"  {root.code}", "accent"))


def _hung(head: Line, rail: Span, texts: Sequence[Line], width: int) -> list[Line]:
    """Texts behind a head, what follows the first line under the rail alone."""
    room = max(width - _INDENT, 12)
    under = (rail, Span(" " * (_INDENT - 3)))
    lines: list[Line] = []
    for text in texts:
        indent = 2 if text[0].text == "→ " else 0
        for part in wrapped(text, room, indent):
            lines.append((*(under if lines else head), *part))
    return lines


def _finding(finding: Finding, width: int, indent: int) -> list[Line]:
    health = health_of(finding.severity)
    told: Line = (
        Span(f" {SIGN[health]} ", health),
        Span(f"{finding.summary}  "),
        Span(finding.code, "accent"),
    )
    lines = wrapped(told, width, indent)
    if finding.remedy:
        lines += wrapped((Span("   → ", "accent"), Span(finding.advice)), width, indent + 2)
    return lines


def _elsewhere(told: ServiceStatus) -> tuple[Finding, ...]:
    """What was found about the service and does not stand on its way."""
    shown = {finding.id for hop in told.path.hops for finding in hop.findings}
    shown |= {root.id for f in told.findings if f.id in shown for root in told.roots(f)}
    return tuple(finding for finding in told.findings if finding.id not in shown)


def _nodes(nodes: Sequence[str]) -> str:
    rest = len(nodes) - _NODES
    return ", ".join(nodes[:_NODES]) + (f" and {rest} more" if rest > 0 else "") or "no node"
