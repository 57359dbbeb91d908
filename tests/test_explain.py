"""`ciliscope explain`: one thing in full, or a sentence about why not."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest

from app.diagnosis.catalog import code, concerning
from app.diagnosis.diagnoser import diagnose
from app.diagnosis.explain import ABOUT, BadQuestion, Explanation, NoSuchThing, question
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity
from app.model.routes import announcers
from app.report.documents import explanation_json
from app.report.explanation import explanation_lines, explanation_text, page
from app.report.finding_lines import SCREEN
from app.report.lines import Pen, lines_of, text_of
from app.state.kinds import POOLS, SERVICES
from app.state.snapshot import Snapshot, State
from tests.commands import ciliscope, pointing_at
from tests.diagnosed import with_health
from tests.lab_asked import asked_lab
from tests.recorded import NAMES, RECORDINGS, changed, snapshot_of
from tests.test_paths import later
from tests.test_rules_advertisement import lacking


async def explained(snapshot: Snapshot, kind: str, *names: str) -> Explanation:
    case = Case(snapshot)
    return ABOUT[kind](case, diagnose(case), names)


def codes(findings: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in findings]


# The program


def test_a_service_is_followed_to_the_first_broken_hop(killed: dict[str, str]) -> None:
    done = ciliscope("explain", "service", "home/grafana", **killed)
    assert (done.returncode, done.stderr) == (0, "")
    hops = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [hop for hop in hops if hop[0] == "✓"][:4] == [
        ["✓", "class"],
        ["✓", "pool"],
        ["✓", "address"],
        ["✓", "endpoints"],
    ]
    assert ["✗", "sessions"] in hops
    assert ["·", "routes"] in hops
    assert "show bgp ipv4 unicast 172.29.52.101/32" in done.stdout
    assert "✗ CS401 " in done.stdout


def test_json_tells_the_same(killed: dict[str, str]) -> None:
    done = ciliscope("explain", "service", "home/grafana", "-o", "json", **killed)
    told = json.loads(done.stdout)
    (path,) = told["paths"]
    assert (told["kind"], path["service"], path["broken"]) == (
        "Explanation",
        "home/grafana",
        "sessions",
    )
    assert [hop["name"] for hop in path["hops"]][-1] == "router"
    assert len(path["hops"]) == 8
    assert path["prefixes"][0]["actual"] == []
    assert path["prefixes"][0]["missing"] == path["prefixes"][0]["expected"]
    ids = {finding["id"] for finding in told["findings"]}
    assert {each for hop in path["hops"] for each in hop["findings"]} <= ids
    assert {cause for finding in told["findings"] for cause in finding["causedBy"]} <= ids


def test_what_does_not_exist_is_told_with_what_comes_near(killed: dict[str, str]) -> None:
    done = ciliscope("explain", "service", "home/grafna", **killed)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "did you mean home/grafana?" in done.stderr


def test_a_code_is_explained_without_a_cluster() -> None:
    done = ciliscope("explain", "cs401", KUBECONFIG=os.devnull)
    assert done.returncode == 0
    assert done.stdout == page(code("CS401"))
    told = json.loads(ciliscope("explain", "CS401", "-o", "json", KUBECONFIG=os.devnull).stdout)
    assert (told["code"], told["category"]) == ("CS401", "bgp-sessions")


def test_what_cannot_be_read_is_an_exit_code_of_its_own() -> None:
    done = ciliscope(
        *("explain", "pool", "x", "--no-cli", "--timeout", "1s"), KUBECONFIG=os.devnull
    )
    assert done.returncode == 3
    assert "it is not known whether there is a pool x" in done.stderr


# Questions


@pytest.mark.parametrize(
    ("what", "names", "told"),
    [
        ("router", ["x"], "explain takes service NAMESPACE/NAME"),
        ("CS999", [], "there is no code CS999"),
        ("cs999", [], "there is no code CS999"),
        ("cs201", ["home/grafana"], "explain CS201 takes no name"),
        ("service", [], "takes one name"),
        ("service", ["grafana"], "must be NAMESPACE/NAME"),
        ("service", ["home/"], "must be NAMESPACE/NAME"),
        ("ip", ["172.29.52"], "must be an address"),
        ("prefix", ["172.29.52.0/40"], "must be a prefix"),
        ("pool", ["a", "b"], "takes one name"),
        ("session", ["a", "b", "c"], "takes one or two names"),
    ],
)
def test_a_question_that_cannot_be_understood(what: str, names: list[str], told: str) -> None:
    with pytest.raises(BadQuestion, match=told):
        question(what, names)


def test_a_code_may_be_written_in_small_letters() -> None:
    assert question("cs201", []) == question("CS201", [])


# Answers


@pytest.mark.parametrize("name", NAMES)
async def test_everything_in_every_recording_can_be_explained(name: str) -> None:
    snapshot = await snapshot_of(name)
    case = Case(snapshot)
    asked: list[tuple[str, tuple[str, ...]]] = [
        ("service", (key,)) for key in snapshot.records[SERVICES]
    ]
    asked += [("ip", (str(a),)) for b in case.balancers for a in b.addresses]
    asked += [("prefix", (str(prefix),)) for prefix in announcers(case.snapshot)]
    asked += [("session", (s.node, s.peer_address)) for s in case.sessions]
    asked += [("pool", (key,)) for key in snapshot.records[POOLS]]
    found = diagnose(case)
    for kind, names in asked:
        told = ABOUT[kind](case, found, names)
        assert explanation_text(told, Pen()).startswith(f"{kind} ")
        json.loads(explanation_json(told))


async def test_an_address_leads_to_its_service_and_its_pool() -> None:
    told = await explained(await snapshot_of("healthy"), "ip", "172.29.52.101")
    facts = dict(told.facts)
    assert facts == {
        "held by": "home/grafana",
        "pool": "bgp-default",
        "announced": "172.29.52.101/32 by 3 of 3 nodes: talos-cp-1, talos-cp-2, talos-cp-3, "
        "for home/grafana",
        "to peers": "172.29.51.1",
    }
    assert [path.service for path in told.paths] == ["home/grafana"]


async def test_an_address_that_nobody_holds_says_so() -> None:
    facts = dict((await explained(await snapshot_of("healthy"), "ip", "192.0.2.1")).facts)
    assert facts == {"held by": "none", "pool": "none", "announced": "by no node"}


@pytest.mark.parametrize(
    ("kind", "name"), [("ip", "172.29.52.101"), ("prefix", "172.29.52.101/32")]
)
async def test_the_answer_about_an_address_stands_before_why_it_is_so(kind: str, name: str) -> None:
    whole = later(await snapshot_of("healthy"), 60)
    told = await explained(lacking(whole, "172.29.52.101/32", "talos-cp-2"), kind, name)
    assert dict(told.facts)["announced"] == (
        "172.29.52.101/32 by 2 of 3 nodes: talos-cp-1, talos-cp-3; missing: talos-cp-2, "
        "for home/grafana"
    )
    drawn = [text_of(line) for line in lines_of(explanation_lines(told, SCREEN))]
    for lines in (explanation_text(told, Pen()).splitlines(), drawn):
        parts = ("held by", "announced", "CS502", "he way of service")
        places = [next(n for n, line in enumerate(lines) if part in line) for part in parts]
        assert places == sorted(places), lines
        assert places[1] < 6


async def test_an_address_that_nobody_announces_names_who_should() -> None:
    nodes = ("talos-cp-1", "talos-cp-2", "talos-cp-3")
    whole = later(await snapshot_of("healthy"), 60)
    told = await explained(lacking(whole, "172.29.52.101/32", *nodes), "ip", "172.29.52.101")
    facts = dict(told.facts)
    assert facts["announced"] == f"172.29.52.101/32 by 0 of 3 nodes; missing: {', '.join(nodes)}"
    assert "to peers" not in facts


async def test_a_prefix_leads_to_its_services() -> None:
    told = await explained(await snapshot_of("healthy"), "prefix", "172.29.52.100/31")
    assert dict(told.facts)["services"] == (
        "home/grafana (172.29.52.101), home/longhorn-frontend (172.29.52.100)"
    )


async def test_what_was_not_read_is_not_called_empty() -> None:
    snapshot = await snapshot_of("healthy", cli=False)
    silent = {
        label: replace(health, state=State.FORBIDDEN, read_at=None)
        if health.kind.name in ("services", "pools")
        else health
        for label, health in snapshot.health.items()
    }
    blind = changed(snapshot, health=silent, services={}, pools={})
    facts = dict((await explained(blind, "ip", "172.29.52.101")).facts)
    assert set(facts.values()) == {"not known: it could not be read"}
    for kind, name in (("service", "home/grafana"), ("pool", "bgp-default")):
        with pytest.raises(NoSuchThing, match="it is not known") as problem:
            await explained(blind, kind, name)
        assert not problem.value.certain


async def test_a_session_is_found_by_node_and_by_either_name_of_its_peer() -> None:
    snapshot = await snapshot_of("healthy")
    for names in (("talos-cp-1",), ("talos-cp-1", "172.29.51.1"), ("talos-cp-1", "router")):
        facts = dict((await explained(snapshot, "session", *names)).facts)
        assert facts["state"].startswith("established for ")
        assert facts["configured by"].startswith("CiliumBGPClusterConfig ")
    with pytest.raises(NoSuchThing, match="did you mean") as problem:
        await explained(snapshot, "session", "talos-cp-9", "172.29.51.1")
    assert problem.value.certain


async def test_a_pool_tells_who_holds_its_addresses() -> None:
    facts = dict((await explained(await snapshot_of("healthy"), "pool", "bgp-default")).facts)
    assert "172.29.52.101: home/grafana" in facts["held"]
    assert facts["selects"] == "io.cilium/lb-ipam-pool=bgp-default"


async def test_a_service_of_another_type_has_no_way() -> None:
    snapshot = await snapshot_of("healthy")
    key = next(k for k, s in snapshot.records[SERVICES].items() if s.spec.type == "ClusterIP")
    told = await explained(snapshot, "service", key)
    assert told.paths == ()
    assert "only services of type LoadBalancer" in dict(told.facts)["note"]


def test_findings_about_a_thing_come_with_all_that_explains_them() -> None:
    def found(code: str, name: str, causes: tuple[str, ...] = (), about: str = "") -> Finding:
        return Finding(
            code=code,
            severity=Severity.FAIL,
            subject=Ref("Node", name),
            summary="",
            about=(Ref("Node", about),) if about else (),
            caused_by=causes,
        )

    root = found("CS112", "a")
    middle = found("CS401", "b", (root.id,))
    leaf = found("CS501", "c", (middle.id,), about="d")
    other = found("CS501", "e", (root.id,))
    every = (root, middle, leaf, other)
    assert concerning(every, [Ref("Node", "d")]) == (root, middle, leaf)
    assert concerning(every, [Ref("Node", "a")]) == (root,)
    assert concerning(every, [Ref("Service", "a")]) == ()
    assert codes(concerning(every, [Ref("Node", "e")])) == ["CS112", "CS501"]


# What could not be read


def lost(snapshot: Snapshot, kind: str, state: State) -> Snapshot:
    bare = with_health(snapshot, kind, state=state, read_at=None, error="it is not to be had")
    return changed(bare, **{kind: MappingProxyType({})})


@pytest.mark.parametrize("state", [State.FORBIDDEN, State.FAILING, State.ABSENT])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("service", "home/grafana"), ("ip", "172.29.52.101"), ("prefix", "172.29.52.0/24")],
)
async def test_without_pools_it_is_not_said_that_there_is_none(
    kind: str, name: str, state: State
) -> None:
    told = await explained(lost(await snapshot_of("healthy"), "pools", state), kind, name)
    words = " ".join(explanation_text(told, Pen()).split())
    assert [health.kind.name for health in told.unread] == ["pools"]
    assert "no pool" not in words
    assert "pools none" not in words
    assert "pool none" not in words
    assert f"not all can be judged for want of pools ({state}): it is not to be had" in words
    assert json.loads(explanation_json(told))["unread"] == ["pools"]


async def test_what_was_switched_off_is_not_missed() -> None:
    told = await explained(await snapshot_of("healthy", cli=False), "service", "home/grafana")
    assert told.unread == ()


def test_explain_says_by_its_exit_code_that_not_all_was_read() -> None:
    """The recording's account may not exec in pods, so no route is read."""
    with asked_lab(replay=RECORDINGS / "rights-no-exec") as lab:
        done = ciliscope("explain", "service", "home/grafana", **pointing_at(lab))
    assert done.returncode == 3
    assert (
        "not all can be judged for want of cilium bgp peers (forbidden), cilium bgp" in done.stdout
    )


# Prefixes


async def test_a_range_tells_what_is_inside() -> None:
    told = dict((await explained(await snapshot_of("healthy"), "prefix", "172.29.52.0/24")).facts)
    assert "home/grafana (172.29.52.101)" in told["services"]
    assert "home/longhorn-frontend (172.29.52.100)" in told["services"]
    assert "bgp-default" in told["pools"]
    assert told["announced"] == "as a whole by no node"
    assert "172.29.52.100/32, 172.29.52.101/32" in told["within"]
    assert "by talos-cp-1, talos-cp-2, talos-cp-3" in told["within"]


async def test_a_host_prefix_is_the_service_of_its_address() -> None:
    told = await explained(await snapshot_of("healthy"), "prefix", "172.29.52.101/32")
    assert [path.service for path in told.paths] == ["home/grafana"]
    facts = dict(told.facts)
    assert facts["held by"] == "home/grafana"
    assert facts["announced"].startswith("172.29.52.101/32 by 3 of 3 nodes: talos-cp-1")
    assert facts["announced"].endswith("for home/grafana")
    assert "within" not in facts
