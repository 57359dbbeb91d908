"""`ciliscope runbook` as a script uses it: the real program, its outputs and exit codes."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.lab.fields import mapping
from app.lab.kinds import SERVICES
from app.lab.store import Cluster
from app.lab.world import load_scenario
from app.runbooks.library import Library
from app.runbooks.transcript import read
from tests.commands import Done, environment, run_here
from tests.lab_serving import Served, serving
from tests.runbook_files import SMALL

GOOD, FOUND, USAGE, OPEN = 0, 1, 2, 3

BROKEN = """\
description: A pool label with a typo
extends: base
manifests:
  - apiVersion: v1
    kind: Service
    metadata: {name: frigate, namespace: home, labels: {io.cilium/lb-ipam-pool: bgp-defualt}}
    spec: {type: LoadBalancer, selector: {app: frigate}, ports: [{name: http, port: 5000}]}
backends:
  home/frigate: [talos-cp-2]
expect:
  findings: [CS201]
  sentence: home/frigate has no address until its label is right.
"""


def runbook(state: Path, *words: str, **more: str) -> Done:
    """Run `ciliscope runbook` to its end; transcripts go to `state`."""
    return run_here(("runbook", *words), environment(XDG_STATE_HOME=str(state), **more), state)


def transcripts(state: Path) -> list[Path]:
    """The transcripts that were kept."""
    return sorted((state / "ciliscope" / "runbooks").glob("*"))


# Without a cluster


def test_list_names_every_runbook(tmp_path: Path) -> None:
    done = runbook(tmp_path, "list")
    assert (done.returncode, done.stderr) == (GOOD, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(Library().names())
    told = json.loads(runbook(tmp_path, "list", "-o", "json").stdout)
    assert (told["kind"], told["schemaVersion"]) == ("Runbooks", 1)
    assert [item["name"] for item in told["items"]] == list(Library().names())
    assert all(item["problem"] is None and not item["own"] for item in told["items"])


def test_own_runbooks_lie_beside_the_config_file(tmp_path: Path) -> None:
    folder = tmp_path / "ciliscope" / "runbooks"
    folder.mkdir(parents=True)
    (folder / "ours.yaml").write_text("extends: lb-unreachable\ntitle: Ours cannot be reached\n")
    (folder / "bad.yaml").write_text(SMALL.replace("fail: fixed", "fail: gone"))
    config = tmp_path / "ciliscope" / "config.toml"
    config.write_text("")
    own = {"CILISCOPE_CONFIG": str(config)}
    listed = runbook(tmp_path, "list", **own).stdout.splitlines()
    assert listed[-1].split(maxsplit=1) == ["ours", "Ours cannot be reached (yours)"]
    assert f"cannot be used: {folder}/bad.yaml:10: steps[0].next.fail: there is no" in listed[-2]
    assert runbook(tmp_path, "show", "ours", **own).returncode == GOOD
    bad = runbook(tmp_path, "run", "bad", **own)
    assert (bad.returncode, bad.stdout) == (USAGE, "")
    assert f"{folder}/bad.yaml:10: " in bad.stderr


def test_show_tells_the_steps_and_where_each_leads(tmp_path: Path) -> None:
    done = runbook(tmp_path, "show", "lb-no-address")
    assert (done.returncode, done.stderr) == (GOOD, "")
    assert "--param service=NAMESPACE/NAME  Which service has no address?" in done.stdout
    assert "\n2  class: Is it LB-IPAM's to serve?\n" in done.stdout
    assert "   pass → 2, fail → 5, unknown → 2\n" in done.stdout
    told = json.loads(runbook(tmp_path, "show", "lb-no-address", "-o", "json").stdout)
    assert (told["kind"], told["name"], len(told["steps"])) == ("Runbook", "lb-no-address", 5)


def test_validate_tells_whether_a_file_can_be_followed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SMALL)
    done = runbook(tmp_path, "validate", "mine.yaml")
    assert (done.returncode, done.stdout) == (GOOD, "mine.yaml: mine, 2 steps, can be followed\n")
    (tmp_path / "mine.yaml").write_text(SMALL + "titel: x\n")
    done = runbook(tmp_path, "validate", "mine.yaml")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "mine.yaml:17: titel: there is no such key; did you mean title?" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("dance",), "invalid choice: 'dance'"),
        (("show",), "runbook show takes a NAME; runbook list tells which there are"),
        (("resume",), "runbook resume takes a FILE"),
        (("list", "x"), "runbook list takes nothing behind it"),
        (("show", "lb-unreachabl"), "did you mean lb-unreachable?"),
        (("run", "lb-unreachable"), "lb-unreachable needs service=NAMESPACE/NAME: Which service"),
        (("run", "lb-unreachable", "--param", "service=x"), "service is 'x'; it must be NAMESPACE"),
        (("run", "lb-unreachable", "--param", "node=x"), "has no parameter 'node'; it has:"),
        (("run", "lb-unreachable", "--param", "service"), "it must be NAME=VALUE"),
        (
            ("run", "cilium-unhealthy", "--answer", "nodes=x"),
            "cilium-unhealthy asks nothing at 'nodes'; steps that do: none",
        ),
        (
            ("run", "after-upgrade", "--answer", "release=well"),
            "release is answered by ready, failed, suspended; not by 'well'",
        ),
        (
            ("run", "after-upgrade", "--answer", "release=ready", "--answer", "release=failed"),
            "--answer names release twice",
        ),
        (("run", "cilium-unhealthy", "--wait", "soon"), "--wait is 'soon'"),
        (("list", "--param", "a=b"), "--param is for runbook run"),
        (("show", "cilium-unhealthy", "--wait", "1s"), "--wait is for runbook run and resume"),
        (("export", "x", "--answer", "a=b"), "--answer is for runbook run and resume"),
        (("resume", "x", "--param", "a=b"), "--param is for runbook run"),
        (("validate", "x", "--hide-addresses"), "--hide-addresses is for runbook run, resume"),
        (("export", "x", "--no-transcript"), "--no-transcript is for runbook run and resume"),
        (("list", "-o", "markdown"), "runbook list has no -o markdown; it has text and json"),
        (("validate", "x", "-o", "json"), "--output is for runbook list, show"),
        (("list", "--timeout", "3s"), "--timeout is for runbook run and resume"),
        (("resume", "gone.json"), "gone.json: No such file"),
        (("export", "."), ".: Is a directory"),
        (("validate", "gone.yaml"), "gone.yaml: No such file"),
    ],
)  # fmt: skip
def test_a_command_line_that_cannot_be_used_is_told_so(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = runbook(tmp_path, *words)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert told in done.stderr
    assert transcripts(tmp_path) == []


# A cluster in which something is wrong


def test_a_fault_is_found_and_kept(killed: dict[str, str], tmp_path: Path) -> None:
    done = runbook(tmp_path, "run", "bgp-session-down", **killed)
    assert done.returncode == FOUND
    assert done.stdout.splitlines()[-1] == "✗ a cause was found"
    assert "CS401" in done.stdout
    (kept,) = transcripts(tmp_path)
    assert done.stderr == f"ciliscope: transcript: {kept}\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    told = read(kept)
    assert (told.result, told.runbook.name) == ("a cause was found", "bgp-session-down")
    judged = [entry for entry in told.entries if getattr(entry, "step", "") == "state"]
    assert judged[0].by.count("@") == 1


def test_every_output_tells_the_same_and_hides_what_it_is_told_to(
    killed: dict[str, str], tmp_path: Path
) -> None:
    words = ("run", "not-announced", "--param", "service=home/grafana", "--no-transcript")
    done = runbook(tmp_path, *words, "-o", "json", "--hide-addresses", **killed)
    assert (done.returncode, done.stderr, transcripts(tmp_path)) == (FOUND, "", [])
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["kind"], told["result"]) == ("RunbookTranscript", "a cause was found")
    assert told["entries"][0]["entry"] == "begun"
    assert "(address 1)" in done.stdout
    assert "172.29." not in done.stdout
    markdown = runbook(tmp_path, *words, "-o", "markdown", **killed)
    assert markdown.returncode == FOUND
    assert markdown.stdout.startswith("# not-announced · home/grafana on ")
    assert "172.29.51.1" in markdown.stdout


def test_a_run_goes_on_elsewhere_and_is_exported(
    killed: dict[str, str], healthy: dict[str, str], tmp_path: Path
) -> None:
    runbook(tmp_path, "run", "bgp-session-down", **killed)
    (kept,) = transcripts(tmp_path)
    answered = ("resume", str(kept), "--answer", "router=active")
    refused, before = runbook(tmp_path, *answered, **healthy), kept.read_bytes()
    assert refused.returncode == USAGE
    assert "was begun on lab-router-killed, and this is lab-healthy" in refused.stderr
    assert kept.read_bytes() == before
    done = runbook(tmp_path, *answered, "--elsewhere", **healthy)
    assert done.returncode == GOOD
    assert done.stdout.splitlines()[-1] == "✓ fixed"
    assert transcripts(tmp_path) == [kept]
    told = read(kept)
    kinds = [type(entry).__name__ for entry in told.entries]
    assert (told.result, kinds.count("Resumed"), kinds.count("Answered")) == ("fixed", 1, 1)
    before = kept.read_bytes()
    exported = runbook(tmp_path, "export", str(kept), "-o", "markdown", "--hide-addresses")
    assert exported.returncode == GOOD
    assert "172.29." not in exported.stdout
    assert "result: **fixed**" in exported.stdout
    assert json.loads(runbook(tmp_path, "export", str(kept), "-o", "json").stdout)["entries"]
    assert kept.read_bytes() == before


def test_a_thing_that_there_is_not_is_told(killed: dict[str, str], tmp_path: Path) -> None:
    done = runbook(tmp_path, "run", "lb-unreachable", "--param", "service=home/grafan", **killed)
    assert (done.returncode, done.stdout, transcripts(tmp_path)) == (USAGE, "", [])
    assert (
        "there is no service of type LoadBalancer home/grafan; near it: home/grafana" in done.stderr
    )


def test_a_record_that_cannot_be_kept_is_told_and_the_answer_given(
    healthy: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "ciliscope").write_text("a file in the place of the folder")
    done = runbook(tmp_path, "run", "cilium-unhealthy", **healthy)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (GOOD, "✓ nothing is wrong")
    assert "not kept: " in done.stderr


# A cluster in which nothing is


def test_what_is_to_be_looked_at_by_hand_is_open_until_it_is_answered(
    healthy: dict[str, str], tmp_path: Path
) -> None:
    words = ("run", "lb-unreachable", "--param", "service=home/grafana", "--no-transcript")
    done = runbook(tmp_path, *words, **healthy)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (OPEN, "? open")
    assert "open: nobody has answered it" in done.stdout
    assert "--answer router=present" in done.stdout
    answers = ("--answer", "router=present", "--answer", "connect=works")
    done = runbook(tmp_path, *words, *answers, **healthy)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (GOOD, "✓ nothing is wrong")


def test_nothing_is_waited_for_where_all_is_well(healthy: dict[str, str], tmp_path: Path) -> None:
    words = ("run", "cilium-unhealthy", "--wait", "100s", "--no-transcript")
    done = runbook(tmp_path, *words, **healthy)
    assert (done.returncode, done.stderr) == (GOOD, "")


def test_a_cluster_that_does_not_answer_leaves_everything_open(
    healthy: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    told = json.loads(Path(healthy["KUBECONFIG"]).read_text())
    told["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    config.write_text(json.dumps(told))
    done = runbook(
        tmp_path,
        "run",
        "bgp-session-down",
        "--timeout",
        "1s",
        **{**healthy, "KUBECONFIG": str(config)},
    )
    assert done.returncode == OPEN
    assert "it cannot be judged for want of" in done.stdout


# Waiting


@asynccontextmanager
async def living(scenario: Path) -> AsyncIterator[tuple[Cluster, Served]]:
    """A scenario's cluster that lives and is served in this process, so that a test can mend it."""
    cluster = load_scenario(str(scenario))
    life = asyncio.ensure_future(cluster.run())
    try:
        async with serving(cluster) as served:
            yield cluster, served
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


