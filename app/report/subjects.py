"""What can be told of a cluster as a table or as JSON, each by its word; what it is read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.model.policies import ENDPOINTS, POLICIES
from app.report import agent_items, items, policy_items, table
from app.report.items import Item
from app.report.json import document
from app.state.snapshot import Snapshot

Row = TypeVar("Row", bound=Item)

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


@dataclass(frozen=True, slots=True)
class Subject:
    """Something `get` can print."""

    needs: tuple[str, ...] | None
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
    needs: tuple[str, ...] | None,
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
    "agents": _subject(
        "Agents",
        agent_items.agent_items,
        agent_items.AGENTS,
        ("cilium_status", "pods"),
        command_only=True,
    ),
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
