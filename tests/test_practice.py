"""Practising: which fault is drawn, what its solution tells, and what is recorded of the path."""

from __future__ import annotations

import base64
import json
import ssl
from contextlib import closing
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from textual.pilot import Pilot

from app.cli.main import main
from app.dashboard.app import CiliscopeApp
from app.dashboard.practice import solution
from app.dashboard.practice_path import TASK, Practice, PracticePath, SolutionSection, text
from app.diagnosis.catalog import code
from app.diagnosis.diagnoser import Diagnoser
from app.lab.faults import FAULTS
from app.lab.launch import start_lab
from app.lab.scenario import (
    WORDS,
    ScenarioError,
    drawn,
    exercise,
    names,
    read_scenario,
    scenario_list,
)
from app.model.finding import Ref
from app.runbooks.engine import Hand
from app.runbooks.evaluation import View
from app.runbooks.library import Library
from screens.logs.screen import LogsScreen
from screens.runbook import RunbookScreen
from screens.texts import TextScreen
from screens.widgets.live_table import LiveTable
from tests.dashboards import recorded_dashboard, screen_text, text_of, until
from tests.lab_cluster import NOON
from tests.lab_reading import read_inside
from tests.ptys import Program, program

ANYBODY = Hand("somebody@somewhere", NOON)
TYPO = Practice(
    sentence="home/typo has no address because its label is misspelt.",
    codes=("CS201", "CS406"),
    changes=("25m before you began: Service home/typo was created",),
    description="A label matches no pool",
    again="ciliscope lab something",
)


def practice_of(name: str) -> Practice:
    """A scenario as the dashboard gets it."""
    found = exercise(name)
    return Practice(
        sentence=found.sentence,
        codes=found.codes,
        changes=found.changes,
        description=found.description,
        again=found.command,
    )


def section(told: tuple[SolutionSection, ...], title: str) -> tuple[str, ...]:
    """The lines of a part of the solution; () where it is left out."""
    return next((each.lines for each in told if each.title == title), ())


# --- what is drawn


def test_what_is_drawn_has_something_to_find_and_a_seed_repeats_it() -> None:
    seeds = range(500)
    found = [drawn(seed) for seed in seeds]
    assert found == [drawn(seed) for seed in seeds]
    listed = {name: read_scenario(name) for name, _ in scenario_list()}
    wanted = {name for name, scenario in listed.items() if scenario.expect.findings}
    assert set(found) == wanted - {"large"}
    assert {"healthy", "policy-shuts-out", "base"}.isdisjoint(found)
    assert drawn() in wanted


@pytest.mark.parametrize("name", ["healthy", "nonesuch", "/nowhere/mine.yaml"])
def test_what_has_nothing_to_find_is_no_exercise(name: str) -> None:
    with pytest.raises(ScenarioError, match=name) as caught:
        exercise(name)
    assert "\n" not in str(caught.value)


def test_a_scenario_of_ones_own_is_an_exercise(tmp_path: Path) -> None:
    file = tmp_path / "my own.yaml"
    file.write_text(
        "description: mine\nextends: base\n"
        "faults:\n- {fault: agent-frozen, at: 90s, for: 5m, every: 20m, node: talos-cp-2}\n"
        "- {fault: router-asn, asn: 64999}\n"
        "expect: {findings: [CS106], sentence: It hangs.}\n"
    )
    found = exercise(str(file))
    assert (found.codes, found.command) == (("CS106",), f"ciliscope lab '{file}'")
    assert found.changes == (
        "90s after you began for 5m, every 20m: the agent hangs and answers no question "
        "(talos-cp-2)",
        "10m before you began: the router has another AS number (AS 64999)",
    )


