"""The screen of leases."""

from __future__ import annotations

from tests.dashboards import recorded_dashboard, screen_text, until


async def test_the_leases_are_shown_with_their_holders() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("f9")
        await until(pilot, lambda: "cilium-operator-resource-lock" in screen_text(app))
