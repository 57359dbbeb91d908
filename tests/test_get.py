"""`ciliscope get` and the command line as a script uses them: the real program and exit codes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from app.report.tables import WORDS
from tests.commands import ciliscope, environment, pointing_at, run_here
from tests.lab_asked import asked_lab
from tests.recorded import RECORDINGS


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_table_has_a_header_and_a_row_for_each(healthy: dict[str, str]) -> None:
    done = ciliscope("get", "sessions", **healthy)
    assert done.stderr == ""
    assert done.returncode == 0
    header, *found = rows(done.stdout)
    assert header == ["NODE", "PEER", "AS", "STATE", "UP", "RCVD", "ADV", "FROM", "NOTE"]
    assert [row[:4] for row in found] == [
        [f"talos-cp-{i}", "172.29.51.1", "64513", "established"] for i in (1, 2, 3)
    ]


def test_wide_has_more_columns(healthy: dict[str, str]) -> None:
    narrow = ciliscope("get", "services", **healthy)
    wide = ciliscope("get", "services", "-o", "wide", **healthy)
    assert (narrow.returncode, wide.returncode) == (0, 0)
    assert "SELECTED BY" not in narrow.stdout
    assert "SELECTED BY" in wide.stdout
    assert "talos-cp-1,talos-cp-2,talos-cp-3" in wide.stdout


def test_json_is_one_document_with_plain_values(healthy: dict[str, str]) -> None:
    done = ciliscope("get", "routes", "-o", "json", **healthy)
    assert done.returncode == 0
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["schemaVersion"] == 1
    assert told["kind"] == "Routes"
    assert told["takenAt"] == "2026-11-23T04:48:42.698477Z"
    assert told["cluster"] == {
        "context": "lab-healthy",
        "kubernetes": "v1.36.2",
        "cilium": "v1.21.0-dev",
    }
    route = next(
        r for r in told["items"] if r["prefix"] == "172.29.52.100/32" and r["node"] == "talos-cp-1"
    )
    assert route["attributes"]["nextHop"] == "172.29.51.11"
    assert route["attributes"]["asPath"] == "64512"
    assert route["attributes"]["origin"] == "igp"
    assert route["services"] == ["home/longhorn-frontend"]
    assert route["established"] is True
    assert isinstance(route["age"], float)
    assert {source["name"] for source in told["sources"]} >= {"cilium bgp peers", "services"}


EMPTY = {"policies"}
"""What the recorded cluster has none of."""


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_answers_in_json(healthy: dict[str, str], word: str) -> None:
    done = ciliscope("get", word, "-o", "json", **healthy)
    assert done.stderr == "" or word == "sources"
    told = json.loads(done.stdout)
    assert bool(told["items"]) is (word not in EMPTY)
    assert done.returncode == 0


def test_without_the_command_the_api_answers(healthy: dict[str, str]) -> None:
    done = ciliscope("get", "sessions", "--no-cli", **healthy)
    assert done.returncode == 0
    assert {row[7] for row in rows(done.stdout)[1:]} == {"api"}


def test_what_could_not_be_read_is_told_and_the_rest_is_printed() -> None:
    with asked_lab(replay=RECORDINGS / "exec-fails-one-node") as lab:
        done = ciliscope("get", "sessions", **pointing_at(lab))
    assert done.returncode == 3
    assert [row[:1] for row in rows(done.stdout)[1:]] == [[f"talos-cp-{i}"] for i in (1, 2, 3)]
    assert "cilium bgp peers" in done.stderr
    assert "cilium-kqkzr" in done.stderr


def test_a_missing_right_is_told() -> None:
    with asked_lab(replay=RECORDINGS / "rights-no-exec") as lab:
        done = ciliscope("get", "logs", **pointing_at(lab))
    assert done.returncode == 3
    assert "leases" in done.stderr
    assert "Traceback" not in done.stderr


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_dead_cluster_is_told_in_words(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "dead",
                "clusters": [
                    {"name": "dead", "cluster": {"server": f"https://127.0.0.1:{closed_port()}"}}
                ],
                "users": [{"name": "me", "user": {"token": "t"}}],
                "contexts": [{"name": "dead", "context": {"cluster": "dead", "user": "me"}}],
            }
        )
    )
    done = ciliscope("get", "pools", "--no-cli", "--kubeconfig", str(config))
    assert done.returncode == 3
    assert done.stdout.startswith("NAME")
    assert "refuses the connection" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_kubeconfig_the_reason_is_told(tmp_path: Path) -> None:
    done = ciliscope("get", "pods", "--no-cli", "--kubeconfig", str(tmp_path / "none"))
    assert done.returncode == 3
    assert str(tmp_path / "none") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["get", "everything"], "everything"),
        (["get", "pods", "--timeout", "soon"], "--timeout is 'soon'"),
        (["get", "pods", "-o", "yaml"], "yaml"),
        (["frobnicate"], "frobnicate"),
        (["lab", "home", "--replay", "x"], "not both"),
        (["lab", "--replay", "missing"], "missing"),
        (["lab", "no-such-scenario"], "no-such-scenario"),
        (["lab", "--", "lab"], "inside a lab"),
        (["lab", "--context", "x"], "--context"),
        (["get", "pods", "--", "x"], "only after lab"),
        (["--config", "missing"], "missing"),
        (["--theme", "pink"], "--theme is 'pink'; it must be auto, dark"),
        (["config", "edit"], "edit"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_2(
    tmp_path: Path, words: list[str], told: str
) -> None:
    done = run_here(words, environment(), tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("term", ["", "dumb"])
def test_where_no_dashboard_can_be_shown_the_check_is_printed(
    healthy: dict[str, str], term: str
) -> None:
    done = ciliscope(**healthy, TERM=term)
    assert done.returncode == 0
    assert "so this is `ciliscope check`" in done.stderr
    assert "nothing found" in done.stdout
    assert "\x1b" not in done.stdout


def test_help_and_version_answer() -> None:
    assert "ciliscope lab" in ciliscope("--help").stdout
    assert ciliscope("--version").stdout.startswith("ciliscope 0.")
    assert "DURATION" in ciliscope("get", "--help").stdout


def test_what_only_the_command_tells_is_not_empty_without_it(healthy: dict[str, str]) -> None:
    done = ciliscope("get", "routes", "--no-cli", **healthy)
    assert done.returncode == 3
    assert "only the cilium command" in done.stderr
