"""The key parameters: what is expected, what is in force, where from, and whether pods know it.

Whether the agents run with what the ConfigMap says cannot be seen in it: pods that started before
it was last written may not (CS111), and what the agents say of themselves stands in the detail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from app.model.configuration import CONFIG_MAP, KeyParameter, fulfils, parameters
from app.model.finding import Ref, rank
from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.lines import NOTHING, SIGN, Line, Span, plain
from app.state.kinds import CILIUM_STATUS, CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, PODS
from screens.base.empty_state import content
from screens.base.equivalents import kubectl
from screens.base.selection import Equivalent
from screens.configuration.section import Entry, Part, Section, counted, fact, worst

if TYPE_CHECKING:
    from app.config.expected_settings import ExpectedSetting
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.case import Case
    from app.model.finding import Finding, Health
    from app.state.snapshot import Snapshot
    from collectors.cilium.status import AgentStatus

COLUMNS = (
    Column("name", "PARAMETER", cut_to=22),
    Column("expected", "EXPECTED", cut_to=8, spare=1),
    Column("value", "IN FORCE", cut_to=12),
    Column("from", "FROM", cut_to=9, spare=2),
    Column("state", "STATE", cut_to=12, holds="state"),
    Column("restart", "RESTART", cut_to=7, spare=3),
    Column("key", "KEY", extra=True),
)
READS = (CONFIG_MAPS, PODS, DAEMON_SETS, DEPLOYMENTS, CILIUM_STATUS)

_ANY = "any value"
_DIFFERS = "differs"
_OPERATOR_ALONE = ("enable-lb-ipam", "default-lb-service-ipam", "cluster-pool-")
"""Keys that only the operator reads (operator/pkg/lbipam/cell.go, operator/option/config.go)."""
_ITSELF = ("ConfigMap", "Cluster")
"""What a finding about a setting is said of."""
_BGP = "enable-bgp-control-plane"
"""The key that CS301 is about: the agents themselves may be its witness."""
_BY_WORKLOAD = {"DaemonSet": "agents", "Deployment": "operator"}


def section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each key parameter, and for each further one of which something is expected."""
    if snapshot.setting_up or not snapshot.health_of(CONFIG_MAPS).known:
        return Section(COLUMNS, content(snapshot, (), (CONFIG_MAPS,), f"ConfigMap {CONFIG_MAP}"))
    case, findings = judge.case(snapshot), judge.verdict(snapshot).findings
    expected = {each.key: each for each in case.expected}
    old = {
        _BY_WORKLOAD.get(finding.subject.kind, finding.subject.kind): finding
        for finding in findings
        if finding.code == "CS111"
    }
    about = _by_key(findings)
    rows: list[Row] = []
    entries: dict[str, Entry] = {}
    differing: list[Health] = []
    for parameter in _parameters(case, expected):
        wanted, found = expected.get(parameter.key), about.get(parameter.key, [])
        restart = [who for who in old if who == "operator" or not _operators(parameter.key)]
        health, words = _state(parameter, wanted, found)
        rows.append(_row(parameter, wanted, health, words, restart))
        if words.startswith(_DIFFERS):
            differing.append(rows[-1].health)
        about_it = (*found, *(old[who] for who in restart))
        entries[parameter.key] = _entry(case, parameter, wanted, about_it)
    shown = content(snapshot, rows, (CONFIG_MAPS,), f"ConfigMap {CONFIG_MAP}")
    notices = [plain(f"! {finding.summary}", "warn") for finding in old.values()]
    shown = replace(shown, notice=(*shown.notice, *notices))
    return Section(COLUMNS, shown, entries, _headline(len(rows), len(expected), differing))


def _operators(key: str) -> bool:
    return key.startswith(_OPERATOR_ALONE)


def _parameters(case: Case, expected: Mapping[str, ExpectedSetting]) -> Iterator[KeyParameter]:
    """The key parameters, then the others of which something is expected."""
    known = parameters(case.snapshot)
    yield from known
    if case.config is None:
        return
    for key in expected.keys() - {parameter.key for parameter in known}:
        yield KeyParameter(key, key, case.config.get(key), "")


def _by_key(findings: Sequence[Finding]) -> Mapping[str, list[Finding]]:
    """What was found about a setting itself, by its key; others only call it as a witness."""
    about: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.subject.kind in _ITSELF and finding.code != "CS111":
            for key in _keys(finding):
                about.setdefault(key, []).append(finding)
    return about


def _keys(finding: Finding) -> set[str]:
    """The settings that a finding is about."""
    proofs = (proof.field for proof in finding.evidence if CONFIG_MAP in proof.object)
    keys = {field[5:-1] for field in proofs if field.startswith("data[")}
    keys |= {ref.name for ref in (*finding.about, *finding.blames) if ref.kind == "Setting"}
    return keys | ({_BGP} if finding.code == "CS301" else set())


