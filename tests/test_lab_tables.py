"""Server-side printing: the cells and ages kubectl shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab.resources import human_duration, resources, table
from app.lab.store import JsonObject
from tests.lab_serving import NOON

KINDS = {resource.plural: resource for resource in resources("1.21.0")}
MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        # From the tests of apimachinery/pkg/util/duration.
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (1, "1s"),
        (70, "70s"),
        (190, "3m10s"),
        (60 * MINUTE, "60m"),
        (47 * MINUTE, "47m"),
        (179 * MINUTE, "179m"),
        (180 * MINUTE, "3h"),
        (5 * HOUR, "5h"),
        (7 * HOUR + 33 * MINUTE, "7h33m"),
        (8 * HOUR, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (7 * DAY + 23 * HOUR, "7d23h"),
        (8 * DAY, "8d"),
        (2 * YEAR - HOUR, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"),
        (8 * YEAR, "8y"),
    ],
)
def test_ages_are_written_as_kubernetes_writes_them(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def cells(plural: str, obj: JsonObject) -> dict[str, object]:
    """The cells of an object by heading."""
    made = table(KINDS[plural], [obj], {}, NOON)
    headings, rows = made["columnDefinitions"], made["rows"]
    assert isinstance(headings, list)
    assert isinstance(rows, list)
    return dict(zip([h["name"] for h in headings], rows[0]["cells"], strict=True))


def test_a_crashing_pod_says_why() -> None:
    pod: JsonObject = {
        "metadata": {"name": "cilium-a", "creationTimestamp": "2026-11-23T11:00:00Z"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"ready": True, "restartCount": 1, "state": {"running": {}}},
                {
                    "ready": False,
                    "restartCount": 4,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                },
            ],
        },
    }
    assert cells("pods", pod) == {
        "Name": "cilium-a",
        "Ready": "1/2",
        "Status": "CrashLoopBackOff",
        "Restarts": "5",
        "Age": "60m",
    }


def test_a_service_shows_its_addresses_and_ports() -> None:
    service: JsonObject = {
        "metadata": {"name": "grafana"},
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.0.0.1",
            "ports": [{"port": 80, "nodePort": 30000}, {"port": 53, "protocol": "UDP"}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "172.29.52.1"}, {"ip": "fd47::1"}]}},
    }
    shown = cells("services", service)
    assert shown["External-IP"] == "172.29.52.1,fd47::1"
    assert shown["Port(s)"] == "80:30000/TCP,53/UDP"
    assert shown["Age"] == "<unknown>"


def test_a_node_that_is_cordoned_and_not_ready() -> None:
    node: JsonObject = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    }
    shown = cells("nodes", node)
    assert (shown["Status"], shown["Roles"]) == ("NotReady,SchedulingDisabled", "control-plane")


def test_a_pool_shows_what_is_left() -> None:
    pool: JsonObject = {
        "metadata": {"name": "p"},
        "status": {
            "conditions": [
                {"type": "cilium.io/PoolConflict", "status": "False"},
                {"type": "cilium.io/IPsAvailable", "status": "Unknown", "message": "98"},
            ]
        },
    }
    shown = cells("ciliumloadbalancerippools", pool)
    assert (shown["Disabled"], shown["Conflicting"], shown["IPs Available"]) == (
        "false",
        "False",
        "98",
    )


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["metadata", "spec", "status", "conditions", "labels", "ports"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), json_values))
def test_an_object_of_any_shape_has_a_row(obj: JsonObject) -> None:
    for resource in resources("1.21.0"):
        made = table(resource, [obj], {}, NOON, include="Object")
        headings, rows = made["columnDefinitions"], made["rows"]
        assert isinstance(headings, list)
        assert isinstance(rows, list)
        assert len(rows[0]["cells"]) == len(headings)
