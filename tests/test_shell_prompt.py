"""The prompt: commands and their completion, filters as they are typed, what is no text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.state.kinds import SERVICES
from screens.base.cluster_screen import ClusterScreen
from screens.help import HelpScreen
from screens.registry import Names, completions, filter_of, meanings, meant, places
from screens.texts import TextScreen
from screens.widgets.command_line import CommandLine
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import EdgeLine
from tests.dashboards import recorded_dashboard, text_of, until
from tests.recorded import snapshot_of
from tests.selecting import narrowing, selecting

__all__ = ["narrowing", "selecting"]

NAMES = Names(
    contexts=("home-ops", "home-lab"),
    themes=("ciliscope", "ciliscope-ansi"),
    codes=("CS201", "CS202"),
    categories=("lb-ipam", "bgp-config", "cilium"),
)


def title(app: CiliscopeApp) -> str:
    return app.screen.title_text if isinstance(app.screen, ClusterScreen) else "Help"


def keys_line(app: CiliscopeApp) -> str:
    return text_of(app.screen.query_one("#keys", EdgeLine)).strip()


def prompt(app: CiliscopeApp) -> CommandLine:
    return app.screen.query_one(CommandLine)


def narrowed(table: LiveTable) -> str:
    """What narrows a table."""
    return table.filter_text


async def command(pilot: Pilot[None], text: str) -> None:
    await pilot.press("colon")
    pilot.app.screen.query_one(CommandLine).value = text
    await pilot.press("enter")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ser", "services"),
        ("exp", "explain"),
        ("explain s", "explain service"),
        ("explain service home/g", "explain service home/grafana"),
        ("explain pool bgp-d", "explain pool bgp-default"),
        ("explain session talos-cp-2", ""),
        ("explain session t", "explain session talos-cp-1"),
        ("explain cs2", "explain CS201"),
        ("who 172.29.52.2", "who 172.29.52.200"),
        ("check l", "check lb-ipam"),
        ("ctx home-l", "ctx home-lab"),
        ("theme ciliscope-", "theme ciliscope-ansi"),
        ("mouse of", "mouse off"),
        ("get po", "get pods"),
        ("", ""),
        ("zz", ""),
        ("svc /x", ""),
        ("expl serv", "expl service"),
        ("check bgp", "check bgp-config"),
        ("check bgp-config c", "check bgp-config cilium"),
        ("svc @home-l", "svc @home-lab"),
        ("svc /x @h", "svc /x @home-ops"),
        ("svc @home-ops @", ""),
        ("get po @h", "get po @home-ops"),
        ("explain @", ""),
        ("logs i", "logs ipam"),
        ("log talos-cp-2", ""),
        ("logs bgp talos-cp-", "logs bgp talos-cp-1"),
        ("get logs err", "get logs errors"),
        ("logs /x b", ""),
        ("svc i", ""),
        ("svc h", "svc home"),
        ("svc home h", ""),
        ("pods h", ""),
    ],
)
async def test_words_and_what_they_take_are_completed(typed: str, expected: str) -> None:
    found = completions(typed, await snapshot_of("healthy"), NAMES)
    assert (found[0] if found else "") == expected


@given(st.text(max_size=40))
def test_no_text_breaks_the_words(text: str) -> None:
    for word in text.lower().split()[:1]:
        meant(word)
    filter_of(text)


def test_every_word_means_one_thing() -> None:
    words = [w for each in meanings() for w in each.words]
    words += [kind for place in places() for kind in place.kinds]
    assert len(words) == len(set(words))
    assert all(len(meant(word)) == 1 for word in words)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("/graf", "graf"),
        ("app=web", "-l app=web"),
        ("app!=web", "-l app!=web"),
        ("io.cilium/pool=x", "-l io.cilium/pool=x"),
        ("app=web,tier!=x", "-l app=web,tier!=x"),
        ("!/graf", "!graf"),
        ("/!graf", "!graf"),
        ("/a b", "a b"),
        ("-l app=web", "-l app=web"),
        ("-l !app", "-l !app"),
        ("-f grf", "-f grf"),
        ("/", ""),
        ("-l", None),
        ("-f ", None),
        ("-x", None),
        ("app=web x", None),
        ("graf", None),
        ("graf /x", None),
    ],
)
def test_what_stands_behind_a_screen_is_a_filter_as_in_k9s(rest: str, expected: str) -> None:
    assert filter_of(rest) == expected


async def test_keys_of_the_prompt_complete_and_clear() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5", "colon", *"expl", "right")
        assert prompt(app).value == "explain"
        await pilot.press("space", *"serv", "ctrl+f")
        assert prompt(app).value == "explain service"
        await pilot.press("ctrl+u", *"pods", "ctrl+w")
        assert prompt(app).value == ""
        await pilot.press("p", "o", "left", "right")
        assert prompt(app).value == "po"
        await pilot.press("escape")
        assert title(app) == "Services"


async def test_tab_again_goes_on_to_what_else_it_may_become() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"check", "space", *"bgp", "tab")
        assert prompt(app).value == "check bgp-config"
        await pilot.press("tab")
        assert prompt(app).value == "check bgp-sessions"
        await pilot.press("tab")
        assert prompt(app).value == "check bgp-config"
        await pilot.press("space", "v", "tab", "tab")
        assert prompt(app).value == "check bgp-config view", "of one offer there is no other"
        await pilot.press("escape", "colon", "tab")
        assert prompt(app).value == ""


async def test_control_characters_and_replies_of_the_terminal_are_no_text() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon")
        for sent in ("\x1b[7;15R", "[7;15R", "\x1b]11;rgb:0000/0000/0000\x1b\\", "s\x07v\x00c"):
            app.post_message(events.Paste(sent))
        await until(pilot, lambda: prompt(app).value == "svc")
        for key in "[7;15R":
            app.post_message(events.Key("x", key))
        await pilot.pause()
        assert prompt(app).value == "svc"


async def test_every_kind_of_command_leads_where_its_word_says() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(100, 30)) as pilot:
        for text, expected in (
            ("ippools", "Pools"),
            ("cbgpnode", "Sessions"),
            ("get services", "Services"),
            ("get nodes", "Sessions"),
            ("config", "Configuration"),
            ("info", "Info"),
            ("get sources", "Info"),
            ("check", "Check"),
            ("check lb-ipam", "Check lb-ipam"),
            ("check bgp", "Check bgp-config bgp-sessions"),
            ("check lb view", "Check lb-ipam view"),
            ("explain CS201", "CS201"),
            ("who 172.29.52.101", "why"),
            ("who 172.29.52.96/27", "why"),
            ("why pool bgp-default", "why"),
            ("aliases", "Help"),
        ):
            await command(pilot, text) if title(app) != "Help" else None
            assert title(app) == expected, text
        assert isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("srevices", "there is no command 'srevices'; did you mean :services?"),
        ("ippoo", "there is no command 'ippoo'"),
        ("explain", "explain takes service NAMESPACE/NAME"),
        ("explain service grafana", "it must be NAMESPACE/NAME"),
        (
            "who everyone",
            "who is 'everyone'; it must be an address, or a prefix, as 172.29.52.96/27",
        ),
        ("who 10.0.0.0/99", "who is '10.0.0.0/99'; it must be an address, or a prefix"),
        ("who", "who takes one address"),
        (
            "svc graf",
            "'svc' takes /regex, !/regex, k=v, -l k=v, -f letters or @context, not 'graf'",
        ),
        ("svc -l", "'svc' takes /regex"),
        ("svc graf /x", "'svc' takes /regex"),
        ("svc home -l", "'svc' takes /regex"),
        ("get svc -f", "'svc' takes /regex"),
        ("svc @other", "there are no other contexts here"),
        ("logs everything", "there is no log 'everything'; ipam bgp errors all"),
        ("check everything", "there is no category 'everything'; Tab offers those there are"),
        ("check bpg-config", "there is no category 'bpg-config'; near it: bgp-config"),
        ("get secrets", "get takes pods, nodes, sessions"),
        ("mouse maybe", "mouse takes on or off"),
        ("mouse on", "this terminal has no mouse to give"),
        ("theme purple", "themes are "),
        ("ctx other", "there are no other contexts here"),
        ("info x", "'info' takes nothing behind it"),
    ],
)
async def test_what_cannot_be_obeyed_is_one_sentence(text: str, told: str) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(160, 24)) as pilot:
        await command(pilot, text)
        assert told in keys_line(app)
        assert title(app) == "Overview"


async def test_a_question_about_what_is_not_there_is_answered_with_what_is_near() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: bool(app.loop.monitor.snapshot.records[SERVICES]))
        await command(pilot, "explain service home/grafanna")
        assert isinstance(app.screen, TextScreen)
        assert "did you mean home/grafana?" in app.screen.pane.text


async def test_a_filter_works_as_it_is_typed_and_esc_undoes_it_first(narrowing: None) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) > 1)
        await pilot.press("slash", *"graf")
        assert narrowed(table) == "graf"
        assert [row.key for row in table.rows] == ["home/grafana"]
        await pilot.press("enter")
        assert app.focused is table
        await pilot.press("slash")
        assert prompt(app).value == "graf", "what narrows the list can be changed"
        await pilot.press("enter")
        await pilot.press("escape")
        assert narrowed(table) == ""
        assert title(app) == "Services"
        await pilot.press("slash", "x", "ctrl+u", "left_parenthesis")
        assert "is no regular expression" in keys_line(app)
        await pilot.press("escape")
        assert narrowed(table) == ""
        await pilot.press("slash", *"plex", "enter", "ctrl+q")
        assert narrowed(table) == ""
        assert app.is_running
        await pilot.press("escape")
        assert title(app) == "Overview"


async def test_the_word_of_a_screen_takes_a_filter(narrowing: None) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) > 1)
        await pilot.press("f1", "colon", *"svc", "space", "slash", *"graf", "enter")
        assert title(app) == "Services"
        assert narrowed(table) == "graf"
