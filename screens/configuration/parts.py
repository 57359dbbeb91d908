"""The parts of the Configuration screen that are lists: key parameters, versions, what is read.

Whether the agents run with what the ConfigMap says cannot be seen in it: pods that started before
it was last written may not (CS111), and what the agents say of themselves stands in the detail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from app.config.expected_settings import ExpectedSetting
from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.rules.visibility import rights_yaml
from app.model.case import Case
from app.model.configuration import CONFIG_MAP, KeyParameter, parameters
from app.model.finding import Finding, Health, Ref, worst
from app.model.health import CiliumPod, cilium_pods
from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.finding_lines import SCREEN, finding_lines
from app.report.lines import (
    NOTHING,
    SIGN,
    Line,
    Span,
    age_of,
    by_health,
    plain,
    rows_of,
    time_of_day,
    wrapped,
)
from app.report.tables.config import SCREEN as SETTINGS
from app.report.tables.config import ParameterRow
from app.report.tables.sources import SCREEN as SOURCES
from app.report.tables.sources import SourceRow
from app.state.kinds import (
    BGP_PEERS,
    CILIUM_STATUS,
    CLI_VERSION,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    LEASES,
    NODES,
    PODS,
    VERSION,
    Kind,
)
from app.state.snapshot import Snapshot, State
from collectors.cilium.answer import TOO_OLD
from collectors.cilium.command_records import AgentStatus
from collectors.kubernetes.resources import resources
from screens.base.empty_state import content, next_try
from screens.base.selection import Equivalent, kubectl
from screens.widgets.columns import Content


@dataclass(frozen=True)
class Entry:
    """What is known of one row."""

    lines: tuple[Line, ...] = ()
    """Its detail, not yet wrapped."""
    ref: Ref | None = None
    question: tuple[str, ...] = ()
    """What `explain` takes for it."""
    node: str = ""
    equivalents: tuple[Equivalent, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Findings about it, shown below its detail."""


@dataclass(frozen=True)
class Section:
    """What a part of the screen shows."""

    columns: tuple[Column, ...]
    content: Content
    entries: Mapping[str, Entry] = field(default_factory=dict)
    """By the key of the row."""
    headline: Line = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the parts that the screen shows in turn."""

    name: str
    title: str
    key: str
    columns: tuple[Column, ...]
    make: Callable[[Snapshot, Diagnoser], Section]
    reads: tuple[Kind[object], ...] = ()
    """Kinds it is made of; () for all."""
    sources: tuple[Kind[object], ...] = ()
    """Kinds whose age stands beside the title."""
    kinds: tuple[str, ...]
    """Kinds of objects that it shows."""
    command: Callable[[Snapshot], Equivalent]
    """The command that shows the whole part."""


def detail_lines(entry: Entry, width: int) -> list[Line]:
    """A row in full, for a width."""
    lines = [row for line in entry.lines for row in (wrapped(line, width, 3) if line else [()])]
    for finding in entry.findings:
        lines += [(), *rows_of(finding_lines(finding, SCREEN), width)]
    return lines


def fact(name: str, text: str) -> Line:
    """A named fact of a detail."""
    return (Span(f" {name:<11} ", "none"), Span(text))


PARAMETER_READS = (CONFIG_MAPS, PODS, DAEMON_SETS, DEPLOYMENTS, CILIUM_STATUS)

_OPERATOR_ALONE = ("enable-lb-ipam", "default-lb-service-ipam", "cluster-pool-")
"""Keys that only the operator reads (operator/pkg/lbipam/cell.go, operator/option/config.go)."""
_ITSELF = ("ConfigMap", "Cluster")
"""What a finding about a setting is said of."""
_BGP = "enable-bgp-control-plane"
"""The key that CS301 is about: the agents themselves may be its witness."""
_BY_WORKLOAD = {"DaemonSet": "agents", "Deployment": "operator"}


def parameters_section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each key parameter, and for each further one of which something is expected."""
    table = partial(content, snapshot, kinds=(CONFIG_MAPS,), what=f"ConfigMap {CONFIG_MAP}")
    if snapshot.setting_up or not snapshot.health_of(CONFIG_MAPS).known:
        return Section(SETTINGS.columns, table(rows=()))
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
        shared = not parameter.key.startswith(_OPERATOR_ALONE)
        restart = [who for who in old if who == "operator" or shared]
        row = ParameterRow(parameter, wanted, found, restart)
        rows.append(row)
        entries[parameter.key] = _entry(case, row, (*found, *(old[who] for who in restart)))
    shown = table(rows=SETTINGS.rows(rows))
    notices = [plain(f"! {finding.summary}", "warn") for finding in old.values()]
    shown = replace(shown, notice=(*shown.notice, *notices))
    return Section(SETTINGS.columns, shown, entries, _fit(rows, len(expected)))


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


