"""The key parameters: what is expected, what is in force, where from, and whether pods know it.

Whether the agents run with what the ConfigMap says cannot be seen in it: pods that started before
it was last written may not (CS111), and what the agents say of themselves stands in the detail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app.model.configuration import CONFIG_MAP, KeyParameter, parameters
from app.model.finding import Ref
from app.model.wording import count
from app.report.format import by_health
from app.report.lines import Line, Span, plain
from app.report.tables.config import SCREEN, ParameterRow
from app.state.kinds import CILIUM_STATUS, CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, PODS
from screens.base.empty_state import content
from screens.base.selection import kubectl
from screens.configuration.section import Entry, Part, Section, fact

if TYPE_CHECKING:
    from app.config.expected_settings import ExpectedSetting
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.case import Case
    from app.model.finding import Finding
    from app.state.snapshot import Snapshot
    from collectors.cilium.command_records import AgentStatus

READS = (CONFIG_MAPS, PODS, DAEMON_SETS, DEPLOYMENTS, CILIUM_STATUS)

_OPERATOR_ALONE = ("enable-lb-ipam", "default-lb-service-ipam", "cluster-pool-")
"""Keys that only the operator reads (operator/pkg/lbipam/cell.go, operator/option/config.go)."""
_ITSELF = ("ConfigMap", "Cluster")
"""What a finding about a setting is said of."""
_BGP = "enable-bgp-control-plane"
"""The key that CS301 is about: the agents themselves may be its witness."""
_BY_WORKLOAD = {"DaemonSet": "agents", "Deployment": "operator"}


def section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each key parameter, and for each further one of which something is expected."""
    table = partial(content, snapshot, kinds=(CONFIG_MAPS,), what=f"ConfigMap {CONFIG_MAP}")
    if snapshot.setting_up or not snapshot.health_of(CONFIG_MAPS).known:
        return Section(SCREEN.columns, table(rows=()))
    case, findings = judge.case(snapshot), judge.verdict(snapshot).findings
    expected = {each.key: each for each in case.expected}
    old = {
        _BY_WORKLOAD.get(finding.subject.kind, finding.subject.kind): finding
        for finding in findings
        if finding.code == "CS111"
    }
    about = _by_key(findings)
    rows: list[ParameterRow] = []
    entries: dict[str, Entry] = {}
    for parameter in _parameters(case, expected):
        wanted, found = expected.get(parameter.key), about.get(parameter.key, [])
        restart = [who for who in old if who == "operator" or not _operators(parameter.key)]
        row = ParameterRow(parameter, wanted, found, restart)
        rows.append(row)
        entries[parameter.key] = _entry(case, row, (*found, *(old[who] for who in restart)))
    shown = table(rows=SCREEN.rows(rows))
    notices = [plain(f"! {finding.summary}", "warn") for finding in old.values()]
    shown = replace(shown, notice=(*shown.notice, *notices))
    return Section(SCREEN.columns, shown, entries, _headline(rows, len(expected)))


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


def _headline(rows: Sequence[ParameterRow], expected: int) -> Line:
    if not expected:
        return (Span(f"{len(rows)}, nothing expected of them"),)
    differing = [row.health for row in rows if row.differs]
    fit = Span(f"{expected - len(differing)} of {expected} as expected")
    return (fit, *by_health(differing, {"fail": "differ"}))


def _lines(case: Case, row: ParameterRow) -> Iterator[Line]:
    parameter = row.parameter
    yield plain(f" {parameter.name}", "strong")
    yield fact("key", f"{CONFIG_MAP}: {parameter.key}")
    written = "not set" if parameter.value is None else parameter.value or '""'
    yield fact("written", written)
    if parameter.value is None:
        yield fact("default", parameter.default or "empty")
    if row.wanted is not None:
        yield fact("expected", f"{row.expected} ({row.wanted.place})")
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


def _entry(case: Case, row: ParameterRow, findings: tuple[Finding, ...]) -> Entry:
    snapshot, parameter = case.snapshot, row.parameter
    path = parameter.key.replace(".", "\\.")
    namespace = snapshot.cilium_namespace
    words = f"get configmap {CONFIG_MAP} -n {namespace} -o jsonpath='{{.data.{path}}}'"
    return Entry(
        tuple(_lines(case, row)),
        Ref("ConfigMap", CONFIG_MAP, namespace),
        equivalents=(kubectl(snapshot, "this parameter", words),),
        findings=findings,
    )


PART = Part(
    name="parameters",
    title="parameters",
    key="1",
    columns=SCREEN.columns,
    make=section,
    reads=READS,
    sources=(CONFIG_MAPS,),
    kinds=("ConfigMap", "Setting"),
    command=lambda snapshot: kubectl(
        snapshot,
        "the running configuration",
        f"get configmap {CONFIG_MAP} -n {snapshot.cilium_namespace} -o yaml",
    ),
)
