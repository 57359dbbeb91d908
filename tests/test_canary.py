"""Nothing that is written in the cluster reaches the terminal as more than text.

The real program reads a cluster that is hostile throughout (tests/hostile.py) and shows every
screen; its whole byte stream is then read by a parser that knows only what the program itself
sends. What is hostile is still seen: as U+FFFD and the letters that followed it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.lab.launch import start_lab
from tests.commands import run_here
from tests.hostile import PAYLOADS, foreign, foreign_text, poisoned
from tests.lab_asked import Lab, asked_lab
from tests.ptys import F_KEYS, Program, clean_environment, program

TEXTS = (b"\r", b"v", b"x", b"y", b"d", b"l", b"p", b"?")
"""Keys that show a text about what the cursor is on, where a screen has them."""
ESCAPE = b"\x1b"
SIGN = "\ufffd"


def hostile_flags(lab: Lab, folder: Path) -> list[str]:
    """The flags that name a lab by a kubeconfig of its own, in which its context is hostile too."""
    config = json.loads(lab.kubeconfig.read_text())
    context = f"canary{''.join(PAYLOADS.values())}"
    config["current-context"] = config["contexts"][0]["name"] = context
    file = folder / f"{lab.context}-{lab.kubeconfig.parent.name}"
    file.write_text(json.dumps(config))
    assert lab.at is not None
    at = lab.at.isoformat()
    return ["--kubeconfig", str(file), "--cilium", str(lab.cilium), "--at", at]


KILLED, REFUSED = "agent-just-killed", "rights-no-exec"
"""A cluster with a container that was killed, and with its logs; and one that refuses."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where these clusters' files are."""
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def recordings(folder: Path) -> dict[str, Path]:
    """Both recordings, hostile throughout."""
    return {name: poisoned(name, folder / name) for name in (KILLED, REFUSED)}


@pytest.fixture(scope="module")
def live(recordings: dict[str, Path], folder: Path) -> Iterator[dict[str, list[str]]]:
    """The flags that name each, served by a process."""
    with ExitStack() as labs:
        yield {
            name: hostile_flags(labs.enter_context(start_lab(replay=path)), folder)
            for name, path in recordings.items()
        }


@pytest.fixture(scope="module")
def flags(recordings: dict[str, Path], folder: Path) -> Iterator[dict[str, list[str]]]:
    """The flags that name each, in this process."""
    with ExitStack() as labs:
        yield {
            name: hostile_flags(labs.enter_context(asked_lab(replay=path)), folder)
            for name, path in recordings.items()
        }


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


@pytest.mark.parametrize(
    ("size", "keys"), [((80, 24), TEXTS), ((140, 40), (b"j",))], ids=["80x24", "140x40"]
)
def test_no_screen_passes_on_what_is_written_in_the_cluster(
    live: dict[str, list[str]], size: tuple[int, int], keys: tuple[bytes, ...]
) -> None:
    with program(*live[KILLED], size=size) as running:
        seen = visit(running, keys)
        seen.append(runbook(running))
        running.type(b":\x1b[200~canary\x1b]0;canary\x07\x1b[201~\r")
        running.settled()
        running.type(b"\x03")
        assert running.ended() == 0
    assert foreign(running.written, size) == []
    for place, text in zip((*F_KEYS, "runbook"), seen, strict=True):
        assert SIGN in text or place == "configuration", f"{place} shows nothing that is hostile"


def test_no_refusal_passes_on_what_it_is_made_of(live: dict[str, list[str]]) -> None:
    with program(*live[REFUSED], size=(140, 40)) as running:
        running.shows("API 0s")
        seen = [running.go(place) for place in F_KEYS]
        running.type(b"\x03")
        assert running.ended() == 0
    assert foreign(running.written, (140, 40)) == []
    assert SIGN in "".join(seen)


def said(*words: str) -> str:
    """What a command without a screen writes, to both of its outputs."""
    done = run_here(words, clean_environment())
    assert done.returncode in (0, 1, 2, 3), done.stderr
    return done.stdout + done.stderr


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
def test_no_report_passes_it_on(flags: dict[str, list[str]], words: tuple[str, ...]) -> None:
    text = said(*words, *flags[KILLED])
    assert foreign_text(text) == []
    assert SIGN in text


@pytest.mark.parametrize("words", [("check",), ("get", "sources"), ("get", "pods")], ids=" ".join)
def test_no_report_passes_on_a_refusal(flags: dict[str, list[str]], words: tuple[str, ...]) -> None:
    text = said(*words, *flags[REFUSED])
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
