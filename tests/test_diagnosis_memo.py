"""The diagnosis after a change is the diagnosis from scratch; what is kept does not pile up."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from app.diagnosis.diagnoser import diagnose
from app.diagnosis.service_path.paths import service_paths
from app.model.case import Case
from app.model.desired_peerings import peerings
from app.model.finding import Finding
from app.model.health import cilium_pods
from app.model.lbipam import LoadBalancer, load_balancers, pool_usages
from app.model.sessions import sessions
from app.state.derived import Key, Memo, Parts
from app.state.kinds import KINDS, NODE_CONFIGS, SERVICES
from app.state.snapshot import Snapshot, State
from tests.bench_diagnosis import CHANGES, large_cluster
from tests.clusters import BASES, base, record_types, records
from tests.recorded import changed, having
from tests.searching import examples

WITH_HISTORY = {"CS509"}
"""Findings on how long something is so that no object dates: only who followed it can tell."""


def cold(snapshot: Snapshot) -> Snapshot:
    """The same snapshot, seen for the first time."""
    return replace(snapshot, memo=Memo())


def found(snapshot: Snapshot, memo: Memo) -> list[Finding]:
    """The findings that a snapshot alone decides."""
    return [f for f in diagnose(Case(snapshot, memo=memo)) if f.code not in WITH_HISTORY]


def derived(snapshot: Snapshot, memo: Memo) -> tuple[object, ...]:
    """What screens and rules share, in full."""
    case = Case(snapshot, memo=memo)
    paths = {
        key: [(hop.name, hop.state, hop.reason) for hop in path.hops]
        for key, path in service_paths(case).items()
    }
    return (
        sessions(snapshot),
        [session.uptime(snapshot.taken_at) for session in sessions(snapshot)],
        load_balancers(snapshot),
        [(usage, list(usage.holders.items())) for usage in pool_usages(snapshot)],
        cilium_pods(snapshot),
        snapshot.agents_by_node,
        peerings(case),
        paths,
    )


@st.composite
def later(draw: DrawFn, snapshot: Snapshot) -> Snapshot:
    """A snapshot a while later: one record changed, came or went, a source fell silent, or none."""
    seconds = draw(st.sampled_from((0, 1, 9, 31, 125, 700)))
    after = replace(snapshot, taken_at=snapshot.taken_at + timedelta(seconds=seconds))
    what = draw(st.sampled_from(("record", "record", "record", "removal", "source", "time")))
    if what == "source" and snapshot.health:
        label = draw(st.sampled_from(sorted(snapshot.health)))
        known = snapshot.health[label]
        state = draw(st.sampled_from((State.FRESH, State.STALE, State.FAILING)))
        read_at = after.taken_at if state is State.FRESH else known.read_at
        health = {**snapshot.health, label: replace(known, state=state, read_at=read_at)}
        return replace(after, health=MappingProxyType(health))
    if what == "time":
        return after
    kind = draw(st.sampled_from(sorted(record_types())))
    known_records: Mapping[str, object] = snapshot.records[KINDS[kind]]
    if what == "removal" and known_records:
        gone = draw(st.sampled_from(sorted(known_records)))
        left = {key: record for key, record in known_records.items() if key != gone}
        return changed(after, **{kind: MappingProxyType(left)})
    fresh = draw(records(kind))
    key, made = fresh.key, cast("object", fresh)
    if known_records and draw(st.sampled_from((True, False))):
        key = draw(st.sampled_from(sorted(known_records)))
        made = _altered(draw, known_records[key], fresh)
    mixed = MappingProxyType({**known_records, key: made})
    return changed(after, **{kind: mixed})


def _altered(draw: DrawFn, known: object, made: object) -> object:
    """The known record with one field of the made-up one: its status, its labels, its state."""
    assert isinstance(known, msgspec.Struct)
    names = [each.name for each in msgspec.structs.fields(known)]
    name = draw(st.sampled_from(sorted(set(names) - {"node", "pod"})))
    if name == "metadata":
        ours, theirs = getattr(known, name), getattr(made, name)
        value: object = msgspec.structs.replace(
            ours, labels=theirs.labels, annotations=theirs.annotations
        )
    else:
        value = getattr(made, name)
    return msgspec.structs.replace(known, **{name: value})


@settings(max_examples=examples(60))
@given(st.sampled_from(BASES), st.data())
def test_the_diagnosis_after_a_change_is_that_from_scratch(like: str, data: st.DataObject) -> None:
    memo, snapshot = Memo(), cold(base(like))
    assert found(snapshot, memo) == found(cold(snapshot), Memo())
    for _ in range(3):
        snapshot = data.draw(later(snapshot))
        first = cold(snapshot)
        assert derived(snapshot, memo) == derived(first, Memo())
        assert found(snapshot, memo) == found(first, Memo())


@pytest.mark.parametrize("like", BASES)
def test_time_alone_changes_the_diagnosis_as_it_does_from_scratch(like: str) -> None:
    memo, snapshot = Memo(), cold(base(like))
    for seconds in (0, 5, 9, 12, 25, 31, 61, 121, 301, 601, 1201, 86_401):
        moment = base(like).taken_at + timedelta(seconds=seconds)
        snapshot = replace(snapshot, taken_at=moment)
        assert found(snapshot, memo) == found(cold(snapshot), Memo())


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_record_of_a_large_cluster_is_judged_as_from_scratch(change: str) -> None:
    memo, snapshot = Memo(), large_cluster(60, 6, 8, 4)
    found(snapshot, memo)
    for run in range(4):
        snapshot = CHANGES[change](snapshot, run)
        assert derived(snapshot, memo) == derived(cold(snapshot), Memo())
        assert found(snapshot, memo) == found(cold(snapshot), Memo())


def test_what_did_not_change_stays_the_very_same() -> None:
    before = cold(base("healthy"))
    after = replace(before, taken_at=before.taken_at + timedelta(seconds=30))
    assert sessions(after) is sessions(before)
    assert load_balancers(after) is load_balancers(before)
    assert pool_usages(after) is pool_usages(before)
    assert cilium_pods(after) is cilium_pods(before)
    key, config = next(iter(after.records[NODE_CONFIGS].items()))
    silent = msgspec.structs.replace(config, status=None)
    silenced = MappingProxyType({**after.records[NODE_CONFIGS], key: silent})
    lost = having(after, NODE_CONFIGS, silenced)
    alike = [old is new for old, new in zip(sessions(before), sessions(lost), strict=True)]
    assert alike.count(False) == 1


def test_a_memo_does_not_grow_with_time() -> None:
    memo, snapshot = Memo(), large_cluster(30, 3, 4, 2)
    sizes = []
    for run in range(6):
        for change in CHANGES.values():
            snapshot = change(snapshot, run)
            derived(snapshot, memo)
            found(snapshot, memo)
        sizes.append((len(memo), len(snapshot.memo)))
    assert sizes[1:] == sizes[1:2] * 5


def test_records_and_snapshots_that_are_gone_are_let_go() -> None:
    memo, snapshot = Memo(), large_cluster(12, 3, 4, 2)
    derived(snapshot, memo)
    found(snapshot, memo)
    places = {id(balancer) for balancer in load_balancers(snapshot)}
    old = weakref.ref(snapshot)
    left = dict(list(snapshot.records[SERVICES].items())[:2])
    snapshot = having(snapshot, SERVICES, MappingProxyType(left))
    for _ in range(2):
        derived(snapshot, memo)
        found(snapshot, memo)
    gc.collect()
    assert old() is None
    living = [each for each in gc.get_objects() if isinstance(each, LoadBalancer)]
    assert sum(id(each) in places for each in living) == 2


NUMBERS: Key[int] = Key()


def squares(memo: Memo, numbers: Mapping[str, int], made: list[str]) -> Parts[int]:
    """The squares of numbers; those of odd numbers are passing."""

    def make(key: str) -> tuple[int, ...]:
        made.append(key)
        return (numbers[key] ** 2,) if numbers[key] else ()

    return memo.by_key(NUMBERS, (numbers,), (), make, again=lambda square: square % 2 == 1)


def test_what_is_made_of_each_key_is_made_where_its_record_changed_or_it_is_passing() -> None:
    memo, made = Memo(), list[str]()
    first = squares(memo, {"b": 2, "a": 3, "c": 0}, made)
    assert made == ["a", "b", "c"]
    assert (first.values, first.passing, dict(first.by_key)["c"]) == ((9, 4), (9,), ())
    made.clear()
    second = squares(memo, {"b": 2, "a": 3, "d": 4}, made)
    assert sorted(made) == ["a", "d"]
    assert (second.values, second.passing, list(second.by_key)) == (
        (9, 4, 16),
        (9,),
        ["a", "b", "d"],
    )
    made.clear()
    assert squares(memo, {"b": 2}, made).values == (4,)
    assert made == []
    assert squares(memo, {}, made) == squares(memo, {}, made)
    assert len(memo) == 1


def test_records_of_other_order_are_told_apart_by_key() -> None:
    memo, made = Memo(), list[str]()
    squares(memo, {"a": 2, "b": 4}, made)
    made.clear()
    assert squares(memo, {"b": 4, "a": 2}, made).values == (4, 16)
    assert made == []
    assert squares(memo, {"b": 4, "a": 6}, made).values == (36, 16)
    assert made == ["a"]


def test_a_value_that_comes_out_equal_stays_the_very_same() -> None:
    memo, key, other = Memo(), Key[list[int]](), Key[list[int]]()
    first = memo.of(key, (object(),), lambda: [1, 2])
    assert memo.of(key, (object(),), lambda: [1, 2]) is first
    assert memo.of(other, (object(),), lambda: [1, 2]) is not first
    assert memo.of(key, (object(),), lambda: [3]) == [3]
    assert len(memo) == 2
