"""A Services screen whose rows can be acted on, and tables that can be narrowed."""

from __future__ import annotations

import pytest

from app.model.finding import Ref
from app.report.columns import Row
from screens.base.cluster_screen import ClusterScreen
from screens.base.selection import Selection
from screens.services import ServicesScreen
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable


@pytest.fixture(autouse=True)
def selecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that tell what their cursor is on, as far as they do not themselves."""

    def selection(screen: ServicesScreen) -> Selection | None:
        key = screen.query_one("#services", LiveTable).selected
        namespace, _, name = key.partition("/")
        about = Ref("Service", name, namespace)
        return Selection(ref=about, question=("service", key)) if key else None

    def select_object(screen: ServicesScreen, ref: Ref) -> None:
        screen.query_one("#services", LiveTable).select(f"{ref.namespace}/{ref.name}")

    if ServicesScreen.selection is ClusterScreen.selection:
        monkeypatch.setattr(ServicesScreen, "selection", selection)
        monkeypatch.setattr(ServicesScreen, "select_object", select_object)


@pytest.fixture
def narrowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that can be narrowed, as far as they cannot themselves."""
    if hasattr(LiveTable, "filter_by"):
        return
    all_rows: dict[LiveTable, tuple[Row, ...]] = {}
    texts: dict[LiveTable, str] = {}

    def filter_by(table: LiveTable, text: str) -> str:
        if text == "(":
            return "( is no regex"
        texts[table] = text
        rows = all_rows.setdefault(table, table.rows)
        table.show(Content(tuple(row for row in rows if text in row.key)))
        return ""

    monkeypatch.setattr(LiveTable, "filter_by", filter_by, raising=False)
    monkeypatch.setattr(
        LiveTable, "filter_text", property(lambda table: texts.get(table, "")), raising=False
    )
