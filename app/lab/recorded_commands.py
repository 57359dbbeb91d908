"""What the `cilium` command said while a cluster was recorded, said again.

A run is found by what it asked, whatever flags beside that only say how to connect or how long to
wait. What was not recorded is refused on stderr as the real program refuses
(`\\nError: …\\n`, exit 1). Recorded durations are not waited for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.lab.store import Answer

KILLED = 124
"""The recorded exit code of a run that had to be killed: it hangs again."""

_CLIENT = "cilium-cli: v0.19.7 compiled with go1.27.3 on linux/amd64\n"
_IMAGES = "cilium image (default): v1.19.5\ncilium image (stable): unknown\n"

_LETTERS = {"n": "--namespace", "o": "--output"}
_IGNORED = frozenset(
    {
        "--as",
        "--as-group",
        "--context",
        "--helm-release-name",
        "--kubeconfig",
        "--namespace",
        "--wait-duration",
        "--worker-count",
    }
)
_WITH_VALUE = _IGNORED | {"--output", "--node", "--agent-pod-selector"}
_ALIASES = {"neighbors": "peers", "neighbor": "peer"}
_DEFAULT_ROUTES = ("available", "ipv4", "unicast")

Question = tuple[tuple[str, ...], frozenset[tuple[str, str]]]
"""What a run asks: its words, and the flags that change the answer."""


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run of the command: its arguments without the program, and what came of it."""

    argv: tuple[str, ...]
    stdout: bytes
    stderr: bytes
    exit: int


class RecordedCommands:
    """Answers `cilium` from recorded runs."""

    def __init__(self, runs: Iterable[RecordedRun], running: str) -> None:
        """`running` is the version of the recorded cluster's agents, for `cilium version`."""
        self._runs = {question(run.argv): run for run in runs}
        self._running = running

    def answer(self, argv: Sequence[str]) -> Answer:
        """What the command prints, and how it ends."""
        asked = question(argv)
        run = self._runs.get(asked)
        if run is not None:
            hangs = run.exit == KILLED
            return Answer(run.stdout, run.stderr, run.exit, math.inf if hangs else 0.0)
        words, flags = asked
        if words == ("version",):
            client_only = ("--client", "") in flags
            last = "" if client_only else f"cilium image (running): {self._running}\n"
            return Answer(f"{_CLIENT}{_IMAGES}{last}".encode(), b"", 0)
        known = ", ".join(repr(" ".join(run.argv)) for run in self._runs.values())
        message = f"this recording holds no run of {' '.join(argv)!r}, only {known or 'none'}"
        return Answer(b"", f"\nError: {message}\n".encode("utf-8", "replace"), 1)


def question(argv: Sequence[str]) -> Question:
    """What a run asks, however its flags are written."""
    words: list[str] = []
    flags: dict[str, str] = {}
    left = list(argv)
    while left:
        argument = left.pop(0)
        if not argument.startswith("-") or argument == "-":
            words.append(_ALIASES.get(argument, argument))
            continue
        name, value, attached = _flag(argument)
        if not attached and name in _WITH_VALUE and left:
            value = left.pop(0)
        if name not in _IGNORED:
            flags[name] = value
    if words == ["bgp", "routes"]:
        words.extend(_DEFAULT_ROUTES)
    return tuple(words), frozenset(flags.items())


def _flag(argument: str) -> tuple[str, str, bool]:
    """The long name, the value, and whether the value was part of the argument."""
    if argument.startswith("--"):
        name, equals, value = argument.partition("=")
        return name, value, bool(equals)
    name = _LETTERS.get(argument[1], f"-{argument[1]}")
    value = argument[2:].removeprefix("=")
    return name, value, len(argument) > 2
