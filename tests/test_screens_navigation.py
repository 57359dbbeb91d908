"""Getting about: every screen by key, word and Enter; keys that must do nothing; help; prompt."""

from __future__ import annotations

from textual.pilot import Pilot

from app.tui import CiliscopeApp
from screens.cluster_screen import ClusterScreen
from screens.help import HelpScreen
from screens.widgets.command_line import CommandLine
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import EdgeLine
from screens.words import PLACES
from tests.dashboards import recorded_dashboard, screen_text, until


def title(app: CiliscopeApp) -> str:
    screen = app.screen
    return screen.title_text if isinstance(screen, ClusterScreen) else "Help"


async def command(app: CiliscopeApp, pilot: Pilot[None], word: str) -> None:
    await pilot.press("colon")
    app.screen.query_one(CommandLine).value = word
    await pilot.press("enter")


def keys_line(app: CiliscopeApp) -> str:
    return screen_text(app).split("\n")[-1].strip()


async def test_function_keys_lead_to_screens_and_q_leads_back() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        for place in PLACES:
            await pilot.press(place.key)
            assert title(app) == place.title
        await pilot.press("f1")
        assert title(app) == "Overview"
        assert len(app.screen_stack) == 1
        await pilot.press("f3", "f4", "q")
        assert title(app) == "Sessions"
        await pilot.press("escape")
        assert title(app) == "Overview"


async def test_q_never_quits_and_says_what_does() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q", "escape", "q")
        assert app.is_running
        assert keys_line(app) == "ctrl-c or :q quits"


async def test_words_lead_to_screens() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        for place in PLACES:
            for word in place.words:
                await command(app, pilot, word)
                assert title(app) == place.title, word
        await command(app, pilot, "help")
        assert isinstance(app.screen, HelpScreen)


async def test_the_word_q_quits() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", "q", "enter")
        await pilot.pause()
    assert app.return_code == 0
    assert not app.is_running


async def test_ctrl_c_quits() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+c")
        await pilot.pause()
    assert app.return_code == 0


async def test_tab_completes_a_word_and_the_arrows_recall_it_on_any_screen() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"ses", "tab")
        assert app.screen.query_one(CommandLine).value == "sessions"
        await pilot.press("enter")
        assert title(app) == "Sessions"
        await command(app, pilot, "pods")
        await pilot.press("colon", "up", "up")
        assert app.screen.query_one(CommandLine).value == "sessions"
        await pilot.press("down")
        assert app.screen.query_one(CommandLine).value == "pods"
        await pilot.press("escape")
        assert title(app) == "Pods"
        assert not app.screen.query_one(CommandLine).display
        assert isinstance(app.focused, LiveTable)


async def test_an_unknown_word_is_said_to_be_one() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await command(app, pilot, "frob[/x]")
        assert keys_line(app) == "there is no command 'frob[/x]'; ? lists them"


async def test_keys_that_change_things_elsewhere_are_dead() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("e", "s", "a", "r", "ctrl+d", "ctrl+k"):
            app.screen.query_one("#keys", EdgeLine).show_edges(())
            await pilot.press(key)
            assert title(app) == "Overview"
            assert keys_line(app) == "read-only tool", key


async def test_keys_of_textual_that_end_or_cover_the_dashboard_are_gone() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+q", "ctrl+p", "ctrl+backslash")
        assert app.is_running
        assert title(app) == "Overview"


async def test_help_lists_the_live_keys_of_the_screen_it_was_asked_on() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(100, 60)) as pilot:
        await pilot.press("f5", "question_mark")
        told = screen_text(app)
        for expected in (
            "help for Logs",
            "next log",
            "ctrl-r",
            "read again",
            "q esc",
            ":",
            "pods po",
        ):
            assert expected in told, expected
        await pilot.press("question_mark")
        assert title(app) == "Logs"
        await pilot.press("f4", "question_mark")
        assert "next log" not in screen_text(app)
        await pilot.press("f2")
        assert title(app) == "Pods"


async def test_enter_on_a_panel_of_the_overview_opens_what_it_is_about() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 30)) as pilot:
        await until(pilot, lambda: bool(app.screen.query_one("#grid", LiveTable).rows))
        await pilot.press("j", "enter")
        await until(pilot, lambda: title(app) == "Sessions")
        await until(
            pilot,
            lambda: app.screen.query_one("#sessions", LiveTable).selected.startswith("talos-cp-2"),
        )
        for panel, expected in (("#strip", "Pods"), ("#pools", "Services"), ("#events", "Logs")):
            await pilot.press("f1")
            app.screen.query_one(panel).focus()
            await pilot.press("enter")
            assert title(app) == expected


async def test_ctrl_r_reads_everything_again() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+r")
        assert keys_line(app) == "reading everything again"


async def test_a_terminal_too_small_gets_one_sentence() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(59, 24)) as pilot:
        for width, height in ((59, 24), (80, 14)):
            await pilot.resize_terminal(width, height)
            shown = [widget for widget in app.screen.children if widget.display]
            assert [widget.id for widget in shown] == ["too-small"]
        await pilot.resize_terminal(80, 24)
        assert not app.screen.query_one("#too-small").display
        assert "ciliscope" in screen_text(app)
