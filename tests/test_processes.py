"""The real program in processes of its own: every subcommand and every way to end, once.

Most is asked twice, of a process that reads a lab's process and of the command line in this one
(`tests.commands`), and must come to the same to the byte: so what other tests ask here holds there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.lab.launch import start_lab
from tests.commands import ROOT, Done, ciliscope, environment, pointing_at, run_process
from tests.lab_asked import asked_lab
from tests.recorded import RECORDINGS

RECORDING = RECORDINGS / "router-killed"


@pytest.fixture(scope="module")
def lab() -> Iterator[dict[str, str]]:
    """The environment in which a lab's process is the cluster: its router was killed."""
    with start_lab(replay=RECORDING) as lab:
        yield pointing_at(lab)


# How long an answer took, the lab's port, and how soon is asked again.
_CHANCE = re.compile(r'"took": [0-9.e-]+|https://127.0.0.1:[0-9]+|next attempt in [0-9]+ s')


def told(done: Done) -> tuple[str, str]:
    """What it wrote, but for what differs from one run to the next."""
    return _CHANCE.sub("…", done.stdout), _CHANCE.sub("…", done.stderr)


NOWHERE = ("--kubeconfig", os.devnull, "--timeout", "1s")
WORDS = {
    "get": (("get", "pods"), 0),
    "get json": (("get", "sessions", "-o", "json"), 0),
    "get, unreadable": (("get", "routes", "--no-cli"), 3),
    "check": (("check",), 1),
    "check json": (("check", "-o", "json"), 1),
    "check, nothing found": (("check", "lb-ipam", "-o", "junit"), 0),
    "check, unjudged": (("check", "--no-cli", *NOWHERE), 3),
    "explain": (("explain", "service", "home/grafana"), 0),
    "explain what there is not": (("explain", "service", "home/grafna"), 2),
    "explain a code": (("explain", "CS401"), 0),
    "runbook": (("runbook", "run", "bgp-session-down", "--no-transcript"), 1),
    "runbook, open": (
        ("runbook", "run", "cilium-unhealthy", "--no-cli", "--no-transcript", *NOWHERE),
        3,
    ),
    "runbook show": (("runbook", "show", "lb-no-address"), 0),
    "no terminal": ((), 1),
}
"""Command lines and their exit codes."""


@pytest.mark.parametrize("name", WORDS)
def test_a_process_comes_to_the_same_as_the_command_line_here(
    lab: dict[str, str], killed: dict[str, str], name: str
) -> None:
    words, code = WORDS[name]
    done, here = run_process(words, environment(**lab)), ciliscope(*words, **killed)
    assert (done.returncode, here.returncode) == (code, code)
    assert told(done) == told(here)


WITHOUT_CLUSTER = {
    "help": (("--help",), 0),
    "version": (("--version",), 0),
    "config": (("config", "show"), 0),
    "a wrong word": (("frobnicate",), 2),
    "a wrong setting": (("--theme", "pink"), 2),
    "scenarios": (("lab", "--list"), 0),
}


@pytest.mark.parametrize("name", WITHOUT_CLUSTER)
def test_so_it_does_where_no_cluster_is_asked(name: str) -> None:
    words, code = WITHOUT_CLUSTER[name]
    done, here = run_process(words, environment()), ciliscope(*words)
    assert (done.returncode, here.returncode) == (code, code)
    assert told(done) == told(here)


def test_info_knows_the_process_it_runs_in() -> None:
    done = run_process(("info",), environment(TERM="vt100"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "TERM=vt100" in done.stdout


def test_a_lab_runs_a_command_on_itself() -> None:
    words = ("lab", "--replay", str(RECORDING), "--", "get", "sessions")
    done = run_process(words, environment())
    assert (done.returncode, done.stderr) == (0, "")
    with asked_lab(replay=RECORDING) as here:
        assert done.stdout == ciliscope("get", "sessions", **pointing_at(here)).stdout


def shell(script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `"$0" -m app` is the program."""
    return subprocess.run(
        ["sh", "-c", script, sys.executable],
        env=environment(**more),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", ["get pods", "lab --list", "--version"])
def test_output_that_cannot_be_written_is_told(lab: dict[str, str], words: str) -> None:
    for redirection, told in (("> /dev/full", "No space left"), (">&-", "is closed")):
        done = shell(f'"$0" -m app {words} {redirection}', **lab)
        assert done.returncode == 2
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_error(lab: dict[str, str]) -> None:
    done = shell('"$0" -m app get pods | head -1', **lab)
    assert done.stdout.startswith("COMPONENT")
    assert done.stderr == ""


def test_get_loads_no_terminal_framework_and_help_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['ciliscope']\n"
        "import app.cli.main, app.cli.get\n"
        "print(sorted({'textual', 'kubernetes', 'sh', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
