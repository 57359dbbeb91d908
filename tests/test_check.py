"""`ciliscope check`: its outputs, its exit codes, its waiting; and the documents it promises."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from app.cli.check import (
    FOUND,
    NOTHING_FOUND,
    OUTPUTS,
    UNJUDGED,
    Request,
    exit_code,
    parse_condition,
    wait,
)
from app.cli.parser import grammar
from app.diagnosis import catalog
from app.diagnosis.diagnoser import Verdict
from app.diagnosis.ignore_file import Ignored, IgnoreEntry
from app.diagnosis.inputs import CATEGORIES, NoCategory, categories_of
from app.model.finding import Evidence, Finding, Ref, Severity
from app.report.check_text import short, text
from app.report.documents import findings_json, junit
from app.report.finding_lines import VALUE, evidence_text
from app.report.lines import Pen
from app.report.markdown import code, escape, markdown
from app.state.kinds import SERVICES
from app.state.monitor import Monitor
from app.state.snapshot import Snapshot, State
from tests.commands import ciliscope, environment, pointing_at, run_here
from tests.lab_asked import asked_lab
from tests.recorded import NAMES, RECORDINGS, changed, feeds, snapshot_of, taken_at
from tests.verdicts import BAD
from tests.virtual_time import in_virtual_time

SCHEMA = Path(__file__).parent.parent / "docs" / "findings.schema.json"
ALL = Request(categories=CATEGORIES)
HOSTILE = "a `b` | **c** <script>&\x00\x1b[31m\ud800 [x](http://y) @all\n# d"


def finding(code_: str, severity: Severity, name: str, causes: tuple[str, ...] = ()) -> Finding:
    return Finding(
        code=code_,
        severity=severity,
        subject=Ref("Service", name, "home"),
        summary=f"{name} is broken",
        evidence=(Evidence("services", f"Service home/{name}", "spec.type", "LoadBalancer", 3.0),),
        remedy="mend it",
        command="kubectl get services",
        caused_by=causes,
    )


def verdict_of(snapshot: Snapshot, *findings: Finding, categories: tuple[str, ...]) -> Verdict:
    return Verdict(snapshot=snapshot, categories=categories, findings=findings)


# The program


def test_a_dead_router_is_told_once_with_what_follows_from_it(killed: dict[str, str]) -> None:
    done = ciliscope("check", **killed)
    assert done.returncode == FOUND
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    failures = [line for line in lines if line.startswith("✗ CS")]
    assert [line.split()[1] for line in failures] == ["CS401"]
    assert any(line.strip().startswith("explains  ") and "CS501" in line for line in lines)
    assert any("here follow from CS401 Peer 172.29.51.1 (bgp-sessions)" in line for line in lines)
    for part in (
        "evidence  ",
        "remedy    ",
        "command   ",
        "docs      app/diagnosis/catalog/CS401.md",
    ):
        assert any(line.startswith(f"    {part}") for line in lines)
    assert [line for line in lines if line in CATEGORIES] == list(CATEGORIES)


def test_short_is_a_line_for_each_root(killed: dict[str, str]) -> None:
    done = ciliscope("check", "-o", "short", **killed)
    assert done.returncode == FOUND
    (line,) = done.stdout.splitlines()
    assert line.startswith("✗ CS401 ")
    assert "(explains " in line


def test_a_consequence_alone_is_told_with_its_cause(killed: dict[str, str]) -> None:
    done = ciliscope("check", "advertisement", **killed)
    assert done.returncode == FOUND
    assert "✗ CS501 " in done.stdout
    assert "because   CS401 Peer 172.29.51.1" in done.stdout
    assert "bgp-sessions\n---" not in done.stdout


def test_what_is_fine_elsewhere_is_not_asked(killed: dict[str, str]) -> None:
    done = ciliscope("check", "lb-ipam", "workload", **killed)
    assert done.returncode == NOTHING_FOUND
    assert done.stdout.count("nothing found") == 3


def test_json_is_one_document_that_fits_the_schema(killed: dict[str, str]) -> None:
    done = ciliscope("check", "-o", "json", **killed)
    assert done.returncode == FOUND
    told: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(told, json.loads(SCHEMA.read_text()))
    root = next(f for f in told["findings"] if not f["causedBy"] and f["severity"] == "fail")
    assert (root["code"], root["subject"]["kind"]) == ("CS401", "Peer")
    effects = [f for f in told["findings"] if f["code"] == "CS501"]
    assert effects
    assert all(f["causedBy"] == [root["id"]] for f in effects)
    assert Path(root["docs"]).name == "CS401.md"
    assert told["takenAt"] == "2026-11-23T05:03:52.352038Z"
    assert {source["name"] for source in told["sources"]} >= {"cilium bgp peers", "services"}


def test_a_healthy_cluster_has_nothing_to_tell(healthy: dict[str, str]) -> None:
    for words in ((), ("--fail-on", "warn"), ("-o", "junit")):
        done = ciliscope("check", *words, **healthy)
        assert done.returncode == NOTHING_FOUND, done.stdout
        assert "<failure" not in done.stdout


def test_signs_are_ascii_where_nothing_else_can_be_printed(healthy: dict[str, str]) -> None:
    for words, more in ((("--ascii",), {}), ((), {"PYTHONIOENCODING": "ascii"})):
        done = ciliscope("check", "view", *words, **healthy, **more)
        assert done.stdout.isascii()
        assert "+ nothing found" in done.stdout


def test_what_could_not_be_judged_is_an_exit_code_of_its_own() -> None:
    with asked_lab(replay=RECORDINGS / "rights-no-exec") as lab:
        done = ciliscope("check", **pointing_at(lab))
        assert done.returncode == UNJUDGED
        assert "resources: [pods/exec]" in done.stdout
        assert "for want of leases (forbidden)" in done.stdout
        assert ciliscope("check", "lb-ipam", **pointing_at(lab)).returncode == NOTHING_FOUND


def test_a_cluster_that_is_not_there_is_not_called_healthy(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\n")
    done = ciliscope("check", "--no-cli", "--timeout", "1s", KUBECONFIG=str(config))
    assert done.returncode == UNJUDGED
    assert "✓" not in done.stdout.replace("✓ configuration", "")


def test_what_is_ignored_is_listed_with_its_reason(killed: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "ciliscope-ignore.yaml"
    file.write_text("- {code: CS401, subject: 'Peer 172.*', reason: being replaced}\n")
    done = run_here(("check",), environment(**killed), tmp_path)
    assert done.returncode == NOTHING_FOUND
    assert "ignored: CS401 Peer 172.29.51.1: being replaced" in done.stdout
    told = json.loads(run_here(("check", "-o", "json"), environment(**killed), tmp_path).stdout)
    assert {"CS401", "CS501"} <= {each["id"].split("/")[0] for each in told["ignored"]}
    assert (
        run_here(("check", "--no-ignore-file"), environment(**killed), tmp_path).returncode == FOUND
    )
    file.write_text("- {code: CS401, reason: being replaced, expires: 2026-11-22}\n")
    done = run_here(("check",), environment(**killed), tmp_path)
    assert done.returncode == FOUND
    assert "! CS805 ciliscope-ignore.yaml, entry 1 ignored CS401 until 2026-11-22" in done.stdout


def test_short_lists_what_is_ignored_too(killed: dict[str, str]) -> None:
    done = ciliscope("check", "-o", "short", "--ignore", "CS401", "--no-ignore-file", **killed)
    assert done.returncode == NOTHING_FOUND
    first, *_ = lines = done.stdout.splitlines()
    assert first == "ignored: CS401 Peer 172.29.51.1: as asked on the command line (--ignore)"
    assert all(line.startswith("ignored: CS") for line in lines)


def test_what_was_switched_off_is_named(healthy: dict[str, str]) -> None:
    peers, status = "cilium bgp peers", "cilium status"
    done = ciliscope("--no-cli", "check", "-o", "short", "bgp-sessions", **healthy)
    assert done.returncode == NOTHING_FOUND
    assert done.stdout == f"· not read, as asked: {peers}\n"
    done = ciliscope("--no-cli", "check", "view", **healthy)
    assert done.returncode == NOTHING_FOUND
    assert f"nothing found (not read, as asked: {status}, {peers}, " in done.stdout
    assert ciliscope("check", "-o", "short", **healthy).stdout == ""


def test_what_was_switched_off_is_named_beside_findings(killed: dict[str, str]) -> None:
    done = ciliscope("--no-cli", "check", "bgp-sessions", **killed)
    assert done.returncode == FOUND
    assert "\n· not read, as asked: cilium bgp peers\n" in done.stdout


def test_every_machine_readable_output_names_what_was_left_out(killed: dict[str, str]) -> None:
    words = ("--no-cli", "check", "bgp-sessions", "--no-ignore-file", "--ignore", "CS401", "-o")
    off, why = "cilium bgp peers", "as asked on the command line"
    told = json.loads(ciliscope(*words, "json", **killed).stdout)
    jsonschema.validate(told, json.loads(SCHEMA.read_text()))
    assert told["notRead"] == [off]
    assert told["ignored"][0]["reason"] == why
    suite = ElementTree.fromstring(ciliscope(*words, "junit", **killed).stdout)[0]  # noqa: S314 - our own
    assert suite[-1].tag == "system-out", "after all cases, as the form wants it"
    assert suite[-1].text is not None
    ignored, *_, last = suite[-1].text.splitlines()
    assert ignored == f"ignored: CS401 Peer 172.29.51.1: {why} (--ignore)"
    assert last == f"not read, as asked: {off}"
    pasted = ciliscope(*words, "markdown", **killed).stdout
    assert f"\n\nNot read, as asked: {off}.\n" in pasted
    assert "## Ignored" in pasted


def test_nothing_is_said_to_be_left_out_where_nothing_is(healthy: dict[str, str]) -> None:
    assert json.loads(ciliscope("check", "-o", "json", **healthy).stdout)["notRead"] == []
    assert "system-out" not in ciliscope("check", "-o", "junit", "bgp-sessions", **healthy).stdout
    assert "Not read" not in ciliscope("check", "-o", "markdown", **healthy).stdout


def test_a_long_log_line_keeps_its_end() -> None:
    line = f"time=2026-11-23 msg={'x' * 400} Topic=Peer Key=172.29.51.1 Reason=hold-timer-expired"
    told = evidence_text(Evidence("agent log a", "Pod b", "at", line))
    assert told.startswith("Pod b: at = time=2026-11-23 msg=xxx")
    assert told.endswith("Key=172.29.51.1 Reason=hold-timer-expired (agent log a)")
    shown = told.removeprefix("Pod b: at = ").removesuffix(" (agent log a)")
    assert len(shown) == VALUE
    assert shown.count(" ... ") == 1
    whole = evidence_text(Evidence("agent log a", "Pod b", "at", "y" * VALUE))
    assert f" = {'y' * VALUE} (" in whole


def test_a_profile_is_held_against_the_cluster(healthy: dict[str, str]) -> None:
    done = ciliscope(
        "check", "configuration", "--expect", "bgp-loadbalancer", "-o", "json", **healthy
    )
    told = json.loads(done.stdout)
    assert {f["code"] for f in told["findings"]} <= {"CS701"}
    assert done.returncode in (NOTHING_FOUND, FOUND)


def test_a_beginning_asks_for_all_that_begin_so(healthy: dict[str, str]) -> None:
    told = json.loads(ciliscope("check", "bgp", "-o", "json", **healthy).stdout)
    assert told["categories"] == ["bgp-config", "bgp-sessions"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check", "routers"), "there is no category 'routers'; there are cilium, lb-ipam"),
        (("check", "bgp", ""), "there is no category ''"),
        (("check", "--for", "ok"), "give --wait"),
        (("check", "--wait", "soon"), "--wait is 'soon'"),
        (("check", "--wait", "1s", "--for", "peace"), "--for is 'peace'"),
        (("check", "--wait", "1s", "--for", "CS999 gone"), "--for is 'CS999 gone'"),
        (("check", "--timeout", "x"), "--timeout is 'x'"),
        (("check", "--ignore", "CS999"), "--ignore is 'CS999'"),
        (("check", "--ignore-file", "missing.yaml"), "missing.yaml does not exist"),
        (("check", "--expect", "./missing.toml"), "there is no such file"),
        (("check", "-o", "xml"), "invalid choice"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_told_so(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = run_here(words, environment(), tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_markdown_keeps_a_remedy_in_its_order() -> None:
    """What stands behind a manifest is another way out, and no part of the words before it."""
    snapshot = Snapshot(taken_at=taken_at("healthy"))
    told = replace(
        finding("CS801", Severity.UNKNOWN, "x"), remedy="grant this:\n- verbs: [get]\nor do without"
    )
    lines = markdown(verdict_of(snapshot, told, categories=("view",))).splitlines()
    at = lines.index("**Remedy:** grant this:")
    assert [line for line in lines[at + 1 :] if line][:4] == [
        "```yaml",
        "- verbs: [get]",
        "```",
        "or do without",
    ]


# Waiting


def test_waiting_ends_as_soon_as_it_is_true(healthy: dict[str, str]) -> None:
    begun = time.monotonic()
    done = ciliscope("check", "--wait", "1h", "-o", "short", **healthy)
    assert done.returncode == NOTHING_FOUND
    assert time.monotonic() - begun < 1800


async def waited(name: str, condition: str, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    """Whether a condition came true within a moment, and what was said meanwhile."""
    moment = taken_at(name)
    monitor = Monitor(feeds(name), lambda: moment, context=name)
    running = asyncio.create_task(monitor.run())
    request = replace(ALL, deadline=5.0, condition=parse_condition(condition))
    try:
        _, held = await wait(monitor, request, 6.0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return held, capsys.readouterr().err


@in_virtual_time
async def test_waiting_in_vain_says_once_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    held, said = await waited("v1-typo-in-pool-label", "CS201 gone", capsys)
    assert not held
    assert said.startswith("ciliscope: waiting for CS201 gone: CS201 Service home/")
    assert said.count("\n") == 1


@in_virtual_time
async def test_waiting_says_nothing_when_it_is_true_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await waited("v1-typo-in-pool-label", "CS401 gone", capsys) == (True, "")
    assert await waited("no-bgp-config", "CS401 gone", capsys) == (True, "")


def test_a_code_that_is_not_there_is_gone_whatever_else_is_wrong(killed: dict[str, str]) -> None:
    done = ciliscope("check", "--wait", "30s", "--for", "CS201 gone", **killed)
    assert done.returncode == NOTHING_FOUND
    assert "✗ CS401" in done.stdout


async def test_conditions_are_not_true_while_a_source_fails() -> None:
    snapshot = await snapshot_of("healthy")
    verdict = ALL.judge().verdict(snapshot)
    silent = {
        label: replace(health, state=State.FAILING) if health.kind == SERVICES else health
        for label, health in snapshot.health.items()
    }
    blind = ALL.judge().verdict(changed(snapshot, health=silent))
    for words in ("ok", "no-warn", "CS401 gone", "CS401=gone", "cs401 gone"):
        assert parse_condition(words).holds(verdict)
        assert not parse_condition(words).holds(blind)


async def test_conditions_look_at_severities_and_codes() -> None:
    snapshot = await snapshot_of("healthy")
    warned = verdict_of(
        snapshot, finding("CS216", Severity.WARN, "grafana"), categories=("lb-ipam",)
    )
    assert parse_condition("ok").holds(warned)
    assert not parse_condition("no-warn").holds(warned)
    assert not parse_condition("CS216 gone").holds(warned)


# Exit codes


@pytest.mark.parametrize(
    ("severity", "threshold", "wanted"),
    [
        (Severity.FAIL, Severity.FAIL, FOUND),
        (Severity.WARN, Severity.FAIL, NOTHING_FOUND),
        (Severity.WARN, Severity.WARN, FOUND),
        (Severity.INFO, Severity.WARN, NOTHING_FOUND),
        (Severity.UNKNOWN, Severity.WARN, UNJUDGED),
    ],
)
async def test_the_exit_code_tells_what_was_found(
    severity: Severity, threshold: Severity, wanted: int
) -> None:
    verdict = verdict_of(
        await snapshot_of("healthy"), finding("CS201", severity, "web"), categories=("lb-ipam",)
    )
    request = Request(categories=("lb-ipam",), threshold=threshold)
    assert exit_code(verdict, request, held=False) == wanted
    assert exit_code(verdict, replace(request, wait=1.0), held=True) == NOTHING_FOUND
    assert exit_code(verdict, replace(request, wait=1.0), held=False) == (wanted or FOUND)


# Documents


def test_the_words_of_the_command_line_are_those_of_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for output in OUTPUTS:
        assert grammar().parse_args(["check", "-o", output]).output == output
    with pytest.raises(SystemExit):
        grammar().parse_args(["check", "-o", "none"])
    assert f"(choose from {', '.join(map(repr, OUTPUTS))})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ()),
        (("lb-ipam",), ("lb-ipam",)),
        (("bgp",), ("bgp-config", "bgp-sessions")),
        (("view", "BGP-S", "c"), ("cilium", "bgp-sessions", "configuration", "view")),
    ],
)
def test_a_beginning_means_every_category_that_begins_so(
    words: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert categories_of(words) == expected


@pytest.mark.parametrize("word", ["", "ession", "cilium-bgp", "routers"])
def test_a_word_that_begins_no_category_is_refused(word: str) -> None:
    with pytest.raises(NoCategory, match="there is no category"):
        categories_of(["lb-ipam", word])


@pytest.mark.parametrize("name", NAMES)
async def test_every_output_tells_every_recording(name: str) -> None:
    verdict = ALL.judge().verdict(await snapshot_of(name))
    jsonschema.validate(json.loads(findings_json(verdict)), json.loads(SCHEMA.read_text()))
    suites = ElementTree.fromstring(junit(verdict, Severity.WARN))  # noqa: S314 - our own
    failed = {case.get("name", "")[:5] for case in suites.iter("testcase") if len(case)}
    bad = {top.code for top in verdict.tops if top.severity in BAD}
    assert bad <= failed
    assert sum(int(suite.get("failures", "")) for suite in suites) == len(bad)
    assert len(list(suites.iter("testcase"))) == len(catalog.CODES)
    told, plain = markdown(verdict), text(verdict, Pen())
    for code_ in bad:
        assert f"{code_}: {catalog.code(code_).title}" in told
        assert f"{code_} " in plain
        assert code_ in short(verdict, Pen())


def test_the_schema_names_every_field_and_no_other() -> None:
    schema = json.loads(SCHEMA.read_text())
    snapshot_fields = set(schema["required"])
    assert snapshot_fields == set(schema["properties"])
    found = schema["$defs"]["finding"]
    assert set(found["required"]) == set(found["properties"])
    entry = IgnoreEntry("CS201", "known", "here")
    verdict = Verdict(
        snapshot=Snapshot(taken_at=taken_at("healthy")),
        categories=CATEGORIES,
        findings=(finding("CS201", Severity.FAIL, "web"),),
        ignored=(Ignored(finding("CS201", Severity.FAIL, "db"), entry),),
    )
    told = json.loads(findings_json(verdict))
    assert set(told) == snapshot_fields
    assert set(told["findings"][0]) == set(found["properties"])
    assert set(told["findings"][0]["evidence"][0]) == set(
        found["properties"]["evidence"]["items"]["properties"]
    )
    assert set(told["ignored"][0]) == set(schema["properties"]["ignored"]["items"]["properties"])
    assert set(schema["$defs"]["category"]["enum"]) == set(CATEGORIES)


async def test_hostile_text_stays_text_in_every_output() -> None:
    hostile = Finding(
        code="CS201",
        severity=Severity.FAIL,
        subject=Ref("Service", HOSTILE, "home"),
        summary=HOSTILE,
        evidence=(Evidence(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        remedy=HOSTILE,
        command=HOSTILE,
    )
    verdict = verdict_of(await snapshot_of("healthy"), hostile, categories=("lb-ipam",))
    for told in (text(verdict, Pen()), short(verdict, Pen()), markdown(verdict)):
        assert "\x1b" not in told
        assert "\x00" not in told
    assert "\n# d" not in markdown(verdict)
    assert escape(HOSTILE) in markdown(verdict)
    suites = ElementTree.fromstring(junit(verdict, Severity.FAIL))  # noqa: S314 - our own
    assert suites.find(".//failure") is not None


@pytest.mark.parametrize(
    ("words", "told"),
    [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("", "` `"), ("a``b`", "``` a``b` ```")],
)
def test_a_code_span_holds_any_backticks(words: str, told: str) -> None:
    assert code(words) == told


def test_words_cannot_become_markup() -> None:
    assert escape("[x](y) *a* <b> @all #1 | c") == (r"\[x\](y) \*a\* \<b\> \@all \#1 \| c")