def _fit(rows: Sequence[ParameterRow], expected: int) -> Line:
    if not expected:
        return (Span(f"{len(rows)}, nothing expected of them"),)
    differing = [row.health for row in rows if row.differs]
    fit = Span(f"{expected - len(differing)} of {expected} as expected")
    return (fit, *by_health(differing, {"fail": "differ"}))


def _parameter_lines(case: Case, row: ParameterRow) -> Iterator[Line]:
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
        tuple(_parameter_lines(case, row)),
        Ref("ConfigMap", CONFIG_MAP, namespace),
        equivalents=(kubectl(snapshot, "this parameter", words),),
        findings=findings,
    )


PARAMETERS = Part(
    name="parameters",
    title="parameters",
    key="1",
    columns=SETTINGS.columns,
    make=parameters_section,
    reads=PARAMETER_READS,
    sources=(CONFIG_MAPS,),
    kinds=("ConfigMap", "Setting"),
    command=lambda snapshot: kubectl(
        snapshot,
        "the running configuration",
        f"get configmap {CONFIG_MAP} -n {snapshot.cilium_namespace} -o yaml",
    ),
)


VERSION_COLUMNS = (
    Column("name", "WHAT", least=14),
    Column("version", "VERSION", cut_to=14),
    Column("runs", "RUNS ON", cut_to=10),
    Column("state", "STATE", cut_to=14),
)
VERSION_READS = (
    *(VERSION, NODES, PODS, DAEMON_SETS, DEPLOYMENTS, LEASES),
    *(CILIUM_STATUS, CLI_VERSION),
)

VERSION_COMMAND = "cilium version --client"
NEWEST_NEEDED = (0, 18, 6)
"""From this version of cilium-cli on nothing that is shown here is missing: `TOO_OLD` tells why."""
_NOTHING: tuple[str, Health, str, str] = ("", "none", "", "")

_TITLES = {"agent": "agents", "hubble-relay": "Hubble relay", "hubble-ui": "Hubble UI"}
_SKEW = "CS107"


