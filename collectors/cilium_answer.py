"""What a run of the `cilium` command came to: a reading, whole or in part, or a refusal in words.

The command tells its story in four places: the exit code, JSON on stdout, text on stderr, and what
is missing from the JSON. Which of them counts differs per subcommand and version
(`docs/cilium.md`, "The `cilium` command"); what they have in common is here, so that `bgp_peers`,
`bgp_routes` and `cilium_status` only say what is theirs.

Source: cilium/cilium, cilium-cli/bgp/{peers,routes}.go and cilium-cli/cli/bgp.go, 0.16 to 0.19.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import NoReturn, TypeAlias, cast

import msgspec

from collectors.command import Completed
from collectors.decode import without_nulls
from collectors.sanitize import JsonValue, one_line, printable_json
from collectors.source import Keyed, Reason

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
class Refusal:
    """The command gave no answer that can be used."""

    reason: Reason
    message: str
    """One printable sentence."""


Answer: TypeAlias = Reading | Refusal


@dataclass(frozen=True, slots=True)
class CiliumCommand:
    """One wrapped command: what to ask, how long, how often, and how to read the answer."""

    kind: str
    """The kind its records are of."""
    argv: tuple[str, ...]
    """The arguments, without the program and the options that name the cluster."""
    parse: Callable[[Completed], Answer]
    """Pure, and never raises whatever the command printed."""
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


class NotJson(Exception):
    """Standard output is not the JSON it should be; the message says in what way."""


_NULL = b"null"
_MAP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PREFIX = re.compile(
    r"^(?:Error: )?(?:Unable to (?:get peering status|get BGP routes|determine status): )?",
)
# In the order in which they are looked for: a refused connection may quote a forbidden one.
_SIGNS: tuple[tuple[Reason, re.Pattern[str]], ...] = (
    (Reason.FORBIDDEN, re.compile(r"is forbidden: |\bForbidden\b")),
    (
        Reason.UNAUTHORIZED,
        re.compile(
            r"\bUnauthorized\b|must be logged in|getting credentials|exec plugin"
            r"|executable \S+ (?:not found|failed)|credential plugin",
        ),
    ),
    (
        Reason.UNREACHABLE,
        re.compile(
            r"connection refused|connection reset|no such host|no route to host"
            r"|network is unreachable|dial tcp|TLS handshake|x509:|tls: |i/o timeout"
            r"|server gave HTTP response|proxyconnect|Client\.Timeout|: EOF$",
            re.MULTILINE,
        ),
    ),
    (Reason.TIMED_OUT, re.compile(r"context deadline exceeded|timed out")),
)
_UNKNOWN = re.compile(
    r"unknown command|unknown (?:shorthand )?flag|unknown argument|unknown output format",
)
_NO_KUBECONFIG = "http://localhost:8080"


def refusal(completed: Completed, label: str) -> Refusal:
    """Why the command failed as a whole, from what it said on stderr."""
    said = completed.err.strip()
    if _UNKNOWN.search(said) or is_help(completed.out):
        return _too_old(label, said)
    reason = next((reason for reason, sign in _SIGNS if sign.search(said)), Reason.REFUSED)
    if not said:
        return Refusal(reason, f"{label} failed without a word: {exit_text(completed.code)}")
    hint = ""
    if _NO_KUBECONFIG in said:
        hint = "; no kubeconfig was found, so it tried localhost: set KUBECONFIG or --kubeconfig"
    return Refusal(reason, f"{label}: {shortened(_PREFIX.sub('', said))}{hint}")


def unreadable(completed: Completed, label: str, problem: NotJson) -> Refusal:
    """The refusal when a command that says it succeeded printed something else than JSON."""
    if completed.code:
        return refusal(completed, label)
    if is_help(completed.out):
        return _too_old(label, completed.err.strip())
    return Refusal(Reason.UNREADABLE, f"{label} printed what is not its JSON: {problem}")


def read_map(raw: bytes) -> dict[str, msgspec.Raw]:
    """A JSON object whose values are still bytes; `null` is an empty one. Raises NotJson.

    The names and what is in the values is not printable yet.
    """
    if raw.strip() == _NULL:
        return {}
    if not raw.strip():
        raise NotJson("nothing at all")
    try:
        return _MAP.decode(raw.decode("utf-8", "replace"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        return _reread_map(raw, NotJson(one_line(str(problem))))


def read_value(raw: bytes) -> JsonValue:
    """JSON with every string in it printable, and null members left out. Raises NotJson."""
    value = _parsed(raw)
    try:
        return without_nulls(printable_json(value))
    except RecursionError as problem:
        raise NotJson(one_line(str(problem))) from None


def _reread_map(raw: bytes, problem: NotJson) -> dict[str, msgspec.Raw]:
    """The object for a more lenient parser: lone surrogates and raw control characters are let in.

    Raises `problem` when it is no object for that one either.
    """
    try:
        value = _parsed(raw)
    except NotJson:
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
        raise NotJson(one_line(str(problem))) from None
    return cast("JsonValue", value)


def exit_text(code: int) -> str:
    """An exit code in words: `exit code 1`, `ended by signal 9`."""
    return f"exit code {code}" if code >= 0 else f"ended by signal {-code}"


def shortened(said: str) -> str:
    """What a command said as one line of at most MAX_MESSAGE characters."""
    line = one_line(said)
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 2] + " …"


def _too_old(label: str, said: str) -> Refusal:
    quoted = f" (it says: {shortened(said)})" if said else ""
    return Refusal(Reason.REFUSED, f"the cilium program does not know `{label}`: {TOO_OLD}{quoted}")


def is_help(out: bytes) -> bool:
    """Whether the command printed its help, as it does when it does not know what it is asked."""
    # A cobra command without the subcommand asked for prints its help, and may exit with 0.
    return b"Usage:\n" in out and b"\nAvailable Commands:\n" in out


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
