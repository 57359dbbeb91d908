"""A lab read to the end, as `ciliscope check` does it."""

from __future__ import annotations

from pathlib import Path

from app.config.settings import Settings
from app.lab.launch import start_lab
from app.pipeline.settle import settled, watching
from app.pipeline.sources import Wiring
from app.state.snapshot import Snapshot

DEADLINE = 40.0


async def read_lab(
    scenario: str | None = None, *, replay: Path | None = None, deadline: float = DEADLINE
) -> Snapshot:
    """Everything there is to read, the logs of suspects included."""
    with start_lab(scenario, replay=replay) as lab:
        settings = Settings(
            kubeconfig=str(lab.kubeconfig), context=lab.context, cilium=str(lab.cilium), at=lab.at
        )
        async with watching(Wiring(settings, deadline)) as monitor:
            return await settled(monitor, deadline)
