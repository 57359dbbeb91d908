"""The `cilium` command as a source: run, read, wait, run again, whatever it does.

It is the only way to the truth inside the agents (BGP sessions, routes, their own status), and it
costs one exec per agent each time. So it is polled, with jitter, measured from the end of the last
run, never twice at once, and slower when it fails. Only the commands listed here are ever run, as a
program with arguments: no shell, and no text that anybody typed.

`cilium bgp` gets a `--wait-duration` below our own deadline, so that the agents that answer are
printed and the others named. `cilium status` ignores that option (a frozen agent made it
run for 120 s, `docs/cilium.md`), and our deadline ends it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

from collectors.cilium.answer import CiliumCommand
from collectors.cilium.commands import PEERS, ROUTES, STATUS, VERSION_COMMAND
from collectors.process import CommandMissing, CommandTimedOut, Completed, run
from collectors.source import Failed, ReadError, Reason, Replaced, Update

COMMANDS: dict[str, CiliumCommand] = {command.kind: command for command in (STATUS, PEERS, *ROUTES)}
"""Every command that asks the cluster, by the kind of its records."""

RETRY_MISSING = 60.0
"""Seconds until a program that is not installed is looked for again."""

RETRY_DENIED = 300.0
"""Seconds until a refusal for want of rights or credentials is tried again: asking more often
helps nobody, and every try may start a credential plugin that opens a browser."""

JITTER = 0.1
"""Part of a pause by which it varies, so that polls do not march in step."""

_ALLOWED = {command.argv: command for command in (*COMMANDS.values(), VERSION_COMMAND)}
_REMEDY_MISSING = "install cilium-cli 0.18.6 or later, or use --no-cli"
_WAITS = "bgp"
_MARGIN = 0.25
"""Part of our deadline that the command has beside its own wait: to start, to list, to print."""
_SLOWEST = 4.0
_BIG = 32 * 1024


class CiliumCli:
    """The `cilium` program, aimed at one cluster. Must be used from one event loop."""

    def __init__(
        self,
        program: str = "cilium",
        kubeconfig: str | None = None,
        context: str | None = None,
        namespace: str = "kube-system",
    ) -> None:
        """`kubeconfig` and `context` are the dashboard's; None leaves them to the program."""
        self._program = program
        options = {"--kubeconfig": kubeconfig, "--context": context, "--namespace": namespace}
        self._cluster = tuple(
            word for name, value in options.items() if value for word in (name, value)
        )
        self._running: dict[tuple[str, ...], asyncio.Lock] = {}

    @property
    def aimed(self) -> tuple[str, ...]:
        """The program with the options that name the cluster: how every command begins."""
        return (self._program, *self._cluster)

    def command_line(self, *argv: str, timeout: float) -> tuple[str, ...]:
        """The words that are run for a command: what an operator types for the same."""
        seconds = round(timeout * (1 - _MARGIN), 1)
        wait = ("--wait-duration", f"{seconds:g}s") if argv[0] == _WAITS else ()
        return (*self.aimed, *argv, *wait)

    async def run(self, *argv: str, timeout: float) -> Completed:
        """Run one of these commands by its argv and wait at most `timeout` seconds for its end.

        A second call for the same command waits for the first; that time does not count. Raises
        what `collectors.process.run` raises, and ValueError for any other argv.
        """
        if argv not in _ALLOWED:
            raise ValueError(f"{' '.join(argv)} is not one of the commands that are run")
        async with self._running.setdefault(argv, asyncio.Lock()):
            words = self.command_line(*argv, timeout=timeout)
            return await run(*words, timeout=timeout, env=dict(_ALLOWED[argv].env))


class PolledCommand:
    """One of these commands, polled: a Source."""

    def __init__(
        self,
        cli: CiliumCli,
        command: CiliumCommand,
        interval: float | None = None,
        deadline: float | None = None,
    ) -> None:
        """`interval` and `deadline` are in seconds; None takes the command's own."""
        self._cli = cli
        self.kind = command.kind
        self.label = command.label
        self._command = command
        self._interval = command.interval if interval is None else interval
        self._deadline = command.deadline if deadline is None else deadline
        self._wanted = asyncio.Event()
        self._slower = 1.0

    def refresh(self) -> None:
        """Run the command now; when it is running, once more after that."""
        self._wanted.set()

    async def updates(self) -> AsyncIterator[Update]:
        """Replaced for every answer, Failed for every run without one, until cancelled."""
        while True:
            self._wanted.clear()
            try:
                update: Update = await self._replaced()
                self._slower = 1.0
                pause = self._interval * (1 - JITTER + 2 * _jitter())
            except ReadError as problem:
                pause = self._pause_after(problem.reason)
                update = Failed(self.kind, problem.reason, problem.message, pause)
            yield update
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()

    async def _replaced(self) -> Replaced:
        try:
            completed = await self._cli.run(*self._command.argv, timeout=self._deadline)
        except CommandMissing as problem:
            raise CommandMissing(f"{problem.message}; {_REMEDY_MISSING}") from None
        except CommandTimedOut:
            message = f"{self.label} had not ended after {self._deadline:g} s and was ended"
            raise CommandTimedOut(message) from None
        if len(completed.out) < _BIG:
            reading = self._command.parse(completed)
        else:
            reading = await asyncio.to_thread(self._command.parse, completed)
        return Replaced(self.kind, reading.records, completed.took, reading.problems)

    def _pause_after(self, failure: Reason) -> float:
        """Seconds until the next run: doubled by each failure, up to `_SLOWEST` intervals."""
        pause = max(self._interval * self._slower, _RETRY_AFTER.get(failure, 0.0))
        self._slower = min(2 * self._slower, _SLOWEST)
        return pause * (1 + _jitter())


def _jitter() -> float:
    return JITTER * random.random()  # noqa: S311 - nothing is kept secret by it


_RETRY_AFTER = {
    Reason.ABSENT: RETRY_MISSING,
    Reason.FORBIDDEN: RETRY_DENIED,
    Reason.UNAUTHORIZED: RETRY_DENIED,
}
