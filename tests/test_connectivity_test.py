"""Running the connectivity test on a running lab: to its end, cut short, refused, tidied up."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.config.settings import Settings
from app.lab.launch import RunningLab, start_lab
from app.runbooks import connectivity
from app.runbooks.connectivity import Proposal, connectivity_run, left_behind, proposal
from collectors.cilium import connectivity_test
from collectors.cilium import connectivity_test as connectivity_cleanup
from collectors.cilium.connectivity import (
    CleanedUp,
    ConnectivityPlan,
    Consent,
    Ended,
    Line,
    NamespaceMade,
    Progress,
    Refused,
    Summary,
    TestFailed,
    TestStarted,
)
from collectors.cilium.connectivity_test import Cleanup, ConnectivityRun, namespaces_of
from collectors.kubernetes.api import ApiSession
from collectors.process import run as run_command
from tests.patience import PATIENCE
from tests.test_cilium_cli import script

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")

MADE = {"cilium-test-1", "cilium-test-ccnp1", "cilium-test-ccnp2"}
CONSENT = Consent(datetime(2026, 11, 26, tzinfo=UTC), "the test")
QUICK = ConnectivityPlan(tests=("no-policies",))


@pytest.fixture(scope="module")
def healthy() -> Iterator[RunningLab]:
    with start_lab("healthy") as lab:
        yield lab
        assert lab.complaints() == ""


@pytest.fixture(autouse=True)
def _nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test has left is not this one's."""
    monkeypatch.setattr(connectivity, "_open", set())


def scenario(folder: Path, *lines: str) -> str:
    """A scenario that differs from the healthy one by these lines."""
    file = folder / "cluster.yaml"
    file.write_text("\n".join(["description: A test", "extends: healthy", *lines]))
    return str(file)


def proposed(
    lab: RunningLab, plan: ConnectivityPlan = QUICK, program: str | None = None
) -> Proposal:
    settings = Settings(kubeconfig=str(lab.kubeconfig), cilium=program or str(lab.cilium))
    return proposal(settings, plan, context=lab.context)


async def told(
    what: Proposal, seen: Callable[[Progress, ConnectivityRun], None] = lambda *_: None
) -> list[Progress]:
    """Everything that a run tells but its lines; `seen` is called for each as it comes."""
    found: list[Progress] = []
    async with connectivity_run(what, consent=CONSENT) as run, aclosing(run.progress()) as steps:
        async for step in steps:
            seen(step, run)
            if not isinstance(step, Line):
                found.append(step)
    return found


async def namespaces(lab: RunningLab) -> set[str]:
    """Those of the test that the API lists."""
    session = ApiSession(str(lab.kubeconfig), lab.context)
    try:
        return {name for name in await namespaces_of(session)() if "cilium-test" in name}
    finally:
        await session.close()


