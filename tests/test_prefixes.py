"""Prefixes: where each should be announced and where it is, and that all answers agree."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diagnosis.addresses import Announcement, announcements, longest_match, look_up_prefix
from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.service_path.paths import service_paths
from app.state.snapshot import Snapshot
from tests.recorded import NAMES, snapshot_of

NODE_NAMES = ("talos-cp-1", "talos-cp-2", "talos-cp-3")


def found_in(snapshot: Snapshot) -> dict[str, Announcement]:
    judge = Diagnoser()
    found = announcements(judge.case(snapshot), judge.verdict(snapshot).findings)
    return {each.prefix: each for each in found}


@pytest.mark.parametrize("name", ["healthy", "v1-healthy", "v2alpha1-healthy", "local-one-node"])
async def test_where_all_is_well_every_prefix_is_where_it_should_be(name: str) -> None:
    found = found_in(await snapshot_of(name))
    assert {each.health for each in found.values()} == {"ok"}
    for each in found.values():
        assert each.advertised == each.expected == each.available
        assert each.what
    grafana = found["172.29.52.101/32"]
    assert (grafana.what, grafana.expected) == ("home/grafana", NODE_NAMES)
    assert found["10.244.1.0/24"].expected == ("talos-cp-2",)
    assert found["10.244.1.0/24"].what == "PodCIDR talos-cp-2"
    order = [ip_network(prefix) for prefix in found]
    assert order == sorted(order, key=lambda n: (n.version, int(n.network_address)))


async def test_a_policy_local_expects_only_the_nodes_that_serve() -> None:
    found = found_in(await snapshot_of("local-one-node"))["172.29.52.200/32"]
    assert (len(found.expected), found.advertised) == (1, found.expected)


async def test_with_every_session_down_everything_is_missing_everywhere() -> None:
    found = found_in(await snapshot_of("router-killed"))
    assert {each.health for each in found.values()} == {"fail"}
    assert found["172.29.52.101/32"].missing == NODE_NAMES
    assert found["172.29.52.101/32"].available == NODE_NAMES, (
        "it is in their own tables all the same"
    )
    assert found["172.29.52.101/32"].advertised == ()


async def test_what_a_silent_agent_announces_is_not_known() -> None:
    found = found_in(await snapshot_of("agent-just-killed"))["172.29.52.101/32"]
    assert (found.health, found.unknown, found.missing) == ("unknown", ("talos-cp-1",), ())
    assert found.advertised == ("talos-cp-2", "talos-cp-3")


async def test_without_the_command_nothing_is_known_and_nothing_is_missing() -> None:
    found = found_in(await snapshot_of("healthy", cli=False))
    assert {(each.health, each.advertised, each.missing) for each in found.values()} == {
        ("unknown", None, ())
    }


async def test_an_address_that_nothing_announces_is_a_broken_prefix() -> None:
    found = found_in(await snapshot_of("no-ipv6-family"))
    lost = found["fd47:25e1:2f96:52:100::/128"]
    assert (lost.health, lost.expected, lost.advertised) == ("fail", (), ())
    assert [finding.code for finding in lost.findings] == ["CS508"]
    assert found["172.29.53.0/32"].health == "ok"
    for each in found_in(await snapshot_of("advert-without-selector")).values():
        assert each.health == ("ok" if each.what.startswith("PodCIDR") else "fail")


@pytest.mark.parametrize("name", NAMES)
async def test_routes_paths_and_explain_agree(name: str) -> None:
    snapshot = await snapshot_of(name)
    judge = Diagnoser()
    case = judge.case(snapshot)
    found = {each.prefix: each for each in announcements(case, judge.verdict(snapshot).findings)}
    for key, path in service_paths(case).items():
        for entry in path.prefixes:
            told = found[entry.prefix]
            assert key in told.services
            assert set(entry.missing) <= set(told.missing)
            assert told.advertised == entry.actual
    for prefix, told in found.items():
        if told.advertised:
            known = look_up_prefix(case, ip_network(prefix))
            assert (known.prefix, known.announcers) == (prefix, told.advertised)


@given(
    st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(16, 32)), max_size=20),
    st.integers(0, 2**16 - 1),
)
def test_the_longest_prefix_that_holds_an_address_is_found(
    drawn: list[tuple[int, int]], host: int
) -> None:
    networks = {ip_network((0x0A000000 + low, length), strict=False) for low, length in drawn}
    address = ip_address(0x0A000000 + host)
    holding = [network for network in networks if address in network]
    expected = str(max(holding, key=lambda network: network.prefixlen)) if holding else ""
    assert longest_match(str(address), {str(network) for network in networks}) == expected


@given(st.text(max_size=40))
def test_what_is_no_address_matches_nothing(text: str) -> None:
    assert longest_match(text, ()) == ""


def test_a_prefix_matches_itself_before_what_is_around_it() -> None:
    known = {"10.0.0.0/8", "10.1.0.0/16", "::/0"}
    assert longest_match("10.1.0.0/16", known) == "10.1.0.0/16"
    assert longest_match("10.2.0.0/16", known) == "10.0.0.0/8"
    assert longest_match("fd00::1", known) == "::/0"
    assert longest_match("192.0.2.1", known) == ""
