"""A run: what happens in it, where it stands, what it has come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.diagnosis.diagnoser import Verdict as Outcome
from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity
from app.runbooks.engine import (
    Answered,
    Back,
    BadAnswer,
    Begun,
    CannotGoOn,
    Hand,
    Judged,
    Moved,
    Noted,
    Ran,
    Resumed,
    Run,
    Skipped,
    advance,
    answer,
    back,
    begin,
    checked_answers,
    exit_code,
    follow,
    judgements,
    note,
    observe,
    resume,
    skip,
    waits,
)
from app.runbooks.evaluation import View
from app.runbooks.schema import Runbook, StepVerdict
from app.state.snapshot import Snapshot, State
from tests.recorded import snapshot_of
from tests.runbook_files import EVER, HAND, book, looks, step

LATER = Hand("bob@nas", EVER + timedelta(minutes=5))

LED = book(
    step("state", "routes", "fixed", "routes", look=looks("CS401")),
    step("routes", "end", "fixed", "fixed"),
    step("fixed", fail="", unknown="", look=looks("CS401"), verify=True),
)


def found(code: str, severity: Severity = Severity.FAIL, name: str = "10.0.0.1") -> Finding:
    """A finding about a peer."""
    return Finding(
        code=code,
        severity=severity,
        subject=Ref("Peer", name),
        summary=f"{name} is down",
        evidence=(Evidence("bgp_peers", f"Peer {name}", "state", "active", 60.0),),
        remedy="start it",
        command="cilium bgp peers",
    )


def view(snapshot: Snapshot, *findings: Finding) -> View:
    """A healthy cluster in which this was found."""
    outcome = Outcome(snapshot=snapshot, categories=("bgp-sessions",), findings=findings)
    return View(Case(snapshot), outcome)


@pytest.fixture
async def well() -> View:
    """A cluster in which nothing is wrong."""
    return view(await snapshot_of("healthy"))


@pytest.fixture
def down(well: View) -> View:
    """The same with a peer that is down."""
    return view(well.case.snapshot, found("CS401"))


def seen(run: Run, at: View) -> Run:
    """The run after a look at the cluster."""
    return observe(run, judgements(run, at), at, "ann@desk")


def begun(runbook: Runbook = LED) -> Run:
    """A run at its first step."""
    return begin(runbook, {}, HAND)


def test_a_run_begins_at_its_first_step_and_knows_nothing() -> None:
    run = begun()
    assert run.entries == (Begun(at=EVER, by="ann@desk"),)
    assert run.current is not None
    assert (run.current.id, run.verdict(run.current), run.result) == ("state", "unknown", "open")
    assert not run.ended


def test_what_the_live_data_says_is_recorded_with_its_evidence(down: View) -> None:
    (judged,) = seen(begun(), down).entries[1:]
    assert isinstance(judged, Judged)
    assert (judged.step, judged.verdict, judged.by) == ("state", StepVerdict.FAIL, "ann@desk")
    assert judged.because == "CS401 10.0.0.1 is down"
    (noticed,) = judged.findings
    assert (noticed.code, noticed.severity, noticed.remedy) == ("CS401", "fail", "start it")
    assert noticed.evidence[0].source == "bgp_peers"
    assert noticed.evidence[0].at == down.case.now - timedelta(seconds=60)


def test_only_what_is_new_is_recorded(well: View, down: View) -> None:
    run = seen(begun(), down)
    assert seen(run, down) is run
    other = view(down.case.snapshot, found("CS401", name="10.0.0.2"))
    assert [e.step for e in seen(run, other).entries[2:] if isinstance(e, Judged)] == ["state"]
    assert len(seen(seen(run, well), well).entries) == 3


def test_a_step_is_left_by_its_verdict(well: View, down: View) -> None:
    failed = advance(seen(begun(), down), LATER)
    assert failed.way == ("state", "fixed")
    assert failed.entries[-1] == Moved(LATER.at, LATER.by, "state", StepVerdict.FAIL, "fixed")
    assert advance(seen(begun(), well), HAND).way == ("state", "routes")
    assert advance(begun(), HAND).way == ("state", "routes")


def test_a_step_that_verifies_waits_until_it_passes(well: View, down: View) -> None:
    run = seen(advance(seen(begun(), down), HAND), down)
    with pytest.raises(CannotGoOn, match="this step waits until it passes; s goes on without it"):
        advance(run, HAND)
    assert run.result == "a cause was found"
    done = advance(seen(run, well), HAND)
    assert (done.ended, done.current, done.result) == (True, None, "fixed")
    with pytest.raises(CannotGoOn, match="at its end"):
        advance(done, HAND)
    with pytest.raises(CannotGoOn, match="at its end"):
        skip(done, "why", HAND)


def test_back_leads_to_the_step_before(well: View) -> None:
    run = advance(seen(begun(), well), HAND)
    returned = back(run, LATER)
    assert returned.way == ("state",)
    assert returned.entries[-1] == Back(LATER.at, LATER.by, "routes", "state")
    with pytest.raises(CannotGoOn, match="this is the first step"):
        back(returned, HAND)
    ended = skip(advance(returned, HAND), "no time", HAND)
    assert back(skip(ended, "no time", HAND), HAND).way == ("state", "routes", "fixed")


def test_a_step_is_skipped_only_with_a_reason(well: View) -> None:
    run = advance(seen(begun(), well), HAND)
    for reason in ("", "  \n"):
        with pytest.raises(CannotGoOn, match="routes is skipped only with a reason"):
            skip(run, reason, HAND)
    skipped = skip(run, " no login ", LATER)
    assert skipped.entries[-1] == Skipped(LATER.at, LATER.by, "routes", "no login", "fixed")
    assert list(skipped.skipped) == ["routes"]
    done = advance(seen(skipped, well), HAND)
    assert (done.ended, done.result) == (True, "open")


def test_a_skipped_step_that_is_judged_after_all_is_not_skipped(well: View) -> None:
    run = back(skip(advance(seen(begun(), well), HAND), "later", HAND), HAND)
    assert not run.skipped
    routes = LED.step("routes")
    done = advance(answer(run, routes, "works", HAND), HAND)
    assert (done.ended, dict(done.skipped), done.result) == (True, {}, "nothing is wrong")


def test_a_step_that_waits_can_be_skipped_to_the_end(down: View) -> None:
    run = skip(seen(advance(seen(begun(), down), HAND), down), "tomorrow", HAND)
    assert (run.ended, run.result) == (True, "a cause was found")


def test_an_answer_is_one_of_the_choices() -> None:
    state, routes = LED.step("state"), LED.step("routes")
    run = answer(begun(), routes, "fails", LATER)
    assert run.entries[-1] == Answered(
        LATER.at, LATER.by, "routes", "fails", "It fails", StepVerdict.FAIL
    )
    assert run.verdict(routes) is StepVerdict.FAIL
    assert answer(run, routes, "works", HAND).verdict(routes) is StepVerdict.PASS
    with pytest.raises(CannotGoOn, match="is answered by works, fails, unsure; not by 'maybe'"):
        answer(run, routes, "maybe", HAND)
    with pytest.raises(CannotGoOn, match="state asks for no answer"):
        answer(run, state, "works", HAND)


def test_notes_stay_with_their_step(well: View) -> None:
    run = note(note(begun(), " saw it ", HAND), "again", LATER)
    assert [n.text for n in run.notes("state")] == ["saw it", "again"]
    assert not run.notes("routes")
    done = skip(skip(advance(seen(run, well), HAND), "a", HAND), "b", HAND)
    assert isinstance(note(done, "late", HAND).entries[-1], Noted)
    assert note(done, "late", HAND).notes("fixed")
    with pytest.raises(CannotGoOn, match="a note says something"):
        note(run, " \n", HAND)


def test_a_step_that_passed_and_fails_now_says_so(well: View, down: View) -> None:
    run = advance(seen(begun(), well), HAND)
    state = LED.step("state")
    assert not run.turned(state)
    turned = seen(run, down)
    assert turned.turned(state)
    assert turned.result == "a cause was found"
    assert not seen(turned, well).turned(state)
    failed = advance(seen(begun(), down), HAND)
    assert not seen(failed, down).turned(state)


def test_a_run_in_other_hands_is_the_same_run(down: View) -> None:
    run = seen(begun(), down)
    resumed = resume(run, LATER)
    assert resumed.entries[-1] == Resumed(LATER.at, LATER.by)
    assert (resumed.way, resumed.result) == (run.way, run.result)


def test_live_data_answer_and_what_was_run_are_judged_together(well: View, down: View) -> None:
    whole = step("all", look=looks("CS401"), action="connectivity-test", manual=step("x").manual)
    run = seen(begun(book(whole)), well)
    assert (run.verdict(whole), run.open(whole)) == (StepVerdict.UNKNOWN, True)
    run = answer(run, whole, "works", HAND)
    assert (run.verdict(whole), run.open(whole)) == (StepVerdict.UNKNOWN, True)
    run = run.add(Ran(EVER, "ann@desk", "all", "cilium connectivity test", StepVerdict.PASS, "ok"))
    assert (run.verdict(whole), run.open(whole)) == (StepVerdict.PASS, False)
    assert seen(run, down).verdict(whole) is StepVerdict.FAIL


# What a run comes to


def test_nothing_is_wrong_where_all_passed(well: View) -> None:
    run = follow(begun(), well, {"routes": "works"}, HAND)
    assert (run.way, run.result, exit_code(run)) == (
        ("state", "routes", "end"),
        "nothing is wrong",
        0,
    )


def test_what_nobody_answered_is_open(well: View) -> None:
    run = follow(begun(), well, {}, HAND)
    assert run.ended
    assert (run.result, exit_code(run)) == ("open", 3)


def test_an_answer_that_tells_of_a_fault_is_a_cause_until_it_is_fixed(well: View) -> None:
    ends = book(step("state", "routes", look=looks("CS401")), step("routes"))
    run = follow(begun(ends), well, {"routes": "fails"}, HAND)
    assert (run.ended, run.result, exit_code(run)) == (True, "a cause was found", 1)
    verified = follow(begun(), well, {"routes": "fails"}, HAND)
    assert (verified.ended, verified.result, exit_code(verified)) == (True, "fixed", 0)


def test_a_fault_that_is_still_seen_is_not_fixed_by_a_check_that_does_not_see_it(
    well: View,
) -> None:
    blind = book(
        step("state", fail="fixed", look=looks("CS401")),
        step("fixed", fail="", unknown="", look=looks("CS101"), verify=True),
    )
    run = follow(begun(blind), view(well.case.snapshot, found("CS401")), {}, HAND)
    assert (run.ended, run.result, exit_code(run)) == (True, "a cause was found", 1)
    mended = follow(run, well, {}, HAND)
    assert (mended.result, exit_code(mended)) == ("fixed", 0)


def test_a_fault_stays_found_when_its_step_is_passed_again(well: View, down: View) -> None:
    """Went back, saw that it passes now, went on: it was fixed, and not never wrong."""
    run = advance(seen(begun(), down), HAND)
    run = advance(seen(back(run, HAND), well), HAND)
    run = follow(run, well, {"routes": "unsure"}, HAND)
    assert (run.way[-2:], run.result) == (("fixed", "end"), "fixed")


def test_following_goes_on_with_every_look(well: View, down: View) -> None:
    run = follow(begun(), down, {}, HAND)
    assert (run.way, run.result, exit_code(run)) == (("state", "fixed"), "a cause was found", 1)
    assert waits(run)
    assert follow(run, down, {}, HAND) == run
    done = follow(run, well, {}, LATER)
    assert (done.way, done.result) == (("state", "fixed", "end"), "fixed")
    assert not waits(done)


def test_nobody_waits_for_live_data_where_only_an_answer_helps(well: View) -> None:
    run = follow(begun(book(step("a", fail="", unknown="", verify=True))), well, {}, HAND)
    assert not run.ended
    assert not waits(run)


def test_an_answer_counts_also_where_its_step_was_passed_without(well: View) -> None:
    run = follow(begun(), well, {}, HAND)
    answered = follow(run, well, {"routes": "works"}, LATER)
    assert [type(e) for e in answered.entries[len(run.entries) :]] == [Answered]
    assert answered.result == "nothing is wrong"
    assert follow(answered, well, {"routes": "works"}, LATER) == answered
    assert follow(answered, well, {"routes": "fails"}, LATER).answers["routes"].choice == "fails"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"gone": "x"}, "small asks nothing at 'gone'; steps that do: routes"),
        ({"state": "x"}, "small asks nothing at 'state'; steps that do: routes"),
        ({"routes": "x"}, "routes is answered by works, fails, unsure; not by 'x'"),
    ],
)
def test_an_answer_that_fits_nothing_is_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(BadAnswer) as problem:
        checked_answers(LED, given)
    assert str(problem.value) == told
    assert checked_answers(LED, {"routes": "works"}) == {"routes": "works"}


def test_where_nothing_could_be_read_nothing_passes(well: View) -> None:
    health = {
        label: replace(source, state=State.FAILING, read_at=None, error="refused")
        for label, source in well.case.snapshot.health.items()
    }
    blind = view(replace(well.case.snapshot, health=health))
    run = seen(begun(), blind)
    assert run.verdict(LED.step("state")) is StepVerdict.UNKNOWN
    assert "it cannot be judged for want of" in run.judged["state"].because
