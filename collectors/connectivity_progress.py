"""How a run of `cilium connectivity test` goes, told step by step: records, and nothing that runs.

Whoever shows a run needs these and `collectors.connectivity_plan`; both are pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Consent:
    """Somebody was asked whether the test may run in this cluster, and said yes."""

    asked_at: datetime
    """With a time zone."""
    by: str
    """Who said yes, or how: a user's name, `--yes`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, printable, as the program wrote it."""

    text: str


@dataclass(frozen=True, slots=True)
class NamespaceMade:
    """The program says that it creates a namespace; it may not have been let."""

    name: str


@dataclass(frozen=True, slots=True)
class TestStarted:
    """A test has begun. `number` of `total`, both 0 where the program does not number them."""

    __test__ = False
    name: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class TestSkipped:
    """A test does not run: not asked for, or the cluster lacks what it is about."""

    __test__ = False
    name: str
    why: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class TestFailed:
    """A test has failed; told once, with the first thing that went wrong."""

    __test__ = False
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The verdict: how many tests, and the program's own sentence."""

    passed: int
    failed: int
    skipped: int
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The test was not run, and nothing was changed. The last thing told."""

    why: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The program has ended, and no process of it is left."""

    code: int | None
    """Its exit code (0: all tests passed), minus a signal's number, None: it would not end."""
    took: float
    """Seconds."""
    why: str = ""
    """What it said last on a failure, or why it was stopped; "" after success."""


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """What became of what the test had made. The last thing told."""

    ok: bool
    """Whether nothing is left."""
    text: str
    """One sentence; when something is left, with the command that removes it."""


Told: TypeAlias = Line | NamespaceMade | TestStarted | TestSkipped | TestFailed | Summary
"""What the program's output tells."""

Progress: TypeAlias = Told | Refused | Ended | CleanedUp
"""What a run tells."""
