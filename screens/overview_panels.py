"""The panels of the Overview: root causes, and the components in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.diagnosis.diagnoser import Verdict
from app.model.case import Case
from app.model.finding import Finding, Health, Severity, health_of
from app.model.health import Component, components
from app.model.sessions import configuration_known, session_health
from app.model.wording import count
from app.report.check_text import affected
from app.report.finding_lines import evidence_text
from app.report.lines import FIXED_SPACE, SIGN, Line, Span, Tone, age_of, plain
from app.state import kinds
from app.state.snapshot import Snapshot, State
from screens.base.selection import SHOWN_ON, Selection, selection_by
from screens.widgets.block_list import Block

_INDENT = 8
"""Cells before a cause's sentence: sign, code."""
_EVIDENCE = 4
"""Observations shown of one cause; the explanation has all."""
_VALUE = 120
"""Characters shown of what was observed."""
_SENTENCE = 160
"""Characters of a remedy that are read at one glance."""
_CLAUSE = re.compile(r"(?<=[.;:]) ")


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong, as the Overview shows it."""

    block: Block
    with_remedy: Block
    """The same where its lines have no room beside it: with the first thing to do."""
    lines: list[Line]
    """What to do about it, and the proof."""
    selection: Selection
    place: str
    """The screen that shows what it is about."""
    command: str
    """What shows it by hand; "" for nothing."""


def causes(verdict: Verdict) -> tuple[Cause, ...]:
    """What nothing else explains and is worth an operator's time, the worst first."""
    tops = [top for top in verdict.tops if top.severity is not Severity.INFO]
    return tuple(_cause(verdict, top) for top in tops)


def _cause(verdict: Verdict, top: Finding) -> Cause:
    block, lines = _block(verdict, top), cause_lines(top)
    first = _first_clauses(top)
    whole = replace(block, under=(Span("→ ", "accent"), Span(first))) if first else block
    return Cause(
        block,
        whole,
        lines,
        selection_by(top),
        SHOWN_ON.get(top.subject.kind, "configuration"),
        top.command,
    )


def cause_lines(finding: Finding) -> list[Line]:
    """What to do about a cause, the command that shows it by hand, and its proof."""
    lines: list[Line] = [
        (Span(" → " if first else "   ", "accent"), Span(text)) for first, text in _clauses(finding)
    ]
    if finding.command:
        lines.append((Span(" $ ", "accent"), Span(finding.command)))
    proof = [evidence_text(seen, _VALUE) for seen in finding.evidence[:_EVIDENCE]]
    return [*lines, *(plain(f" · {text}", "none") for text in proof)]


def _block(verdict: Verdict, top: Finding) -> Block:
    health = health_of(top.severity)
    return Block(
        key=top.id,
        line=(Span(f"{SIGN[health]} {top.code} ", health), Span(top.summary)),
        indent=_INDENT,
        beside=tuple(plain(count(number, noun)) for noun, number in affected(verdict, top)),
    )


def _first_clauses(finding: Finding) -> str:
    """The first thing to do; a clause that only leads up to the next comes with it."""
    clauses: list[str] = []
    for _, text in _clauses(finding):
        clauses.append(text)
        if not text.endswith(":"):
            break
    text = " ".join(clauses)
    return f"{text[:-1]} …" if text.endswith(";") else text


def _clauses(finding: Finding) -> Iterator[tuple[bool, str]]:
    """The remedy line by line, and whether it is the first; a long sentence clause by clause."""
    first = True
    for line in finding.remedy.splitlines():
        for part in _CLAUSE.split(line) if len(line) > _SENTENCE else [line]:
            yield first, part
            first = False


_KINDS = {
    "agents": (kinds.DAEMON_SETS,),
    "operator": (kinds.LEASES,),
    "envoy": (kinds.DAEMON_SETS,),
    "hubble-relay": (kinds.DEPLOYMENTS,),
    "BGP": (kinds.BGP_PEERS, kinds.NODE_CONFIGS),
    "LB-IPAM": (kinds.SERVICES,),
}
"""Which kinds tell of a component; the first that answered is named."""
_NAMES = {"hubble-relay": "hubble"}


