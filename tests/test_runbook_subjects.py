"""What the parameters of a runbook name, and how they stand in its words and commands."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runbooks.library import built_in
from app.runbooks.schema import (
    BadParameter,
    Parameter,
    ParameterKind,
    Runbook,
    checked,
    command,
    filled,
    has_form,
    missing,
    offered,
    refs,
)
from tests.recorded import snapshot_of
from tests.runbook_files import book, step
from tests.runbook_runs import view_of

SERVICE = {"service": Parameter(kind="service", ask="Which service?")}
SESSION = {"session": Parameter(kind="session", ask="Which session?", optional=True)}


def about(parameters: dict[str, Parameter]) -> Runbook:
    """A runbook about something."""
    return book(step("a"), parameters=parameters)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("service", ["home/web"], ["", "web", "/web", "home/", "a/b/c", "/"]),
        ("session", ["cp-1/10.0.0.1", "cp-1/fd00::1"], ["cp-1", "cp-1/", "/10.0.0.1", "cp-1/host"]),
        ("node", ["cp-1"], ["", " ", "a/b"]),
        ("pool", ["default"], ["", "a/b"]),
        ("address", ["10.0.0.1", "fd00::1"], ["", "10.0.0.0/8", "host"]),
    ],
)
def test_each_kind_has_its_form(kind: ParameterKind, good: list[str], bad: list[str]) -> None:
    assert all(has_form(kind, text) for text in good)
    assert not any(has_form(kind, text) for text in bad)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "small needs service=NAMESPACE/NAME: Which service?"),
        ({"service": ""}, "small needs service=NAMESPACE/NAME: Which service?"),
        ({"service": "x"}, "service is 'x'; it must be NAMESPACE/NAME"),
        ({"servce": "a/b"}, "small has no parameter 'servce'; it has: service"),
    ],
)
def test_what_is_missing_or_wrong_is_told(given: dict[str, str], told: str) -> None:
    with pytest.raises(BadParameter) as problem:
        checked(about(SERVICE), given)
    assert str(problem.value) == told


def test_what_may_be_left_out_may_be_left_out() -> None:
    assert checked(about(SESSION), {}) == {}
    assert checked(about(SESSION), {"session": ""}) == {}


async def test_a_thing_that_there_is_not_is_told_with_what_is_near() -> None:
    case = view_of(await snapshot_of("healthy")).case
    assert missing(about(SERVICE), {"service": "home/grafana"}, case) == ""
    assert missing(about(SERVICE), {"service": "home/grafna"}, case) == (
        "there is no service of type LoadBalancer home/grafna; near it: home/grafana"
    )
    assert missing(about(SESSION), {"session": "cp-9/10.0.0.1"}, case) == ""


async def test_everything_offered_is_well_formed_and_there() -> None:
    case = view_of(await snapshot_of("healthy")).case
    kinds: tuple[ParameterKind, ...] = ("service", "session", "node", "pool", "address")
    for kind in kinds:
        names = offered(kind, case)
        assert names
        assert all(has_form(kind, name) for name in names)
        assert all(refs(kind, name, case) for name in names)


def test_words_stand_in_the_place_of_parameters() -> None:
    runbook = built_in("lb-unreachable")
    text = "Is {service} of {service.namespace} up {service.x} {other}?"
    told = filled(text, runbook, {"service": "home/web"})
    assert told == "Is home/web of home up {service.x} {other}?"
    assert filled("Are {session} up?", built_in("bgp-session-down"), {}) == "Are the sessions up?"
    assert filled("{service}", runbook, {"service": "{service}/x"}) == "{service}/x"


def test_a_command_that_needs_what_nobody_named_is_left_out() -> None:
    runbook = built_in("bgp-session-down")
    assert command("cilium x {session.node}", runbook, {}) == ""
    assert command("cilium x -o '{.spec}'", runbook, {}) == "cilium x -o '{.spec}'"


@given(st.text(min_size=1).filter(lambda text: "/" not in text))
def test_a_command_takes_any_name_as_one_word(name: str) -> None:
    text = "kubectl -n {service.namespace} get x/{service.name}"
    told = command(text, about(SERVICE), {"service": f"{name}/b"})
    assert shlex.split(told) == ["kubectl", "-n", name, "get", "x/b"]
