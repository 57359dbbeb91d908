"""Removing what `cilium connectivity test` made, and making sure that it is gone.

The program leaves its namespaces behind, on purpose, however it ends. `--cleanup` removes them and
exits with 0 also when it could not, so whether they are gone is read from the API. Programs older
than that option are helped out by kubectl, where there is one. What cannot be removed is told with
the command that does it by hand.

Source: cilium/cilium, cilium-cli/connectivity/suite.go; #44075; cilium/cilium-cli#67.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from collectors.api import ApiSession
from collectors.api_errors import ApiError
from collectors.cilium_answer import exit_text, shortened
from collectors.command import CommandFailure, run
from collectors.connectivity_plan import ConnectivityPlan, command_text, deletion
from collectors.connectivity_progress import CleanedUp
from collectors.sanitize import printable_bytes
from collectors.source import Reason

DEADLINE = 180.0
"""Seconds for one command that removes; pods have 30 s to end, and namespaces wait for them."""

PAUSE = 1.0
"""Seconds between two looks at what is still there."""

_UNKNOWN_FLAG = "unknown flag: --cleanup"
_INCOMPLETE = "Cleanup encountered errors"

Namespaces: TypeAlias = Callable[[], Awaitable[frozenset[str]]]
"""The names of the cluster's namespaces, those being deleted included. Raises ApiError."""


class _Named(msgspec.Struct):
    name: str


class _Item(msgspec.Struct):
    metadata: _Named


class _List(msgspec.Struct):
    items: list[_Item]


def namespaces_of(session: ApiSession) -> Namespaces:
    """The namespaces of the cluster that a session reads."""

    async def names() -> frozenset[str]:
        answer = await session.get("/api/v1/namespaces")
        try:
            listed = msgspec.json.decode(answer.body, type=_List)
        except msgspec.DecodeError as problem:
            raise ApiError(Reason.UNREADABLE, f"the list of namespaces: {problem}") from None
        return frozenset(item.metadata.name for item in listed.items)

    return names


@dataclass(frozen=True, slots=True)
class Cleanup:
    """How one run's namespaces are removed."""

    plan: ConnectivityPlan
    program: tuple[str, ...]
    """The `cilium` program with the options that name the cluster."""
    kubeconfig: str | None
    context: str | None
    namespaces: Namespaces

    @property
    def command(self) -> tuple[str, ...]:
        """What is run, and what an operator can run."""
        return (*self.program, *self.plan.cleanup_argv)

    def by_hand(self, made: Collection[str]) -> str:
        """The command that removes exactly these namespaces."""
        return command_text(deletion(made, self.kubeconfig, self.context))

    async def remove(self, made: Collection[str]) -> CleanedUp:
        """Remove what a run has made. Cancelling it ends the command, and leaves the rest."""
        if not made:
            return CleanedUp(True, "nothing was created, so nothing is left")
        problem = await self._commanded(made)
        try:
            left = await self._left(made, 0.0 if problem else DEADLINE)
        except ApiError as error:
            if problem:
                return self._told(made, problem)
            unseen = f"{_listed(made)} should be gone: the command says so, and {error.message}"
            return CleanedUp(True, unseen)
        if left:
            return self._told(left, problem or "being deleted, and that is not over")
        return CleanedUp(True, f"{_listed(made)} {'are' if len(made) > 1 else 'is'} gone")

    def _told(self, left: Collection[str], problem: str) -> CleanedUp:
        return CleanedUp(
            False,
            f"{_listed(left)} {'are' if len(left) > 1 else 'is'} still there ({problem});"
            f" remove with: {self.by_hand(left)}",
        )

    async def _commanded(self, made: Collection[str]) -> str:
        """Run the command that removes; what it complained of, "" where it did not."""
        problem = await _complaint(self.command)
        if _UNKNOWN_FLAG not in problem:
            return problem
        complaint = await _complaint(deletion(made, self.kubeconfig, self.context))
        return f"this cilium program has no --cleanup, and {complaint}" if complaint else ""

    async def _left(self, made: Collection[str], patience: float) -> frozenset[str]:
        """What is still there when it is gone or the patience, in seconds, has run out."""
        clock = asyncio.get_running_loop()
        until = clock.time() + patience
        while left := await self.namespaces() & frozenset(made):
            if clock.time() >= until:
                return left
            await asyncio.sleep(PAUSE)
        return frozenset()


async def _complaint(words: tuple[str, ...]) -> str:
    try:
        completed = await run(*words, timeout=DEADLINE)
    except CommandFailure as problem:
        return str(problem)
    if completed.code:
        return shortened(completed.err) or exit_text(completed.code)
    said = printable_bytes(completed.out).splitlines()
    return next((shortened(line) for line in said if _INCOMPLETE in line), "")


def _listed(names: Collection[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last