def processes(lab: RunningLab) -> list[int]:
    """Those that were started for this lab's cluster, zombies apart."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes()
        except OSError:
            continue
        if str(lab.kubeconfig).encode() in words and b"connectivity" in words:
            found.append(int(file.parent.name))
    return found


def assert_nothing_runs(lab: RunningLab) -> None:
    """A process that was killed may need a moment to go."""
    deadline = time.monotonic() + 5
    while processes(lab) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes(lab) == []


# To its end


async def test_a_run_tells_its_tests_its_verdict_and_that_nothing_is_left(
    healthy: RunningLab,
) -> None:
    there: list[set[str]] = []

    async with (
        connectivity_run(proposed(healthy), consent=CONSENT) as run,
        aclosing(run.progress()) as steps,
    ):
        found = []
        async for step in steps:
            if isinstance(step, TestStarted):
                there.append(await namespaces(healthy))
                assert processes(healthy)
                assert run.left_behind()
            if not isinstance(step, Line):
                found.append(step)
    assert there == [MADE, MADE]
    assert {step.name for step in found if isinstance(step, NamespaceMade)} == MADE
    assert [s.name for s in found if isinstance(s, TestStarted)] == [
        "no-policies",
        "no-policies-extra",
    ]
    *_, summary, ended, cleaned = found
    assert isinstance(summary, Summary)
    assert (summary.passed, summary.failed, summary.skipped) == (2, 0, 13)
    assert isinstance(ended, Ended)
    assert (ended.code, ended.why) == (0, "")
    assert cleaned == CleanedUp(
        True, "cilium-test-1, cilium-test-ccnp1 and cilium-test-ccnp2 are gone"
    )
    assert await namespaces(healthy) == set()
    assert (processes(healthy), left_behind()) == ([], ())


async def test_tests_that_fail_are_named_with_the_reason_and_all_is_removed(tmp_path: Path) -> None:
    broken = scenario(tmp_path, "faults: [{fault: unready, component: cilium-envoy}]")
    with start_lab(broken) as lab:
        found = await told(proposed(lab, ConnectivityPlan(tests=("l7", "dns-only"))))
        failed = [step for step in found if isinstance(step, TestFailed)]
        assert [step.name for step in failed] == ["echo-ingress-l7", "client-egress-l7"]
        assert "command terminated with exit code 28" in failed[0].why
        summary, ended, cleaned = found[-3:]
        assert isinstance(summary, Summary)
        assert (summary.passed, summary.failed) == (1, 2)
        assert isinstance(ended, Ended)
        assert (ended.code, ended.why) == (1, "[cilium-test-1] 2 tests failed")
        assert isinstance(cleaned, CleanedUp)
        assert cleaned.ok
        assert await namespaces(lab) == set()


async def test_what_ends_before_anything_was_made_says_why_and_that_nothing_is_left(
    tmp_path: Path,
) -> None:
    broken = scenario(tmp_path, "faults: [{fault: agent-crashed, node: talos-cp-1}]")
    with start_lab(broken) as lab:
        ended, cleaned = await told(proposed(lab))
        assert isinstance(ended, Ended)
        assert ended.code == 1
        assert ended.why.startswith("failed to fetch cilium status: command failed (pod=kube-")
        assert cleaned == CleanedUp(True, "nothing was created, so nothing is left")


# Cut short


async def test_cancelling_lets_the_program_stop_and_removes_what_it_made(
    healthy: RunningLab,
) -> None:
    def stop(step: Progress, run: ConnectivityRun) -> None:
        if isinstance(step, TestStarted):
            run.cancel()
        if isinstance(step, Line) and "Cancellation" in step.text:
            assert "interrupt signal received" in step.text

    found = await told(proposed(healthy, ConnectivityPlan(tests=())), stop)
    *_, ended, cleaned = found
    assert isinstance(ended, Ended)
    assert (ended.code, ended.why) == (1, "cancelled")
    assert not any(isinstance(step, Summary) for step in found)
    assert cleaned == CleanedUp(
        True, "cilium-test-1, cilium-test-ccnp1 and cilium-test-ccnp2 are gone"
    )
    assert await namespaces(healthy) == set()
    assert processes(healthy) == []


async def test_a_program_that_does_not_stop_is_killed_and_what_it_made_is_removed(
    healthy: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectivity_test, "PATIENCE", 0.2)
    real = shlex.quote(str(healthy.cilium))
    program = script(
        tmp_path,
        f'case "$*" in *--cleanup*) exec {real} "$@";; esac\n'
        f"trap '' INT TERM\n{real} \"$@\"\necho over; sleep 60; sleep 60",
    )

    def stop(step: Progress, run: ConnectivityRun) -> None:
        if isinstance(step, Line) and step.text == "over":
            run.cancel()

    *_, ended, cleaned = await told(proposed(healthy, program=program), stop)
    assert isinstance(ended, Ended)
    assert (ended.code, ended.why) == (-signal.SIGKILL, "cancelled")
    assert isinstance(cleaned, CleanedUp)
    assert cleaned.ok
    assert await namespaces(healthy) == set()
    assert_nothing_runs(healthy)


async def test_cancelled_before_it_begins_nothing_is_run(healthy: RunningLab) -> None:
    async with connectivity_run(proposed(healthy), consent=CONSENT) as run:
        run.cancel()
        assert [step async for step in run.progress()] == [
            Refused("it was cancelled before it began")
        ]


async def test_its_time_limit_stops_it_and_it_is_tidied_up(
    healthy: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectivity_test, "MARGIN", 1.5)
    *_, ended, cleaned = await told(proposed(healthy, ConnectivityPlan(tests=(), minutes=0)))
    assert isinstance(ended, Ended)
    assert ended.why.startswith("stopped after ")
    assert isinstance(cleaned, CleanedUp)
    assert cleaned.ok
    assert await namespaces(healthy) == set()


async def test_when_nobody_reads_on_no_process_is_left_and_the_remains_are_told(
    healthy: RunningLab,
) -> None:
    async with (
        connectivity_run(proposed(healthy), consent=CONSENT) as run,
        aclosing(run.progress()) as steps,
    ):
        async for step in steps:
            if isinstance(step, TestStarted):
                break
    assert processes(healthy) == []
    (sentence,) = left_behind()
    assert sentence == run.left_behind()
    by_hand = f"kubectl --kubeconfig {healthy.kubeconfig} --context lab-healthy delete namespace"
    assert f"{by_hand} {' '.join(sorted(MADE))} --ignore-not-found" in sentence
    # What stands there now is nobody's to remove, the next run's neither.
    assert await namespaces(healthy) == MADE
    (refused,) = await told(proposed(healthy))
    assert isinstance(refused, Refused)
    assert "another run of the test made this, or left it, so it is not touched" in refused.why
    assert await namespaces(healthy) == MADE
    assert (await run_command(*shlex.split(proposed(healthy).cleanup), timeout=PATIENCE)).code == 0
    assert await namespaces(healthy) == set()


async def test_leaving_the_run_ends_it_though_its_progress_is_still_open(
    healthy: RunningLab,
) -> None:
    async with connectivity_run(proposed(healthy), consent=CONSENT) as run:
        steps = run.progress()
        assert isinstance(await anext(steps), Line)
        assert processes(healthy)
    assert_nothing_runs(healthy)
    await steps.aclose()
    assert (await run_command(*shlex.split(proposed(healthy).cleanup), timeout=PATIENCE)).code == 0


PROGRAM = """
import asyncio, sys
from contextlib import aclosing
from datetime import UTC, datetime
from app.runbooks.connectivity import connectivity_run, proposal
from app.config.settings import Settings
from app.dashboard.terminal import restored_terminal
from collectors.process import end_all
from collectors.cilium.connectivity import ConnectivityPlan, Consent, TestStarted

