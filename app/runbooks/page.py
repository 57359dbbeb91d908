"""One step as it is read: what was found and why, what to do, what to type, which rows show it.

Its parts come in order, each with its role; the screen shows them as lines, by role. Tables and
logs beside a step have the rows and lines that concern what the runbook is about.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Literal, TypeAlias

from app.diagnosis.service_path.paths import path_of
from app.model.case import Case
from app.model.finding import Finding, Severity, health_of, in_context
from app.model.wording import more
from app.report.finding_lines import evidence_text, remedy_lines
from app.report.json import Item
from app.report.lines import BLANK, Line, Paragraph, Tone, cut, plain, rows_of, signed
from app.report.tables import table
from app.report.tables.agents import AgentItem
from app.report.tables.endpoints import EndpointItem
from app.report.tables.nodes import NodeItem
from app.report.tables.pods import PodItem
from app.report.tables.policies import PolicyItem
from app.report.tables.pools import PoolItem
from app.report.tables.routes import RouteItem
from app.report.tables.services import ServiceItem
from app.report.tables.sessions import SessionItem
from app.runbooks import schema
from app.runbooks.engine import FIXED, FOUND, NOTHING_WRONG, Run
from app.runbooks.evaluation import Judgement, View, causes
from app.runbooks.parsing import CONNECTIONS, ROUTERS
from app.state.kinds import AGENT_LOGS, OPERATOR_LOG, Kind
from app.state.snapshot import Snapshot, State
from collectors.logs.lines import LogEntry, event, is_noise, topic
from collectors.sanitize import one_line

if TYPE_CHECKING:
    from app.model.finding import Health


MOST = 20
"""Rows shown of a table, and lines of a log."""

_LOGS = {"ipam": OPERATOR_LOG, "bgp": AGENT_LOGS}
_TITLES = {"ipam": "the operator on LB-IPAM", "bgp": "the agents on BGP"}


def kinds_of(runbook: schema.Runbook) -> tuple[Kind[object], ...]:
    """What the tables and logs of a runbook are read from."""
    looks = [look for step in runbook.steps for look in step.look]
    found = [kind for look in looks if look.table for kind in table(look.table).needs or ()]
    return tuple(dict.fromkeys((*found, *(_LOGS[look.log] for look in looks if look.log))))


def panels(
    runbook: schema.Runbook, step: schema.Step, given: schema.Parameters, snapshot: Snapshot
) -> Iterator[PagePart]:
    """The tables and logs beside a step: the title of each, then its lines."""
    for look in step.look:
        name = given.get(look.about, "")
        kind = runbook.parameters[look.about].kind if name else None
        if look.table or look.log:
            show = _table if look.table else _log
            title, lines = show(look, kind, name, snapshot)
            yield PagePart("panel", one_line(title))
            yield from (PagePart("row", line) for line in lines)


def _table(
    look: schema.Look, kind: schema.ParameterKind | None, name: str, snapshot: Snapshot
) -> tuple[str, Iterable[str]]:
    """`sessions of talos-cp-1/172.29.51.1`, or what could not be read; then header and rows."""
    found = table(look.table)
    header, *rows = found.text(snapshot, False, _concerns(kind, name)).splitlines()
    needed = map(snapshot.health_of, found.needs or ())
    # What is not served has been asked for: there is nothing of it.
    unread = [h.label for h in needed if not h.known and h.state is not State.ABSENT]
    title = f"{look.table} of {name}" if name else look.table
    if unread:
        title += f" (not read: {', '.join(unread)})"
    return title, (header, *_few(rows)) if rows else ("none",)


def _few(lines: list[str]) -> Iterator[str]:
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield more(len(lines) - MOST)


def _concerns(kind: schema.ParameterKind | None, name: str) -> Callable[[Item], bool]:
    """Whether a row has to do with what a parameter names; where it cannot tell, it has."""
    node, _, peer = name.partition("/")

    def wanted(row: Item) -> bool:
        match kind, row:
            case "service", ServiceItem():
                return f"{row.namespace}/{row.name}" == name
            case "service", RouteItem():
                return name in row.services
            case "service", PolicyItem() | EndpointItem():
                return row.namespace in (None, "", node)
            case "session", SessionItem():
                return (row.node, row.peer_address) == (node, peer)
            case "session", RouteItem():
                return row.node == node and row.neighbor in ("", peer)
            case "session", NodeItem():
                return row.name == node
            case "session", AgentItem():
                return row.node == node
            case "node", SessionItem() | RouteItem() | PodItem() | AgentItem():
                return row.node == name
            case "node", NodeItem():
                return row.name == name
            case "pool", PoolItem():
                return row.name == name
            case "pool", ServiceItem():
                return any(address.pool == name for address in row.addresses)
            case "address", ServiceItem():
                return any(address.ip == name for address in row.addresses)
            case "address", RouteItem():
                return ip_address(name) in ip_network(row.prefix, strict=False)
        return True

    return wanted


def _log(
    look: schema.Look, kind: schema.ParameterKind | None, name: str, snapshot: Snapshot
) -> tuple[str, Iterable[str]]:
    health = snapshot.health_of(_LOGS[look.log])
    entries = snapshot.records[_LOGS[look.log]]
    shown = [entry for entry in entries.values() if _tells(entry, look, kind, name)]
    title = _TITLES[look.log] + (f" of {name}" if name else "")
    if not health.known:
        title += f" (not read: {health.error or health.state})"
    lines = [_line(entry) for entry in shown[-MOST:]]
    if len(shown) > MOST:
        lines.insert(0, f"{len(shown) - MOST} lines before these")
    return title, lines or ("none",)


def _tells(
    entry: LogEntry, look: schema.Look, kind: schema.ParameterKind | None, name: str
) -> bool:
    if entry.marker in ("gap", "restart", "moved"):
        return False
    if topic(entry.line) != look.log or is_noise(entry.line):
        return False
    if not name:
        return True
    if kind in ("session", "node"):
        node, _, peer = name.partition("/")
        return entry.node in ("", node) and peer in event(entry.line)
    return name in event(entry.line) or name in entry.line.message


def _line(entry: LogEntry) -> str:
    moment = entry.line.time
    stamp = f"{moment:%Y-%m-%d %H:%M:%SZ}" if moment else "(no time)"
    return one_line("  ".join(filter(None, (stamp, entry.node, event(entry.line)))))


_Found: TypeAlias = Literal["ask", "turned", "verdict", "finding", "evidence", "remedy", "read"]
_ByHand: TypeAlias = Literal["manual", "choice", "answer", "action", "effect", "command"]
Role: TypeAlias = _Found | _ByHand | Literal["panel", "row", "note", "wait"]

EVIDENCE = 4
"""Observations shown of each finding; the transcript has all."""

VERDICT_HEALTH: Mapping[schema.StepVerdict, Health] = {
    schema.StepVerdict.PASS: "ok",
    schema.StepVerdict.FAIL: "fail",
    schema.StepVerdict.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class PagePart:
    """Something that is said of a step."""

    role: Role
    text: str
    """A sentence, or lines that stay as they are for `remedy` and `row`."""
    verdict: schema.StepVerdict | None = None
    """Of `verdict`, `answer`, `choice` and `turned`: which."""
    severity: Severity | None = None
    """Of `finding`: how bad it is."""


def result_health(run: Run) -> Health:
    """The health that the result of a run amounts to."""
    known: Mapping[str, Health] = {FIXED: "ok", NOTHING_WRONG: "ok", FOUND: "fail"}
    return known.get(run.result, "unknown")


def parts(run: Run, step: schema.Step, found: Judgement | None, view: View) -> Iterator[PagePart]:
    """All that is said of a step of this run."""
    yield PagePart("ask", schema.filled(step.ask, run.runbook, run.parameters))
    verdict = run.verdict(step)
    if run.turned(step):
        yield PagePart("turned", "it passed before, and fails now", schema.StepVerdict.FAIL)
    if found is not None:
        rests = causes(found.findings, view)
        if not rests:
            yield PagePart("verdict", found.because, found.verdict)
            seen = found.evidence[:EVIDENCE]
            yield from (PagePart("evidence", evidence_text(each)) for each in seen)
        for finding in rests:
            yield from _finding(finding)
    yield from _asked(run, step, view.case)
    if verdict is schema.StepVerdict.FAIL and step.fix:
        yield PagePart("remedy", schema.filled(step.fix, run.runbook, run.parameters))
    if step.verify and verdict is not schema.StepVerdict.PASS:
        yield PagePart("wait", "It waits until this passes.")
    if step.read:
        yield PagePart("read", schema.filled(step.read, run.runbook, run.parameters))
    yield from (PagePart("command", each) for each in commands(run, step, found, view))
    yield from panels(run.runbook, step, run.parameters, view.case.snapshot)
    yield from (PagePart("note", f"{n.at:%H:%M:%SZ} {n.by}: {n.text}") for n in run.notes(step.id))


def commands(run: Run, step: schema.Step, found: Judgement | None, view: View) -> tuple[str, ...]:
    """What shows the same by hand: of the findings first, then of the step."""
    own = (schema.command(text, run.runbook, run.parameters) for text in step.commands)
    rests = causes(found.findings, view) if found else ()
    context = view.case.snapshot.context
    shown = (*(f.command for f in rests), *(in_context(text, context) for text in own))
    return tuple(dict.fromkeys(text for text in shown if text))


def router_commands(run: Run, step: schema.Step, case: Case) -> tuple[str, ...]:
    """What to type on the router at a manual step."""
    if step.manual is None:
        return ()
    texts: list[str] = []
    for text in step.manual.commands:
        if text == f"{{{ROUTERS}}}":
            texts += _on_routers(run, case)
        elif text == f"{{{CONNECTIONS}}}":
            texts += _connections(run, case)
        else:
            texts.append(schema.command(text, run.runbook, run.parameters))
    return tuple(dict.fromkeys(text for text in texts if text))


def _finding(finding: Finding) -> Iterator[PagePart]:
    """What is wrong, what to do, and the proof: who reads only the beginning knows what to do."""
    yield PagePart("finding", f"{finding.code} {finding.summary}", severity=finding.severity)
    if finding.remedy:
        yield PagePart("remedy", finding.remedy)
    yield from (PagePart("evidence", evidence_text(each)) for each in finding.evidence[:EVIDENCE])


def _asked(run: Run, step: schema.Step, case: Case) -> Iterator[PagePart]:
    """What somebody has to look at or to run, and what came of it."""
    if step.manual is not None:
        yield PagePart("manual", schema.filled(step.manual.do, run.runbook, run.parameters))
        yield from (PagePart("command", each) for each in router_commands(run, step, case))
        answer = run.answers.get(step.id)
        for choice in step.manual.choices:
            yield PagePart("choice", f"{choice.key}: {choice.says}", choice.verdict)
        if answer is not None:
            text = f"{answer.says} ({answer.by}, {answer.at:%H:%M:%SZ})"
            yield PagePart("answer", text, answer.verdict)
    if step.action is not None:
        ran = run.ran.get(step.id)
        if ran is not None:
            yield PagePart("action", ran.says, ran.verdict)
            yield from (PagePart("row", line) for line in ran.lines)


def _on_routers(run: Run, case: Case) -> list[str]:
    key = run.parameters.get("service", "")
    path = path_of(case, key) if key else None
    if path is None:
        return []
    texts = dict.fromkeys(text for texts in path.router.values() for text in texts)
    return [f"vtysh -c {shlex.quote(t)}" if t.startswith("show ") else t for t in texts]


def _connections(run: Run, case: Case) -> list[str]:
    """How one connects to each address and TCP port of the service that is named."""
    key = run.parameters.get("service", "")
    balancer = next((each for each in case.balancers if each.service.key == key), None)
    if balancer is None:
        return []
    ports = [port.port for port in balancer.service.spec.ports if port.protocol == "TCP"]
    return [f"nc -vz -w 5 {address} {port}" for address in balancer.addresses for port in ports]


_HEADINGS: Mapping[Role, str] = {
    "read": "How to read it",
    "manual": "Where only you can look",
    "effect": "What it does to the cluster",
    "choice": "What do you see?",
    "command": "By hand",
    "note": "Notes",
}
"""The heading above the first of several parts of a role."""


def page_lines(number: int, parts: Iterable[PagePart], width: int) -> list[Line]:
    """One step in full, for a screen of a width in cells."""
    lines: list[Line] = []
    last: Role | None = None
    choice = 0
    for part in parts:
        if part.role != last and part.role in _HEADINGS:
            lines += [(), plain(f" {_HEADINGS[part.role]}", "strong")]
        choice += part.role == "choice"
        if part.role == "panel":
            lines += [(), plain(cut(f" {one_line(part.text)}", width), "strong")]
        elif part.role == "row":
            lines.append(plain(cut(f"   {one_line(part.text)}", width)))
        else:
            lines += rows_of(_paragraphs(part, number, choice), width)
        last = part.role
    return lines


def _paragraphs(part: PagePart, number: int, choice: int) -> Iterable[Paragraph]:
    text = one_line(part.text)
    match part.role:
        case "ask":
            return [_text(f"{number}  ", text, "strong"), BLANK]
        case "verdict" | "turned" | "answer" | "action":
            return [signed(VERDICT_HEALTH[part.verdict or schema.StepVerdict.UNKNOWN], text)]
        case "finding":
            return [signed(health_of(part.severity) if part.severity else "none", text)]
        case "remedy":
            return remedy_lines("→ ", part.text, "accent")
        case "choice":
            _, _, says = text.partition(": ")
            return [Paragraph(plain(f" {choice} ", "accent"), plain(says))]
        case "command":
            return [Paragraph(plain("  $ ", "accent"), plain(text))]
        case "effect":
            return [Paragraph(plain("  - ", "none"), plain(text))]
        case "evidence":
            return [_text("  · ", text, "none")]
        case "wait":
            return [BLANK, _text("  ", text, "accent")]
    return [_text("  ", text)]


def _text(head: str, text: str, tone: Tone = "") -> Paragraph:
    return Paragraph(plain(head, tone), plain(text, tone))
