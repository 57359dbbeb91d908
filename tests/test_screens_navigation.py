"""Getting about: every screen by key, word and Enter; keys that must do nothing; help; prompt."""

from __future__ import annotations

import pytest
from textual import events
from textual.geometry import Size
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from screens.base.cluster_screen import ClusterScreen
from screens.help import HelpScreen
from screens.registry import places
from screens.widgets.command_line import CommandLine
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import EdgeLine
from tests.dashboards import (
    recorded_dashboard,
    screen_text,
    until,
)


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
        for place in places():
            await pilot.press(place.key)
            assert title(app) == place.title
        await pilot.press("f1")
        assert title(app) == "Overview"
        assert len(app.screen_stack) == 1
        await pilot.press("f3", "f5", "q")
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
        for place in places():
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
        for key in ("e", "s", "a", "i", "t", "F", "ctrl+d", "ctrl+k"):
            app.screen.query_one("#keys", EdgeLine).show_edges(())
            await pilot.press(key)
            assert title(app) == "Overview"
            assert keys_line(app) == "read-only tool; x shows the command", key


async def test_keys_of_textual_that_end_or_cover_the_dashboard_are_gone() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+q", "ctrl+p", "ctrl+backslash")
        assert app.is_running
        assert title(app) == "Overview"


async def test_help_lists_the_live_keys_of_the_screen_it_was_asked_on() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(100, 60)) as pilot:
        await pilot.press("f7", "question_mark")
        told = screen_text(app)
        for expected in (
            "help for Logs",
            "next log",
            "ctrl-r",
            "read again",
            "esc",
            "This screen",
            "In lists and texts",
            "Everywhere",
            ":",
        ):
            assert expected in told, expected
        await pilot.press("end")
        assert "pods po" in screen_text(app)
        assert "≠" in screen_text(app)
        await pilot.press("question_mark")
        assert title(app) == "Logs"
        await pilot.press("f5", "question_mark")
        assert "next log" not in screen_text(app)
        await pilot.press("f2")
        assert title(app) == "Pods"


async def test_a_terminal_that_was_too_small_for_a_while_has_its_keys_again() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        table, sentence = app.screen.query_one(LiveTable), app.screen.query_one("#too-small")
        await pilot.resize_terminal(40, 10)
        await until(pilot, lambda: bool(sentence.size) and not table.is_on_screen)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not sentence.display and table.is_on_screen)
        await until(pilot, lambda: app.focused is table, 5)
        await until(pilot, lambda: "↵ open" in keys_line(app), 5)


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
        for panel, expected in (("#strip", "Pods"), ("#pools", "Pools"), ("#events", "Logs")):
            await pilot.press("f1")
            app.screen.query_one(panel).focus()
            await pilot.press("enter")
            assert title(app) == expected


async def test_ctrl_r_reads_everything_again() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+r")
        assert keys_line(app) == "reading everything again"


