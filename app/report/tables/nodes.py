"""Nodes: each node with its agent and its BGP sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Never

from app.model.health import pod_ready
from app.model.sessions import Session, sessions
from app.model.wording import age
from app.report.columns import NONE, UNKNOWN, Column, Table, TableColumn, listed, sign
from app.report.json import Item, item, seconds_since
from app.state.kinds import BGP_PEERS, NODE_CONFIGS, NODES, SESSION_KINDS
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import Node


class NodeItem(Item, frozen=True):
    """A node, its agent and its sessions."""

    name: str
    ready: bool | None
    schedulable: bool
    addresses: tuple[str, ...]
    kubelet: str
    agent: str
    agent_ready: bool | None
    sessions: int | None
    sessions_established: int | None
    age: float | None


def node_items(snapshot: Snapshot) -> tuple[NodeItem, ...]:
    """The nodes."""
    by_node: dict[str, list[Session]] = {}
    for session in sessions(snapshot):
        by_node.setdefault(session.node, []).append(session)
    return tuple(
        _item(snapshot, node, by_node.get(node.name, ()))
        for _, node in sorted(snapshot.records[NODES].items())
    )


def _item(snapshot: Snapshot, node: Node, found: Sequence[Session]) -> NodeItem:
    agent = snapshot.agents_by_node.get(node.name)
    ready = {c.status for c in node.status.conditions if c.type == "Ready"}
    known = snapshot.health_of(NODE_CONFIGS).known or snapshot.health_of(BGP_PEERS).known
    return item(
        NodeItem,
        node,
        ready=None if not ready or "Unknown" in ready else ready == {"True"},
        schedulable=not node.spec.unschedulable,
        addresses=tuple(a.address for a in node.status.addresses if a.type == "InternalIP"),
        kubelet=node.status.node_info.kubelet_version,
        agent=agent.name if agent else "",
        agent_ready=pod_ready(agent) if agent else None,
        sessions=len(found) if known else None,
        sessions_established=sum(s.established for s in found) if known else None,
        age=seconds_since(node.metadata.creation_timestamp, snapshot),
    )


COLUMNS: tuple[TableColumn[NodeItem, Never], ...] = (
    TableColumn(Column("name", "NAME"), get=lambda n: n.name),
    TableColumn(Column("ready", "READY"), get=lambda n: sign(n.ready)),
    TableColumn(Column("agent", "AGENT"), get=lambda n: n.agent or NONE),
    TableColumn(Column("agent_ready", "AGENT READY"), get=lambda n: sign(n.agent_ready)),
    TableColumn(
        Column("sessions", "SESSIONS"),
        get=lambda n: UNKNOWN if n.sessions is None else f"{n.sessions_established}/{n.sessions}",
    ),
    TableColumn(Column("addresses", "ADDRESSES"), wide=True, get=lambda n: listed(n.addresses)),
    TableColumn(Column("kubelet", "KUBELET"), wide=True, get=lambda n: n.kubelet),
    TableColumn(Column("age", "AGE", right=True), get=lambda n: age(n.age)),
)
TABLE = Table(kind="Nodes", needs=(NODES, *SESSION_KINDS), items=node_items, columns=COLUMNS)
