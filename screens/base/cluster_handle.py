"""A screen's handle on one cluster, and the state of the interface that all screens share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from app.diagnosis.diagnoser import Diagnoser
from app.model.flap_history import FlapLedger

if TYPE_CHECKING:
    from app.model.finding import Ref
    from app.state.monitor import Feed, Monitor
    from collectors.kubernetes.records import Pod


@dataclass(slots=True)
class Frame:
    """How the screens are framed; they all share one."""

    history: list[str] = field(default_factory=list)
    """The commands entered on any screen, newest first."""
    filters: list[str] = field(default_factory=list)
    """The filters entered on any screen, newest first."""
    crumbs: bool = True
    """Whether the title tells the way to the selected object, where that fits."""
    frozen: str = ""
    """For how long the picture has stood still, `00:41`; "" while it is live."""


class LogFeed(Protocol):
    """Makes a feed of the kind `agent_logs` that follows the log of one agent."""

    def __call__(self, pod: Pod) -> Feed:
        """The feed of this agent's log."""
        ...


ObjectReader = Callable[["Ref"], Awaitable[str]]
"""Reads an object of the API as printable YAML; where it cannot, one sentence that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLink:
    """One cluster, as every screen gets it."""

    monitor: Monitor
    judge: Diagnoser = field(default_factory=Diagnoser)
    agent_log: LogFeed | None = None
    """None: no agent's log can be read."""
    read_object: ObjectReader | None = None
    """None: no object can be read."""
    losses: FlapLedger = field(default_factory=FlapLedger)
    """How often each session was lost; the dashboard counts, whatever it shows."""
    thinking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a costly picture is made: two at once would only slow each other down."""
    frame: Frame = field(default_factory=Frame)
    """What frames the screens; the screens of another cluster share it."""