def test_every_fault_has_words() -> None:
    assert set(WORDS) == set(FAULTS)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("typo-in-pool-label", "25m before you began: Service home/frigate was created"),
        ("no-bgp-config", "1h before you began: CiliumBGPClusterConfig home-ops was deleted"),
        ("no-endpoints", "monitoring/grafana has ready pods on no node"),
        ("old-cilium-cli", "the cilium command is 0.15.19"),
        ("lb-ipam-disabled", "cilium-config: enable-lb-ipam is false"),
        ("session-flaps", "about every 2m: the sessions of talos-cp-2 are reset"),
        (
            "no-ipv6-family",
            "50m before you began: CiliumBGPPeerConfig udm-pro: "
            'spec.families lost {"afi": "ipv6", "safi": "unicast", "advertisements": {"matc…',
        ),
        ("agent-down", "7m before you began: the agent crash-loops (talos-cp-1)"),
        (
            "config-not-rolled-out",
            "3h before you began: ConfigMap kube-system/cilium-config: "
            "data.bpf-lb-algorithm is random",
        ),
        (
            "wrong-peer-asn",
            "12m before you began: CiliumBGPClusterConfig home-ops: "
            "spec.bgpInstances[0].peers[0].peerASN is 64999, was 64513",
        ),
    ],
)
def test_what_was_done_to_a_cluster_is_told_in_words(name: str, told: str) -> None:
    assert exercise(name).changes == (told,)


# --- the solution


@pytest.mark.parametrize("name", names())
def test_the_solution_of_every_scenario_tells_what_was_wrong_and_leads_there(name: str) -> None:
    practice, snapshot, judge = practice_of(name), read_inside(read_scenario(name)), Diagnoser()
    view = View(judge.case(snapshot), judge.verdict(snapshot))
    told = solution(practice, PracticePath(), Library(), view, ANYBODY)
    wrong = section(told, "What was wrong")
    assert wrong[0] == practice.sentence
    assert wrong[1:] == tuple(f"{each}  {code(each).title}" for each in practice.codes)
    assert section(told, "What was done to the cluster")
    ways = section(told, "The runbook that leads there")
    assert ways
    assert all(way.startswith(":run ") and way.endswith(")") for way in ways), ways
    assert all(any(code in way for code in practice.codes) for way in ways), ways
    assert section(told, "Found") == tuple(f"You did not look at {c}." for c in practice.codes)
    assert section(told, "The same cluster again")[-1] == f"ciliscope lab {name}"


def test_a_solution_before_anything_is_read_names_the_runbook_to_begin_with() -> None:
    told = solution(TYPO, PracticePath(), Library(), None, ANYBODY)
    assert section(told, "The runbook that leads there") == (
        ":run lb-no-address",
        ":run bgp-session-down",
    )


def test_a_solution_is_wrapped_for_the_terminal() -> None:
    shown = text(solution(TYPO, PracticePath(), Library(), None, ANYBODY), 40)
    assert max(map(len, shown.splitlines())) <= 40
    assert "  home/typo has no address because its\n      label is misspelt." in shown


# --- the path


class Watch:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_look_at_a_code_counts_until_the_solution_is_shown() -> None:
    watch = Watch()
    path = PracticePath(watch)
    path.arrive("Overview")
    watch.now += 192
    path.arrive("why home/typo", ["CS201"])
    watch.now += 8
    path.arrive("Services")
    path.look(["CS201"])
    path.end(claimed=True)
    watch.now += 600
    path.arrive("Sessions", ["CS406"])
    path.look(["CS406"])
    path.end(claimed=False)
    told = solution(TYPO, path, Library(), None, ANYBODY)
    assert section(told, "Your path") == (
        "00:00  Overview",
        "03:12  why home/typo  (CS201)",
        "03:20  Services  (CS201)",
    )
    assert section(told, "Found") == (
        "You looked at CS201 after 03:12.",
        "You did not look at CS406.",
        "The solution was shown after 03:20, and you said that you had found it.",
    )


# --- on screen


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "ciliscope"


def practising(recording: str = "typo-in-pool-label") -> CiliscopeApp:
    """The dashboard of somebody who practises on a recording."""
    app = recorded_dashboard(recording)
    app.practice = TYPO
    return app


