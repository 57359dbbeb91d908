"""What is counted at a glance claims no more than was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest

from app.model.condition_changes import transitions
from app.model.facts import (
    api_fact,
    balancer_health,
    condition_words,
    configuration_known,
    facts,
    session_health,
)
from app.model.lbipam import load_balancers
from app.model.sessions import sessions
from app.state.kinds import KINDS, NODE_CONFIGS, VERSION
from app.state.snapshot import Snapshot, SourceHealth, State
from tests.dashboards import NOON
from tests.recorded import changed, snapshot_of


def told(snapshot: Snapshot) -> list[tuple[str, str]]:
    return [(fact.health, fact.text) for fact in facts(snapshot)]


async def test_a_healthy_cluster_is_one_sentence() -> None:
    assert told(await snapshot_of("healthy")) == [
        (
            "ok",
            "All 4 LoadBalancer services have an address, all 3 BGP sessions are established "
            "and 3 of 3 agents are ready.",
        )
    ]


async def test_each_thing_amiss_is_counted_and_named_worst_first() -> None:
    down = await snapshot_of("router-killed")
    text = "3 of 3 BGP sessions are not established: talos-cp-1 → 172.29.51.1, "
    assert [(health, sentence.startswith(text)) for health, sentence in told(down)] == [
        ("fail", True)
    ]
    typo = await snapshot_of("typo-in-pool-label")
    assert told(typo) == [("fail", "1 of 5 LoadBalancer services has no address: home/typo")]
    killed = await snapshot_of("agent-just-killed")
    assert [health for health, _ in told(killed)] == sorted(
        (health for health, _ in told(killed)), key=["fail", "warn", "unknown"].index
    )


async def test_what_was_not_read_is_not_claimed() -> None:
    whole = await snapshot_of("healthy")
    beat = {"services": replace(whole.health["services"], read_at=None, state=State.LOADING)}
    unread = changed(whole, health=MappingProxyType({**whole.health, **beat}))
    assert "LoadBalancer" not in " ".join(text for _, text in told(unread))
    nothing = Snapshot(taken_at=NOON)
    assert told(nothing) == []


async def test_a_cluster_without_bgp_is_said_to_have_none() -> None:
    assert "no BGP session is configured" in " ".join(
        text for _, text in told(await snapshot_of("no-bgp-config"))
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.FRESH, None),
        (State.LOADING, "Waiting for the API server …"),
        (State.FAILING, "The API server does not answer (refused)"),
    ],
)
def test_the_api_server_is_known_by_its_heartbeat(state: State, expected: str | None) -> None:
    health = SourceHealth(
        label="API server", kind=VERSION, state=state, since=NOON, error="refused"
    )
    fact = api_fact(Snapshot(taken_at=NOON, health={"API server": health}))
    assert (fact.text if fact else None) == expected


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
    fact = api_fact(Snapshot(taken_at=NOON, health={"API server": health}))
    assert fact is not None
    assert fact.text == expected


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
    expected = "3 of 3 BGP sessions are not known; last read as 3 established"
    assert told(both) == [("unknown", expected)]


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
    expected = "3 BGP sessions seen established; which sessions are configured is not known"
    assert ("unknown", expected) in told(waiting)
    nobody = changed(waiting, bgp_peers=MappingProxyType({}))
    assert "BGP" not in " ".join(text for _, text in told(nobody))


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
