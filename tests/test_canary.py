"""Nothing that is written in the cluster reaches the terminal as more than text.

The real program reads a cluster that is hostile throughout (tests/hostile.py) and shows every
screen; its whole byte stream is then read by a parser that knows only what the program itself
sends. What is hostile is still seen: as U+FFFD and the letters that followed it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.lab.launch import start_lab
from tests.hostile import PAYLOADS, foreign, foreign_text, poisoned
from tests.ptys import F_KEYS, ROOT, Program, clean_environment, program

TEXTS = (b"\r", b"v", b"x", b"y", b"d", b"l", b"p", b"?")
"""Keys that show a text about what the cursor is on, where a screen has them."""
ESCAPE = b"\x1b"
SIGN = "\ufffd"


@contextmanager
def hostile_lab(recording: str, folder: Path) -> Iterator[list[str]]:
    """A lab that serves a hostile recording: the flags that name it, its context hostile too."""
    with start_lab(replay=poisoned(recording, folder)) as lab:
        config = json.loads(lab.kubeconfig.read_text())
        context = f"canary{''.join(PAYLOADS.values())}"
        config["current-context"] = config["contexts"][0]["name"] = context
        file = folder / "kubeconfig"
        file.write_text(json.dumps(config))
        assert lab.at is not None
        at = lab.at.isoformat()
        yield ["--kubeconfig", str(file), "--cilium", str(lab.cilium), "--at", at]


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A cluster with a container that was killed, and with its logs."""
    with hostile_lab("agent-just-killed", tmp_path_factory.mktemp("killed")) as words:
        yield words


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A cluster that refuses, in hostile words."""
    with hostile_lab("rights-no-exec", tmp_path_factory.mktemp("refused")) as words:
        yield words


def visit(running: Program, keys: tuple[bytes, ...]) -> list[str]:
    """Every screen, with what these keys show on it; what was seen on each."""
    running.shows("API 0s")
    seen = []
    for place in F_KEYS:
        pictures = [running.go(place)]
        for key in keys:
            running.type(key)
            pictures.append(running.settled())
            running.type(ESCAPE)
        seen.append("\n".join(pictures))
    return seen


def runbook(running: Program) -> str:
    """What a runbook tells of the cluster, step after step, with a hostile note."""
    running.go("pods")
    running.type(b":run cilium-unhealthy\r")
    pictures = [running.settled()]
    for keys in (b"\r", b"\r", b"n\x1b[200~canary\x1b]0;canary\x07\x1b[201~\r", b"z", b"x"):
        running.type(keys)
        pictures.append(running.settled())
    running.type(ESCAPE)
    return "\n".join(pictures)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("size", "keys"), [((80, 24), TEXTS), ((140, 40), (b"j",))], ids=["80x24", "140x40"]
)
def test_no_screen_passes_on_what_is_written_in_the_cluster(
    flags: list[str], size: tuple[int, int], keys: tuple[bytes, ...]
) -> None:
    with program(*flags, size=size) as running:
        seen = visit(running, keys)
        seen.append(runbook(running))
        running.type(b":\x1b[200~canary\x1b]0;canary\x07\x1b[201~\r")
        running.settled()
        running.type(b"\x03")
        assert running.ended() == 0
    assert foreign(running.written, size) == []
    for place, text in zip((*F_KEYS, "runbook"), seen, strict=True):
        assert SIGN in text or place == "configuration", f"{place} shows nothing that is hostile"


@pytest.mark.timeout(120)
def test_no_refusal_passes_on_what_it_is_made_of(refused: list[str]) -> None:
    with program(*refused, size=(140, 40)) as running:
        running.shows("API 0s")
        seen = [running.go(place) for place in F_KEYS]
        running.type(b"\x03")
        assert running.ended() == 0
    assert foreign(running.written, (140, 40)) == []
    assert SIGN in "".join(seen)


def said(*words: str) -> str:
    """What a command without a screen writes, to both of its outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *words],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, 1, 2, 3), done.stderr
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("check", "-o", "markdown"),
        ("runbook", "run", "cilium-unhealthy", "--no-transcript"),
        ("runbook", "run", "cilium-unhealthy", "--no-transcript", "-o", "markdown"),
        ("check", "-o", "junit"),
        ("get", "sources"),
        ("get", "services", "-o", "wide"),
        ("explain", "ip", "172.29.52.101"),
    ],
    ids=" ".join,
)
def test_no_report_passes_it_on(flags: list[str], words: tuple[str, ...]) -> None:
    text = said(*words, *flags)
    assert foreign_text(text) == []
    assert SIGN in text


@pytest.mark.parametrize("words", [("check",), ("get", "sources"), ("get", "pods")], ids=" ".join)
def test_no_report_passes_on_a_refusal(refused: list[str], words: tuple[str, ...]) -> None:
    text = said(*words, *refused)
    assert foreign_text(text) == []
    assert SIGN in text or words == ("get", "pods")


@pytest.mark.parametrize(
    "words", [("config", "show"), ("config", "validate"), ("info",)], ids=" ".join
)
def test_no_report_about_itself_passes_on_what_was_given(words: tuple[str, ...]) -> None:
    hostile = "".join(PAYLOADS.values())
    assert foreign_text(said(*words, "--context", hostile, "--cilium", f"/x{hostile}")) == []


@pytest.mark.parametrize(
    "words",
    [
        ("get", "pods", "--context"),
        ("get", "pods", "--kubeconfig"),
        ("check", "--expect"),
        ("explain", "service"),
        ("explain",),
        ("get",),
        ("--theme",),
        ("--at",),
        ("config", "show", "--config"),
    ],
    ids=" ".join,
)
def test_no_complaint_passes_on_what_it_complains_of(words: tuple[str, ...]) -> None:
    hostile = "".join(PAYLOADS.values())
    text = said(*words, f"x{hostile}")
    assert foreign_text(text) == []
    assert text


@pytest.mark.parametrize("payload", list(PAYLOADS.values()), ids=list(PAYLOADS))
def test_the_parser_knows_each_of_them(payload: str) -> None:
    harmless = payload.isprintable() and payload.isascii()  # markup is text to a terminal
    stream = f"\x1b[?1049h\x1b[1;1H\x1b[1;38;5;251mtext {payload} text\x1b[0m".encode()
    assert bool(foreign(stream)) != harmless