async def main():
    settings = Settings(kubeconfig=sys.argv[1], cilium=sys.argv[2])
    what = proposal(settings, ConnectivityPlan(tests=()), context=sys.argv[3])
    consent = Consent(datetime.now(UTC), "the test")
    async with connectivity_run(what, consent=consent) as run, aclosing(run.progress()) as steps:
        async for step in steps:
            if isinstance(step, TestStarted):
                print("started", flush=True)

with restored_terminal(lambda: None, end_all):
    asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_outlives_ciliscope_however_it_is_ended(
    number: signal.Signals, tmp_path: Path
) -> None:
    silent = "trap '' HUP INT TERM; echo '[=] Test [a]'; sleep 60; sleep 60"
    with start_lab("healthy") as lab:
        # Nothing can end a program that is silent after SIGKILL; one that writes ends by itself.
        program = lab.cilium if number == signal.SIGKILL else script(tmp_path, silent)
        running = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, lab.kubeconfig, program, lab.context],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        )
        assert running.stdout is not None
        with running.stdout as out:
            assert out.readline() == b"started\n"
            assert [pid for pid in processes(lab) if pid != running.pid]
            os.kill(running.pid, number)
            code = running.wait(timeout=10)
        assert code == (-number if number == signal.SIGKILL else 128 + number)
        assert_nothing_runs(lab)


# Refused


async def test_without_the_program_nothing_is_run(healthy: RunningLab) -> None:
    assert await told(proposed(healthy, program="no-such-cilium")) == [
        Refused("the program no-such-cilium is not installed, or not in PATH")
    ]
    assert left_behind() == ()


@pytest.mark.parametrize(
    "body",
    [
        'echo \'Error: unknown command "connectivity" for "cilium"\' >&2; exit 1',
        "echo 'unknown flag: --timeout' >&2; exit 1",
        "printf 'CLI\\n\\nUsage:\\n  cilium [command]\\n\\nAvailable Commands:\\n  bgp\\n'",
    ],
)
async def test_a_program_too_old_for_it_is_told_as_such(
    healthy: RunningLab, tmp_path: Path, body: str
) -> None:
    (refused,) = await told(proposed(healthy, program=script(tmp_path, body)))
    assert isinstance(refused, Refused)
    assert refused.why.startswith(
        "the cilium program does not know `connectivity test --timeout 30m --test no-policies`: "
    )


async def test_where_namespaces_cannot_be_listed_nothing_is_run(tmp_path: Path) -> None:
    with start_lab(scenario(tmp_path, "forbidden: [/api/v1/namespaces]")) as lab:
        (refused,) = await told(proposed(lab))
        assert isinstance(refused, Refused)
        assert "forbids reading /api/v1/namespaces" in refused.why


async def test_a_consent_is_for_one_run_and_by_somebody(healthy: RunningLab) -> None:
    async with connectivity_run(proposed(healthy), consent=CONSENT) as run:
        run.cancel()
        assert [step async for step in run.progress()]
        with pytest.raises(RuntimeError, match="one run"):
            await anext(run.progress())
    for consent in (Consent(CONSENT.asked_at, " "), Consent(datetime(2026, 11, 26), "me")):  # noqa: DTZ001
        with pytest.raises(ValueError, match="a consent names who"):
            async with connectivity_run(proposed(healthy), consent=consent):
                pass


