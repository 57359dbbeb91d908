"""The connectivity test as records: its plan and effects, the progress and output of a run.

`cilium connectivity test` is the one thing ciliscope runs that changes a cluster, so everything an
operator needs to say yes or no is here, made from the same values as the command itself. Pure:
nothing runs.

Its output is for people, so its lines are read; a line that is not understood is a Line and no
more. A test prints its failures when it is over, in any order, after dots for what passed.

Source: cilium/cilium, cilium-cli/cli/connectivity.go and
cilium-cli/connectivity/check/{context,test,logging,deployment}.go, 0.15 to 0.19; `docs/cilium.md`,
"The connectivity test"; a recorded run (`tests/recordings/cli-errors/connectivity-test-*`):

    ✨ [home] Creating namespace cilium-test-1 for connectivity check...
    [=] [cilium-test-1] Test [no-policies] [1/102]
    [=] [cilium-test-1] Skipping test [health] [53/123] (Feature health-checking is disabled)
      ❌ command "curl …" failed: …                          (🟥: it ended the test)
    ❌ 11/77 tests failed (39/794 actions), 46 tests skipped, 2 scenarios skipped:
    ✅ [cilium-test-1] All 45 tests (193 actions) successful, 33 tests skipped, 0 scenarios skipped.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from collectors.sanitize import printable_bytes

BASIC = ("no-policies",)
"""Pod to pod, service, node port, host and world, without policies: the ways that a packet of a
load balancer takes inside the cluster. An expression that matches `no-policies-extra` too."""

FIXED_NAMESPACES = ("cilium-test-ccnp1", "cilium-test-ccnp2")
"""Namespaces that the test makes whatever `--test-namespace` says."""

_EFFECTS = tomllib.loads(Path(__file__).with_name("effects.toml").read_text("utf-8"))
_PRIVILEGED = "pod-security.kubernetes.io/enforce=privileged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectivityPlan:
    """Which tests run, where, and for how long at most."""

    tests: tuple[str, ...] = BASIC
    """Expressions for `--test`; none: all tests."""
    namespace: str = "cilium-test"
    """The program adds `-1` to it; before 0.16.14 (2024) it did not."""
    single_node: bool = False
    """Only what one node can run."""
    external_target: str = ""
    """The name outside that pods fetch; "" leaves it to the program (one.one.one.one)."""
    privileged: bool = False
    """Label the namespace so that Pod Security lets the test's pods in, as Talos' default does
    not. Older programs do not know the option."""
    minutes: int = 30
    """The program stops by itself after that long."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The arguments, without the program and the options that name the cluster."""
        words = ["connectivity", "test", "--timeout", f"{self.minutes}m"]
        for test in self.tests:
            words += ["--test", test]
        if self.single_node:
            words.append("--single-node")
        if self.external_target:
            words += ["--external-target", self.external_target]
        if self.privileged:
            words += ["--namespace-labels", _PRIVILEGED]
        return (*words, *self._place)

    @property
    def cleanup_argv(self) -> tuple[str, ...]:
        """The same for what removes everything again."""
        return ("connectivity", "test", "--cleanup", *self._place)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that it makes, and deletes again with everything in them."""
        return (f"{self.namespace}-1", *FIXED_NAMESPACES)

    @property
    def _place(self) -> tuple[str, ...]:
        return () if self.namespace == "cilium-test" else ("--test-namespace", self.namespace)


def effects(plan: ConnectivityPlan) -> tuple[str, ...]:
    """What running this does, one sentence each: said before anybody is asked."""
    left_out = {
        "several_nodes" if plan.single_node else "one_node",
        "baseline" if plan.privileged else "privileged",
        "all_tests" if plan.tests else "some_tests",
    }
    said = {
        "namespace": f"{plan.namespace}-1",
        "others": " and ".join(FIXED_NAMESPACES),
        "outside": plan.external_target or "one.one.one.one, k8s.io and 1.1.1.1",
        "minutes": plan.minutes,
    }
    return tuple(text.format_map(said) for name, text in _EFFECTS.items() if name not in left_out)


def deletion(
    namespaces: Collection[str], kubeconfig: str | None = None, context: str | None = None
) -> tuple[str, ...]:
    """The command that deletes exactly these namespaces, for the same cluster."""
    options = (("--kubeconfig", kubeconfig), ("--context", context))
    cluster = [word for name, value in options if value for word in (name, value)]
    return ("kubectl", *cluster, "delete", "namespace", *sorted(namespaces), "--ignore-not-found")


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
    """A test has failed; reported once, with the first thing that went wrong."""

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
    """The test was not run, and nothing was changed. The last record."""

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
    """What became of what the test had made. The last record."""

    ok: bool
    """Whether nothing is left."""
    text: str
    """One sentence; when something is left, with the command that removes it."""


Output: TypeAlias = Line | NamespaceMade | TestStarted | TestSkipped | TestFailed | Summary
"""A record of the program's output."""

