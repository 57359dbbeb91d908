"""The lab's store: versions, history, logs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab.resources import resources
from app.lab.store import Expired, JsonObject, Logs, Store, stamp
from tests.lab_serving import NOON, SERVICES, Hands, service
from tests.patience import PATIENCE

POOLS = ("cilium.io", "ciliumloadbalancerippools")
POD = ("kube-system", "cilium-a", "cilium-agent")


@pytest.fixture
def store() -> Store:
    store = Store(Hands(), history=5)
    for resource in resources("1.21.0"):
        store.register(resource)
    return store


def metadata(obj: JsonObject | None) -> dict[str, object]:
    assert obj is not None
    found = obj["metadata"]
    assert isinstance(found, dict)
    return found


def names(objects: list[JsonObject]) -> list[object]:
    return [metadata(obj)["name"] for obj in objects]


def test_a_new_object_gets_identity_age_and_version(store: Store) -> None:
    stored = metadata(store.put(SERVICES, service("grafana")))
    assert stored["creationTimestamp"] == stamp(NOON)
    assert stored["resourceVersion"] == str(store.version)
    assert stored["uid"]


def test_generation_counts_changes_of_the_spec_alone(store: Store) -> None:
    pool: JsonObject = {"metadata": {"name": "p"}, "spec": {"disabled": False}}
    assert metadata(store.put(POOLS, pool))["generation"] == 1
    labelled = {**pool, "metadata": {"name": "p", "labels": {"tier": "x"}}}
    assert metadata(store.put(POOLS, labelled))["generation"] == 1
    changed = {**pool, "spec": {"disabled": True}}
    assert metadata(store.put(POOLS, changed))["generation"] == 2


def test_a_kind_without_generation_gets_none(store: Store) -> None:
    assert "generation" not in metadata(store.put(SERVICES, service("grafana")))


def test_a_put_that_changes_nothing_tells_nobody(store: Store) -> None:
    store.put(SERVICES, service("grafana"))
    version = store.version
    store.put(SERVICES, service("grafana"), manager="kubectl")
    assert store.version == version
    assert store.since(SERVICES, version) == []


def test_what_was_put_cannot_be_changed_from_outside(store: Store) -> None:
    mine = service("grafana")
    store.put(SERVICES, mine)
    mine["spec"] = "gone"
    stored = store.get(SERVICES, "home", "grafana")
    assert stored is not None
    assert stored["spec"] == service("grafana")["spec"]


def test_the_manager_of_a_change_is_remembered(store: Store) -> None:
    store.put(SERVICES, service("grafana"), manager="kubectl")
    changed = {**service("grafana"), "status": {"loadBalancer": {}}}
    managed = metadata(store.put(SERVICES, changed, "operator"))["managedFields"]
    assert isinstance(managed, list)
    assert [entry["manager"] for entry in managed] == ["kubectl", "operator"]


def test_history_tells_each_change_once_and_in_order(store: Store) -> None:
    start = store.version
    store.put(SERVICES, service("a"))
    store.put(SERVICES, service("a", tier="x"))
    store.delete(SERVICES, "home", "a")
    events = store.since(SERVICES, start)
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event.version for event in events] == [start + 1, start + 2, start + 3]
    assert events[1].before == events[0].object
    assert metadata(events[2].object)["resourceVersion"] == str(store.version)


def test_deleting_nothing_is_no_change(store: Store) -> None:
    version = store.version
    assert store.delete(SERVICES, "home", "nobody") is None
    assert store.version == version


def test_a_version_that_fell_out_of_the_history_is_expired(store: Store) -> None:
    start = store.version
    for number in range(6):
        store.put(SERVICES, service(f"s{number}"))
    assert len(store.since(SERVICES, start + 1)) == 5
    with pytest.raises(Expired, match="too old resource version: 1 "):
        store.since(SERVICES, start)


def test_compaction_expires_everything_but_the_present(store: Store) -> None:
    store.put(SERVICES, service("a"))
    before = store.version
    store.put(SERVICES, service("b"))
    store.compact()
    assert store.since(SERVICES, store.version) == []
    with pytest.raises(Expired):
        store.since(SERVICES, before)


def test_objects_come_in_the_order_of_their_etcd_keys(store: Store) -> None:
    store.put(SERVICES, service("a", namespace="home"))
    store.put(SERVICES, service("b", namespace="home-2"))
    store.put(SERVICES, service("c", namespace="home"))
    # "-" sorts before "/": the keys are home-2/b, home/a, home/c.
    assert names(store.all(SERVICES)) == ["b", "a", "c"]
    assert names(store.all(SERVICES, "home")) == ["a", "c"]


changes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete"]), st.text()))


@given(changes, st.data())
def test_any_remembered_moment_can_be_seen_again(
    steps: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    store = Store(Hands())
    for resource in resources("1.21.0"):
        store.register(resource)
    moments = {store.version: store.all(SERVICES)}
    for name, act, label in steps:
        if act == "put":
            store.put(SERVICES, service(name, tier=label))
        else:
            store.delete(SERVICES, "home", name)
        moments[store.version] = store.all(SERVICES)
    version = data.draw(st.sampled_from(sorted(moments)))
    assert store.at(SERVICES, version) == moments[version]


async def test_a_change_wakes_whoever_asked_before_it(store: Store) -> None:
    waiting = store.changed()
    store.put(SERVICES, service("a"))
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_a_line_wakes_the_followers_of_a_log() -> None:
    logs = Logs()
    waiting = logs.changed()
    logs.write(*POD, NOON, "hello")
    async with asyncio.timeout(PATIENCE):
        await waiting


def test_a_restart_makes_the_log_the_previous_one() -> None:
    logs = Logs()
    logs.write(*POD, NOON, "before")
    logs.restarted(*POD)
    logs.write(*POD, NOON + timedelta(seconds=1), "after")
    log = logs.of(*POD)
    assert log is not None
    assert [line for _, line in log.previous] == ["before"]
    assert [line for _, line in log.lines] == ["after"]


def test_a_long_log_forgets_its_oldest_lines_and_counts_them() -> None:
    logs = Logs(keep=10)
    for number in range(50):
        logs.write(*POD, NOON, str(number))
    log = logs.of(*POD)
    assert log is not None
    assert 10 <= len(log.lines) <= 20
    assert log.lines[-1][1] == "49"
    assert log.dropped + len(log.lines) == 50


def test_pools_are_alpha_up_to_1_17_and_peering_policies_end_with_1_18() -> None:
    old = {resource.plural: resource for resource in resources("1.17.10")}
    new = {resource.plural: resource for resource in resources("v1.21.0-dev")}
    assert old["ciliumloadbalancerippools"].versions == ("v2alpha1",)
    assert new["ciliumloadbalancerippools"].versions == ("v2", "v2alpha1")
    assert "ciliumbgppeeringpolicies" in old
    assert "ciliumbgppeeringpolicies" not in new


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'latest' is not a Cilium version"):
        resources("latest")
