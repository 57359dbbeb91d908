"""Reading what `cilium connectivity test` says: recorded, of every version, and hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium.connectivity import (
    LONGEST,
    ConnectivityOutput,
    Line,
    NamespaceMade,
    Output,
    Summary,
    TestFailed,
    TestSkipped,
    TestStarted,
)
from collectors.sanitize import printable

RECORDED = Path(__file__).parent / "recordings/cli-errors/connectivity-test-75s-then-SIGTERM.stdout"


def meanings(text: str) -> list[Output]:
    """What the lines mean, without the lines."""
    output = ConnectivityOutput()
    told = [each for line in text.encode().split(b"\n") for each in output.read(line)]
    return [each for each in told if not isinstance(each, Line)]


def test_the_recorded_run_names_the_namespaces_that_it_makes() -> None:
    assert meanings(RECORDED.read_text()) == [
        NamespaceMade("cilium-test-1"),
        NamespaceMade("cilium-test-ccnp1"),
        NamespaceMade("cilium-test-ccnp2"),
    ]


def test_every_line_is_told_as_it_is_with_its_indentation() -> None:
    output = ConnectivityOutput()
    for line in RECORDED.read_bytes().splitlines():
        assert output.read(line)[0] == Line(line.decode())
    assert output.read(b"  [-] Scenario [a/b]  ") == (Line("  [-] Scenario [a/b]"),)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("[=] Test [no-policies]", TestStarted("no-policies", 0, 0)),
        ("[=] Test [no-policies] [1/102]", TestStarted("no-policies", 1, 102)),
        ("[=] [cilium-test-1] Test [health] [53/123]", TestStarted("health", 53, 123)),
        (
            "[2026-11-26T01:10:38Z] [=] [cilium-test-1] Test [health] [53/123]",
            TestStarted("health", 53, 123),
        ),
        ("[=] Skipping Test [l7-lb]", TestSkipped("l7-lb", "", 0, 0)),
        (
            "[=] [cilium-test-1] Skipping test [l7-lb] [99/123] (Feature loadbalancer-l7 is off)",
            TestSkipped("l7-lb", "Feature loadbalancer-l7 is off", 99, 123),
        ),
        ("✨ [home] Creating namespace mine-1 for connectivity check...", NamespaceMade("mine-1")),
        ("✨ [home] Creating namespace ../x for connectivity check...", None),
        ("⌛ [home] Waiting for deployment cilium-test-1/client to become ready...", None),
        ("❌ not in any test", None),
    ],
)
def test_lines_of_every_version(line: str, meaning: Output | None) -> None:
    assert meanings(line) == ([] if meaning is None else [meaning])


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        (
            "✅ All 45 tests (193 actions) successful, 33 tests skipped, 0 scenarios skipped.",
            (45, 0, 33),
        ),
        (
            "✅ [cilium-test-1] All 4 tests (27 actions) successful, 11 tests skipped, 0 scenarios"
            " skipped.",
            (4, 0, 11),
        ),
        (
            "❌ 11/77 tests failed (39/794 actions), 46 tests skipped, 2 scenarios skipped:",
            (66, 11, 46),
        ),
        ("❌ 3/2 tests failed", (0, 3, 0)),
    ],
)
def test_the_verdict(line: str, numbers: tuple[int, int, int]) -> None:
    assert meanings(line) == [Summary(*numbers, line)]


def test_a_failure_is_told_once_per_test_with_its_first_reason() -> None:
    assert meanings(
        "[=] [cilium-test-1] Test [a] [1/3]\n"
        "...\n"
        "  🔎 curl stderr:\n"
        '  ❌ command "curl" failed: exit code 28\n'
        ".  🟥 and again\n"
        "[=] [cilium-test-1] Test [b] [2/3]\n"
        "...\n"
        "\n"
        "📋 Test Report [cilium-test-1]\n"
        "❌ 2/3 tests failed (3/9 actions), 0 tests skipped, 0 scenarios skipped:\n"
        "Test [a]:\n"
        "  🟥 a/pod-to-pod: again\n"
        "Test [c]:\n"
        "  🟥 c/pod-to-world: only told here\n"
    ) == [
        TestStarted("a", 1, 3),
        TestFailed("a", 'command "curl" failed: exit code 28'),
        TestStarted("b", 2, 3),
        Summary(
            1, 2, 0, "❌ 2/3 tests failed (3/9 actions), 0 tests skipped, 0 scenarios skipped:"
        ),
        TestFailed("c", "c/pod-to-world: only told here"),
    ]


def test_a_reason_without_end_is_shortened() -> None:
    _, failed = meanings(f"[=] Test [a]\n  ❌ {'x' * 5000}")
    assert isinstance(failed, TestFailed)
    assert len(failed.why) == LONGEST


FRAGMENTS = st.sampled_from(
    [
        b"[=] ", b"[cilium-test-1] ", b"Test [", b"Skipping test [", b"] [1/", b"99999999]",
        "❌ ".encode(), "🟥".encode(), "✅ All ".encode(), b" tests failed", b" tests skipped",
        b"Creating namespace ", b" for ", b"\x1b[31m", b"\x1b]52;c;eA==\x07", b"\xff\xfe", b"\r",
        "\u202e".encode(), b"1/2", b"(", b")", b"]:", b"\t", b"\xe2\x9d",
    ]
)  # fmt: skip


@given(st.lists(st.lists(FRAGMENTS | st.binary(max_size=20), max_size=12).map(b"".join)))
def test_no_output_raises_or_gets_through_unprintable(lines: list[bytes]) -> None:
    output = ConnectivityOutput()
    for raw in lines:
        told = output.read(raw.replace(b"\n", b""))
        assert isinstance(told[0], Line)
        assert len(told) <= 2
        for each in told:
            for name in each.__slots__:
                value = getattr(each, name)
                if isinstance(value, str):
                    assert printable(value) == value
                    assert "\n" not in value