Progress: TypeAlias = Output | Refused | Ended | CleanedUp
"""A record of a run."""


LONGEST = 400
"""Characters of a reason that are kept."""


_TEST = re.compile(
    r"\[=\] (?:\[[^\]\s]+\] )?(?P<skips>Skipping )?[Tt]est \[(?P<name>[^\]]+)\]"
    r"(?: \[(?P<number>[0-9]{1,6})/(?P<total>[0-9]{1,6})\])?(?: \((?P<why>.*)\))?"
)
_MADE = re.compile(r"Creating namespace (?P<name>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?) for ")
_FAILURE = re.compile(r"(?:❌|🟥)\s*(?P<why>\S.*)")
_OF_TEST = re.compile(r"^Test \[(?P<name>[^\]]+)\]:$")
_COUNT = "[0-9]{1,6}"
_FAILED = re.compile(
    rf"(?:❌|🟥)\s*(?:\[[^\]\s]+\] )?(?P<failed>{_COUNT})/(?P<ran>{_COUNT}) tests failed"
    rf"(?:.*?, (?P<skipped>{_COUNT}) tests skipped)?"
)
_PASSED = re.compile(
    rf"✅\s*(?:\[[^\]\s]+\] )?All (?P<ran>{_COUNT}) tests .*?successful"
    rf"(?:, (?P<skipped>{_COUNT}) tests skipped)?"
)


class ConnectivityOutput:
    """Reads one run's output; never raises, whatever the lines are."""

    def __init__(self) -> None:
        self._test = ""
        self._failed: set[str] = set()

    def read(self, raw: bytes) -> tuple[Output, ...]:
        """The line itself, and at most one record of its meaning."""
        text = _line(raw)
        meaning = self._meaning(text)
        return (Line(text),) if meaning is None else (Line(text), meaning)

    def _meaning(self, text: str) -> Output | None:
        if found := _TEST.search(text):
            return self._begun(found)
        if found := _MADE.search(text):
            return NamespaceMade(found["name"])
        if (verdict := _summary(text)) is not None:
            self._test = ""
            return verdict
        if found := _OF_TEST.match(text):
            self._test = found["name"]
            return None
        found = _FAILURE.search(text)
        if found is None or not self._test or self._test in self._failed:
            return None
        self._failed.add(self._test)
        return TestFailed(self._test, _shortened(found["why"]))

    def _begun(self, found: re.Match[str]) -> Output:
        numbers = int(found["number"] or 0), int(found["total"] or 0)
        if found["skips"]:
            return TestSkipped(found["name"], _shortened(found["why"] or ""), *numbers)
        self._test = found["name"]
        return TestStarted(self._test, *numbers)


def _summary(text: str) -> Summary | None:
    if found := _FAILED.search(text):
        failed = int(found["failed"])
        passed = max(int(found["ran"]) - failed, 0)
    elif found := _PASSED.search(text):
        failed, passed = 0, int(found["ran"])
    else:
        return None
    return Summary(passed, failed, int(found["skipped"] or 0), text.strip())


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _line(raw: bytes) -> str:
    """One printable line; its indentation, which is the program's way to order things, stays."""
    text = printable_bytes(raw.removesuffix(b"\r")).replace("\t", " ").replace("\n", " ")
    return text.rstrip()
