"""Reading a `cilium` command line the way the real program (cobra, pflag) does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.lab.plane import NAMESPACE

_SHORT = {"n": "namespace", "o": "output", "h": "help", "c": "capabilities"}
_WITH_VALUE = frozenset(
    {
        "namespace",
        "output",
        "context",
        "kubeconfig",
        "as",
        "as-group",
        "helm-release-name",
        "agent-pod-selector",
        "node",
        "wait-duration",
        "worker-count",
    }
)
_SWITCHES = frozenset(
    {"help", "client", "capabilities", "wait", "ignore-warnings", "interactive", "verbose"}
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class UsageError(Exception):
    """A command line that the program refuses; the text is what it says."""


@dataclass(slots=True)
class Request:
    """Words and flags of one run."""

    words: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)

    def value(self, flag: str) -> str:
        """A flag's value, "" when it was not given."""
        return self.flags.get(flag, "")

    def given(self, switch: str) -> bool:
        """Whether a switch is on."""
        return self.flags.get(switch, "false") == "true"

    @property
    def namespace(self) -> str:
        """Where Cilium is looked for."""
        return self.value("namespace") or NAMESPACE

    @property
    def json(self) -> bool:
        """Whether JSON was asked for; the summary is the default."""
        return self.value("output") == "json"

    @property
    def wait_seconds(self) -> float:
        """`--wait-duration`, which bounds `bgp`; a minute by default."""
        text = self.value("wait-duration") or "1m0s"
        return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def parse(argv: Sequence[str]) -> Request:
    """Split words from flags, which may stand anywhere. Raises UsageError."""
    request = Request()
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            request.words += rest
            break
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            _set(request, f"--{name}", name, value if equals else None, rest)
        elif argument.startswith("-") and argument != "-":
            short = argument[1]
            shown = f"{short!r} in {argument}"
            name = _SHORT.get(short, "")
            if not name:
                raise UsageError(f"unknown shorthand flag: {shown}")
            attached = argument[2:].removeprefix("=")
            _set(request, f"'{short}' in {argument}", name, attached or None, rest)
        else:
            request.words.append(argument)
    return request


def _set(request: Request, shown: str, name: str, value: str | None, rest: list[str]) -> None:
    if name in _SWITCHES:
        request.flags[name] = value if value is not None else "true"
        return
    if name not in _WITH_VALUE:
        raise UsageError(f"unknown flag: {shown}")
    if value is None:
        if not rest:
            raise UsageError(f"flag needs an argument: {shown}")
        value = rest.pop(0)
    request.flags[name] = value
