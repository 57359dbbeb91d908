"""What `cilium connectivity test` says, line by line, as records.

It has no output for programs, so its lines are read; one that is not understood is a Line and no
more. A test tells its failures when it is over, in any order, after dots for what went well.

Source: cilium/cilium, cilium-cli/connectivity/check/{context,test,logging,deployment}.go, 0.15 to
0.19, and a recorded run (`tests/recordings/cli-errors/connectivity-test-*`):

    ✨ [home] Creating namespace cilium-test-1 for connectivity check...
    [=] [cilium-test-1] Test [no-policies] [1/102]
    [=] [cilium-test-1] Skipping test [health] [53/123] (Feature health-checking is disabled)
      ❌ command "curl …" failed: …                          (🟥: it ended the test)
    ❌ 11/77 tests failed (39/794 actions), 46 tests skipped, 2 scenarios skipped:
    ✅ [cilium-test-1] All 45 tests (193 actions) successful, 33 tests skipped, 0 scenarios skipped.
"""

from __future__ import annotations

import re

from collectors.connectivity_progress import (
    Line,
    NamespaceMade,
    Summary,
    TestFailed,
    TestSkipped,
    TestStarted,
    Told,
)
from collectors.sanitize import printable_bytes

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

    def read(self, raw: bytes) -> tuple[Told, ...]:
        """What a line tells: the line itself, and at most one thing it means."""
        text = _line(raw)
        meaning = self._meaning(text)
        return (Line(text),) if meaning is None else (Line(text), meaning)

    def _meaning(self, text: str) -> Told | None:
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

    def _begun(self, found: re.Match[str]) -> Told:
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
