"""No runbook leads nowhere: each flaw is told, and what is told to be sound always ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings

from app.runbooks.library import Library, built_in, load
from app.runbooks.parsing import MOST_STEPS, BadRunbook, flaws
from app.runbooks.schema import (
    END,
    Choice,
    Look,
    Manual,
    Next,
    Parameter,
    Runbook,
    Step,
    StepVerdict,
)
from tests.runbook_files import SMALL, book, looks, manual, runbooks, sound_runbooks, step
from tests.searching import examples

SERVICE = {"service": Parameter(kind="service", ask="Which?")}


def flaw(runbook: Runbook) -> str:
    """The one flaw of a runbook, behind its place."""
    (found,) = flaws(runbook)
    return f"{found.at}: {found.says}"


def asked(*keys: str) -> Manual:
    """A question with these choices."""
    chosen = tuple(Choice(key=key, says="x", verdict=StepVerdict.PASS) for key in keys)
    return Manual(do="Look.", choices=chosen)


@pytest.mark.parametrize(
    ("runbook", "told"),
    [
        (book(), "('steps',): there is no step"),
        (
            book(
                *(
                    step(f"s{n}", f"s{n + 1}" if n < MOST_STEPS else END)
                    for n in range(MOST_STEPS + 1)
                )
            ),
            "('steps',): there are more than 100 steps",
        ),
        (book(step("a"), title=" "), "('title',): says nothing"),
        (book(step("a"), when=""), "('when',): says nothing"),
        (book(step("a", ask="")), "('steps', 0, 'ask'): says nothing"),
        (book(step("a"), fits=("CS999",)), "('fits', 0): there is no code 'CS999'"),
        (book(step("a"), fits=("CS",)), "('fits', 0): there is no code 'CS'"),
        (
            book(step("a"), parameters={"A b": SERVICE["service"]}),
            "('parameters', 'A b'): is no word of small letters",
        ),
        (
            book(step("A!")),
            "('steps', 0, 'id'): 'A!' is no name for a step: small letters, digits, -",
        ),
        (
            book(step(END)),
            "('steps', 0, 'id'): 'end' is no name for a step: small letters, digits, -",
        ),
        (
            book(step("a"), step("a")),
            "('steps', 1, 'id'): 'a' is the name of another step already",
        ),
        (
            book(step("a", fail="b")),
            "('steps', 0, 'next', 'fail'): there is no step 'b'; steps are a, or end",
        ),
        (
            book(step("a", fail="")),
            "('steps', 0, 'next'): says not what follows when the step is fail",
        ),
        (
            book(step("a", passed="", verify=True)),
            "('steps', 0, 'next'): says not what follows when the step is pass",
        ),
        (
            book(step("a", look=(Look(table="pods"),))),
            "('steps', 0): nothing judges it: it needs findings, a hop, "
            "an action or a manual answer",
        ),
        (
            book(step("a", look=(Look(findings=("CS1",), table="pods"),))),
            "('steps', 0, 'look', 0): names exactly one of findings, hop, table, log",
        ),
        (
            book(step("a", look=(Look(), *looks("CS1")))),
            "('steps', 0, 'look', 0): names exactly one of findings, hop, table, log",
        ),
        (
            book(step("a", look=looks("CS000"))),
            "('steps', 0, 'look', 0, 'findings'): there is no code 'CS000'",
        ),
        (
            book(step("a", look=(Look(findings=("CS1",), about="node"),))),
            "('steps', 0, 'look', 0, 'about'): there is no parameter 'node'; there are: none",
        ),
        (
            book(step("a", look=(Look(hop="address"),))),
            "('steps', 0, 'look', 0, 'hop'): a hop is of a service: the runbook needs a parameter "
            "`service` of that kind",
        ),
        (
            book(step("a", look=(Look(hop="address", about="service"),)), parameters=SERVICE),
            "('steps', 0, 'look', 0, 'about'): a hop is of the service anyway",
        ),
        (
            book(step("a", look=(Look(table="pods", threshold="fail"), *looks("CS1")))),
            "('steps', 0, 'look', 0, 'threshold'): is of findings alone",
        ),
        (
            book(step("a", manual=Manual(do="x", choices=()))),
            "('steps', 0, 'manual', 'choices'): there is nothing to choose from",
        ),
        (
            book(step("a", manual=Manual(do="", choices=manual().choices))),
            "('steps', 0, 'manual', 'do'): says nothing",
        ),
        (
            book(step("a", manual=asked("b", "b"))),
            "('steps', 0, 'manual', 'choices', 1, 'key'): 'b' is the word for another "
            "choice already",
        ),
        (
            book(step("a", manual=asked("B="))),
            "('steps', 0, 'manual', 'choices', 0, 'key'): 'B=' is no word of "
            "small letters, digits, -",
        ),
        (
            book(step("a", ask="Is {x} up?")),
            "('steps', 0, 'ask'): there is no parameter 'x'; there are: none",
        ),
        (
            book(step("a", fix="{service.peer}"), parameters=SERVICE),
            "('steps', 0, 'fix'): there is no parameter 'service.peer'; there are: service",
        ),
        (
            book(step("a", commands=("x {routers}",))),
            "('steps', 0, 'commands', 0): there is no parameter 'routers'; there are: none",
        ),
        (
            book(step("a", commands=("x", "x -o '{service}'")), parameters=SERVICE),
            "('steps', 0, 'commands', 1): {service} stands in quotes; "
            "it is quoted where it is needed",
        ),
        (
            book(step("a", "b"), step("b", fail="a")),
            "('steps', 1, 'next'): leads in a circle, with nothing new to see: a → b → a",
        ),
        (
            book(step("a", verify=True, unknown="a")),
            "('steps', 0, 'next'): leads in a circle, with nothing new to see: a → a",
        ),
        (book(step("a"), step("b")), "('steps', 1, 'id'): no step leads to 'b'"),
    ],
)
def test_every_flaw_is_told_at_its_place(runbook: Runbook, told: str) -> None:
    assert flaw(runbook) == told


def test_a_command_may_have_quotes_of_its_own() -> None:
    commands = ("x -o jsonpath='{.spec}' {service}", r"x \'{service}", "x '{range .items}'")
    assert flaws(book(step("a", commands=commands), parameters=SERVICE)) == ()


def test_waiting_is_no_dead_end() -> None:
    assert flaws(book(step("a", verify=True, fail="", unknown=""))) == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{pass: end}", "{pass: state}", "mine.yaml:16: steps[1].next: leads in a circle"),
        ("fail: fixed, ", "", "mine.yaml:10: steps[0].next: says not what follows"),
        ("fail: fixed", "fail: end", "mine.yaml:11: steps[1].id: no step leads to 'fixed'"),
        ("fail: fixed", "fail: gone", "mine.yaml:10: steps[0].next.fail: there is no step 'gone'"),
    ],
)  # fmt: skip
def test_a_file_that_leads_nowhere_is_refused(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SMALL)
    load(file)
    assert old in SMALL
    file.write_text(SMALL.replace(old, new))
    with pytest.raises(BadRunbook) as problem:
        load(file)
    assert str(problem.value).startswith(f"{tmp_path}/{told}")


@pytest.mark.parametrize("name", Library().names())
def test_every_built_in_runbook_is_sound(name: str) -> None:
    runbook = built_in(name)
    assert flaws(runbook) == ()
    assert reached(runbook) == {step.id for step in runbook.steps}
    assert all(step.verify or all(to for _, to in step.next) for step in runbook.steps)


def test_every_file_of_the_library_is_a_runbook() -> None:
    folder = Path(__file__).parent.parent / "app" / "runbooks" / "library"
    assert set(Library().names()) == {path.stem.partition("-")[2] for path in folder.iterdir()}


def reached(runbook: Runbook) -> set[str]:
    """The steps that some walk comes to. Fails where a walk does not end."""
    seen: set[str] = set()
    for walk in walks(runbook, runbook.steps[0].id, 0):
        seen.update(walk)
    return seen


def walks(runbook: Runbook, at: str, moves: int) -> Iterator[tuple[str, ...]]:
    """Every way through a runbook, whatever each step says."""
    assert moves <= len(runbook.steps), "a walk goes in circles"
    if at == END:
        yield ()
        return
    step = runbook.step(at)
    for to in {to for _, to in step.next if to}:
        yield from ((at, *rest) for rest in walks(runbook, to, moves + 1))


@settings(max_examples=examples(200))
@given(runbooks())
def test_what_is_sound_always_ends_and_has_no_step_in_vain(runbook: Runbook) -> None:
    if flaws(runbook):
        return
    assert reached(runbook) == {step.id for step in runbook.steps}
    for each in runbook.steps:
        for verdict in StepVerdict:
            assert each.next.after(verdict) or each.verify


@settings(max_examples=examples(60))
@given(sound_runbooks())
def test_steps_that_lead_to_later_ones_are_sound_where_all_are_reached(runbook: Runbook) -> None:
    """The other way round: nothing is refused that could be followed."""
    left = {step.id for step in runbook.steps} - reached(runbook)
    assert {says.says for says in flaws(runbook)} == {f"no step leads to {id_!r}" for id_ in left}


def test_one_way_is_judged_once_however_many_lead_there() -> None:
    """Forty steps with three ways each are 3^40 walks."""
    names = [f"s{n}" for n in range(40)]
    follows = [*names[1:], END]
    steps = [
        Step(id=id_, ask="x", next=Next(passed=to, fail=to, unknown=to), manual=manual())
        for id_, to in zip(names, follows, strict=True)
    ]
    assert flaws(book(*steps)) == ()
