"""Commands that show the same as a screen, for the cluster that is shown; ready to be copied."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from app.state.kinds import AGENT_LOGS, Kind
from screens.base.selection import Equivalent, Selection

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot


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
        elif kind.command:
            found.append(Equivalent(kind.shows, _command(snapshot, kind)))
    return tuple(found)


def explain_command(question: Sequence[str], snapshot: Snapshot) -> Equivalent:
    """What prints the explanation of a thing."""
    words = question[1:] if question[0] == "code" else question
    return ciliscope(snapshot, "why it is so", "explain", *words)


def ciliscope(snapshot: Snapshot, shows: str, *words: str) -> Equivalent:
    """A subcommand of ciliscope; the words are quoted here."""
    command = f"ciliscope {shlex.join(filter(None, words))}{_where(snapshot, '')}"
    return Equivalent(shows, command)


def kubectl(snapshot: Snapshot, words: str, namespace: str = "") -> str:
    """A `kubectl` command with these words, which are quoted already."""
    return f"kubectl{_where(snapshot, namespace)} {words}"


def cilium(snapshot: Snapshot, words: str) -> str:
    """A `cilium` command with these words, which are quoted already."""
    namespace = snapshot.cilium_namespace
    return f"cilium{_where(snapshot, '' if namespace == 'kube-system' else namespace)} {words}"


def _where(snapshot: Snapshot, namespace: str) -> str:
    context = f" --context {shlex.quote(snapshot.context)}" if snapshot.context else ""
    return context + (f" -n {shlex.quote(namespace)}" if namespace else "")


def _command(snapshot: Snapshot, kind: Kind[object]) -> str:
    if kind.tier == "CLI":
        return cilium(snapshot, kind.command)
    where = snapshot.cilium_namespace if kind.in_cilium_namespace else ""
    return kubectl(snapshot, kind.command, where)


def _agent_logs(snapshot: Snapshot, selection: Selection | None) -> Iterable[Equivalent]:
    pod = snapshot.agents_by_node.get(selection.node) if selection else None
    if pod is not None:
        words = f"logs {shlex.quote(pod.name)} -c cilium-agent --timestamps"
        yield Equivalent("the agent's log", kubectl(snapshot, words, pod.namespace))