def passing(app: CiliscopeApp) -> str:
    """The passing word at the bottom."""
    return text_of(app.screen.query_one("#keys")).strip()


async def typed(pilot: Pilot[None], words: str) -> None:
    """Type a command."""
    await pilot.press(":", *words, "enter")


async def at_service(pilot: Pilot[None], app: CiliscopeApp, service: str) -> None:
    """Go to a service."""
    await pilot.press("f5")
    table = app.screen.query_one("#services", LiveTable)
    await until(pilot, lambda: service in {row.key for row in table.rows})
    table.select(service)


def recorded(app: CiliscopeApp) -> PracticePath:
    """What was recorded so far."""
    assert app.controllers.practice is not None
    return app.controllers.practice.path


def codes(app: CiliscopeApp) -> set[str]:
    """What was looked at so far."""
    return set(recorded(app).looked)


def path_of(app: CiliscopeApp) -> list[str]:
    """The path so far, without times."""
    return [stop.text for stop in recorded(app).stops]


async def solved(pilot: Pilot[None], app: CiliscopeApp, key: str = "y") -> str:
    """The text that `:solve` shows."""
    await typed(pilot, "solve")
    assert passing(app).startswith("show the solution?")
    await pilot.press(key)
    return await told_at_last(pilot, app, "What was wrong")


async def told_at_last(pilot: Pilot[None], app: CiliscopeApp, words: str) -> str:
    """The text on screen, as soon as these words are in it."""

    def shown() -> str:
        return app.screen.pane.text if isinstance(app.screen, TextScreen) else ""

    await until(pilot, lambda: words in shown())
    return shown()


async def test_the_task_is_told_and_what_is_looked_at_becomes_the_path() -> None:
    app = practising()
    async with app.run_test(size=(100, 60)) as pilot:
        await until(pilot, lambda: passing(app) == TASK)
        await at_service(pilot, app, "home/typo")
        assert codes(app) == set()
        await pilot.press("v")
        await told_at_last(pilot, app, "CS201")
        await pilot.press("q", "enter", "f3", "left_square_bracket")
        assert codes(app) == {"CS201"}
        told = await solved(pilot, app, "f")
        assert path_of(app) == [
            "Overview",
            "Services",
            "why home/typo",
            "Services",
            "Services: home/typo",
            "Sessions",
            "Services: home/typo",
        ]
        assert TYPO.sentence in told
        assert ":run lb-no-address service=home/typo: operator pass, class pass, pool fail" in told
        assert "You looked at CS201 after 00:0" in told
        assert "You did not look at CS406." in told
        assert "and you said that you had found it" in told


async def test_a_step_that_failed_has_shown_the_code_and_its_transcript_is_told(
    state: Path,
) -> None:
    app = practising()
    async with app.run_test(size=(100, 60)) as pilot:
        await at_service(pilot, app, "home/typo")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, RunbookScreen))
        screen = app.screen
        assert isinstance(screen, RunbookScreen)
        await until(pilot, lambda: bool(screen.run.judged))
        assert codes(app) == set()
        await pilot.press("enter", "enter")
        assert codes(app) == {"CS201"}
        told = " ".join((await solved(pilot, app)).split())
        (file,) = (state / "runbooks").glob("*.json")
        assert str(file) in told
        assert (
            "runbook lb-no-address service=home/typo: operator pass, class pass, pool fail; "
            "a cause was found (CS201)"
        ) in told


async def test_a_cause_that_was_opened_was_looked_at() -> None:
    app = practising()
    async with app.run_test(size=(100, 60)) as pilot:
        await until(pilot, lambda: "CS201" in screen_text(app))
        assert codes(app) == set()
        await pilot.press("enter")
        assert path_of(app) == ["Overview", "Services at home/typo"]
        assert codes(app) == {"CS201"}


