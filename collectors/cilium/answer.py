"""The answer to one run of the `cilium` command: a reading, whole or in part, or a ReadError.

The command reports in four places: the exit code, JSON on stdout, text on stderr, and what is
missing from the JSON. Which of them counts differs per subcommand and version
(`docs/cilium.md`, "The `cilium` command"); what they share is here.

`cilium bgp peers` and `cilium bgp routes` exec in every agent pod at once, print a map from node to
its answer, and name the agents that failed on stderr, by pod, in spellings that differ per version.
A node without an answer is missing from the map. So an answer joins both streams, one record per
agent, and no agent's failure hides another's answer.

Source: cilium/cilium, cilium-cli/bgp/{peers,routes}.go and cilium-cli/cli/bgp.go, 0.14 to 0.19.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NoReturn, TypeVar, cast

import msgspec

from collectors.cilium.command_records import AgentAnswer
from collectors.kubernetes.answers import Undecodable, without_nulls
from collectors.process import Completed
from collectors.sanitize import JsonValue, is_clean_json, one_line, printable_json
from collectors.source import Keyed, ReadError, Reason

MAX_MESSAGE = 400
"""Characters of what the command said that go into a message."""

TOO_OLD = (
    "cilium-cli 0.16.0 or later is needed for `bgp routes`,"
    " 0.18.6 or later to get the other nodes' answers when one fails"
)
"""What to install when the command does not know what it is asked."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The command answered."""

    records: tuple[Keyed, ...]
    problems: tuple[str, ...] = ()
    """What is missing from the answer: one sentence each."""


@dataclass(frozen=True, slots=True)
class CiliumCommand:
    """One wrapped command: what to ask, how long, how often, and how to read the answer."""

    kind: str
    """The kind its records are of."""
    argv: tuple[str, ...]
    """The arguments, without the program and the options that name the cluster."""
    parse: Callable[[Completed], Reading]
    """Pure. Raises ReadError when there is no answer that can be used."""
    deadline: float
    """Seconds until the command is ended."""
    interval: float
    """Seconds between the end of one run and the start of the next."""
    env: tuple[tuple[str, str], ...] = ()
    """What its environment has beside ours."""

    @property
    def label(self) -> str:
        """The command as one types it: `cilium bgp peers`."""
        return " ".join(("cilium", *takewhile(lambda word: word != "-o", self.argv)))


NULL = b"null"
"""JSON for nothing."""
_MAP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PREFIX = re.compile(
    r"^(?:Error: )?(?:Unable to (?:get peering status|get BGP routes|determine status): )?",
)
_SIGNS = {
    reason: re.compile("|".join(signs), re.MULTILINE)
    for reason, signs in msgspec.toml.decode(
        Path(__file__).with_name("signs.toml").read_bytes(), type=dict[Reason, tuple[str, ...]]
    ).items()
}
_UNKNOWN = re.compile(
    r"unknown command|unknown (?:shorthand )?flag|unknown argument|unknown output format",
)
_NO_KUBECONFIG = "http://localhost:8080"


def refusal(completed: Completed, label: str) -> ReadError:
    """Why the command failed as a whole, from what it said on stderr."""
    said = completed.err.strip()
    if _UNKNOWN.search(said) or is_help(completed.out):
        return _too_old(label, said)
    reason = next((reason for reason, sign in _SIGNS.items() if sign.search(said)), Reason.REFUSED)
    if not said:
        return ReadError(reason, f"{label} failed without a word: {exit_text(completed.code)}")
    hint = ""
    if _NO_KUBECONFIG in said:
        hint = "; no kubeconfig was found, so it tried localhost: set KUBECONFIG or --kubeconfig"
    return ReadError(reason, f"{label}: {shortened(_PREFIX.sub('', said))}{hint}")


def unreadable(completed: Completed, label: str, problem: Undecodable) -> ReadError:
    """The error of a command that claims success and prints something else than JSON."""
    if completed.code:
        return refusal(completed, label)
    if is_help(completed.out):
        return _too_old(label, completed.err.strip())
    return ReadError(Reason.UNREADABLE, f"{label} printed what is not its JSON: {problem}")


