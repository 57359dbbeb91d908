"""The commands that show by hand what a screen shows, from what the screen reads."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from app.state.kinds import (
    AGENT_LOGS,
    Kind,
)
from app.state.snapshot import Snapshot
from screens import command_words
from screens.command_words import cilium, kubectl
from screens.selection import Equivalent, Selection


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


def _command(snapshot: Snapshot, kind: Kind[object]) -> str:
    if kind.tier == "CLI":
        return cilium(snapshot, kind.command)
    where = snapshot.cilium_namespace if kind.in_cilium_namespace else ""
    return kubectl(snapshot, kind.command, where)


def explain_command(question: Sequence[str], snapshot: Snapshot) -> Equivalent:
    """What prints the explanation of a thing."""
    words = question[1:] if question[0] == "code" else question
    return ciliscope(snapshot, "why it is so", "explain", *words)


def ciliscope(snapshot: Snapshot, tells: str, *words: str) -> Equivalent:
    """A subcommand of ciliscope on this cluster."""
    return Equivalent(tells, command_words.ciliscope(snapshot, *words))


def _agent_logs(snapshot: Snapshot, selection: Selection | None) -> Iterable[Equivalent]:
    pod = snapshot.agents_by_node.get(selection.node) if selection else None
    if pod is not None:
        words = f"logs {shlex.quote(pod.name)} -c cilium-agent --timestamps"
        yield Equivalent("the agent's log", kubectl(snapshot, words, pod.namespace))
