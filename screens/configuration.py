"""Configuration: the key parameters of the running Cilium."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from app.diagnosis.configuration import Parameter, parameters
from screens.absence import content
from screens.cluster_screen import ClusterScreen
from screens.format import NOTHING
from screens.widgets.columns import Cell, Column, Content, Row
from screens.widgets.live_table import LiveTable

if TYPE_CHECKING:
    from app.snapshot import Snapshot

COLUMNS = (
    Column("name", "PARAMETER", cut_to=16),
    Column("value", "IN FORCE", cut_to=12),
    Column("from", "FROM", extra=True),
    Column("key", "KEY", extra=True),
)


@dataclass(frozen=True)
class ConfigurationPicture:
    """What the screen shows."""

    parameters: Content


def picture(snapshot: Snapshot) -> ConfigurationPicture:
    """The key parameters as rows."""
    rows = map(_row, parameters(snapshot))
    return ConfigurationPicture(
        content(snapshot, rows, ("config_maps",), "ConfigMap cilium-config")
    )


def _row(parameter: Parameter) -> Row:
    given = parameter.value is not None
    cells = (
        Cell(parameter.name),
        Cell(parameter.effective or NOTHING),
        Cell("cilium-config" if given else "default"),
        Cell(parameter.key),
    )
    return Row(parameter.key, cells, health="ok")


class ConfigurationScreen(ClusterScreen[ConfigurationPicture]):
    """The key parameters."""

    title_text = "Configuration"
    reads = ("config_maps",)

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(COLUMNS, id="parameters")

    def picture(self, snapshot: Snapshot) -> ConfigurationPicture:
        """The key parameters as rows."""
        return picture(snapshot)

    def draw(self, picture: ConfigurationPicture) -> None:
        """Fill the table."""
        self.query_one("#parameters", LiveTable).show(picture.parameters)
