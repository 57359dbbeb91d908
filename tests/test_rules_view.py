"""CS8: what could not be seen is told once, with what is missing, and never called broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest
import yaml

from app.diagnosis.rules.visibility import RULES, WAITING, rights_yaml
from app.model.finding import Finding
from app.state.kinds import AGENT_LOGS, KINDS, NODES, VERSION
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.cilium.answer import TOO_OLD
from collectors.kubernetes.records import ClusterVersion, Condition
from collectors.kubernetes.resources import resources
from tests.diagnosed import diagnosed, one, put, told, with_health, with_source
from tests.recorded import NAMES, changed, snapshot_of

COMMAND_KINDS = (
    "bgp_peers",
    "cilium_status",
    "routes_advertised_ipv4",
    "routes_advertised_ipv6",
    "routes_available_ipv4",
    "routes_available_ipv6",
)
RESOURCES = {each.kind: each for each in resources()}


def by_code(findings: tuple[Finding, ...], code: str) -> list[Finding]:
    return [finding for finding in findings if finding.code == code]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"rights-no-exec"}))
async def test_where_all_was_read_nothing_is_said(name: str) -> None:
    assert diagnosed(await snapshot_of(name), RULES) == ()
    assert diagnosed(await snapshot_of(name, cli=False), RULES) == ()


# --- CS801


async def test_the_missing_right_to_exec_is_told_once() -> None:
    found = one(diagnosed(await snapshot_of("rights-no-exec")), "CS801")
    assert found.severity == "unknown"
    assert "create/get pods/exec in namespace kube-system" in found.summary
    assert "status" in found.summary
    assert "  resources: [pods/exec]" in found.remedy
    assert "--no-cli" in found.remedy
    assert found.command == "kubectl auth can-i create pods --subresource=exec -n kube-system"
    assert len(found.about) == 6


@pytest.mark.parametrize("kind", sorted(RESOURCES))
async def test_each_forbidden_kind_is_told_with_its_right(kind: str) -> None:
    snapshot = await snapshot_of("healthy")
    refused = with_health(
        snapshot, kind, state=State.FORBIDDEN, error=f"{kind} is forbidden", read_at=None
    )
    found = one(diagnosed(changed(refused, **{kind: {}}), RULES), "CS801")
    resource = RESOURCES[kind]
    assert found.severity == ("info" if resource.on_demand else "unknown")
    assert resource.why in found.summary
    (rule,) = yaml.safe_load(found.remedy.partition("\n")[2])
    assert rule["resources"] == [resource.plural]
    assert rule["apiGroups"] == [resource.group]
    assert rule["verbs"] == ["get", "list", "watch"]
    assert rule.get("resourceNames", []) == ([resource.name] if resource.name else [])
    assert ("Role in namespace kube-system" in found.remedy) == bool(resource.namespace)
    assert f"can-i watch {resource.plural}" in found.command


async def test_the_evidence_is_what_the_api_server_said() -> None:
    found = one(diagnosed(await snapshot_of("rights-no-exec")), "CS801")
    values = [evidence.value for evidence in found.evidence]
    assert values
    for value in values:
        assert value.startswith('pods "cilium-')
        assert 'is forbidden: User "bench-viewer" cannot create resource "pods/exec"' in value
        assert value.endswith('in the namespace "kube-system"')
    assert {e.field for e in found.evidence} == {"refusal"}
    assert {e.object for e in found.evidence} == {"create/get pods/exec in namespace kube-system"}
    assert found.remedy.startswith("grant this to User bench-viewer, in a Role")


@pytest.mark.parametrize(
    ("error", "words", "who", "verb"),
    [
        (
            "https://k forbids reading /apis/x: ciliumnodes.cilium.io is forbidden: User "
            '"system:serviceaccount:ops:viewer" cannot list resource "ciliumnodes" in API group '
            '"cilium.io" at the cluster scope (HTTP 403)',
            'ciliumnodes.cilium.io is forbidden: User "system:serviceaccount:ops:viewer" cannot '
            'list resource "ciliumnodes" in API group "cilium.io" at the cluster scope',
            "ServiceAccount ops/viewer",
            "list",
        ),
        ("the proxy says no (HTTP 403)", "the proxy says no (HTTP 403)", "", "watch"),
    ],
)
async def test_a_refusal_names_who_may_not_do_what(
    error: str, words: str, who: str, verb: str
) -> None:
    refused = with_health(
        await snapshot_of("healthy"), "cilium_nodes", state=State.FORBIDDEN, error=error
    )
    found = one(diagnosed(refused, RULES), "CS801")
    assert [evidence.value for evidence in found.evidence] == [words]
    assert found.remedy.startswith(f"grant this to {who}, in a" if who else "grant this, in a")
    assert found.command == f"kubectl auth can-i {verb} ciliumnodes.cilium.io"


async def test_of_many_sources_without_a_right_only_some_are_named() -> None:
    snapshot = await snapshot_of("healthy")
    for number in range(50):
        label = f"agent log node-{number:02}"
        error = f'pods "cilium-{number}" is forbidden: User "u" cannot get resource "pods/log"'
        refused = SourceHealth(label, AGENT_LOGS, State.FORBIDDEN, snapshot.taken_at, error=error)
        snapshot = with_source(snapshot, refused)
    found = one(diagnosed(snapshot, RULES), "CS801")
    assert found.summary.startswith("agent log node-00, agent log node-01, ")
    assert "and 46 more: not allowed to get pods/log" in found.summary
    assert len(found.evidence) == 4
    assert len(found.about) == 50


async def test_the_log_and_the_version_are_rights_of_their_own() -> None:
    snapshot = await snapshot_of("healthy")
    for kind, text in (("operator_log", "pods/log"), ("version", "nonResourceURLs: [/version]")):
        refused = SourceHealth(kind, KINDS[kind], State.FORBIDDEN, snapshot.taken_at, error="403")
        found = one(diagnosed(with_source(snapshot, refused), RULES), "CS801")
        assert text in found.remedy


def test_a_right_is_valid_yaml() -> None:
    for resource in RESOURCES.values():
        (rule,) = yaml.safe_load(rights_yaml(resource.rights()))
        assert rule["verbs"] == ["get", "list", "watch"]


# --- CS802


async def test_a_failing_source_says_since_when_and_why() -> None:
    snapshot = await snapshot_of("healthy")
    moment = snapshot.taken_at
    failing = with_health(
        snapshot,
        "pools",
        state=State.FAILING,
        error="connection reset",
        since=moment - timedelta(minutes=5),
        read_at=moment - timedelta(minutes=6),
        next_try=moment + timedelta(seconds=12),
    )
    found = one(diagnosed(failing, RULES), "CS802")
    assert found.severity == "unknown"
    assert found.root
    assert found.summary == (
        "pools cannot be read since 5 min (connection reset) and was last read 6 min ago, "
        "so it is unknown why a service has no address"
    )
    assert "next attempt in 12 s" in found.evidence[0].value


@pytest.mark.parametrize(
    ("state", "seconds", "codes"),
    [
        (State.LOADING, WAITING - 1, []),
        (State.LOADING, WAITING + 1, ["CS802"]),
        (State.STALE, WAITING - 1, []),
        (State.STALE, WAITING + 1, ["CS802"]),
        (State.FAILING, 0, ["CS802"]),
        (State.OFF, 900, []),
        (State.FRESH, 900, []),
        (State.ABSENT, 900, []),
    ],
)
async def test_which_states_are_worth_a_word(
    state: State, seconds: float, codes: list[str]
) -> None:
    snapshot = await snapshot_of("healthy")
    since = snapshot.taken_at - timedelta(seconds=seconds)
    found = diagnosed(with_health(snapshot, "pools", state=state, since=since), RULES)
    assert [finding.code for finding in found] == codes


def failing_everywhere(snapshot: Snapshot) -> Snapshot:
    health = {
        label: replace(each, state=State.FAILING, error="refused")
        for label, each in snapshot.health.items()
    }
    api = SourceHealth("API server", VERSION, State.FAILING, snapshot.taken_at, error="refused")
    return changed(snapshot, health=MappingProxyType({**health, api.label: api}))


async def test_an_api_server_that_does_not_answer_is_one_root() -> None:
    found = diagnosed(failing_everywhere(await snapshot_of("healthy")), RULES)
    roots = [finding for finding in found if finding.root]
    assert [finding.subject.name for finding in roots] == ["API server"]
    assert {finding.code for finding in found} == {"CS802"}
    assert len(found) == len((await snapshot_of("healthy")).health) + 1
    assert all(f.caused_by == (roots[0].id,) for f in found if not f.root)


async def test_an_api_server_that_answers_explains_nothing() -> None:
    down = failing_everywhere(await snapshot_of("healthy"))
    up = with_health(down, "version", state=State.FRESH, error="")
    found = diagnosed(up, RULES)
    broken = one(found, "CS803")
    assert broken.root
    for finding in by_code(found, "CS802"):
        assert finding.root != (finding.subject in broken.about)


async def test_a_node_that_is_cut_off_keeps_the_command_from_ending() -> None:
    snapshot = await snapshot_of("healthy")
    node = snapshot.records[NODES]["talos-cp-2"]
    unknown = msgspec.structs.replace(node.status, conditions=(Condition("Ready", "Unknown"),))
    dead = changed(snapshot, nodes=put(snapshot.records[NODES], node.name, status=unknown))
    error = "cilium status had not ended after 60 s and was ended"
    stuck = with_health(dead, "cilium_status", state=State.FAILING, error=error)
    assert told(diagnosed(stuck)) == [("CS112", "fail", True), ("CS802", "unknown", False)]


async def test_an_agent_that_hangs_keeps_the_command_from_ending() -> None:
    snapshot = changed(await snapshot_of("exec-fails-one-node"), cilium_status={})
    error = "cilium status had not ended after 60 s and was ended"
    stuck = with_health(snapshot, "cilium_status", state=State.FAILING, error=error, read_at=None)
    assert told(diagnosed(stuck)) == [("CS106", "fail", True), ("CS802", "unknown", False)]


# --- CS803


def commands_in(snapshot: Snapshot, state: State, error: str) -> Snapshot:
    for kind in COMMAND_KINDS:
        snapshot = with_health(snapshot, kind, state=state, error=error, read_at=None)
    return changed(snapshot, **{kind: {} for kind in COMMAND_KINDS})


TOO_OLD_ERROR = f"the cilium program does not know `cilium bgp peers`: {TOO_OLD}"


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (State.ABSENT, "cilium is not on the PATH", "is missing"),
        (State.FAILING, TOO_OLD_ERROR, "is too old"),
        (State.FAILING, "cilium bgp peers: no kubeconfig", "fails whatever it is asked"),
    ],
)
async def test_no_usable_command(state: State, error: str, words: str) -> None:
    snapshot = commands_in(await snapshot_of("healthy"), state, error)
    found = diagnosed(snapshot, RULES)
    bad = one(found, "CS803")
    assert bad.severity == "warn"
    assert words in bad.summary
    assert "known from the API alone" in bad.summary
    assert [f for f in found if f.root] == [bad]


async def test_without_the_command_bgpv1_has_no_witness() -> None:
    snapshot = commands_in(await snapshot_of("v1-healthy"), State.ABSENT, "not on the PATH")
    assert "BGPv1 are not known at all" in one(diagnosed(snapshot, RULES), "CS803").summary


async def test_one_subcommand_that_an_old_program_lacks() -> None:
    snapshot = await snapshot_of("healthy")
    old = with_health(snapshot, "routes_advertised_ipv4", state=State.FAILING, error=TOO_OLD_ERROR)
    assert told(diagnosed(old, RULES)) == [("CS802", "unknown", False), ("CS803", "warn", True)]


async def test_what_is_not_the_commands_fault() -> None:
    snapshot = await snapshot_of("healthy")
    error = "cilium status had not ended after 60 s and was ended"
    slow = commands_in(snapshot, State.FAILING, error)
    one_fails = with_health(snapshot, "bgp_peers", state=State.FAILING, error="exit code 2")
    for broken in (slow, one_fails, failing_everywhere(snapshot)):
        assert "CS803" not in {f.code for f in diagnosed(broken, RULES)}
    for state in (State.OFF, State.LOADING, State.FORBIDDEN):
        waiting = commands_in(snapshot, state, "")
        assert "CS803" not in {f.code for f in diagnosed(waiting, RULES)}


# --- CS804


@pytest.mark.parametrize(
    ("skew", "took", "words"),
    [
        (None, 0.1, None),
        (4.9, 0.1, None),
        (-4.9, 0.1, None),
        (7.0, 6.0, None),
        (5.2, 0.1, "5 s ahead of"),
        (-3600.0, 0.1, "60 min behind"),
    ],
)
async def test_clocks_that_differ(skew: float | None, took: float, words: str | None) -> None:
    snapshot = await snapshot_of("healthy")
    beat = SourceHealth(
        "API server", VERSION, State.FRESH, snapshot.taken_at, snapshot.taken_at, took
    )
    version = MappingProxyType({"version": ClusterVersion("v1.36.2", skew)})
    found = diagnosed(changed(with_source(snapshot, beat), version=version), RULES)
    assert [f.code for f in found] == (["CS804"] if words else [])
    assert all(words and words in f.summary for f in found)