async def test_without_the_command_or_in_a_recording_there_is_an_obstacle() -> None:
    for settings, words in (
        (Settings(cli=False), "switched off"),
        (Settings(at=datetime(2026, 11, 26, tzinfo=UTC)), "this is a recording"),
    ):
        what = proposal(settings, context="home")
        assert words in what.obstacle
        with pytest.raises(ValueError, match=words):
            async with connectivity_run(what, consent=CONSENT):
                pass
    assert proposal(Settings(), context="home").obstacle == ""


def test_the_proposal_names_the_context_that_is_shown_and_both_commands() -> None:
    what = proposal(Settings(context=None), context="home ops")
    aimed = "cilium --context 'home ops' --namespace kube-system connectivity test"
    assert what.command == f"{aimed} --timeout 30m --test no-policies"
    assert what.cleanup == f"{aimed} --cleanup"
    assert len(what.effects) >= 7


# Tidying up


async def test_a_cleanup_that_is_forbidden_tells_the_command_that_does_it(tmp_path: Path) -> None:
    with start_lab(scenario(tmp_path, "forbidden: [delete /api/v1/namespaces]")) as lab:
        *_, cleaned = await told(proposed(lab))
        assert isinstance(cleaned, CleanedUp)
        assert not cleaned.ok
        assert 'namespaces "cilium-test-1" is forbidden: User "lab" cannot delete' in cleaned.text
        by_hand = f"kubectl --kubeconfig {lab.kubeconfig} --context lab-cluster delete namespace"
        assert cleaned.text.endswith(
            f"remove with: {by_hand} {' '.join(sorted(MADE))} --ignore-not-found"
        )
        assert await namespaces(lab) == MADE


@asynccontextmanager
async def old_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kubectl: str
) -> AsyncIterator[Callable[[set[str]], Cleanup]]:
    """A `cilium` without --cleanup beside this `kubectl`; gives the clean-up of a cluster."""
    program = script(folder, "echo 'unknown flag: --cleanup' >&2; exit 1")
    tool = folder / "kubectl"
    tool.write_text(f"#!/bin/sh\n{kubectl}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(connectivity_cleanup, "DEADLINE", 5.0)

    def cleanup(there: set[str]) -> Cleanup:
        async def names() -> frozenset[str]:
            gone = (folder / "argv").exists()
            return frozenset({"default"} if gone else there)

        return Cleanup(QUICK, (program,), "/kc", "home", names)

    yield cleanup


async def test_for_an_older_program_kubectl_deletes_exactly_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = f'echo "$@" > {shlex.quote(str(tmp_path / "argv"))}'
    async with old_program(tmp_path, monkeypatch, record) as cleanup:
        cleaned = await cleanup({"default", "cilium-test-1"}).remove({"cilium-test-1"})
    assert cleaned == CleanedUp(True, "cilium-test-1 is gone")
    assert (tmp_path / "argv").read_text() == (
        "--kubeconfig /kc --context home delete namespace cilium-test-1 --ignore-not-found\n"
    )


async def test_where_kubectl_cannot_either_both_reasons_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with old_program(tmp_path, monkeypatch, "echo no rights >&2; exit 1") as cleanup:
        cleaned = await cleanup({"cilium-test-1", "mine"}).remove({"cilium-test-1"})
    assert cleaned == CleanedUp(
        False,
        "cilium-test-1 is still there (this cilium program has no --cleanup, and no rights);"
        " remove with: kubectl --kubeconfig /kc --context home delete namespace cilium-test-1"
        " --ignore-not-found",
    )


async def test_a_namespace_that_does_not_go_in_time_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with old_program(tmp_path, monkeypatch, "exit 0") as cleanup:
        monkeypatch.setattr(connectivity_cleanup, "PAUSE", 0.01)
        monkeypatch.setattr(connectivity_cleanup, "DEADLINE", 1.0)
        cleaned = await cleanup({"cilium-test-1"}).remove({"cilium-test-1"})
    assert not cleaned.ok
    assert "is still there (being deleted, and that is not over)" in cleaned.text


async def test_nothing_made_is_nothing_removed(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    program = script(tmp_path, f"touch {marker}")

    async def names() -> frozenset[str]:
        return frozenset({"default"})

    cleaned = await Cleanup(QUICK, (program,), None, None, names).remove(())
    assert (cleaned.ok, marker.exists()) == (True, False)
