"""What Kubernetes reported about a pod: order, counts, and why there is nothing."""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from app.model.finding import Ref
from app.state.snapshot import State
from collectors.kubernetes.records import Event, EventSeries, Metadata, ObjectReference
from screens.pods import events_by_object, events_of
from tests.diagnosed import NAMESPACE, agent_of, seconds_ago, with_health
from tests.pod_pages import detail
from tests.recorded import changed, snapshot_of


def event(name: str, about: ObjectReference, **fields: object) -> Event:
    return msgspec.structs.replace(
        Event(Metadata(name=name, namespace=NAMESPACE), involved_object=about), **fields
    )


async def test_events_are_newest_first_whichever_field_tells_when_and_how_often() -> None:
    healthy = await snapshot_of("healthy")
    name = agent_of(healthy, "talos-cp-1")
    about = ObjectReference("Pod", NAMESPACE, name)
    at = [seconds_ago(healthy, seconds) for seconds in (10, 70, 7_300)]
    events = [
        event("c", about, reason="Third", last_timestamp=at[2], count=7),
        event("a", about, reason="First", event_time=at[0], type="Warning", message="one\ntwo"),
        event("b", about, reason="Second", event_time=at[2], series=EventSeries(9, at[1])),
        event("d", about, reason="Fourth"),
        event("x", ObjectReference("Pod", NAMESPACE, "other"), reason="Other"),
    ]
    snapshot = changed(healthy, events=MappingProxyType({each.key: each for each in events}))
    lines = detail(snapshot, f"{NAMESPACE}/{name}").split("\n")
    start = lines.index(" Events of the pod")
    assert [line.split() for line in lines[start + 1 :]] == [
        ["!", "10s", "First", "one", "two"],
        ["·", "1m", "\u00d79", "Second"],
        ["·", "2h", "\u00d77", "Third"],
        ["·", "-", "Fourth"],
    ]


def test_events_of_a_replica_set_are_those_of_its_deployment_too() -> None:
    about = ObjectReference("ReplicaSet", NAMESPACE, "cilium-operator-5d4f")
    found = events_by_object([event("a", about, reason="FailedCreate")])
    for kind, name in (("ReplicaSet", "cilium-operator-5d4f"), ("Deployment", "cilium-operator")):
        assert [each.reason for each in events_of(found, Ref(kind, name, NAMESPACE))] == [
            "FailedCreate"
        ]


async def test_events_that_could_not_be_read_are_not_none() -> None:
    healthy = await snapshot_of("healthy")
    name = f"{NAMESPACE}/{agent_of(healthy, 'talos-cp-1')}"
    none = changed(healthy, events=MappingProxyType({}))
    assert "none; Kubernetes keeps them for an hour" in detail(none, name)
    refused = with_health(none, "events", state=State.FORBIDDEN, read_at=None, error="no right")
    assert "not allowed to read events: no right" in detail(refused, name)
