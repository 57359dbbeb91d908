"""`cilium bgp routes`: recorded tables with what they mean, failures, and any output."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium.answer import Reading
from collectors.cilium.command_records import (
    AsPathSegment,
    NodeRoutes,
    Path,
    PathAttributes,
    Route,
)
from collectors.cilium.commands import ROUTES, parse_routes
from collectors.process import Completed
from collectors.source import Reason
from tests.cilium_runs import (
    JSON,
    NAMES,
    answer_of,
    assert_printable,
    completed_runs,
    error_case,
    error_cases,
    recorded,
    refused,
    shaped_like,
)

NODES = ("talos-cp-1", "talos-cp-2", "talos-cp-3")
ANSWERED = [name for name in NAMES if name not in ("rights-no-exec", "bgp-disabled")]


def argv(table: str, afi: str) -> tuple[str, ...]:
    return ("bgp", "routes", table, afi, "unicast", "-o", "json")


def nodes_in(completed: Completed) -> tuple[NodeRoutes, ...]:
    records = parse_routes(completed).records
    assert all(isinstance(record, NodeRoutes) for record in records)
    return tuple(record for record in records if isinstance(record, NodeRoutes))


def table_of(name: str, table: str, afi: str) -> dict[str, set[str]]:
    """The prefixes of each node that answered."""
    return {
        node.node: {route.prefix for route in node.routes}
        for node in nodes_in(recorded(name, *argv(table, afi)))
        if not node.error
    }


def test_there_is_a_command_for_each_table_and_family() -> None:
    assert [(each.kind, each.argv, each.label) for each in ROUTES] == [
        (
            f"routes_{table}_{afi}",
            argv(table, afi),
            f"cilium bgp routes {table} {afi} unicast",
        )
        for table in ("available", "advertised")
        for afi in ("ipv4", "ipv6")
    ]


def test_an_advertised_route_is_read_to_the_last_field() -> None:
    node = nodes_in(recorded("healthy", *argv("advertised", "ipv4")))[0]
    (route,) = (each for each in node.routes if each.prefix == "10.244.0.0/24")
    assert route == Route(
        prefix="10.244.0.0/24",
        router_asn=64512,
        neighbor="172.29.51.1",
        paths=(
            Path(
                age=400.887193001,
                afi="ipv4",
                safi="unicast",
                attributes=PathAttributes(
                    origin="igp",
                    as_path=(AsPathSegment("sequence", (64512,)),),
                    next_hop="172.29.51.11",
                    communities=("64512:100",),
                ),
            ),
        ),
    )


def test_an_available_route_has_no_neighbor_and_the_node_itself_as_next_hop() -> None:
    node = nodes_in(recorded("healthy", *argv("available", "ipv6")))[0]
    assert {route.neighbor for route in node.routes} == {""}
    assert {path.best for route in node.routes for path in route.paths} == {True}
    for route in node.routes:
        assert route.paths[0].attributes.next_hop == "::"
        assert route.paths[0].attributes.next_hop_is_self


def test_an_ipv6_route_over_an_ipv4_session_has_a_mapped_next_hop() -> None:
    node = nodes_in(recorded("healthy", *argv("advertised", "ipv6")))[0]
    for route in node.routes:
        assert route.paths[0].attributes.next_hop == "::ffff:172.29.51.11"
        assert route.paths[0].attributes.malformed == ()


def test_the_healthy_table() -> None:
    vips = {"172.29.52.100/32", "172.29.52.101/32", "172.29.52.200/32", "172.29.53.0/32"}
    assert table_of("healthy", "available", "ipv4") == {
        f"talos-cp-{number + 1}": vips | {f"10.244.{number}.0/24"} for number in range(3)
    }


@pytest.mark.parametrize("name", ["healthy", "v1-healthy", "v2alpha1-healthy", "router-frozen"])
@pytest.mark.parametrize("afi", ["ipv4", "ipv6"])
def test_what_is_available_is_advertised(name: str, afi: str) -> None:
    assert table_of(name, "available", afi) == table_of(name, "advertised", afi)


def test_a_session_that_never_came_up_has_routes_available_and_none_advertised() -> None:
    assert all(table_of("wrong-peer-asn", "available", "ipv4").values())
    assert table_of("wrong-peer-asn", "advertised", "ipv4") == {node: set() for node in NODES}


def test_a_service_of_one_node_is_advertised_from_there_alone() -> None:
    tables = table_of("local-one-node", "advertised", "ipv4")
    everywhere = set.intersection(*tables.values())
    only = {node: table - everywhere for node, table in tables.items()}
    assert sum(any(not each.endswith("/24") for each in table) for table in only.values()) == 1


@pytest.mark.parametrize("name", ANSWERED)
@pytest.mark.parametrize("table", ["available", "advertised"])
@pytest.mark.parametrize("afi", ["ipv4", "ipv6"])
def test_every_recorded_path_is_understood(name: str, table: str, afi: str) -> None:
    for node in nodes_in(recorded(name, *argv(table, afi))):
        for route in node.routes:
            assert (route.router_asn, bool(route.neighbor)) == (64512, table == "advertised")
            for path in route.paths:
                assert (path.afi, path.safi) == (afi, "unicast")
                assert path.age > 0
                assert path.attributes.origin == "igp"
                assert path.attributes.malformed == ()
                assert path.attributes.unknown == ()


@pytest.mark.parametrize("table", ["available", "advertised"])
@pytest.mark.parametrize(
    ("name", "pod"),
    [("exec-fails-one-node", "cilium-kqkzr"), ("agent-just-killed", "cilium-p5m78")],
)
def test_an_agent_that_failed_is_a_record_beside_the_others(
    name: str, pod: str, table: str
) -> None:
    *others, last = nodes_in(recorded(name, *argv(table, "ipv4")))
    assert [bool(node.routes) for node in others] == [True, True]
    assert (last.key, last.pod, last.routes) == (f"pod:{pod}", pod, ())
    assert last.error
    assert not last.error.startswith("(")


def test_an_agent_that_did_not_answer_in_time_is_a_record() -> None:
    completed = error_case("frozen-agent-routes-wait10-json")
    assert nodes_in(completed)[-1] == NodeRoutes(
        "", "cilium-ftg4h", error="context deadline exceeded"
    )


def test_agents_without_bgp_say_so_in_words() -> None:
    for table in ("available", "advertised"):
        nodes = nodes_in(recorded("bgp-disabled", *argv(table, "ipv6")))
        assert [node.bgp_disabled for node in nodes] == [True, True, True]


def test_when_every_agent_fails_there_is_a_record_for_each() -> None:
    nodes = nodes_in(error_case("routes-agents-crashloop-json"))
    assert [node.pod for node in nodes] == ["cilium-6sxr2", "cilium-cj68g", "cilium-xhjgr"]


@pytest.mark.parametrize(
    ("completed", "reason", "words"),
    [
        (recorded("rights-no-exec", *argv("available", "ipv4")), Reason.FORBIDDEN, "pods/exec"),
        (
            error_case("badcontext-bgp-routes-available-ipv4-unicast--o-json"),
            Reason.REFUSED,
            'context "nope" does not exist',
        ),
        (
            error_case("nokubeconfigenv-bgp-routes-available-ipv4-unicast--o-json"),
            Reason.UNREACHABLE,
            "no kubeconfig was found",
        ),
        (
            error_case("rbac-nobody-bgp-routes-available-ipv4-unicast--o-json"),
            Reason.FORBIDDEN,
            'cannot list resource "pods"',
        ),
        (
            error_case("rbac-viewer-noexec-bgp-routes-available-ipv4-unicast--o-json"),
            Reason.FORBIDDEN,
            "may not exec",
        ),
        (
            error_case("unreachable-bgp-routes-available-ipv4-unicast--o-json"),
            Reason.UNREACHABLE,
            "127.0.0.1:6999",
        ),
        (
            Completed(1, b"", 'Error: unknown command "routes" for "cilium bgp"', 0.1),
            Reason.REFUSED,
            "cilium-cli 0.16.0 or later is needed for `bgp routes`",
        ),
        (Completed(0, b'{"a": [', "", 0.1), Reason.UNREADABLE, "truncated"),
    ],
)
def test_a_command_that_fails_as_a_whole_says_why(
    completed: Completed, reason: Reason, words: str
) -> None:
    refusal = refused(ROUTES[0].parse, completed)
    assert refusal.reason is reason
    assert words in refusal.message
    assert "cilium bgp routes available ipv4 unicast" in refusal.message


def test_no_recorded_failure_is_left_out() -> None:
    assert {*error_cases("routes")} == {
        "badcontext-bgp-routes-available-ipv4-unicast--o-json",
        "frozen-agent-routes-wait10-json",
        "nokubeconfigenv-bgp-routes-available-ipv4-unicast--o-json",
        "rbac-nobody-bgp-routes-available-ipv4-unicast--o-json",
        "rbac-viewer-noexec-bgp-routes-available-ipv4-unicast--o-json",
        "routes-agents-crashloop-json",
        "unreachable-bgp-routes-available-ipv4-unicast--o-json",
        "wrongns-bgp-routes-available-ipv4-unicast--o-json",
    }


def test_no_agents_is_an_answer() -> None:
    completed = error_case("wrongns-bgp-routes-available-ipv4-unicast--o-json")
    assert parse_routes(completed) == Reading(())


def test_bytes_that_are_malformed_are_kept_beside_the_prefix_as_text() -> None:
    path = {
        "family": {"afi": "ipv4", "safi": "unicast"},
        "path-attributes": [{"base64": "QAEBCQ=="}, {"base64": "%%%"}, {"base64": "QAEBAA=="}],
    }
    out = json.dumps({"a": [{"prefix": "172.29.52.100/32", "paths": [path]}]}).encode()
    ((route,),) = (node.routes for node in nodes_in(Completed(0, out, "", 0.1)))
    (read,) = route.paths
    assert route.prefix == "172.29.52.100/32"
    assert read.attributes.origin == "igp"
    assert [each.problem for each in read.attributes.malformed] == [
        "origin 9 does not exist",
        "0 bytes, shorter than its header of 3",
    ]


def test_a_route_that_cannot_be_read_costs_only_itself() -> None:
    out = b'{"a": [{"prefix": 7}, {"prefix": "10.0.0.0/8", "paths": null}]}'
    (node,) = nodes_in(Completed(0, out, "", 0.1))
    assert node.routes == (Route("10.0.0.0/8"),)
    assert node.error.startswith("1 of 2 entries cannot be read: ")
    assert parse_routes(Completed(0, out, "", 0.1)).problems == (f"node a: {node.error}",)


@given(completed_runs(st.binary(max_size=200)))
def test_no_output_raises(completed: Completed) -> None:
    assert_printable(answer_of(parse_routes, completed))


PATHS = shaped_like(("age-nanoseconds", "best", "stale", "family", "nlri", "path-attributes"))
ROUTE_VALUES = st.fixed_dictionaries(
    {}, optional={"prefix": JSON, "router-asn": JSON, "paths": st.lists(PATHS, max_size=2)}
)


@given(
    completed_runs(
        st.dictionaries(st.text(max_size=8), JSON | st.lists(ROUTE_VALUES, max_size=3)).map(
            lambda value: json.dumps(value).encode()
        )
    )
)
def test_no_json_raises(completed: Completed) -> None:
    assert_printable(answer_of(parse_routes, completed))