async def test_the_page_of_a_code_counts_where_that_is_found() -> None:
    app = practising()
    async with app.run_test(size=(100, 60)) as pilot:
        await until(pilot, lambda: "CS201" in screen_text(app))
        await typed(pilot, "explain CS406")
        await pilot.press("q")
        assert codes(app) == set()
        await typed(pilot, "explain CS201")
        assert codes(app) == {"CS201"}
        assert path_of(app) == ["Overview", "CS406", "Overview", "CS201"]


async def test_what_names_a_thing_and_tells_of_no_finding_does_not_count() -> None:
    async def read(_: Ref) -> str:
        return "kind: Service\n"

    app = practising("wrong-peer-asn")
    app.loop.link = replace(app.loop.link, read_object=read)
    async with app.run_test(size=(100, 60)) as pilot:
        await until(pilot, lambda: "CS4" in screen_text(app))
        await pilot.press("f3")
        await until(
            pilot,
            lambda: app.loop.shown_screen is not None and bool(app.loop.shown_screen.at_cursor),
        )
        await pilot.press("y")
        await told_at_last(pilot, app, "kind: Service")
        await pilot.press("q")
        logs = app.controllers.navigator.places["logs"]
        assert isinstance(logs, LogsScreen)
        await app.action_open("logs", Ref("Node", "talos-cp-1"))
        await until(pilot, lambda: logs.at_cursor is not None)
        about = logs.at_cursor
        assert about is not None
        assert app.loop.link.judge.verdict(app.loop.current).concerning([about.ref])
        await pilot.press("enter")
        assert logs.full
        await pilot.press("q")
        assert path_of(app)[-2:] == [f"Logs: {about.name}", "Logs"]
        assert any(told.startswith("yaml ") for told in path_of(app))
        assert codes(app) == set()


async def test_any_other_key_leaves_the_solution_hidden_and_it_is_asked_for_once() -> None:
    app = practising()
    async with app.run_test(size=(100, 60)) as pilot:
        await typed(pilot, "solve")
        await pilot.press("n")
        assert recorded(app).over is None
        assert not isinstance(app.screen, TextScreen)
        await solved(pilot, app)
        await pilot.press("q")
        await at_service(pilot, app, "home/typo")
        await pilot.press("v")
        await told_at_last(pilot, app, "CS201")
        await typed(pilot, "solve")
        await told_at_last(pilot, app, "You did not look at CS201.")
        await typed(pilot, "solve now")
        assert passing(app) == "'solve' takes nothing behind it"


async def test_without_a_practice_nothing_is_recorded_and_there_is_nothing_to_solve() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(100, 60)) as pilot:
        await typed(pilot, "solve")
        assert passing(app).startswith("there is nothing to solve here")
        await pilot.press("f5", "v")
        assert app.controllers.practice is None
        assert app.solution() == ()


# --- the whole


@pytest.mark.parametrize("name", ["typo-in-pool-label", "router-refuses-node"])
def test_a_lab_that_is_called_otherwise_tells_nobody_its_scenario(name: str) -> None:
    with start_lab(name, context="practice") as lab:
        config = lab.kubeconfig.read_text()
        document = json.loads(config)
        assert lab.context == document["current-context"] == "practice"
        said = [config, str(lab.kubeconfig), str(lab.cilium), lab.cilium.read_text()]
        paths = (
            *("/version", "/api/v1/namespaces", "/api/v1/nodes", "/api/v1/pods"),
            *("/api/v1/services", "/api/v1/configmaps", "/api/v1/events"),
            *("/apis/apps/v1/daemonsets", "/apis/coordination.k8s.io/v1/leases"),
            *("/apis/cilium.io/v2/ciliumloadbalancerippools", "/apis/cilium.io/v2/ciliumnodes"),
            *("/apis/cilium.io/v2/ciliumbgpclusterconfigs", "/apis"),
            "/apis/cilium.io/v2/ciliumbgpnodeconfigs",
        )
        said += [fetched(document, lab.url + path) for path in paths]
        assert all(len(each) > 10 for each in said)
        assert not [each for each in said if name in each]