def _state(
    parameter: KeyParameter, wanted: ExpectedSetting | None, findings: Sequence[Finding]
) -> tuple[Health, str]:
    """How a setting is, and in words why."""
    fits = wanted is None or fulfils(wanted.value, parameter.effective or None)
    if not fits:
        known = any(finding.code == "CS701" for finding in findings)
        return (worst(findings), _DIFFERS) if known else ("none", f"{_DIFFERS}, ignored")
    health = worst(findings)
    if findings and health != "none":
        return health, ", ".join(dict.fromkeys(finding.code for finding in findings))
    return ("ok", "as expected") if wanted else ("none", "")


def _row(
    parameter: KeyParameter,
    wanted: ExpectedSetting | None,
    health: Health,
    words: str,
    restart: list[str],
) -> Row:
    given = parameter.value is not None
    tone: Health | None = health if health in ("fail", "warn") else None
    cells = (
        Cell(parameter.name),
        Cell(NOTHING if wanted is None else _ANY if wanted.value == "*" else wanted.value),
        Cell(parameter.effective or NOTHING, tone=tone or ""),
        Cell("cilium-config" if given else "default"),
        Cell(f"{SIGN[health]} {words}".rstrip(), rank(health), health),
        Cell(", ".join(restart) or NOTHING, tone="warn" if restart else ""),
        Cell(parameter.key),
    )
    odd = "warn" if restart and health in ("ok", "none") else health
    return Row(parameter.key, cells, health=odd)


def _headline(rows: int, expected: int, differing: Sequence[Health]) -> Line:
    if not expected:
        return (Span(f"{rows}, nothing expected of them"),)
    fit = Span(f"{expected - len(differing)} of {expected} as expected")
    return (fit, *counted(differing, {"fail": "differ"}))


def _lines(case: Case, parameter: KeyParameter, wanted: ExpectedSetting | None) -> Iterator[Line]:
    yield plain(f" {parameter.name}", "strong")
    yield fact("key", f"{CONFIG_MAP}: {parameter.key}")
    written = "not set" if parameter.value is None else parameter.value or '""'
    yield fact("written", written)
    if parameter.value is None:
        yield fact("default", parameter.default or "empty")
    if wanted is not None:
        yield fact("expected", f"{_ANY if wanted.value == '*' else wanted.value} ({wanted.place})")
    said = _AGENTS_SAY.get(parameter.key)
    if said is not None:
        yield from _agents(case, said)


_AGENTS_SAY: Mapping[str, Callable[[AgentStatus], str]] = {
    "bpf-lb-acceleration": lambda agent: agent.lb_acceleration,
    "bpf-lb-mode": lambda agent: agent.lb_mode,
    "bpf-lb-algorithm": lambda agent: agent.lb_algorithm,
    "kube-proxy-replacement": lambda agent: agent.kube_proxy_replacement,
    "routing-mode": lambda agent: agent.routing,
    "ipam": lambda agent: agent.ipam,
    "enable-hubble": lambda agent: agent.hubble_state,
}
"""What an agent's own status says of a setting, by its key."""


def _agents(case: Case, said: Callable[[AgentStatus], str]) -> Iterator[Line]:
    """What the agents run with, and how many of them."""
    nodes: dict[str, list[str]] = {}
    for status in case.snapshot.records[CILIUM_STATUS].values():
        for agent in status.agents:
            if agent.answered:
                nodes.setdefault(said(agent) or "nothing", []).append(agent.node)
    for value, where in sorted(nodes.items()):
        yield fact("agents say", f"{value} ({count(len(where), 'agent')})")


def _entry(
    case: Case,
    parameter: KeyParameter,
    wanted: ExpectedSetting | None,
    findings: tuple[Finding, ...],
) -> Entry:
    snapshot = case.snapshot
    path = parameter.key.replace(".", "\\.")
    namespace = snapshot.cilium_namespace
    words = f"get configmap {CONFIG_MAP} -n {namespace} -o jsonpath='{{.data.{path}}}'"
    return Entry(
        tuple(_lines(case, parameter, wanted)),
        Ref("ConfigMap", CONFIG_MAP, namespace),
        equivalents=(Equivalent("this parameter", kubectl(snapshot, words)),),
        findings=findings,
    )


PART = Part(
    name="parameters",
    title="parameters",
    key="1",
    columns=COLUMNS,
    make=section,
    reads=READS,
    sources=(CONFIG_MAPS,),
    kinds=("ConfigMap", "Setting"),
    command=lambda snapshot: Equivalent(
        "the running configuration",
        kubectl(snapshot, f"get configmap {CONFIG_MAP} -n {snapshot.cilium_namespace} -o yaml"),
    ),
)
