"""A lab read to the end, as `ciliscope check` does it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.config.settings import Settings
from app.lab.launch import start_lab
from app.lab.scenario import Scenario
from app.pipeline.settle import settled, watching
from app.pipeline.sources import Wiring
from app.state.snapshot import Snapshot
from tests.lab_asked import Lab, asked_lab, asking
from tests.patience import PATIENCE


async def read_lab(
    scenario: str | None = None, *, replay: Path | None = None, deadline: float = PATIENCE
) -> Snapshot:
    """Everything there is to read of a lab's process, the logs of suspects included."""
    with start_lab(scenario, replay=replay) as lab:
        return await _read(lab, deadline)


async def read_here(
    scenario: str | Scenario | None = None,
    *,
    replay: Path | None = None,
    deadline: float = PATIENCE,
) -> Snapshot:
    """The same of a lab in this process."""
    with asked_lab(scenario, replay=replay) as lab, asking():
        return await _read(lab, deadline)


def read_inside(scenario: Scenario) -> Snapshot:
    """The same, where no event loop runs. Raises ScenarioError."""
    return asyncio.run(read_here(scenario))


def settings_of(lab: Lab) -> Settings:
    """The settings with which a lab is the cluster."""
    return Settings(
        kubeconfig=str(lab.kubeconfig), context=lab.context, cilium=str(lab.cilium), at=lab.at
    )


async def _read(lab: Lab, deadline: float) -> Snapshot:
    async with watching(Wiring(settings_of(lab), deadline)) as monitor:
        return await settled(monitor, deadline)
