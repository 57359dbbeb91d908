"""What is said of a step, and the tables and logs beside it."""

from __future__ import annotations

import pytest

from app.runbooks.engine import answer, judgements, note, observe
from app.runbooks.library import built_in
from app.runbooks.page import MOST, PagePart, commands, kinds_of, panels, parts, router_commands
from app.runbooks.schema import StepVerdict, offered
from app.state.kinds import AGENT_LOGS, OPERATOR_LOG, POOLS, SERVICES
from collectors.sanitize import one_line, printable
from tests.recorded import NAMES, snapshot_of, with_logs
from tests.runbook_files import HAND
from tests.runbook_runs import SHELF, followed, view_of

SESSION = {"session": "talos-cp-1/172.29.51.1"}


def texts(told: list[PagePart], role: str) -> list[str]:
    """What is said in one role."""
    return [part.text for part in told if part.role == role]


@pytest.mark.parametrize("name", NAMES)
async def test_every_step_can_be_told_of_every_recording(name: str) -> None:
    snapshot = with_logs(await snapshot_of(name), name)
    view = view_of(snapshot)
    for runbook in map(built_in, SHELF.names()):
        things = {p: offered(k.kind, view.case)[:1] for p, k in runbook.parameters.items()}
        given = {name: known[0] for name, known in things.items() if known}
        run = followed(runbook, given, view)
        found = judgements(run, view)
        for step in runbook.steps:
            told = list(parts(run, step, found.get(step.id), view))
            assert told[0].role == "ask"
            assert "{" not in told[0].text
            assert all(part.text == printable(part.text) for part in told)
            lines = 0
            for part in panels(runbook, step, given, snapshot):
                lines = lines + 1 if part.role == "row" else 0
                assert lines <= MOST + 2
                assert part.role == "row" or part.text == one_line(part.text)
                assert "\n" not in part.text


async def test_a_failing_step_tells_the_cause_its_proof_and_what_to_do() -> None:
    view = view_of(await snapshot_of("router-killed"))
    run = followed(built_in("bgp-session-down"), SESSION, view)
    step = run.runbook.step("state")
    found = judgements(run, view)["state"]
    told = list(parts(run, step, found, view))
    assert texts(told, "ask") == ["Who said what?"]
    (cause,) = texts(told, "finding")
    assert cause.startswith("CS401 ")
    assert texts(told, "evidence")
    assert texts(told, "remedy")
    assert texts(told, "panel")[0] == "sessions of talos-cp-1/172.29.51.1"
    rows = [row for row in texts(told, "row") if "172.29.51.1" in row]
    assert any("talos-cp-1" in row for row in rows)
    assert not any("talos-cp-2" in row for row in rows)
    shown = commands(run, step, found, view)
    assert shown[-2:] == (
        "cilium --context router-killed bgp peers",
        "kubectl --context router-killed -n kube-system logs daemonset/cilium --since=1h",
    )


async def test_a_manual_step_tells_its_choices_and_the_answer() -> None:
    view = view_of(await snapshot_of("router-killed"))
    run = followed(built_in("bgp-session-down"), SESSION, view)
    step = run.runbook.step("router")
    told = list(parts(run, step, None, view))
    assert [text.partition(":")[0] for text in texts(told, "choice")] == [
        "established", "active", "refused", "shutdown",
    ]  # fmt: skip
    assert texts(told, "answer") == texts(told, "remedy") == []
    run = note(answer(run, step, "shutdown", HAND), "seen", HAND)
    told = list(parts(run, step, None, view))
    assert texts(told, "answer")[0].startswith(
        "The neighbor is shut down or unknown there (ann@desk"
    )
    assert texts(told, "remedy")
    last = run.runbook.step("fixed")
    assert texts(list(parts(run, last, None, view)), "note") == ["10:15:30Z ann@desk: seen"]


async def test_commands_for_the_router_are_those_of_the_way_of_the_service() -> None:
    view = view_of(await snapshot_of("healthy"))
    run = followed(built_in("lb-unreachable"), {"service": "home/grafana"}, view)
    told = router_commands(run, run.runbook.step("router"), view.case)
    assert told
    assert all("{" not in text for text in told)
    assert router_commands(run, run.runbook.step("address"), view.case) == ()


async def test_a_step_that_turned_says_so() -> None:
    well = view_of(await snapshot_of("healthy"))
    broken = view_of(await snapshot_of("router-killed"))
    run = followed(built_in("bgp-session-down"), SESSION, well)
    assert run.ended
    run = observe(run, judgements(run, broken), broken, "ann@desk")
    told = list(parts(run, run.runbook.step("state"), judgements(run, broken)["state"], broken))
    assert [p for p in told if p.role == "turned"] == [
        PagePart("turned", "it passed before, and fails now", StepVerdict.FAIL)
    ]
    assert run.result == "a cause was found"


def test_what_a_runbook_shows_beside_is_read() -> None:
    assert {OPERATOR_LOG, SERVICES, POOLS} <= set(kinds_of(built_in("lb-no-address")))
    assert AGENT_LOGS in kinds_of(built_in("bgp-session-down"))
