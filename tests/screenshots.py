"""Pictures of the dashboard for the documentation: `python -m tests.screenshots`.

Each is taken of the real dashboard on the lab, without a terminal, and written to
`docs/screenshots/NAME.svg`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from app.config.settings import Settings
from app.dashboard.app import CiliscopeApp
from app.dashboard.clusters import LiveCluster, OpenCluster
from app.lab.launch import start_lab
from screens.widgets.live_table import LiveTable
from tests.dashboards import until

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
# The exported file would fetch its font from a server whenever it is looked at.
_FONT = re.compile(r"@font-face\s*\{[^}]*\}\s*")


@dataclass(frozen=True, slots=True)
class Picture:
    """A screenshot to take."""

    name: str
    keys: tuple[str, ...]
    scenario: str = "home"
    size: tuple[int, int] = (110, 32)
    then: tuple[str, ...] = ()
    """Keys that are pressed when everything is read."""


PICTURES = (
    Picture("overview", ()),
    Picture("overview-80x24", (), size=(80, 24)),
    Picture("pods", ("f2",), scenario="agent-down", size=(140, 36)),
    Picture("sessions", ("f3",), size=(140, 40)),
    Picture("session-flaps", ("f3",), scenario="session-flaps", size=(110, 32)),
    Picture("routes", ("f4",), scenario="no-ipv6-family", size=(140, 32)),
    Picture("services", ("f5",), size=(140, 32)),
    Picture("service-without-pool", ("f5",), scenario="typo-in-pool-label", size=(80, 24)),
    Picture("pools-overlap", ("f6", "j", "j"), scenario="pools-overlap", size=(140, 32)),
    Picture("logs", ("f7",)),
    Picture("logs-together", ("f7", "a", "e"), scenario="wrong-peer-asn", size=(140, 32)),
    Picture("configuration-bgp", ("f8", "3"), scenario="peer-config-missing", size=(140, 32)),
    Picture("router-refuses", (), scenario="wrong-peer-asn"),
    Picture(
        "runbook",
        (),
        scenario="typo-in-pool-label",
        size=(80, 24),
        then=(":", *"run lb-no-address home/frigate", "enter", "enter", "enter"),
    ),
)


async def take(picture: Picture) -> str:
    """One screenshot as SVG."""
    with TemporaryDirectory() as state, start_lab(picture.scenario) as lab:
        settings = Settings(
            kubeconfig=str(lab.kubeconfig), context=lab.context, cilium=str(lab.cilium)
        )
        cluster = LiveCluster(settings, ()).opened
        shown = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_STATE_HOME": state}
        with patch.dict("os.environ", shown):
            return await _taken(picture, cluster)


async def _taken(picture: Picture, cluster: OpenCluster) -> str:
    app = CiliscopeApp(cluster)

    def settled() -> bool:
        tables = app.screen.query(LiveTable).results()
        health = cluster.link.monitor.snapshot.health.values()
        # A table may have nothing to list: where a broken prefix is announced, for one.
        unread = {"loading"} & {str(each.state) for each in health}
        return not unread and any(table.rows for table in tables if table.display)

    async with app.run_test(size=picture.size) as pilot:
        await pilot.press(*picture.keys)
        await until(pilot, settled)
        await pilot.press(*picture.then)
        await pilot.pause(1.0)
        return _FONT.sub("", app.export_screenshot(title="ciliscope"))


def main() -> None:
    """Take all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        path = FOLDER / f"{picture.name}.svg"
        path.write_text(asyncio.run(take(picture)))
        sys.stdout.write(f"{path.relative_to(FOLDER.parent.parent)}\n")


if __name__ == "__main__":
    main()
