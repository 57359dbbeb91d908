"""The connectivity test for whoever shows it: what it would do, the consent, and the run.

The one thing in ciliscope that changes a cluster; only this module runs it. What is offered names
the command and its effects; a consent is good for one run.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from app.config.settings import Settings
from app.pipeline.sources import cilium_cli
from app.runbooks.engine import Hand, Ran
from app.runbooks.schema import StepVerdict
from app.state.kinds import NODES
from app.state.snapshot import Snapshot
from collectors.cilium import connectivity
from collectors.cilium.connectivity_test import Cleanup, ConnectivityRun, namespaces_of
from collectors.kubernetes.api import ApiSession

_open: set[ConnectivityRun] = set()
_OFF = "the `cilium` command is switched off (--no-cli, or cilium.enabled in the settings)"
_REPLAY = "this is a recording, which nothing can be run in"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody is asked to consent to."""

    plan: connectivity.ConnectivityPlan
    effects: tuple[str, ...]
    """What it does to the cluster, one sentence each."""
    command: str
    """The exact command, as one types it."""
    cleanup: str
    """The command that removes everything again; it is run when the test is over."""
    obstacle: str
    """Why it cannot be run here, one sentence; "" where it can."""
    settings: Settings
    """Where it runs; the context is named, so that no other can become the current one."""


def proposal(
    settings: Settings, plan: connectivity.ConnectivityPlan | None = None, *, context: str
) -> Proposal:
    """What would be run in the cluster of a context: the one that is shown ("" in a pod).

    Pure. None is the basic plan.
    """
    plan = plan or connectivity.ConnectivityPlan()
    here = replace(settings, context=context or None)
    aimed = cilium_cli(here).aimed
    obstacle = _REPLAY if here.at is not None else "" if here.cli else _OFF
    return Proposal(
        plan,
        connectivity.effects(plan),
        shlex.join((*aimed, *plan.argv)),
        shlex.join((*aimed, *plan.cleanup_argv)),
        obstacle,
        here,
    )


@asynccontextmanager
async def connectivity_run(
    proposed: Proposal, *, consent: connectivity.Consent
) -> AsyncGenerator[ConnectivityRun, None]:
    """The run that was proposed and consented to; `progress` of it starts it.

    Read it inside, to its end: leaving the context kills what runs. Raises ValueError where there
    is an obstacle.
    """
    if proposed.obstacle:
        raise ValueError(proposed.obstacle)
    settings = proposed.settings
    session = ApiSession(settings.kubeconfig, settings.context)
    cleanup = Cleanup(
        proposed.plan,
        cilium_cli(settings).aimed,
        settings.kubeconfig,
        settings.context,
        namespaces_of(session),
    )
    run = ConnectivityRun(cleanup, consent)
    _open.add(run)
    try:
        yield run
    finally:
        run.abandon()
        await session.close()
        if not run.left_behind():
            _open.discard(run)


def left_behind() -> tuple[str, ...]:
    """For the end of the program: what runs that were cut short have left, and how to remove it."""
    return tuple(sentence for run in _open if (sentence := run.left_behind()))


LINES = 200
"""Lines of its output that are remembered."""

Spawn = Callable[["Trial", Hand, str], object]
"""Has a trial run, for a step, beside everything else."""


def plan_for(snapshot: Snapshot) -> connectivity.ConnectivityPlan:
    """What the test is to do in a cluster.

    Talos has Pod Security enforce `baseline` in every namespace that is not labelled otherwise, so
    there the test's namespaces are (`docs/cilium.md`, "The connectivity test").
    """
    systems = (node.status.node_info.os_image for node in snapshot.records[NODES].values())
    return connectivity.ConnectivityPlan(
        privileged=any(name.startswith("Talos") for name in systems)
    )


def _nowhere(*_: object) -> None:
    raise RuntimeError("nothing was given that could have it run")


