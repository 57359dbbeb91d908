"""One answer from many agents: what `cilium bgp peers` and `cilium bgp routes` have in common.

Both exec in every agent pod at once, print a map from node to what its agent said, and tell of the
agents that failed on stderr, by pod, in spellings that differ per version. A node without an answer
is simply not in the map. So an answer is put together here from both streams, one record per agent,
and no agent's failure hides another's answer.

Source: cilium/cilium, cilium-cli/bgp/{peers,routes}.go, 0.14 to 0.19;
`docs/cilium.md`, "The `cilium` command".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from collectors.cilium_answer import (
    Answer,
    NotJson,
    Reading,
    Refusal,
    read_map,
    read_value,
    refusal,
    unreadable,
)
from collectors.command import Completed
from collectors.sanitize import JsonValue, is_clean_json, one_line
from collectors.source import Keyed, Reason

ONE_FAILS_ALL = (
    "no agent's answer was printed: all agents failed,"
    " or cilium-cli is older than 0.18.6, which prints none when one fails"
)
"""Said beside the errors of single agents when the command has exited with an error."""

BGP_DISABLED = (
    "BGP Control Plane is disabled on this agent"
    " (it answers in words where the cilium command expects JSON: {said})"
)
"""What an agent without BGP says to us through the cilium command."""

_Item = TypeVar("_Item")


class AgentRecord(Keyed, Protocol):
    """A record of what one agent said."""

    @property
    def error(self) -> str:
        """Why there is no answer, or which part of it is missing; "" when it is whole."""


@dataclass(frozen=True, slots=True)
class AgentFailure:
    """One agent that did not answer, from stderr. The command names the pod, never the node."""

    pod: str
    error: str
    """One line, without what the pod's name already says."""
    bgp_disabled: bool
    """The agent answered that its BGP control plane is off."""

    @property
    def forbidden(self) -> bool:
        """Whether it is our rights that are missing."""
        return _EXEC_FORBIDDEN in self.error


_EXEC_FORBIDDEN = 'cannot create resource "pods/exec"'
_AGENT = re.compile(
    r"(?:^|: )failed to (?P<act>fetch|unmarshal) bgp (?:state|routes) from (?P<pod>[^\s:]+): ",
    re.MULTILINE,
)
_WHERE = re.compile(r"^(?:command failed|error with exec request) \(pod=[^)]*\): ")


def parse_agents(
    completed: Completed,
    label: str,
    answered: Callable[[str, bytes], AgentRecord],
    failed: Callable[[AgentFailure], AgentRecord],
) -> Answer:
    """The answer of a command that asks all agents. Never raises unless a callable does.

    `answered` makes a record from a node's printable name and its agent's JSON, `failed` from a
    failure. A map without nodes and `null` are answers: no agent was found.
    """
    failures = agent_failures(completed.err)
    if completed.code and not failures:
        return refusal(completed, label)
    told = tuple(f"agent {failure.pod}: {failure.error}" for failure in failures)
    if completed.code and not completed.out.strip():
        forbidden = _forbidden(failures, label)
        return forbidden or Reading(tuple(map(failed, failures)), (*told, ONE_FAILS_ALL))
    try:
        nodes = read_map(completed.out)
    except NotJson as problem:
        return unreadable(completed, label, problem)
    records = [answered(one_line(name), bytes(raw)) for name, raw in sorted(nodes.items())]
    broken = tuple(f"node {record.key}: {record.error}" for record in records if record.error)
    return Reading((*records, *map(failed, failures)), broken + told)


def agent_failures(err: str) -> tuple[AgentFailure, ...]:
    """The agents that failed, each with its error, from the stderr of a `bgp` command.

    All spellings since 0.14: the introduction differs, and one line per agent follows
    (errors.Join), which may itself have several lines.
    """
    found = list(_AGENT.finditer(err))
    bounds = [*(match.start() for match in found), len(err)]
    failures = (
        _agent_failure(match, err[match.end() : end])
        for match, end in zip(found, bounds[1:], strict=True)
    )
    return tuple(sorted(failures, key=lambda failure: failure.pod))


def _forbidden(failures: tuple[AgentFailure, ...], label: str) -> Refusal | None:
    """The refusal when every agent failed because we may not exec; None when that is not so."""
    if not all(failure.forbidden for failure in failures):
        return None
    return Refusal(
        Reason.FORBIDDEN,
        f"{label} may not exec in the {len(failures)} agent pods: {failures[0].error};"
        " grant create on pods/exec, or use --no-cli",
    )


def read_items(
    raw: bytes, whole: msgspec.json.Decoder[tuple[_Item, ...]], item: type[_Item]
) -> tuple[tuple[_Item, ...], str]:
    """The items of a JSON list, every string in them printable, and what is wrong with the list.

    `null` is an empty list. An item that does not fit costs itself alone: the others are read, and
    the second part of the result says how many are missing and why. It is "" when none is.
    """
    if is_clean_json(raw):
        try:
            return whole.decode(raw), ""
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass  # the slow way finds out whether only a null was in the way
    try:
        values = read_value(raw)
    except NotJson as problem:
        return (), f"what the agent said cannot be read: {problem}"
    if values is None:
        return (), ""
    if not isinstance(values, list):
        return (), "what the agent said cannot be read: it is not a list"
    return _converted(values, item)


def _converted(values: list[JsonValue], item: type[_Item]) -> tuple[tuple[_Item, ...], str]:
    items: list[_Item] = []
    first_problem = ""
    for value in values:
        try:
            items.append(msgspec.convert(value, item))
        except msgspec.ValidationError as problem:
            first_problem = first_problem or one_line(str(problem))
    missing = len(values) - len(items)
    if not missing:
        return tuple(items), ""
    return tuple(items), f"{missing} of {len(values)} entries cannot be read: {first_problem}"


def _agent_failure(match: re.Match[str], said: str) -> AgentFailure:
    text = one_line(said)
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    text = _WHERE.sub("", text)
    disabled = match["act"] == "unmarshal" and text.startswith("invalid character 'B'")
    error = BGP_DISABLED.format(said=text) if disabled else text
    return AgentFailure(one_line(match["pod"]), error, disabled)