def fetched(kubeconfig: dict[str, list[dict[str, dict[str, str]]]], url: str) -> str:
    """What the API answers."""
    authority = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    trusted = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    token = kubeconfig["users"][0]["user"]["token"]
    place = urlsplit(url)
    api = HTTPSConnection(place.hostname or "", place.port, context=trusted)
    api.request("GET", place.path, headers={"Authorization": f"Bearer {token}"})
    with closing(api), api.getresponse() as answer:
        assert answer.status == 200, url
        return answer.read().decode()


def shown_everywhere(dashboard: Program) -> None:
    """Look at every place, the words for hands, the contexts and what is read; save a list."""
    for place in ("pods", "sessions", "routes", "pools", "logs", "configuration", "services"):
        dashboard.go(place)
    dashboard.type(b"x")
    dashboard.shows("--context practice")
    for word, told in ((b"info", "files"), (b"ctx", "practice"), (b"aliases", "Commands, after :")):
        dashboard.type(b":" + word + b"\r")
        dashboard.shows(told)
        dashboard.settled()
    dashboard.go("services")
    dashboard.type(b"\x13t")
    dashboard.shows("saved:")


def test_the_name_is_hidden_until_the_dashboard_is_left(state: Path) -> None:
    seed = next(n for n in range(100) if drawn(n) == "typo-in-pool-label")
    environment = {"XDG_STATE_HOME": str(state.parent)}
    words = ("lab", "--practice", "--seed", str(seed))
    with program(*words, environment=environment, size=(110, 30)) as dashboard:
        dashboard.shows(TASK)
        dashboard.shows("CS201")
        shown_everywhere(dashboard)
        assert b"typo-in-pool-label" not in dashboard.written
        (saved,) = state.glob("*.txt")
        assert "typo-in" not in saved.name + saved.read_text()
        assert saved.name.startswith("practice-")
        before = len(dashboard.written)
        dashboard.type(b"\x03")
        assert dashboard.ended() == 0
        told = dashboard.written[before:].decode("utf-8", "replace")
    left = told.index("\x1b[?1049l")
    assert left < told.index("What was wrong")
    assert "home/frigate has no address because its pool label says bgp-defualt" in told
    assert "You did not look at CS201." in told
    assert "ciliscope lab typo-in-pool-label" in told


def test_what_was_found_is_told_when_the_dashboard_was_left(state: Path) -> None:
    environment = {"XDG_STATE_HOME": str(state.parent)}
    words = ("lab", "--practice", "router-refuses-node")
    with program(*words, environment=environment, size=(110, 30)) as dashboard:
        dashboard.shows("practice", "CS404")
        dashboard.type(b"v")
        dashboard.shows("What is wrong")
        assert b"router-refuses-node" not in dashboard.written
        dashboard.type(b":solve\r")
        dashboard.shows("show the solution?")
        dashboard.type(b"y")
        dashboard.shows("What was wrong", "ciliscope lab router-refuses-node")
        before = len(dashboard.written)
        dashboard.type(b":q\r")
        assert dashboard.ended() == 0
        told = dashboard.written[before:].decode("utf-8", "replace").partition("\x1b[?1049l")[2]
        assert "You looked at CS404 after 00:" in told
        assert "The solution was shown after" in told


@pytest.mark.parametrize(
    "words", [["--", "check"], ["--serve"], ["--replay", "x"], ["home", "--", "get", "pods"]]
)
def test_practising_is_for_the_dashboard(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "--practice", *words]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "--practice is for the dashboard" in told.err


def test_practising_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "--practice"]) == 2
    assert "there is none, so nothing can be practised" in capsys.readouterr().err


def test_a_scenario_without_a_fault_is_refused() -> None:
    with program("lab", "--practice", "healthy") as refused:
        assert refused.ended() == 2
        assert "there is nothing to find in healthy" in refused.text
