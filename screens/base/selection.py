"""What the cursor is on, as the keys for any row need it, and the commands that show the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app.model.finding import Finding, Ref
from app.state.kinds import AGENT_LOGS, Kind
from app.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A thing on a screen, and how it is asked about elsewhere."""

    ref: Ref
    """The object; kinds of the field (`Session`, `Prefix`) have no object in the API."""
    question: tuple[str, ...] = ()
    """What `explain` takes for it: `("service", "home/grafana")`; () where it has no answer."""
    node: str = ""
    """The node it is on; "" for none."""
    finding: str = ""
    """The id of the finding that the cursor is on; "" where it is on a thing."""

    @property
    def name(self) -> str:
        """What it is called: `home/grafana`."""
        ref = self.ref
        return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A command that shows by hand what a panel shows."""

    shows: str
    """What it shows, in a few words."""
    command: str
    """Ready to be copied; it only reads."""


def selection_of(ref: Ref, node: str = "") -> Selection:
    """A thing with what `explain` takes for it; of a thing that is on no node by itself, `node`."""
    question: tuple[str, ...] = ()
    match ref.kind:
        case "Service":
            question = ("service", f"{ref.namespace}/{ref.name}")
        case "Session" | "Node":
            question = ("session", *ref.name.split("/", 1))
            node = question[1]
        case "CiliumLoadBalancerIPPool":
            question = ("pool", ref.name)
        case "Prefix":
            question = ("prefix" if "/" in ref.name else "ip", ref.name)
    return Selection(ref=ref, question=question, node=node)


def selection_by(finding: Finding) -> Selection:
    """What a finding is about; where `explain` has no answer about that, its code."""
    about = selection_of(finding.subject)
    of_thing = about.question and finding.subject.kind != "Node"
    question = about.question if of_thing else ("code", finding.code)
    return replace(about, question=question, finding=finding.id)


def named(kind: str, name: str) -> Ref:
    """What the command line and the runbooks call so: `service`, `home/grafana`."""
    match kind:
        case "service":
            namespace, _, name = name.partition("/")
            return Ref("Service", name, namespace)
        case "session":
            return Ref("Session", name)
        case "node":
            return Ref("Node", name)
        case "pool":
            return Ref("CiliumLoadBalancerIPPool", name)
    return Ref("Prefix", name)


SHOWN_ON = {
    "Service": "services",
    "Session": "sessions",
    "Peer": "sessions",
    "Node": "sessions",
    "Prefix": "routes",
    "CiliumLoadBalancerIPPool": "pools",
    "Pod": "pods",
    "DaemonSet": "pods",
    "Deployment": "pods",
    "Lease": "pods",
}
"""The screen that shows a thing, by its kind."""

_NAMESPACE = re.compile(r"namespace:\^\S*\$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Where what refers to a thing is shown."""

    place: str
    filter: str = ""
    """Leaves that and nothing else; "" where the cursor goes to it."""
    shows: str = ""
    """What the filter leaves, in words."""


def use_of(ref: Ref) -> Use | None:
    """A pool is used by services, a node by its sessions, a service by the routes to it."""
    match ref.kind:
        case "CiliumLoadBalancerIPPool":
            # A service may have addresses of several pools, with commas between.
            pattern = rf"pool:(^|\s){_spelled(ref.name)}(,|$)"
            shows = f"services with an address of {ref.name}"
            return Use(place="services", filter=pattern, shows=shows)
        case "Node":
            pattern = f"node:^{_spelled(ref.name)}$"
            return Use(place="sessions", filter=pattern, shows=f"sessions of {ref.name}")
        case "Service":
            return Use(place="routes")
    return None


def in_namespace(text: str, namespace: str) -> str | None:
    """A filter with this namespace in place of the one it had; "" takes it away.

    None where the filter is of labels or letters, which no column can be asked for beside.
    """
    if text.startswith(("-l", "-f")):
        return None if namespace else text
    words = [word for word in text.split() if not _NAMESPACE.fullmatch(word)]
    return " ".join([*words, *([f"namespace:^{_spelled(namespace)}$"] if namespace else [])])


def _spelled(name: str) -> str:
    """A name of Kubernetes as a pattern: of its characters only the dot means something else."""
    return name.replace(".", r"\.")


def equivalents_of(
    kinds: Iterable[Kind[object]], snapshot: Snapshot, selection: Selection | None = None
) -> tuple[Equivalent, ...]:
    """Commands for what is selected first, then for each kind that is read."""
    found: list[Equivalent] = []
    if selection is not None and selection.question:
        found.append(explain_command(selection.question, snapshot))
    for kind in dict.fromkeys(kinds):
        if kind is AGENT_LOGS:
            found += _agent_logs(snapshot, selection)
        elif kind.command and kind.tier == "CLI":
            found.append(cilium(snapshot, kind.shows, kind.command))
        elif kind.command:
            where = snapshot.cilium_namespace if kind.in_cilium_namespace else ""
            found.append(kubectl(snapshot, kind.shows, kind.command, where))
    return tuple(found)


def explain_command(question: Sequence[str], snapshot: Snapshot) -> Equivalent:
    """What prints the explanation of a thing."""
    words = question[1:] if question[0] == "code" else question
    return ciliscope(snapshot, "why it is so", "explain", *words)


def ciliscope(snapshot: Snapshot, shows: str, *words: str) -> Equivalent:
    """A subcommand of ciliscope; the words are quoted here."""
    command = f"ciliscope {shlex.join(filter(None, words))}{_where(snapshot, '')}"
    return Equivalent(shows, command)


def kubectl(
    snapshot: Snapshot, shows: str, words: str, namespace: str = "", *, grep: str = ""
) -> Equivalent:
    """A `kubectl` command with these words, which are quoted already."""
    command = f"kubectl{_where(snapshot, namespace)} {words}"
    return Equivalent(shows, command + _only(grep))


def cilium(snapshot: Snapshot, shows: str, words: str, *, grep: str = "") -> Equivalent:
    """A `cilium` command with these words, which are quoted already."""
    namespace = snapshot.cilium_namespace
    where = _where(snapshot, "" if namespace == "kube-system" else namespace)
    return Equivalent(shows, f"cilium{where} {words}{_only(grep)}")


def _only(text: str) -> str:
    return f" | grep -F {shlex.quote(text)}" if text else ""


def _where(snapshot: Snapshot, namespace: str) -> str:
    context = f" --context {shlex.quote(snapshot.context)}" if snapshot.context else ""
    return context + (f" -n {shlex.quote(namespace)}" if namespace else "")


def _agent_logs(snapshot: Snapshot, selection: Selection | None) -> Iterable[Equivalent]:
    pod = snapshot.agents_by_node.get(selection.node) if selection else None
    if pod is not None:
        words = f"logs {shlex.quote(pod.name)} -c cilium-agent --timestamps"
        yield kubectl(snapshot, "the agent's log", words, pod.namespace)