def versions_section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each version that runs of each part."""
    if snapshot.setting_up:
        return Section(VERSION_COLUMNS, content(snapshot, (), (VERSION, PODS), "versions"))
    skew = [f for f in judge.verdict(snapshot).findings if f.code == _SKEW]
    parts = [
        *_kubernetes(snapshot),
        *_cilium(snapshot, skew),
        *_installed(snapshot),
        *_command(snapshot),
    ]
    rows = [row for row, _ in parts]
    entries = {row.key: entry for row, entry in parts}
    shown = content(snapshot, rows, (VERSION, PODS), "versions", beside=(NODES,))
    return Section(VERSION_COLUMNS, shown, entries, _match(rows, skew))


def _match(rows: list[Row], skew: list[Finding]) -> Line:
    if skew:
        return (Span("versions do not go together", worst(skew)),)
    return (Span("versions go together"),) if rows else ()


def _kubernetes(snapshot: Snapshot) -> Iterator[tuple[Row, Entry]]:
    server = snapshot.records[VERSION].get("version")
    if server is not None and server.git_version:
        lines = [plain(" Kubernetes API server", "strong"), fact("version", server.git_version)]
        if server.clock_skew is not None:
            lines.append(fact("clock", f"{server.clock_skew:+.0f} s against this machine's"))
        same = (kubectl(snapshot, "the API server's version", "version"),)
        row = _row("kubernetes", "Kubernetes", server.git_version, "API server", "ok", "")
        yield row, Entry(tuple(lines), equivalents=same)
    kubelets: dict[str, list[str]] = {}
    for name, node in sorted(snapshot.records[NODES].items()):
        kubelets.setdefault(node.status.node_info.kubelet_version or "?", []).append(name)
    for version, nodes in sorted(kubelets.items()):
        words = "" if len(kubelets) == 1 else f"one of {len(kubelets)} versions"
        row = _row(f"kubelet {version}", "kubelet", version, count(len(nodes), "node"), "ok", words)
        lines = [plain(" kubelet", "strong"), fact("version", version)]
        same = (kubectl(snapshot, "the nodes' versions", "get nodes -o wide"),)
        yield row, Entry((*lines, fact("nodes", ", ".join(nodes))), equivalents=same)


def _cilium(snapshot: Snapshot, skew: list[Finding]) -> Iterator[tuple[Row, Entry]]:
    """Each component by the tags of its pods' main images."""
    by_version: dict[tuple[str, str], list[CiliumPod]] = {}
    for pod in cilium_pods(snapshot):
        by_version.setdefault((pod.component, pod.version or "?"), []).append(pod)
    several = Counter(component for component, _ in by_version)
    for (component, version), pods in by_version.items():
        name = _TITLES.get(component, component)
        found = skew if component in ("agent", "operator") else []
        odd = bool(found) and (several[component] > 1 or component == "operator")
        health: Health = worst(found) if odd else "ok"
        words = _SKEW if odd else ""
        places = [pod.pod.spec.node_name or pod.pod.name for pod in pods]
        runs = (
            ", ".join(places)
            if len(places) < 3 and several[component] > 1
            else count(len(pods), "pod")
        )
        row = _row(f"{component} {version}", name, version, runs, health, words)
        images = dict.fromkeys(
            container.image for pod in pods for container in pod.pod.spec.containers[:1]
        )
        lines = [plain(f" {name} {version}", "strong")]
        lines += [fact("image", image) for image in images]
        lines += [fact("pod", f"{p.pod.name} on {p.pod.spec.node_name or '?'}") for p in pods]
        where = f"-n {snapshot.cilium_namespace}"
        words = f"get pods {where} -o wide"
        ref = Ref("Pod", pods[0].pod.name, pods[0].pod.namespace)
        same = (kubectl(snapshot, "the pods of Cilium", words),)
        yield (
            row,
            Entry(
                tuple(lines),
                ref,
                node=pods[0].pod.spec.node_name,
                equivalents=same,
                findings=tuple(found if odd else ()),
            ),
        )


def _installed(snapshot: Snapshot) -> Iterator[tuple[Row, Entry]]:
    """The chart, as the `cilium` command reads it from the release."""
    for status in snapshot.records[CILIUM_STATUS].values():
        if status.helm_chart_version:
            version = status.helm_chart_version
            lines = (plain(" Helm chart", "strong"), fact("version", version))
            yield _row("chart", "Helm chart", version, NOTHING, "ok", ""), Entry(lines)


def _command(snapshot: Snapshot) -> Iterator[tuple[Row, Entry]]:
    """The `cilium` command, where it runs; what is wrong with it in one sentence."""
    version, health, words, sentence = _command_words(snapshot)
    if not words and not version:
        return
    lines: list[Line] = [plain(" cilium command", "strong"), fact("version", version or NOTHING)]
    lines += [fact("", sentence)] if sentence else []
    row = _row("cilium command", "cilium command", version or NOTHING, "here", health, words)
    by_hand = (Equivalent("the command's own version", VERSION_COMMAND),)
    yield row, Entry(tuple(lines), equivalents=by_hand)