def burst(app: CiliscopeApp, *keys: str) -> None:
    """Send keys as fast as a paste into the terminal would."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


def typed(word: str) -> tuple[str, ...]:
    """The keys of a command with its Enter."""
    return ("colon", *word, "enter")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (typed("svc"), "Services"),
        (("f1", *typed("svc")), "Services"),
        (("f3", "f1", *typed("po")), "Pods"),
        ((*typed("logs"), *typed("po")), "Pods"),
        ((*typed("logs"), *typed("po"), *typed("svc"), "f1", *typed("peers")), "Sessions"),
        (("question_mark", "q", *typed("po")), "Pods"),
        (("question_mark", "colon", "s", "v", "c", "enter"), "Services"),
        (("colon", "s", "v", "escape", *typed("po")), "Pods"),
        (("colon", "x", "f5", *typed("logs"), "q", "q"), "Overview"),
        (("f2", "f3", "f5", "f7", "q", "q", *typed("logs"), "escape"), "Sessions"),
    ],
)
async def test_keys_in_one_burst_each_do_what_they_would_do_alone(
    keys: tuple[str, ...], expected: str
) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        for place in ("overview", "services"):
            await app.run_action(f"go('{place}')")
            burst(app, *keys)
            await until(pilot, lambda: title(app) == expected)
            await pilot.pause()
            assert title(app) == expected
            assert not app.screen.query_one(CommandLine).display
            assert "no command" not in keys_line(app)


async def test_a_screen_that_comes_up_is_filled_before_the_next_key() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 30)) as pilot:
        await until(pilot, lambda: bool(app.screen.query_one("#grid", LiveTable).rows))
        burst(app, "j", "enter", "j")
        await until(pilot, lambda: title(app) == "Sessions")
        assert app.screen.query_one("#sessions", LiveTable).selected.startswith("talos-cp-3")
        burst(app, "f2", "j", "j")
        await until(pilot, lambda: title(app) == "Pods")
        await pilot.pause()
        table = app.screen.query_one("#pods", LiveTable)
        assert table.selected == table.rows[2].key


async def test_what_is_pasted_goes_into_the_prompt_in_its_order() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        burst(app, "colon", "s")
        app.post_message(events.Paste("v\nrm"))
        burst(app, "c", "enter")
        await until(pilot, lambda: title(app) == "Services")


async def test_a_prompt_that_is_left_gives_the_keys_back_to_the_panel_that_had_them() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab", "tab")
        panel = app.focused
        assert panel is not None
        await pilot.press("colon", "x", "escape")
        assert app.focused is panel


async def test_the_keys_come_back_when_the_terminal_was_left_with_an_open_prompt() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", "x")
        app.post_message(events.AppBlur())
        await pilot.pause()
        app.post_message(events.AppFocus())
        await pilot.pause()
        await pilot.press("f2", "f1", "j", *typed("po"))
        assert title(app) == "Pods"


async def test_a_word_may_be_cut_short_as_long_as_it_means_one_thing() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(100, 24)) as pilot:
        for word, expected in (("ses", "Sessions"), ("l", "Logs"), ("o", "Overview")):
            await command(app, pilot, word)
            assert title(app) == expected
        await command(app, pilot, "s")
        assert keys_line(app) == "'s' begins status, sessions, services, sources; Tab completes"
        for word in ("e", "qui", "ex"):
            await command(app, pilot, word)
            assert app.is_running, "only a word that is spelled out quits"
        await command(app, pilot, "services media")
        assert "'services' takes /regex, !/regex, k=v, -l k=v" in keys_line(app)
        assert title(app) == "Overview"


async def test_keys_that_mean_nothing_do_nothing_and_end_a_passing_word() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "open" in keys_line(app))
        usual = keys_line(app)
        for key in ("b", "D", "space", "plus", "w", "Z"):
            await pilot.press("e")
            assert keys_line(app) == "read-only tool; x shows the command"
            await pilot.press(key)
            assert keys_line(app) == usual, key


async def test_help_names_no_key_that_is_not_ours() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(100, 60)) as pilot:
        for key in ("f1", "f3", "f7"):
            await pilot.press(key, "question_mark")
            assert "Page Left" not in screen_text(app)
            assert "Scroll" not in screen_text(app)
            await pilot.press("q")


async def test_a_size_of_a_while_ago_is_not_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual tells a screen that was laid out its size: two by turns would never come to rest."""
    app, laid_out = recorded_dashboard("healthy"), list[Size]()
    lay_out = ClusterScreen._refresh_layout

    def watched(
        screen: ClusterScreen[object], size: Size | None = None, scroll: bool = False
    ) -> None:
        if size is not None:
            laid_out.append(size)
        assert len(laid_out) < 20
        lay_out(screen, size, scroll)

    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        monkeypatch.setattr(ClusterScreen, "_refresh_layout", watched)
        await pilot.resize_terminal(100, 30)
        for size in (Size(100, 30), Size(80, 24), Size(100, 30)):
            app.screen.post_message(events.Resize(size, size))
            app.screen.post_message(events.Callback(callback=lambda: None))
        await pilot.pause()
    assert set(laid_out) == {Size(100, 30)}


async def test_a_terminal_too_small_gets_one_sentence() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(59, 24)) as pilot:
        for width, height in ((59, 24), (80, 14), (40, 10)):
            await pilot.resize_terminal(width, height)
            for place in places():
                await pilot.press(place.key)
                await pilot.pause()
                shown = [widget for widget in app.screen.children if widget.display]
                assert [widget.id for widget in shown] == ["too-small"], (place.name, width)
        await pilot.press("f1")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not app.screen.query_one("#too-small").display)
        await until(pilot, lambda: "ciliscope" in screen_text(app))
