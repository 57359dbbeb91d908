"""The guided mode on screen: the runbook that fits, step after step, kept as it happens."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.runbooks.engine import Answered, Begun, Judged, Moved, Noted, Skipped
from app.runbooks.transcript import TranscriptDocument, read
from app.state.kinds import NODES, SERVICES
from screens.runbook import RunbookScreen, RunbooksScreen
from screens.widgets.live_table import LiveTable
from tests.dashboards import recorded_dashboard, screen_text, until


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where transcripts are kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "ciliscope"


def kept(state: Path) -> TranscriptDocument:
    """The one transcript."""
    (file,) = (state / "runbooks").glob("*.json")
    return read(file)


def notes_in(file: Path) -> list[str]:
    """The notes of one transcript."""
    return [entry.text for entry in read(file).entries if isinstance(entry, Noted)]


def notes(state: Path) -> list[str]:
    """The notes of the one transcript."""
    (file,) = (state / "runbooks").glob("*.json")
    return notes_in(file)


def way(screen: RunbookScreen) -> list[str]:
    """The steps on the way."""
    return list(screen.run.way)


def exported(state: Path) -> list[str]:
    """What was saved as Markdown."""
    return [file.read_text() for file in state.glob("*.md")]


async def opened(pilot: Pilot[None], app: CiliscopeApp, service: str) -> RunbookScreen:
    """The runbook that `r` opens on a service."""
    await pilot.press("f5")
    table = app.screen.query_one("#services", LiveTable)
    await until(pilot, lambda: service in {row.key for row in table.rows})
    table.select(service)
    await pilot.press("r")
    return await shown(pilot, app)


async def shown(pilot: Pilot[None], app: CiliscopeApp) -> RunbookScreen:
    """The runbook on screen, as soon as it has judged its step."""
    await until(pilot, lambda: isinstance(app.screen, RunbookScreen))
    screen = app.screen
    assert isinstance(screen, RunbookScreen)
    await until(pilot, lambda: bool(screen.run.judged))
    return screen


async def test_r_on_a_service_without_address_leads_to_the_label_that_is_wrong(state: Path) -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, "home/typo")
        assert (screen.run.runbook.name, screen.run.parameters) == (
            "lb-no-address",
            {"service": "home/typo"},
        )
        await pilot.press("enter", "enter")
        assert way(screen) == ["operator", "class", "pool"]
        text = screen_text(app)
        assert "✓ 1 Is the operator at work?" in text
        assert "✗ 3 Does a pool select it?" in text
        assert "CS201" in text
        assert "looks like a typo of" in " ".join(text.split())
        await pilot.press("enter")
        assert screen.run.way[-1] == "fixed"
        await pilot.press("enter")
        assert screen.run.way[-1] == "fixed"
    told = kept(state)
    assert [type(entry) for entry in told.entries if not isinstance(entry, Judged)] == [
        Begun,
        Moved,
        Moved,
        Moved,
    ]
    assert told.result == "a cause was found"
    judged = {entry.step: entry for entry in told.entries if isinstance(entry, Judged)}
    assert judged["pool"].findings[0].code == "CS201"
    assert judged["pool"].findings[0].evidence[0].at is not None
    assert "@" in judged["pool"].by


async def test_every_step_can_be_looked_at_and_b_goes_back(state: Path) -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, "home/typo")
        await pilot.press("enter", "enter", "b")
        assert way(screen) == ["operator", "class"]
        await pilot.press("b")
        await pilot.press("b")
        assert way(screen) == ["operator"]
        assert "this is the first step" in app.screen.query_one("#keys").render_line(0).text
        await pilot.press("j", "j", "j")
        assert "4  Has it got its address?" in screen_text(app)
        assert way(screen) == ["operator"]


async def test_notes_skips_and_answers_are_kept_as_they_happen(state: Path) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(":", *"run lb-unreachable home/grafana", "enter")
        screen = await shown(pilot, app)
        await pilot.press("n", *"who called?", "enter")
        assert [e.text for e in kept(state).entries if isinstance(e, Noted)] == ["who called?"]
        await pilot.press("s", *"seen already", "enter")
        assert [e.reason for e in kept(state).entries if isinstance(e, Skipped)] == ["seen already"]
        assert "(skipped) Has it an address?" in screen_text(app)
        while screen.run.way[-1] != "router":
            await pilot.press("enter")
        assert "Where only you can look" in screen_text(app)
        await pilot.press("9")
        assert not screen.run.answers
        await pilot.press("1")
        assert [e.choice for e in kept(state).entries if isinstance(e, Answered)] == ["present"]
        assert "✓ 7 Does the router take it?" in screen_text(app)
        await pilot.press("enter", "1", "enter")
        assert screen.run.ended
        assert "open" in screen.query_one("#title").render_line(0).text


async def test_a_runbook_that_was_left_goes_on_where_it_was(state: Path) -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "home/typo")
        await pilot.press("enter", "q")
        assert not isinstance(app.screen, RunbookScreen)
        await pilot.press("r")
        again = await shown(pilot, app)
        assert again.run.way == ("operator", "class")
        await pilot.press("q", ":", *"run", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunbooksScreen))
        table = app.screen.query_one("#runbooks", LiveTable)
        await until(pilot, lambda: any("go on" in row.cells[1].text for row in table.rows))
        await pilot.press("enter")
        assert (await shown(pilot, app)).run.way == ("operator", "class")
    kept(state)


async def test_the_list_begins_with_what_fits_what_is_wrong() -> None:
    app = recorded_dashboard("wrong-peer-asn")
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(":", *"run", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunbooksScreen))
        table = app.screen.query_one("#runbooks", LiveTable)
        await until(pilot, lambda: bool(table.rows) and "CS401" in table.rows[0].cells[1].text)
        assert table.rows[0].cells[0].text == "bgp-session-down"
        assert table.rows[0].cells[1].text.startswith("start here: ")
        await pilot.press("g", "enter")
        assert (await shown(pilot, app)).run.runbook.name == "bgp-session-down"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("run lb-no-adress", "did you mean lb-no-address?"),
        ("run lb-no-address home/nothing", "there is no service of type LoadBalancer home/nothing"),
        ("run lb-no-address nothing", "must be NAMESPACE/NAME"),
        ("run lb-no-address node=x", "lb-no-address"),
    ],
)
async def test_what_cannot_be_begun_is_told(command: str, told: str) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(
            pilot,
            lambda: not app.loop.current.setting_up and bool(app.loop.current.records[SERVICES]),
        )
        await pilot.press(":", *command, "enter")
        shown = app.screen
        await until(
            pilot,
            lambda: (
                told in shown.query_one("#keys").render_line(0).text
                or shown.query_one("#prompt").display
            ),
        )
        assert not isinstance(app.screen, RunbookScreen)


async def test_a_parameter_that_is_missing_is_asked_for_and_completed(state: Path) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(app.loop.current.records[SERVICES]))
        await pilot.press(":", *"run node-maintenance", "enter")
        await pilot.press(*"talos", "tab", "enter")
        screen = await shown(pilot, app)
        assert screen.run.parameters["node"] in app.loop.current.records[NODES]


async def test_an_export_hides_addresses_when_it_is_asked_to(state: Path) -> None:
    app = recorded_dashboard("wrong-peer-asn")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(":", *"run bgp-session-down", "enter")
        screen = await shown(pilot, app)
        await pilot.press("enter", "enter", "enter")
        assert screen.run.way[-1] == "state"
        await pilot.press("e", "M")
        await pilot.press("e", "m")
    texts = exported(state)
    assert len(texts) == 2
    assert sum("172.29.51.1" in text for text in texts) == 1
    assert all("CS401" in text for text in texts)


async def test_a_file_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "occupied"))
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(":", *"run cilium-unhealthy", "enter")
        screen = await shown(pilot, app)
        assert "not kept" in screen.query_one("#title").render_line(0).text


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (140, 40), (400, 100)])
async def test_steps_and_page_stand_side_by_side_in_any_size(size: tuple[int, int]) -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app, "home/typo")
        steps, page = screen.query_one("#steps").region, screen.query_one("#more").region
        assert steps.right <= page.x
        assert min(steps.width, page.width) >= 22
        assert min(steps.height, page.height) == max(steps.height, page.height)


async def test_what_is_to_be_done_can_be_copied(state: Path) -> None:
    app = recorded_dashboard("typo-in-pool-label")
    app.clipboard_by = "osc52"
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "home/typo")
        await pilot.press("enter", "enter", "c")
        assert app.clipboard == "metadata:\n  labels:\n    io.cilium/lb-ipam-pool: bgp-default\n"
        await pilot.press("b", "c")
        assert app.clipboard.startswith("Is it LB-IPAM's to serve?")


async def test_a_question_is_not_passed_by_accident(state: Path) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(":", *"run lb-unreachable home/grafana", "enter")
        screen = await shown(pilot, app)
        while screen.run.way[-1] != "router":
            await pilot.press("enter")
        await pilot.press("enter")
        assert screen.run.way[-1] == "router"
        assert "say what you see: 1 to 4" in screen.query_one("#keys").render_line(0).text
        assert "vtysh -c 'show bgp ipv4 unicast" in " ".join(screen_text(app).split())
        await pilot.press("1", "enter")
        assert "nc -vz -w 5 172.29.52." in " ".join(screen_text(app).split())


async def test_all_lines_of_a_pasted_note_are_kept(state: Path) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(":", *"run cilium-unhealthy", "enter")
        await shown(pilot, app)
        await pilot.press("n")
        app.post_message(events.Paste("one\n\ntwo\x1b[2J\nthree"))
        await pilot.press("enter")
        await until(pilot, lambda: bool(notes(state)))
    assert notes(state) == ["one | two | three"]


async def test_what_was_seen_before_going_back_stays_seen(state: Path) -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "home/typo")
        await pilot.press("enter", "enter", "n", *"aha", "enter", "b", "b")
        assert "✗ 3 Does a pool select it?" in screen_text(app)
        await pilot.press("e", "m")
    (text,) = exported(state)
    assert "CS201" in text
    assert "gone back from" in text
    assert "aha" in text


async def test_a_run_that_was_begun_on_another_cluster_says_so(state: Path) -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "home/typo")
    (file,) = (state / "runbooks").glob("*.json")
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.wired.wait()
        await app.controllers.runbooks.resume(read(file), file)
        screen = await shown(pilot, app)
        title = screen.query_one("#title")
        await until(pilot, lambda: "begun on typo-in-pool-label!" in title.render_line(0).text)


async def test_two_that_go_on_with_one_file_lose_nothing(state: Path) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(":", *"run cilium-unhealthy", "enter")
        await shown(pilot, app)
        (file,) = (state / "runbooks").glob("*.json")
        other = recorded_dashboard("healthy")
        async with other.run_test(size=(80, 24)) as second:
            await other.wired.wait()
            await other.controllers.runbooks.resume(read(file), file)
            await shown(second, other)
            await second.press("n", *"theirs", "enter")
        await pilot.press("n", *"ours", "enter")
        assert "somebody else goes on" in app.screen.query_one("#keys").render_line(0).text
    texts = [note for path in (state / "runbooks").glob("*.json") for note in notes_in(path)]
    assert sorted(texts) == ["ours", "theirs"]


async def test_v_explains_what_the_run_is_about_where_nothing_is_found(state: Path) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(":", *"run lb-unreachable home/grafana", "enter")
        screen = await shown(pilot, app)
        selected = screen.at_cursor
        assert selected is not None
        assert selected.question == ("service", "home/grafana")
