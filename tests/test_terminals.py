"""The real program on each kind of terminal: the colours and signs it has, at every size."""

from __future__ import annotations

import itertools
import random
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from app.lab.launch import start_lab
from tests.hostile import foreign
from tests.ptys import F_KEYS, program
from tests.recorded import RECORDINGS
from tests.test_tmux import alive, descendants

_SGR = re.compile(rb"\x1b\[([0-9;]+)m")
VERDICT = "1 of 5 LoadBalancer services"


@dataclass(frozen=True)
class Kind:
    """A kind of terminal, and what may be written to it."""

    name: str
    colours: str
    """`true`, `256`, `16` or `none`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (80, 24)
    ascii_only: bool = False


def term(name: str, colours: str, **more: str) -> Kind:
    """A kind by its name in terminfo."""
    return Kind(" ".join([name, *more]), colours, {"TERM": name, **more})


KINDS = (
    term("xterm-256color", "256"),
    term("screen-256color", "256"),
    term("tmux-256color", "256"),
    term("xterm", "16"),
    term("linux", "16"),
    term("screen", "16"),
    term("vt100", "none"),
    term("xterm-256color", "true", COLORTERM="truecolor"),
    term("xterm-256color", "256", NO_COLOR=""),
    term("xterm-256color", "none", NO_COLOR="1"),
    term("xterm-256color", "none", NO_COLOR="1", COLORTERM="truecolor"),
    term("xterm-256color", "none", CILISCOPE_THEME="mono", COLORTERM="truecolor"),
    term("xterm-256color", "16", CILISCOPE_THEME="ansi", COLORTERM="truecolor"),
    term("xterm-256color", "256", CILISCOPE_THEME="light"),
    Kind("LC_ALL=C", "256", {"LC_ALL": "C"}, ascii_only=True),
    Kind("LC_ALL=C vt100", "none", {"LC_ALL": "C", "TERM": "vt100"}, ascii_only=True),
    Kind("60x15", "256", size=(60, 15)),
    Kind("60x15 told 80x24", "256", {"COLUMNS": "80", "LINES": "24"}, size=(60, 15)),
    Kind("140x40", "256", size=(140, 40)),
    Kind("400x100", "256", size=(400, 100)),
)


def colours(stream: bytes) -> set[str]:
    """The kinds of colour in a stream: of 16, of 256, or true."""
    found: set[str] = set()
    for sgr in _SGR.findall(stream):
        left = [int(word or 0) for word in sgr.split(b";")]
        while left:
            first = left.pop(0)
            if first in (38, 48):
                found.add("256" if left[0] == 5 else "true")
                del left[: 2 if left[0] == 5 else 4]
            elif first in {*range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108)}:
                found.add("16")
    return found


@pytest.fixture(scope="module")
def flags() -> Iterator[list[str]]:
    """A recorded cluster in which a service has no address."""
    with start_lab(replay=RECORDINGS / "typo-in-pool-label") as lab:
        assert lab.at is not None
        words = ["--kubeconfig", str(lab.kubeconfig), "--cilium", str(lab.cilium)]
        yield [*words, "--at", lab.at.isoformat()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_terminal_gets_the_colours_and_signs_it_has(flags: list[str], kind: Kind) -> None:
    # An interpreter learns the locale when it starts.
    anew = "LC_ALL" in kind.environment
    with program(*flags, environment=kind.environment, size=kind.size, anew=anew) as running:
        running.shows(VERDICT)
        for place in ("services", "sessions", "overview"):
            running.go(place)
        running.shows(VERDICT)
        assert ("x 1 of" if kind.ascii_only else "✗ 1 of") in running.text
        running.type(b"\x03")
        assert running.ended() == 0
    # One true colour of a theme may be one of the 16 to a terminal of 256, but never the reverse.
    allowed = {"none": set(), "16": {"16"}, "256": {"256", "16"}, "true": {"true", "16"}}
    assert colours(running.written) <= allowed[kind.colours]
    assert colours(running.written) or kind.colours == "none"
    assert running.written.isascii() or not kind.ascii_only
    assert foreign(running.written, kind.size) == []


SIZES = [(60, 15), (80, 24), (140, 40), (400, 100), (20, 5), (1, 1), (59, 15), (119, 24), (120, 24)]


def test_it_may_be_resized_at_any_moment(flags: list[str]) -> None:
    chosen = random.Random(20261123)
    with program(*flags) as running:
        for size in SIZES:  # before its first frame, and while it reads
            running.resize(*size)
        running.resize(80, 24)
        running.shows(VERDICT)
        for place, key in itertools.islice(itertools.cycle(F_KEYS.items()), 24):
            running.type(key)
            for _ in range(3):
                running.resize(*chosen.choice(SIZES))
            running.type(chosen.choice([b"\r", b"j", b"?", b"\x1b", b"G"]))
            running.resize(chosen.randint(1, 400), chosen.randint(1, 100))
            assert running.process.poll() is None, f"it ended on {place}"
        running.resize(80, 24)
        running.type(b"\x1b")
        running.type(F_KEYS["overview"])
        running.shows(VERDICT, "? help")
        running.resize(40, 10)
        running.shows("too small")
        running.resize(140, 40)
        running.shows(VERDICT, "? help")
        running.type(b"\x03")
        assert running.ended() == 0


def test_a_screen_on_which_nothing_changes_writes_nothing(flags: list[str]) -> None:
    with program(*flags) as running:
        running.shows(VERDICT)
        for place in F_KEYS:
            running.go(place)
            assert running.comes_to_rest(1.0), f"{place} never comes to rest"


NOISE = {
    "cursor report": b"\x1b[7;15R",
    "colour report": b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\",
    "colour report, bell": b"\x1b]11;rgb:1e1e/1e1e/2e2e\x07",
    "mode report": b"\x1b[?2026;2$y\x1b[?2048;0$y",
    "device report": b"\x1b[?62;22c\x1b[>1;95;0c",
    "version report": b"\x1bP>|tmux 3.3a\x1b\\",
    "mouse": b"\x1b[<0;10;5M\x1b[<0;10;5m\x1b[<64;1;1M\x1b[<35;9999;9999M",
    "mouse of old": b"\x1b[M \xff\xfe\x1b[M#\x80\x90",
    "focus": b"\x1b[O\x1b[I",
    "pasted": b"\x1b[200~q:q\r\x03\x1b[2J\x1b]0;x\x07\x9b\x1b[201~",
    "pasted, never ended": b"\x1b[200~\x1b[31mhello\x1b[201~",
    "no text": b"\xc3(\xa0\xa1\xe2\x28\xa1\xf0\x28\x8c\xbc\xff",
    "control characters": b"\x00\x01\x02\x05\x06\x0e\x0f\x10\x11\x13\x16\x1c\x1d\x1e\x1f",
    "unknown keys": b"\x1b[99~\x1b[1;99Z\x1bOz\x1b[57399u\x1b[97;5:3u",
    "resize report": b"\x1b[48;24;80;480;800t",
}
"""What terminals send unasked, late or broken, and what people paste."""


REPLIES = [
    *("\x1b[?64;1;2c", "\x1b[>0;276;0c", "\x1b[?1u", "\x1b[?0u", "\x1b]11;rgb:1e1e/1e1e/1e1e\x07"),
    *("\x1b]10;rgb:ffff/ffff/ffff\x1b\\", "\x1bP>|tmux 3.3a\x1b\\", "\x1b[8;24;80t", "\x1b[7;15R"),
]


def test_a_reply_and_a_paste_do_nothing_on_a_list_and_in_the_prompt(flags: list[str]) -> None:
    with program(*flags) as running:
        running.shows(VERDICT)
        for place in ("overview", "services"):
            running.go(place)
            running.shows("all read")
            before = running.settled()
            for reply in REPLIES:
                running.type(reply.encode())
                assert running.settled() == before, reply
            running.type(b"\x1b[200~q\n:q\n\x03/x\x1b[31mq\x1b[201~")
            assert running.settled() == before
        running.type(b"/\x1b[200~gr\x1b[31ma\x03f\x1b[201~")
        running.shows("/graf", "home/grafana")
        running.until(lambda: "home/typo" not in running.text, "the filter")
        running.type(b"\x1b[?64;1;2c")
        assert "/graf" in running.settled()
        running.type(b":ses\x03")
        assert running.ended() == 0
    assert b"never awaited" not in running.written


def test_what_is_no_key_is_ignored_and_the_next_key_is_obeyed(flags: list[str]) -> None:
    with program(*flags) as running:
        running.shows(VERDICT)
        places = itertools.cycle(["services", "overview"])
        titles = {"services": "Services", "overview": VERDICT}
        for (name, noise), place in zip(NOISE.items(), places, strict=False):
            running.type(noise)
            running.type(F_KEYS[place])
            running.until(lambda: titles[place] in running.text, f"{place} after {name}")  # noqa: B023
            assert running.process.poll() is None, name
        running.type(b":svc\r")
        running.shows("Services")
        running.type(b"\x03")
        assert running.ended() == 0
    assert foreign(running.written, (80, 24)) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", list(F_KEYS))
def test_a_signal_ends_it_on_every_screen_and_no_child_is_left(
    flags: list[str], place: str, signum: signal.Signals
) -> None:
    with program(*flags) as running:
        running.shows("ciliscope")
        running.type(F_KEYS[place] + b"?")  # while it reads, and commands run
        running.shows("help for")
        children = descendants(running.process.pid)
        running.process.send_signal(signum)
        assert running.ended() == 128 + signum  # how soon is what the benchmark measures
        assert running.written.rindex(b"\x1b[?1049l") > running.written.rindex(b"\x1b[?1049h")
        assert not [pid for pid in children if alive(pid)]