def strip(case: Case, *, sources: bool = False) -> Line:
    """`agents 3/3 ✓ (0s)   operator 2/2 ✓ leader (3s) …`; with `sources` also what told so."""
    spans: list[Span] = []
    agents, operator, *others = components(case.snapshot)
    parts = (agents, operator, _bgp(case), _lb_ipam(case), *others)
    for part in (part for part in parts if part.health != "none"):
        spans += [Span("   " if spans else " "), *_component(part)]
        source = _read_from(case.snapshot, part.name, named=sources)
        spans.append(Span(_fixed(source), "none"))
    unused = ", ".join(part.name for part in parts if part.health == "none")
    if unused:
        spans += [Span("   "), Span(_fixed(f"{SIGN['none']} no {unused}"), "none")]
    return tuple(spans)


def _component(part: Component) -> tuple[Span, ...]:
    counted = f"{part.ready}/{part.desired} " if part.ready is not None else ""
    tone: Tone = "" if part.health == "ok" else part.health
    note = f" {part.note}" if part.note else ""
    return (
        Span(_fixed(f"{_NAMES.get(part.name, part.name)} {counted}")),
        Span(f"{SIGN[part.health]}", part.health),
        Span(_fixed(note), tone),
    )


def _fixed(text: str) -> str:
    """A component is never broken between two lines."""
    return text.replace(" ", FIXED_SPACE)


def _read_from(snapshot: Snapshot, name: str, *, named: bool) -> str:
    """How long ago it was told and, where there is room for it, by what."""
    for kind in _KINDS[name]:
        health = snapshot.health_of(kind)
        if health.known:
            age = age_of(health.read_at, snapshot.taken_at)
            return f" {health.label} {age}" if named else f" ({age})"
    return ""


def _bgp(case: Case) -> Component:
    """How many of the sessions that should be are established."""
    if case.setting("enable-bgp-control-plane", "false") == "false" and not case.sessions:
        return Component("BGP", "none", None, None, "off")
    health = [session_health(session) for session in case.sessions]
    whole = _all_sessions_known(case)
    if not health:
        if whole or case.snapshot.health_of(kinds.BGP_PEERS).known:
            return Component("BGP", "warn", None, None, "no session")
        return Component("BGP", "unknown", None, None, _unread(case.snapshot))
    up, unknown = health.count("ok"), health.count("unknown")
    worst: Health = "fail" if "fail" in health else "ok" if whole and not unknown else "unknown"
    return Component("BGP", worst, up, len(health), f"{unknown} not known" if unknown else "")


def _all_sessions_known(case: Case) -> bool:
    """Whether there is none beside those that are known: an agent speaks of its own node alone."""
    if not (configuration_known(case.snapshot) and case.known(kinds.PODS)):
        return False
    return not case.snapshot.records[kinds.PEERING_POLICIES] or case.known(kinds.CILIUM_NODES)


def _unread(snapshot: Snapshot) -> str:
    """How the source is that should tell which sessions are configured."""
    states = [
        snapshot.health_of(kind).state for kind in (kinds.NODE_CONFIGS, kinds.PEERING_POLICIES)
    ]
    return next((str(state) for state in states if state is not State.ABSENT), str(State.ABSENT))


def _lb_ipam(case: Case) -> Component:
    """How many of the LoadBalancer services have an address."""
    if case.setting("enable-lb-ipam", "true") == "false":
        return Component("LB-IPAM", "none", None, None, "off")
    source = case.snapshot.health_of(kinds.SERVICES)
    if not source.known:
        return Component("LB-IPAM", "unknown", None, None, str(source.state))
    total = len(case.balancers)
    given = sum(bool(balancer.addresses or balancer.hostnames) for balancer in case.balancers)
    pending = f"{total - given} pending" if given < total else ""
    return Component("LB-IPAM", "fail" if pending else "ok", given, total, pending)
