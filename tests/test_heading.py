"""The title line: the way to the selected object comes with the width of the window alone."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.app import CiliscopeApp
from app.report.lines import Span, length
from app.state.kinds import AGENT_LOGS, BGP_PEERS, NODE_CONFIGS, PODS
from app.state.snapshot import Snapshot, SourceHealth, State
from screens.base.header import WAY_FROM, title
from screens.registry import places
from tests.dashboards import NOON, recorded_dashboard, text_of, until

WAY = ("lab-healthy", "Sessions", "talos-cp-1/172.29.51.1")
SHOWN = (BGP_PEERS, NODE_CONFIGS, PODS, AGENT_LOGS)


def snapshot(ages: list[float | None]) -> Snapshot:
    """Sources that were read so many seconds ago; None: they are loading."""
    health = {
        kind.name: SourceHealth(
            kind.name,
            kind,
            State.LOADING if age is None else State.FRESH,
            NOON,
            None if age is None else NOON - timedelta(seconds=age),
        )
        for kind, age in zip(SHOWN, ages, strict=False)
    }
    return Snapshot(taken_at=NOON, health=MappingProxyType(health))


def left(room: int, told: Snapshot, way: tuple[str, ...] = WAY, headline: str = "3 of 3") -> str:
    """The left half of a title."""
    line, _ = title(way, way[1], (Span(headline),), told, SHOWN, room)
    return "".join(span.text for span in line)


@given(
    st.integers(60, 240),
    st.lists(st.none() | st.floats(0, 1e7), min_size=4, max_size=4),
    st.lists(st.none() | st.floats(0, 1e7), min_size=4, max_size=4),
)
def test_ages_never_change_a_title(
    room: int, before: list[float | None], after: list[float | None]
) -> None:
    assert left(room, snapshot(before)) == left(room, snapshot(after))


@given(st.text("abcdefgh-./", min_size=1, max_size=80), st.integers(60, 240))
def test_the_width_decides_and_a_long_name_is_cut(name: str, room: int) -> None:
    told = snapshot([1, 2, 3, 4])
    line, sources = title((*WAY[:2], name), WAY[1], (Span("3 of 3"),), told, SHOWN, room)
    text = "".join(span.text for span in line)
    assert text.startswith(" lab-healthy > Sessions > " if room >= WAY_FROM else " Sessions  ")
    assert length(line) + length(sources) <= room
    if room >= WAY_FROM:
        assert name in text or "…" in text


def test_a_context_that_leaves_no_room_leaves_the_title_alone() -> None:
    arn = "arn:aws:eks:eu-central-1:123456789012:cluster/production-of-the-whole-company-1"
    assert left(110, snapshot([1]), (arn, "Sessions", "node")) == " Sessions  3 of 3"
    assert left(200, snapshot([1]), (arn, "Sessions", "node")).startswith(f" {arn} > Sessions")


@pytest.mark.parametrize(("width", "way"), [(80, False), (140, True)])
async def test_it_is_the_same_on_every_screen(width: int, way: bool) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(width, 24)) as pilot:
        await until(pilot, lambda: bool(app.loop.monitor.snapshot.agents_by_node))
        for place in places():
            await pilot.press(place.key)
            begins = f" healthy > {place.title}" if way else f" {place.title}"
            await until(pilot, partial(_title_begins, app, begins))
            assert (" > " in text_of(app.screen.query_one("#title"))) is way


def _title_begins(app: CiliscopeApp, begins: str) -> bool:
    return text_of(app.screen.query_one("#title")).startswith(begins)