def _command_words(snapshot: Snapshot) -> tuple[str, Health, str, str]:
    """Its version, how it is, that in a few words, and in a sentence."""
    source = snapshot.health_of(CLI_VERSION)
    record = snapshot.records[CLI_VERSION].get("version")
    version = record.version if record else ""
    if source.state is State.OFF:
        off = snapshot.health_of(BGP_PEERS).state is State.OFF
        return ("", "none", "off (--no-cli)", "it is switched off (--no-cli)") if off else _NOTHING
    if source.error:
        health: Health = "unknown" if source.state is State.ABSENT else "fail"
        return version, health, source.error, source.error
    if record is None:
        return "", "unknown", "still being read", ""
    if record.release is None:
        sentence = "it is none of a release, so how old it is cannot be told"
        return version or "not told", "ok", "", sentence
    if record.release >= NEWEST_NEEDED:
        return version, "ok", "", ""
    return version, "warn", f"older than {'.'.join(map(str, NEWEST_NEEDED))}", TOO_OLD


def _row(key: str, name: str, version: str, runs: str, health: Health, words: str) -> Row:
    return Row(
        key, (*map(Cell.of, (name, version, runs)), Cell.state(health, words)), health=health
    )


VERSIONS = Part(
    name="versions",
    title="versions",
    key="2",
    columns=VERSION_COLUMNS,
    make=versions_section,
    reads=VERSION_READS,
    sources=(VERSION, PODS),
    kinds=("Pod",),
    command=lambda snapshot: kubectl(
        snapshot, "the images that run", f"get pods -n {snapshot.cilium_namespace} -o yaml"
    ),
)


def access_section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each thing that is read."""
    findings: tuple[Finding, ...] = ()
    if not snapshot.setting_up:
        findings = judge.verdict(snapshot).findings
    rules = dict(_rights(snapshot.cilium_namespace))
    rows: list[SourceRow] = []
    entries: dict[str, Entry] = {}
    for label, health in snapshot.health.items():
        ref = Ref("Source", label)
        about = [f for f in findings if ref in (f.subject, *f.about) and f.code[:3] == "CS8"]
        row = SourceRow(health, snapshot.taken_at)
        rows.append(row)
        right = rules.get(health.kind.name, "")
        entries[label] = Entry(tuple(_source_lines(row, about, right)), ref, findings=tuple(about))
    words: dict[Health, str] = {"fail": "cannot be read", "warn": "old or partial"}
    counts = by_health((row.health for row in rows), words)
    headline = (Span(f"{count(len(rows), 'thing')} read"), *counts)
    shown = Content(SOURCES.rows(rows), plain("nothing is read"))
    return Section(SOURCES.columns, shown, entries, headline)


def _source_lines(row: SourceRow, findings: list[Finding], right: str) -> Iterator[Line]:
    health, now, how = row.source, row.now, row.health
    yield plain(f" {health.label}", "strong")
    since = time_of_day(health.since, now)
    yield (Span(" state       ", "none"), Span(f"{SIGN[how]} {health.state} since {since}", how))
    if health.read_at is not None:
        yield fact("answered", f"{age_of(health.read_at, now)} ago")
    if health.error:
        yield fact("error", health.error)
    for problem in health.problems:
        yield fact("partial", problem)
    wait = next_try(health, now)
    if wait:
        yield fact("then", wait)
    granted = any("grant" in finding.remedy for finding in findings)
    if right and not granted:
        yield ()
        yield plain(" the right that it takes:", "none")
        for text in right.splitlines():
            yield plain(f"   {text}")


def _rights(namespace: str) -> Iterator[tuple[str, str]]:
    """What must be granted for a kind to be read, as the rule of a role."""
    for resource in resources(namespace):
        yield resource.kind, rights_yaml(resource.rights())


ACCESS = Part(
    name="access",
    title="access",
    key="4",
    columns=SOURCES.columns,
    make=access_section,
    kinds=("Source",),
    command=lambda snapshot: kubectl(snapshot, "what is allowed", "auth can-i --list"),
)
