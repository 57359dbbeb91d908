"""What is counted at a glance claims no more than was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest

from app.model.health import api_trouble
from app.model.lbipam import balancer_health, condition_words, load_balancers, transitions
from app.model.sessions import configuration_known, session_health, sessions
from app.state.kinds import KINDS, NODE_CONFIGS, VERSION
from app.state.snapshot import Snapshot, SourceHealth, State
from tests.dashboards import NOON
from tests.recorded import changed, snapshot_of


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.FRESH, ""),
        (State.LOADING, "Waiting for the API server …"),
        (State.FAILING, "The API server does not answer (refused)"),
    ],
)
def test_the_api_server_is_known_by_its_heartbeat(state: State, expected: str) -> None:
    health = SourceHealth(
        label="API server", kind=VERSION, state=state, since=NOON, error="refused"
    )
    assert api_trouble(Snapshot(taken_at=NOON, health={"API server": health})) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            "https://127.0.0.1:1 does not accept our credentials: Unauthorized (HTTP 401)",
            "The API server refuses our credentials (https://127.0.0.1:1: Unauthorized (HTTP 401))",
        ),
        (
            "The kubeconfig /k cannot be read: No such file or directory",
            "No cluster: The kubeconfig /k cannot be read: No such file or directory",
        ),
        (
            "There is no kubeconfig: ~/.kube/config does not exist",
            "No cluster: There is no kubeconfig: ~/.kube/config does not exist",
        ),
        (
            "The credential plugin aws of user 'me' exited with 1: no session",
            "No credentials: The credential plugin aws of user 'me' exited with 1: no session",
        ),
        (
            "https://127.0.0.1:1 answered /version with an error: boom (HTTP 500)",
            "The API server does not answer as it should "
            "(https://127.0.0.1:1 answered /version with an error: boom (HTTP 500))",
        ),
    ],
)
def test_a_refusal_is_an_answer_and_who_was_not_asked_does_not_refuse(
    error: str, expected: str
) -> None:
    health = SourceHealth(
        label="API server", kind=VERSION, state=State.FAILING, since=NOON, error=error
    )
    assert api_trouble(Snapshot(taken_at=NOON, health={"API server": health})) == expected


def aged(snapshot: Snapshot, state: State, *labels: str) -> Snapshot:
    """The snapshot with some of its sources in another state."""
    changes = {label: replace(snapshot.health[label], state=state) for label in labels}
    return changed(snapshot, health=MappingProxyType({**snapshot.health, **changes}))


async def test_sessions_that_no_fresh_source_tells_are_not_called_established() -> None:
    whole = await snapshot_of("healthy")
    witnesses = [whole.health_of(KINDS[kind]).label for kind in ("node_configs", "bgp_peers")]
    one = aged(whole, State.STALE, witnesses[0])
    assert {session_health(session) for session in sessions(one)} == {"ok"}
    both = aged(whole, State.STALE, *witnesses)
    assert {session_health(session) for session in sessions(both)} == {"unknown"}


async def test_what_is_configured_is_not_claimed_before_it_was_read() -> None:
    whole = await snapshot_of("healthy")
    label = whole.health_of(NODE_CONFIGS).label
    unread = {label: replace(whole.health[label], state=State.LOADING, read_at=None)}
    waiting = changed(
        whole,
        node_configs=MappingProxyType({}),
        health=MappingProxyType({**whole.health, **unread}),
    )
    assert configuration_known(whole)
    assert not configuration_known(waiting)


async def test_verdicts_of_lb_ipam_are_told_in_words() -> None:
    words = {}
    for name in ("healthy", "typo-in-pool-label", "pool-exhausted", "requested-taken"):
        for balancer in load_balancers(await snapshot_of(name)):
            words[condition_words(balancer)] = balancer_health(balancer)
    assert words["satisfied"] == "ok"
    assert words["no pool"] == "fail"
    assert words["pools full"] == "fail"
    assert set(words) <= {
        "satisfied",
        "no pool",
        "pools full",
        "address taken",
        "not shareable",
        "not selected",
    }


async def test_conditions_tell_when_an_address_was_given_or_refused() -> None:
    snapshot = await snapshot_of("typo-in-pool-label")
    found = {t.service: t for t in transitions(snapshot)}
    assert found["home/grafana"].text == "home/grafana ← 172.29.52.101 (bgp-default)"
    assert found["home/typo"].text.startswith("home/typo: There are no enabled")
    assert not found["home/typo"].satisfied
    times = [t.at for t in transitions(snapshot)]
    assert times == sorted(times)
    assert all(at <= snapshot.taken_at + timedelta(seconds=1) for at in times)
