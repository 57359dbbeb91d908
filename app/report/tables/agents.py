"""Agents: what each agent reports about itself, as `cilium status` prints it."""

from __future__ import annotations

from typing import Never

from app.report.columns import UNKNOWN, Column, Table, TableColumn
from app.report.json import Item, item
from app.state.kinds import CILIUM_STATUS, PODS
from app.state.snapshot import Snapshot
from collectors.cilium.command_records import AgentStatus


class ControllerItem(Item, frozen=True):
    """A controller that keeps failing."""

    name: str
    failures: int
    message: str
    """What the last failure said."""


class AgentItem(Item, frozen=True):
    """One agent, as it says itself; null where it did not answer or does not say."""

    node: str
    pod: str
    answered: bool
    error: str
    state: str | None
    message: str | None
    hubble: str | None
    hubble_message: str | None
    kube_proxy_replacement: str | None
    acceleration: str | None
    ipam: str | None
    envoy: str | None
    controllers: int | None
    failing_controllers: tuple[ControllerItem, ...]


def agent_items(snapshot: Snapshot) -> tuple[AgentItem, ...]:
    """The agents, by node."""
    found = [
        agent for status in snapshot.records[CILIUM_STATUS].values() for agent in status.agents
    ]
    items = (_item(snapshot, agent) for agent in found)
    return tuple(sorted(items, key=lambda agent: (agent.node, agent.pod)))


def _item(snapshot: Snapshot, agent: AgentStatus) -> AgentItem:
    pods = {pod.name: node for node, pod in snapshot.agents_by_node.items()}
    return item(
        AgentItem,
        agent,
        node=agent.node or pods.get(agent.pod, ""),
        state=agent.state or None,
        message=agent.message or None,
        hubble=agent.hubble_state or None,
        hubble_message=agent.hubble_message or None,
        kube_proxy_replacement=agent.kube_proxy_replacement or None,
        acceleration=agent.lb_acceleration or None,
        ipam=agent.ipam or None,
        envoy=agent.envoy or None,
        controllers=agent.controllers if agent.answered else None,
    )


def _said(text: str | None) -> str:
    return text or UNKNOWN


def _controllers(agent: AgentItem) -> str:
    if agent.controllers is None:
        return UNKNOWN
    failing = len(agent.failing_controllers)
    return f"{agent.controllers}, {failing} failing" if failing else str(agent.controllers)


COLUMNS: tuple[TableColumn[AgentItem, Never], ...] = (
    TableColumn(Column("node", "NODE"), get=lambda a: a.node or UNKNOWN),
    TableColumn(Column("state", "STATE"), get=lambda a: _said(a.state)),
    TableColumn(Column("hubble", "HUBBLE"), get=lambda a: _said(a.hubble)),
    TableColumn(
        Column("kube_proxy", "KUBE-PROXY REPL."), get=lambda a: _said(a.kube_proxy_replacement)
    ),
    TableColumn(Column("xdp", "XDP"), get=lambda a: _said(a.acceleration)),
    TableColumn(Column("controllers", "CONTROLLERS", right=True), get=_controllers),
    TableColumn(Column("pod", "POD"), wide=True, get=lambda a: a.pod),
    TableColumn(Column("envoy", "ENVOY"), wide=True, get=lambda a: _said(a.envoy)),
    TableColumn(Column("ipam", "IPAM"), get=lambda a: _said(a.ipam)),
    TableColumn(Column("note", "NOTE"), get=lambda a: a.error or a.hubble_message or "-"),
)
TABLE = Table(
    kind="Agents",
    needs=(CILIUM_STATUS, PODS),
    items=agent_items,
    columns=COLUMNS,
    command_only=True,
)