def mend(cluster: Cluster) -> None:
    """Write the label as it was meant."""
    broken = cluster.store.get(SERVICES, "home", "frigate")
    assert broken is not None
    metadata = mapping(broken, "metadata")
    labels = {"io.cilium/lb-ipam-pool": "bgp-default"}
    cluster.store.put(SERVICES, {**broken, "metadata": {**metadata, "labels": labels}})


@asynccontextmanager
async def waiting(words: Sequence[str], state: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the program that waits for the fix."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "runbook", *words),
        env=environment(XDG_STATE_HOME=str(state)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while line := await process.stderr.readline():
            if b"ciliscope: waiting at fixed: " in line:
                break
        assert line
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_waiting_ends_with_the_fix_and_a_kill_on_the_way_loses_nothing(
    tmp_path: Path,
) -> None:
    scenario = tmp_path / "broken.yaml"
    scenario.write_text(BROKEN)
    async with living(scenario) as (cluster, served):
        config = str(served.write_kubeconfig(tmp_path))
        flags = ("--no-cli", "--kubeconfig", config, "--wait", "1h")
        words = ("run", "lb-no-address", "--param", "service=home/frigate")
        async with waiting((*words, *flags), tmp_path) as process:
            process.kill()
            await process.wait()
        (kept,) = transcripts(tmp_path)
        told = read(kept)
        assert told.result == "a cause was found"
        codes = {f.code for e in told.entries for f in getattr(e, "findings", ())}
        assert "CS201" in codes
        async with waiting(("resume", str(kept), *flags), tmp_path) as process:
            mend(cluster)
            out, err = await process.communicate()
    assert process.returncode == GOOD
    assert out.decode().splitlines()[-1] == "✓ fixed"
    assert b"waiting at fixed" not in err
    again = read(kept)
    assert again.entries[: len(told.entries)] == told.entries
    assert again.result == "fixed"
