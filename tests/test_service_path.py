"""The way of a service as lines: what is broken, why, what to do, and who announces it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.service_path.path import (
    Hop,
    HopName,
    HopState,
    PrefixPath,
    ServicePath,
    ServiceStatus,
    service_statuses,
    verdict_words,
)
from app.model.finding import Finding, Ref, Severity
from app.report.explanation import prefix_lines, status_page, status_summary
from app.report.lines import rows_of, text_of
from tests.recorded import NAMES, snapshot_of
from tests.searching import examples

HOPS: tuple[HopName, ...] = (
    "class",
    "pool",
    "address",
    "endpoints",
    "advertised",
    "sessions",
    "routes",
    "router",
)


async def told_in(name: str, service: str) -> ServiceStatus:
    snapshot = await snapshot_of(name)
    judge = Diagnoser()
    return service_statuses(judge.paths(snapshot), judge.verdict(snapshot).findings)[service]


def text(told: ServiceStatus, width: int = 80) -> str:
    return "\n".join(text_of(line) for line in status_page(told, width))


def finding(code: str, severity: Severity = Severity.FAIL, **more: object) -> Finding:
    made = Finding(
        code=code,
        severity=severity,
        subject=Ref("Service", "web", "home"),
        summary=f"summary of {code}",
        remedy=f"remedy of {code}",
    )
    return replace(made, **more)  # type: ignore[arg-type]


def way(
    broken: HopName | None = None, *found: Finding, prefixes: tuple[PrefixPath, ...] = ()
) -> ServicePath:
    """A way that is well up to this hop."""
    hops: list[Hop] = []
    for name in HOPS:
        if broken in HOPS and HOPS.index(name) > HOPS.index(broken):
            hops.append(Hop(name, HopState.NOT_REACHED, "not reached (as it is)"))
        elif name == broken:
            hops.append(Hop(name, HopState.BROKEN, "the reason", (), found))
        else:
            state = HopState.UNKNOWN if name == "router" else HopState.OK
            hops.append(Hop(name, state, f"{name} is fine"))
    return ServicePath("home/web", tuple(hops), prefixes, {"192.0.2.1": ("show bgp one",)})


async def test_the_first_broken_hop_has_its_reason_its_remedy_and_its_code() -> None:
    shown = text(await told_in("typo-in-pool-label", "home/typo"))
    lines = shown.split("\n")
    assert lines[0].startswith(" home/typo")
    assert lines[0].endswith("✗ no address ")
    assert lines[1].split() == ["│", "✓", "class", "no", "loadBalancerClass"]
    assert lines[2].startswith(" │ ✗ pool        no pool selects home/typo: bgp-default")
    assert "→ Set the label io.cilium/lb-ipam-pool: bgp-default" in shown
    assert "CS201" in shown
    assert " · ┄ sessions    not reached (3/3 established)" in lines
    order = [
        line.split()[2].rstrip("?") for line in lines if line[1:2] in "│·" and line[3:4] != " "
    ]
    assert tuple(order) == HOPS, "each hop once, in order"


async def test_what_breaks_a_hop_is_followed_to_its_root() -> None:
    told = await told_in("wrong-peer-asn", "home/grafana")
    assert told.why == "CS401 BGP sessions are down"
    for lines in (status_page(told, 80), status_summary(told, 80)):
        shown = "\n".join(map(text_of, lines))
        assert "sessions    0/3 established" in shown
        assert "3 of 3 sessions with 172.29.51.1 are down" in shown
        assert "CS401" in shown


async def test_a_family_without_session_leaves_the_service_partly_announced() -> None:
    shown = text(await told_in("no-ipv6-family", "home/mosquitto"))
    assert "✗ only partly announced" in shown
    assert "CS508" in shown
    assert "✓ 172.29.53.0/32  by all 3 that should" in shown


async def test_a_service_that_is_well_says_who_announces_it_and_what_to_compare() -> None:
    shown = text(await told_in("healthy", "home/mosquitto"))
    assert "✓ announced" in shown.split("\n")[0]
    assert "by all 3 that should: talos-cp-1, talos-cp-2, talos-cp-3" in shown
    assert "show bgp ipv6 unicast fd47:25e1:2f96:52:100::/128" in shown
    assert "✗" not in shown


async def test_bgp_v1_has_the_same_way() -> None:
    told = await told_in("v1-no-service-selector", "home/grafana")
    assert told.why == "CS313 the advertisement selects nothing"
    assert "✗ advertised?" in text(told)


@pytest.mark.parametrize(
    ("actual", "unknown", "words"),
    [
        (("a", "b"), (), ["✓ 10.0.0.1/32  by all 2 that should: a, b"]),
        (("a",), (), ["! 10.0.0.1/32", "announced  a", "missing    b"]),
        ((), (), ["✗ 10.0.0.1/32", "announced  no node", "missing    a, b"]),
        (("a",), ("b",), ["? 10.0.0.1/32", "not known  b"]),
        (("a", "b", "c"), (), ["! 10.0.0.1/32", "should not c"]),
        (None, (), ["? 10.0.0.1/32  expected from a, b; who announces it is not known"]),
    ],
)
def test_a_prefix_tells_who_is_missing_and_who_should_not(
    actual: tuple[str, ...] | None, unknown: tuple[str, ...], words: list[str]
) -> None:
    prefix = PrefixPath("10.0.0.1/32", ("a", "b"), actual, unknown)
    shown = "\n".join(text_of(line) for line in rows_of(prefix_lines(prefix), 80))
    for word in words:
        assert word in shown
    assert ("missing" in shown) == bool(actual is not None and prefix.missing)


def test_health_is_the_worst_of_what_was_found_and_of_the_way() -> None:
    assert ServiceStatus(way()).health == "ok", "that the router cannot be seen is no doubt"
    assert ServiceStatus(way("pool")).health == "fail", "broken without any finding"
    assert ServiceStatus(way("pool")).why == "pool: the reason"
    warned = ServiceStatus(way(), (finding("CS502", Severity.WARN),))
    assert (warned.health, warned.why) == ("warn", "CS502 too few nodes announce it")
    noted = ServiceStatus(way(), (finding("CS510", Severity.INFO),))
    assert (noted.health, noted.why) == ("ok", "")
    hops = tuple(
        replace(hop, state=HopState.UNKNOWN) if hop.name == "routes" else hop for hop in way().hops
    )
    doubtful = ServiceStatus(replace(way(), hops=hops))
    assert (doubtful.health, doubtful.why) == ("unknown", "routes: routes is fine")
    assert verdict_words(doubtful.path, "unknown") == "not all of it known"


async def test_where_a_node_that_should_announce_it_is_not_known_the_service_is_not_known() -> None:
    told = await told_in("exec-fails-one-node", "home/grafana")
    assert (told.health, told.why) == ("unknown", "1 node not known")
    assert "? announced, 1 node not known" in text(told).split("\n")[0]
    worse = replace(told, findings=(finding("CS502", Severity.WARN),))
    assert (worse.health, worse.why) == ("warn", "CS502 too few nodes announce it")


def test_what_was_found_beside_the_way_stands_there_too() -> None:
    beside = finding("CS218", Severity.WARN)
    shown = text(ServiceStatus(way("pool", finding("CS201")), (finding("CS201"), beside)))
    assert shown.count("summary of CS201") == 1
    assert "Found beside it" in shown
    assert "! summary of CS218  CS218" in shown


@pytest.mark.parametrize("name", NAMES)
async def test_no_line_is_wider_than_the_room_and_no_word_is_lost(name: str) -> None:
    snapshot = await snapshot_of(name)
    judge = Diagnoser()
    everything = service_statuses(judge.paths(snapshot), judge.verdict(snapshot).findings)

    @settings(
        max_examples=examples(8),
    )
    @given(st.integers(40, 180))
    def fits(width: int) -> None:
        for told in everything.values():
            lines = status_page(told, width)
            for line in (*lines, *status_summary(told, width)):
                assert cell_len(text_of(line).rstrip()) <= width
            bare = "".join(text_of(line)[17:] for line in lines).replace(" ", "")
            for hop in told.path.hops:
                assert hop.reason.replace(" ", "") in bare

    fits()