class Trial:
    """One run in the cluster of a context, from the offer to its outcome."""

    def __init__(self, settings: Settings, snapshot: Snapshot, spawn: Spawn = _nowhere) -> None:
        """In the cluster of this snapshot. Nothing runs before `start`, which needs `spawn`, or
        `run`."""
        plan = plan_for(snapshot)
        self.proposal: Proposal = proposal(settings, plan, context=snapshot.context)
        self._spawn = spawn
        self.lines: deque[str] = deque(maxlen=LINES)
        self.printed = 0
        """How many lines it has printed."""
        self.stage = ""
        """Which test it is at: `test 3 of 12: no-policies`."""
        self.running = False
        self.cancelled = False
        self._failed: list[connectivity.TestFailed] = []
        self._summary = ""
        self._cancel: Callable[[], None] | None = None

    @property
    def offer(self) -> tuple[str, ...]:
        """What it would do, by which command, and how that is removed again."""
        proposed = self.proposal
        return (
            *proposed.effects,
            f"It is run as: {proposed.command}",
            f"By hand it is removed by: {proposed.cleanup}",
        )

    @property
    def obstacle(self) -> str:
        """Why it cannot be run here; "" where it can."""
        return self.proposal.obstacle

    def start(self, hand: Hand, step: str) -> None:
        """Run it for a step, for it was agreed to."""
        self.running = True
        self._spawn(self, hand, step)

    async def run(self, hand: Hand, changed: Callable[[], None]) -> Ran:
        """Run it with the consent that was given; `changed` is called after each thing told."""
        verdict, says = await self._outcome_of(hand, changed)
        command, lines = self.proposal.command, tuple(self.lines)
        return Ran(hand.at, hand.by, "", command, verdict, says, lines)

    async def _outcome_of(self, hand: Hand, changed: Callable[[], None]) -> tuple[StepVerdict, str]:
        """What came of it, in one sentence, what became of what it had made included."""
        if self.obstacle:
            self.running = False
            return StepVerdict.UNKNOWN, self.obstacle
        self.running, cleaned = True, ""
        last: connectivity.Refused | connectivity.Ended | None = None
        try:
            consent = connectivity.Consent(asked_at=hand.at, by=hand.by)
            async with connectivity_run(self.proposal, consent=consent) as run:
                self._cancel = run.cancel
                if self.cancelled:
                    run.cancel()
                async with aclosing(run.progress()) as shown:
                    async for each in shown:
                        self._note(each)
                        if isinstance(each, connectivity.Refused | connectivity.Ended):
                            last = each
                        elif isinstance(each, connectivity.CleanedUp):
                            cleaned = each.text
                        changed()
        finally:
            self.running, self._cancel = False, None
        return self._outcome(last, cleaned)

    def since(self, printed: int) -> tuple[str, ...]:
        """The lines behind the first so many, as far as they are remembered."""
        new = min(self.printed - printed, len(self.lines))
        return tuple(self.lines)[len(self.lines) - new :]

    def cancel(self) -> None:
        """Stop it; it cleans up, and `run` returns when that is done."""
        self.cancelled = True
        if self._cancel is not None:
            self._cancel()

    def _note(self, progress: connectivity.Progress) -> None:
        match progress:
            case connectivity.Line(text):
                self.lines.append(text)
                self.printed += 1
            case connectivity.TestStarted(name, number, total):
                self.stage = f"test {number} of {total}: {name}" if total else name
            case connectivity.TestFailed():
                self._failed.append(progress)
            case connectivity.Summary(text=text):
                self._summary = text
            case connectivity.Ended():
                self.stage = "it is over; what it made is being removed"

    def _outcome(
        self, last: connectivity.Refused | connectivity.Ended | None, cleaned: str
    ) -> tuple[StepVerdict, str]:
        if last is None or isinstance(last, connectivity.Refused):
            return StepVerdict.UNKNOWN, last.why if last else "it did not end"
        if last.code == 0:
            return StepVerdict.PASS, _joined(self._summary or "all tests passed", cleaned)
        if self.cancelled:
            return StepVerdict.UNKNOWN, _joined("it was cancelled", cleaned)
        failed = self._failed
        first = f"{failed[0].name}: {failed[0].why}" if failed else last.why
        shown = self._summary or (f"{len(failed)} tests failed" if failed else "it failed")
        return StepVerdict.FAIL, _joined(f"{shown}; {first}", cleaned)


def _joined(*sentences: str) -> str:
    return "; ".join(filter(None, (sentence.strip().rstrip(".;") for sentence in sentences)))