def read_map(raw: bytes) -> dict[str, msgspec.Raw]:
    """A JSON object whose values are still bytes; `null` is an empty one. Raises Undecodable.

    The names and what is in the values is not printable yet.
    """
    if raw.strip() == NULL:
        return {}
    if not raw.strip():
        raise Undecodable("nothing at all")
    try:
        return _MAP.decode(raw.decode("utf-8", "replace"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        return _reread_map(raw, Undecodable(one_line(str(problem))))


def read_value(raw: bytes) -> JsonValue:
    """JSON with every string in it printable, and null members left out. Raises Undecodable."""
    value = _parsed(raw)
    try:
        return without_nulls(printable_json(value))
    except RecursionError as problem:
        raise Undecodable(one_line(str(problem))) from None


def _reread_map(raw: bytes, problem: Undecodable) -> dict[str, msgspec.Raw]:
    """The object for a more lenient parser: lone surrogates and raw control characters are let in.

    Raises `problem` when it is no object for that one either.
    """
    try:
        value = _parsed(raw)
    except Undecodable:
        raise problem from None
    if not isinstance(value, dict):
        raise problem
    try:
        return {name: msgspec.Raw(json.dumps(each).encode()) for name, each in value.items()}
    except RecursionError:
        raise problem from None


def _parsed(raw: bytes) -> JsonValue:
    try:
        value = json.loads(raw.decode("utf-8", "replace"), strict=False, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise Undecodable(one_line(str(problem))) from None
    return cast("JsonValue", value)


def exit_text(code: int) -> str:
    """An exit code in words: `exit code 1`, `ended by signal 9`."""
    return f"exit code {code}" if code >= 0 else f"ended by signal {-code}"


def shortened(said: str) -> str:
    """What a command said as one line of at most MAX_MESSAGE characters."""
    line = one_line(said)
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 2] + " …"


def _too_old(label: str, said: str) -> ReadError:
    quoted = f" (it says: {shortened(said)})" if said else ""
    return ReadError(
        Reason.REFUSED, f"the cilium program does not know `{label}`: {TOO_OLD}{quoted}"
    )


def is_help(out: bytes) -> bool:
    """Whether the command printed its help, as it does when it does not know what it is asked."""
    # A cobra command without the subcommand asked for prints its help, and may exit with 0.
    return b"Usage:\n" in out and b"\nAvailable Commands:\n" in out


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


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
_Answer = TypeVar("_Answer", bound=AgentAnswer)


_EXEC_FORBIDDEN = 'cannot create resource "pods/exec"'
_AGENT = re.compile(
    r"(?:^|: )failed to (?P<act>fetch|unmarshal) bgp (?:state|routes) from (?P<pod>[^\s:]+): ",
    re.MULTILINE,
)
_WHERE = re.compile(r"^(?:command failed|error with exec request) \(pod=[^)]*\): ")


def parse_agents(
    completed: Completed,
    label: str,
    record: type[_Answer],
    answered: Callable[[str, bytes], _Answer],
) -> Reading:
    """The answer of a command that asks all agents. Raises ReadError.

    `answered` makes a record from a node's printable name and its agent's JSON. A map without nodes
    and `null` are answers: no agent was found.
    """
    failures = agent_failures(completed.err, record)
    if completed.code and not failures:
        raise refusal(completed, label)
    unanswered = tuple(f"agent {failure.pod}: {failure.error}" for failure in failures)
    if completed.code and not completed.out.strip():
        if all(_EXEC_FORBIDDEN in failure.error for failure in failures):
            raise _exec_forbidden(failures, label)
        return Reading(failures, (*unanswered, ONE_FAILS_ALL))
    try:
        nodes = read_map(completed.out)
    except Undecodable as problem:
        raise unreadable(completed, label, problem) from None
    records = [answered(one_line(name), bytes(raw)) for name, raw in sorted(nodes.items())]
    broken = tuple(f"node {each.key}: {each.error}" for each in records if each.error)
    return Reading((*records, *failures), broken + unanswered)


def agent_failures(err: str, record: type[_Answer]) -> tuple[_Answer, ...]:
    """The agents that failed, each with its error, from the stderr of a `bgp` command.

    They are known by pod: the command never names the node.

    All spellings since 0.14: the introduction differs, and one line per agent follows
    (errors.Join), which may itself have several lines.
    """
    found = list(_AGENT.finditer(err))
    bounds = [*(match.start() for match in found), len(err)]
    failures = (
        _agent_failure(match, err[match.end() : end], record)
        for match, end in zip(found, bounds[1:], strict=True)
    )
    return tuple(sorted(failures, key=lambda failure: failure.pod))


def _exec_forbidden(failures: Sequence[AgentAnswer], label: str) -> ReadError:
    return ReadError(
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
    except Undecodable as problem:
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


def _agent_failure(match: re.Match[str], said: str, record: type[_Answer]) -> _Answer:
    text = one_line(said)
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    text = _WHERE.sub("", text)
    disabled = match["act"] == "unmarshal" and text.startswith("invalid character 'B'")
    error = BGP_DISABLED.format(said=text) if disabled else text
    return record("", one_line(match["pod"]), error=error, bgp_disabled=disabled)
