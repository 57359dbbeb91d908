"""Versions: of Kubernetes, of each part of Cilium, and whether they go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.model.finding import Health, Ref, worst
from app.model.health import CiliumPod, cilium_pods
from app.model.wording import count
from app.report.columns import Column, Row, state, text
from app.report.lines import NOTHING, Line, Span, plain
from app.state.kinds import (
    BGP_PEERS,
    CILIUM_STATUS,
    CLI_VERSION,
    DAEMON_SETS,
    DEPLOYMENTS,
    LEASES,
    NODES,
    PODS,
    VERSION,
)
from app.state.snapshot import State
from collectors.cilium.answer import TOO_OLD
from screens.base.empty_state import content
from screens.base.selection import Equivalent, kubectl
from screens.configuration.section import Entry, Part, Section, fact

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.finding import Finding
    from app.state.snapshot import Snapshot

COLUMNS = (
    Column("name", "WHAT", least=14),
    Column("version", "VERSION", cut_to=14),
    Column("runs", "RUNS ON", cut_to=10),
    Column("state", "STATE", cut_to=14),
)
READS = (
    *(VERSION, NODES, PODS, DAEMON_SETS, DEPLOYMENTS, LEASES),
    *(CILIUM_STATUS, CLI_VERSION),
)

VERSION_COMMAND = "cilium version --client"
NEWEST_NEEDED = (0, 18, 6)
"""From this version of cilium-cli on nothing that is shown here is missing: `TOO_OLD` tells why."""
_NOTHING: tuple[str, Health, str, str] = ("", "none", "", "")

_TITLES = {"agent": "agents", "hubble-relay": "Hubble relay", "hubble-ui": "Hubble UI"}
_SKEW = "CS107"


def section(snapshot: Snapshot, judge: Diagnoser) -> Section:
    """A row for each version that runs of each part."""
    if snapshot.setting_up:
        return Section(COLUMNS, content(snapshot, (), (VERSION, PODS), "versions"))
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
    return Section(COLUMNS, shown, entries, _headline(rows, skew))


def _headline(rows: list[Row], skew: list[Finding]) -> Line:
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
    return Row(key, (*map(text, (name, version, runs)), state(health, words)), health=health)


PART = Part(
    name="versions",
    title="versions",
    key="2",
    columns=COLUMNS,
    make=section,
    reads=READS,
    sources=(VERSION, PODS),
    kinds=("Pod",),
    command=lambda snapshot: kubectl(
        snapshot, "the images that run", f"get pods -n {snapshot.cilium_namespace} -o yaml"
    ),
)
