"""`ciliscope get`: one snapshot of one thing, printed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from app.cli.parser import duration
from app.config.settings import Settings
from app.pipeline.sources import Wiring
from app.report.columns import Table
from app.report.json import Item
from app.report.tables import table
from app.state.kinds import DAEMON_SETS, VERSION
from app.state.snapshot import Snapshot, SourceHealth, State

READ = 0
UNREADABLE = 3
"""Exit code when a needed source could not be read, wholly or in part."""

IDENTITY = (VERSION, DAEMON_SETS)
"""Kinds that tell which cluster this is; read along, but not needed."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Read what is needed, print it, and return the exit code. Raises SettingsError."""
    deadline = duration("--timeout", options.timeout)
    wiring, word, output = Wiring(settings, deadline), options.what, options.output
    asked = table(word)
    snapshot = asyncio.run(_read(wiring, asked, deadline))
    wide = output == "wide"
    sys.stdout.write(asked.json(snapshot) if output == "json" else asked.text(snapshot, wide))
    needed = asked.needs
    unread = [
        health
        for health in snapshot.health.values()
        if (needed is None or health.kind in needed) and not was_read(health)
    ]
    complaints = _complaints(unread)
    if asked.command_only and not wiring.settings.cli:
        complaints.append(f"{word}: only the cilium command tells of them, and it is switched off")
    for complaint in complaints:
        sys.stderr.write(f"ciliscope: {complaint}\n")
    return UNREADABLE if complaints else READ


def was_read(health: SourceHealth) -> bool:
    """Whether a source told all it should.

    A kind that the API server does not serve was read: there is nothing of it. One that is switched
    off was not asked for. A program that is not installed tells nothing.
    """
    if health.state is State.OFF:
        return True
    if health.state is State.ABSENT:
        return health.kind.tier == "API"
    return health.state is State.FRESH and not health.problems


async def _read(wiring: Wiring, asked: Table[Item], deadline: float) -> Snapshot:
    needs = asked.needs
    monitor = wiring.monitor(None if needs is None else {*needs, *IDENTITY})
    kinds = {health.kind for health in monitor.snapshot.health.values()}
    # A source that raises is a bug: its exception comes out here.
    async with asyncio.TaskGroup() as group:
        running = group.create_task(wiring.run(monitor))
        with monitor.demand(*kinds):
            snapshot = await monitor.settled(kinds, deadline)
        running.cancel()
    return snapshot


def _complaints(unread: Sequence[SourceHealth]) -> list[str]:
    """What each could not tell; those with the same trouble together."""
    labels: dict[str, list[str]] = {}
    for health in unread:
        text = "; ".join((*filter(None, [health.error]), *health.problems))
        if health.state is State.LOADING:
            text = "no answer in time; --timeout gives it more"
        labels.setdefault(text or str(health.state), []).append(health.label)
    return [f"{', '.join(hit)}: {text}" for text, hit in labels.items()]
