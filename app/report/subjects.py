"""What can be told of a cluster as a table or as JSON, each by its word; what it is read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.report import agent_items, items, policy_items, table
from app.report.items import Item
from app.report.json import document
from app.state.kinds import (
    ADVERTISED,
    CILIUM_ENDPOINTS,
    CILIUM_STATUS,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    LEASES,
    NODES,
    OPERATOR_LOG,
    PODS,
    POLICIES,
    POOLS,
    ROUTES,
    SERVICES,
    SESSION_KINDS,
    Kind,
)
from app.state.snapshot import Snapshot

Row = TypeVar("Row", bound=Item)


@dataclass(frozen=True, slots=True)
class Subject:
    """Something `get` can print."""

    needs: tuple[Kind[object], ...] | None
    """Kinds it is read from; None: all there are."""
    text: Callable[[Snapshot, bool], str]
    """The table; the second argument asks for the wide one."""
    some: Callable[[Snapshot, Callable[[Item], bool]], str]
    """The table of the rows that are wanted."""
    json: Callable[[Snapshot], str]
    """The JSON document."""
    command_only: bool = False
    """Whether only the `cilium` command tells of it."""


def _subject(
    kind: str,
    rows: Callable[[Snapshot], Sequence[Row]],
    columns: Sequence[table.Column[Row]],
    needs: tuple[Kind[object], ...] | None,
    *,
    command_only: bool = False,
) -> Subject:
    return Subject(
        needs=needs,
        command_only=command_only,
        text=lambda snapshot, wide: table.render(columns, rows(snapshot), wide=wide),
        some=lambda snapshot, wanted: table.render(
            columns, [row for row in rows(snapshot) if wanted(row)], wide=False
        ),
        json=lambda snapshot: document(snapshot, kind, rows(snapshot), needs),
    )


SUBJECTS: Mapping[str, Subject] = {
    "pods": _subject("Pods", items.pod_items, table.PODS, (PODS, LEASES)),
    "nodes": _subject("Nodes", items.node_items, table.NODES, (NODES, *SESSION_KINDS)),
    "sessions": _subject("Sessions", items.session_items, table.SESSIONS, SESSION_KINDS),
    "routes": _subject(
        "Routes",
        items.route_items,
        table.ROUTES,
        (*ROUTES, SERVICES, *SESSION_KINDS),
        command_only=True,
    ),
    "services": _subject(
        "Services",
        items.service_items,
        table.SERVICES,
        (SERVICES, POOLS, ENDPOINT_SLICES, *ADVERTISED.values(), *SESSION_KINDS),
    ),
    "pools": _subject("Pools", items.pool_items, table.POOLS, (POOLS, SERVICES)),
    "agents": _subject(
        "Agents",
        agent_items.agent_items,
        agent_items.AGENTS,
        (CILIUM_STATUS, PODS),
        command_only=True,
    ),
    "policies": _subject(
        "Policies",
        policy_items.policy_items,
        policy_items.POLICIES,
        (*POLICIES, CILIUM_ENDPOINTS),
    ),
    "endpoints": _subject(
        "Endpoints",
        policy_items.endpoint_items,
        policy_items.ENDPOINTS,
        (CILIUM_ENDPOINTS, *POLICIES),
    ),
    "logs": _subject("Logs", items.log_items, table.LOGS, (OPERATOR_LOG, LEASES, PODS)),
    "config": _subject("Config", items.parameter_items, table.CONFIG, (CONFIG_MAPS,)),
    "sources": _subject("Sources", items.source_items, table.SOURCES, None),
}
"""What can be asked for, by its word."""
