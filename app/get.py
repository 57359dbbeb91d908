"""`ciliscope get`: one snapshot of one thing, printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.diagnosis.policies import ENDPOINTS, POLICIES
from app.feeds import Wiring
from app.report import items, policy_items, table
from app.report.items import Item
from app.report.json import document
from app.snapshot import Snapshot, SourceHealth, State
from collectors.cilium_cli import COMMANDS

Row = TypeVar("Row", bound=Item)

READ = 0
UNREADABLE = 3
"""Exit code when a needed source could not be read, wholly or in part."""

ADVERTISED = ("routes_advertised_ipv4", "routes_advertised_ipv6")
AVAILABLE = ("routes_available_ipv4", "routes_available_ipv6")
SESSIONS = (
    "node_configs",
    "bgp_peers",
    "pods",
    "cilium_nodes",
    "peering_policies",
    "daemon_sets",
)
IDENTITY = ("version", "daemon_sets")
"""Kinds that tell which cluster this is; read along, but not needed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something `get` can print."""

    needs: tuple[str, ...] | None
    """Kinds it is read from; None: all there are."""
    text: Callable[[Snapshot, bool], str]
    """The table; the second argument asks for the wide one."""
    json: Callable[[Snapshot], str]
    """The JSON document."""
    command_only: bool = False
    """Whether only the `cilium` command tells of it."""


def _subject(
    kind: str,
    rows: Callable[[Snapshot], Sequence[Row]],
    columns: Sequence[table.Column[Row]],
    needs: tuple[str, ...] | None,
    *,
    command_only: bool = False,
) -> Subject:
    return Subject(
        needs=needs,
        command_only=command_only,
        text=lambda snapshot, wide: table.render(columns, rows(snapshot), wide=wide),
        json=lambda snapshot: document(snapshot, kind, rows(snapshot), needs),
    )


SUBJECTS = {
    "pods": _subject("Pods", items.pod_items, table.PODS, ("pods", "leases")),
    "nodes": _subject("Nodes", items.node_items, table.NODES, ("nodes", *SESSIONS)),
    "sessions": _subject("Sessions", items.session_items, table.SESSIONS, SESSIONS),
    "routes": _subject(
        "Routes",
        items.route_items,
        table.ROUTES,
        (*ADVERTISED, *AVAILABLE, "services", *SESSIONS),
        command_only=True,
    ),
    "services": _subject(
        "Services",
        items.service_items,
        table.SERVICES,
        ("services", "pools", "endpoint_slices", *ADVERTISED, *SESSIONS),
    ),
    "pools": _subject("Pools", items.pool_items, table.POOLS, ("pools", "services")),
    "policies": _subject(
        "Policies",
        policy_items.policy_items,
        policy_items.POLICIES,
        (*POLICIES, ENDPOINTS),
    ),
    "endpoints": _subject(
        "Endpoints",
        policy_items.endpoint_items,
        policy_items.ENDPOINTS,
        (ENDPOINTS, *POLICIES),
    ),
    "logs": _subject("Logs", items.log_items, table.LOGS, ("operator_log", "leases", "pods")),
    "config": _subject("Config", items.parameter_items, table.CONFIG, ("config_maps",)),
    "sources": _subject("Sources", items.source_items, table.SOURCES, None),
}
"""What can be asked for, by its word."""


def run(wiring: Wiring, word: str, output: str, deadline: float) -> int:
    """Read what is needed, print it, and return the exit code."""
    subject = SUBJECTS[word]
    snapshot = asyncio.run(_read(wiring, subject, deadline))
    wide = output == "wide"
    sys.stdout.write(subject.json(snapshot) if output == "json" else subject.text(snapshot, wide))
    needed = subject.needs
    unread = [
        health
        for health in snapshot.health.values()
        if (needed is None or health.kind in needed) and not was_read(health)
    ]
    complaints = _complaints(unread)
    if subject.command_only and not wiring.settings.cli:
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
        return health.kind not in COMMANDS and health.kind != "operator_log"
    return health.state is State.FRESH and not health.problems


async def _read(wiring: Wiring, subject: Subject, deadline: float) -> Snapshot:
    needs = subject.needs
    monitor = wiring.monitor(None if needs is None else {*needs, *IDENTITY})
    kinds = {health.kind for health in monitor.snapshot.health.values()}
    running = asyncio.create_task(wiring.run(monitor))
    try:
        with monitor.demand(*kinds):
            settled = asyncio.create_task(monitor.settled(kinds, deadline))
            # A source that raises is a bug: its exception must come out here, not be waited for.
            await asyncio.wait({running, settled}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                settled.cancel()
                running.result()
            return settled.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _complaints(unread: Sequence[SourceHealth]) -> list[str]:
    """What each could not tell; those with the same trouble together."""
    labels: dict[str, list[str]] = {}
    for health in unread:
        told = "; ".join((*filter(None, [health.error]), *health.problems))
        if health.state is State.LOADING:
            told = "no answer in time; --timeout gives it more"
        labels.setdefault(told or str(health.state), []).append(health.label)
    return [f"{', '.join(hit)}: {told}" for told, hit in labels.items()]
