"""The real program in a real terminal, on the lab: what an operator over SSH sees and types."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.lab.launch import start_lab
from tests.patience import PATIENCE
from tests.recorded import RECORDINGS

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

ROOT = Path(__file__).parent.parent

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_COLOUR = re.compile(r"(?:^|;)(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;|$)")


class Terminal:
    """A tmux session of its own server, with a shell in it."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._socket = folder / "tmux"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TMUX", "CILISCOPE_"))}
        self._environment = {**clean, "CILISCOPE_CONFIG": os.devnull, "LC_ALL": "C.UTF-8"}
        self.pids: list[int] = []
        """Processes that were started here and must end with it."""
        size = ("-x", str(width), "-y", str(height))
        self.tmux("new-session", "-d", *size, "env PS1='ready> ' sh")
        self.shows("ready>")

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self.tmux("send-keys", *keys)

    def run(self, command: str) -> None:
        """Type a command and Enter."""
        self.burst(command)
        self.type("Enter")

    def burst(self, keys: str) -> None:
        """Send characters all at once, as a fast hand or a paste does."""
        self.tmux("send-keys", "-l", keys)

    @property
    def screen(self) -> str:
        """What is on the screen now."""
        return self.tmux("capture-pane", "-p")

    def shows(self, *texts: str) -> str:
        """The screen, as soon as all the texts are on it; a sentence may go on in the next line."""

        def so(screen: str) -> bool:
            unbroken = " ".join(screen.split())
            return all(text in screen or text in unbroken for text in texts)

        return self.until(so, str(texts))

    def until(self, so: Callable[[str], bool], what: str) -> str:
        """The screen, as soon as something is so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if so(screen := self.screen):
                return screen
            time.sleep(0.1)  # tmux tells nobody when a screen changes
        raise AssertionError(f"{what} did not appear; the screen is:\n{self.screen}")

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is on."""
        return self.tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def watch(self) -> None:
        """Remember what runs in it now, the children of the shell and theirs."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        self.pids = descendants(int(shell))
        assert self.pids, "nothing runs"

    def close(self) -> None:
        """End the server; nothing that was seen to run in it is left."""
        self.tmux("kill-server")
        until = time.monotonic() + PATIENCE
        while left := [pid for pid in self.pids if alive(pid)]:
            assert time.monotonic() < until, f"still there: {left}"
            time.sleep(0.05)  # no child of ours: there is nothing to wait on

    def tmux(self, *words: str) -> str:
        """Run a command of tmux on its server."""
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", os.devnull, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def descendants(parent: int) -> list[int]:
    """The processes below one, by what Linux tells of them."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found, new = [], [parent]
    while new:
        new = [pid for pid, above in parents.items() if above in new]
        found += new
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(params=[(80, 24), (140, 40)], ids=["80x24", "140x40"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    width, height = request.param
    opened = Terminal(tmp_path, width, height)
    yield opened
    opened.close()


def lab(what: str) -> str:
    return f"cd {ROOT} && {sys.executable} -m app lab {what}"


def test_the_lab_is_seen_through_every_screen(terminal: Terminal) -> None:
    terminal.run(lab(f"--replay {RECORDINGS / 'typo-in-pool-label'}"))
    terminal.shows("ciliscope", "lab-typo-in-pool-label", "1 of 5 LoadBalancer services", "3/3")
    assert terminal.alternate
    terminal.watch()
    terminal.type("F2")
    terminal.shows("Pods", "cilium-p5m78", "operator ★", "talos-cp-3", "Running")
    terminal.type("F3")
    terminal.shows("Sessions", "172.29.51.1", "established")
    terminal.type("F5")
    terminal.shows("Services", "172.29.52.101", "home/typo", "✗ CS201")
    terminal.type("F7")
    terminal.shows("Logs", "operator log")
    terminal.type(":")
    terminal.run("svc")
    terminal.shows("Services", "home/typo")
    terminal.type("?")
    terminal.shows("help for Services", "Everywhere", "Sessions")
    terminal.type("G")
    terminal.shows("Signs", "cannot be told")
    terminal.type("C-c")
    terminal.shows("ready>")
    assert not terminal.alternate


def test_a_cluster_that_does_not_answer_is_shown_with_the_reason(
    terminal: Terminal, tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: gone,"
        " clusters: [{name: gone, cluster: {server: 'https://127.0.0.1:9'}}],"
        " users: [{name: me, user: {token: t}}],"
        " contexts: [{name: gone, context: {cluster: gone, user: me}}]}"
    )
    terminal.run(f"cd {ROOT} && {sys.executable} -m app --no-cli --kubeconfig {config}")
    terminal.shows("gone", "does not answer", "https://127.0.0.1:9")
    terminal.watch()
    terminal.type("F5")
    terminal.shows("Services", "cannot read services", "nothing listens there")
    terminal.type("C-c")
    terminal.shows("ready>")
    assert not terminal.alternate


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, 80, 24)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def typo() -> Iterator[str]:
    """The flags that name a recorded cluster in which a service has no address."""
    with start_lab(replay=RECORDINGS / "typo-in-pool-label") as served:
        assert served.at is not None
        words = ("--kubeconfig", served.kubeconfig, "--cilium", served.cilium)
        yield " ".join(map(str, (*words, "--at", served.at.isoformat())))


def test_keys_sent_in_one_burst_are_all_obeyed_in_their_order(small: Terminal) -> None:
    small.run(lab(f"--replay {RECORDINGS / 'healthy'}"))
    small.burst(":svc\r")  # before the first frame
    small.shows("Services", "home/grafana")
    small.watch()
    f1, f3 = "\x1bOP", "\x1bOR"
    for _ in range(20):
        small.burst(f"{f1}:po\r")
        small.shows(" Pods ", "operator ★", "cilium-p5m78")
        small.burst(f"{f3}{f1}:svc\r")
        small.shows(" Services ", "home/grafana")
        small.burst(":logs\r:peers\r")
        small.shows(" Sessions ", "172.29.51.1")
        small.burst(f"{f1}j\rj:zz\r")
        assert " Sessions " in small.shows("there is no command 'zz'")
    small.type("C-c")
    small.shows("ready>")


KINDS = {
    "tmux-256color": "TERM=tmux-256color",
    "screen-256color": "TERM=screen-256color",
    "screen": "TERM=screen",
    "xterm-direct": "TERM=xterm-256color COLORTERM=truecolor",
    "light": "TERM=xterm-256color COLORFGBG='0;15'",
    "no colour": "TERM=xterm-256color NO_COLOR=1",
    "no UTF-8": "TERM=xterm-256color LC_ALL=C",
    "vt100": "TERM=vt100",
}


@pytest.mark.parametrize("said", KINDS.values(), ids=list(KINDS))
def test_in_every_kind_of_terminal_it_is_whole_at_every_size_and_leaves_nothing(
    small: Terminal, typo: str, said: str
) -> None:
    small.run(f"cd {ROOT} && env {said} {sys.executable} -m app {typo}")
    small.shows("1 of 5 LoadBalancer services", "home/typo", "help")
    small.watch()
    colours = set(_SGR.findall(small.tmux("capture-pane", "-p", "-e")))
    plain = "NO_COLOR" in said or "vt100" in said
    assert plain != any(_COLOUR.search(each) for each in colours), colours
    assert small.screen.isascii() == ("LC_ALL=C" in said)
    small.tmux("resize-window", "-x", "140", "-y", "40")
    small.until(
        lambda screen: "1 of 5 LoadBalancer" in screen and max(map(len, screen.split("\n"))) > 120,
        "a wide screen",
    )
    small.type("F5")
    small.shows("Services", "home/typo", "advertised")
    small.tmux("resize-window", "-x", "40", "-y", "10")
    small.shows("too small")
    small.tmux("resize-window", "-x", "60", "-y", "15")
    small.shows("Services", "home/typo")
    small.burst("/graf\r")
    small.until(lambda screen: "home/grafana" in screen and "home/typo" not in screen, "a filter")
    small.type("Escape", "C-c")
    small.shows("ready>")
    assert not small.alternate
    assert small.tmux("display-message", "-p", "#{cursor_flag} #{mouse_any_flag}").strip() == "1 0"


@pytest.mark.parametrize("moment", ["running", "leaving", "left"])
def test_nothing_is_left_when_the_terminal_goes(small: Terminal, moment: str) -> None:
    small.run(lab(f"--replay {RECORDINGS / 'typo-in-pool-label'}"))
    small.shows("1 of 5 LoadBalancer services")
    small.watch()
    if moment != "running":
        small.type("C-c")
    if moment == "left":
        until = time.monotonic() + PATIENCE
        while small.alternate:
            assert time.monotonic() < until
            time.sleep(0.005)  # the moment just after is the one that is wanted


def test_what_is_copied_is_in_the_clipboard_of_tmux(small: Terminal) -> None:
    small.tmux("set-option", "-s", "set-clipboard", "on")
    small.run(lab(f"--replay {RECORDINGS / 'healthy'}"))
    small.shows("ciliscope", "lab-healthy")
    small.watch()
    small.burst(":explain CS201\r")
    small.shows("CS201", "What to do")
    small.type("c")
    small.shows("copied CS201")
    assert small.tmux("show-buffer").lstrip().startswith("CS201")
    small.burst("xc")
    small.shows("copied the command")
    assert small.tmux("show-buffer").startswith("ciliscope explain CS201")
    small.type("C-c")
    small.shows("ready>")


def test_another_context_is_shown_and_nothing_of_the_first_is_left(
    small: Terminal, tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: first,"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}],"
        " users: [{name: me, user: {token: t}}],"
        " contexts: [{name: first, context: {cluster: c, user: me}},"
        " {name: second, context: {cluster: c, user: me}}]}"
    )
    small.run(f"cd {ROOT} && {sys.executable} -m app --no-cli --kubeconfig {config}")
    small.shows("first", "does not answer")
    small.watch()
    small.burst(":svc\r:ctx second\r")
    screen = small.shows("ciliscope  second", "Overview", "does not answer")
    assert "Services" not in screen
    small.burst(":ctx\r")
    small.shows("Contexts", "★", "first")
    small.type("Escape")
    small.shows("Overview")
    small.type("C-c")
    small.shows("ready>")


def test_a_runbook_that_was_killed_goes_on_where_it_was(
    small: Terminal, typo: str, tmp_path: Path
) -> None:
    """Also on another machine: the file is all that it takes."""
    start = f"cd {ROOT} && env XDG_STATE_HOME={tmp_path} {sys.executable} -m app {typo}"
    small.run(start)
    small.shows("1 of 5 LoadBalancer services", "home/typo", "help")
    small.type("F5")
    small.shows("Services", "home/typo")
    small.type("r")
    small.shows("lb-no-address", "home/typo", "1 Is the operator at work?", "step 1 of 5")
    small.burst("\r\r")
    small.shows("step 3 of 5", "✗ 3 Does a pool select it?", "CS201")
    small.burst("nthe label is wrong\r")
    small.shows("1 note")
    small.watch()
    for pid in small.pids:
        os.kill(pid, signal.SIGKILL)
    (file,) = (tmp_path / "ciliscope" / "runbooks").glob("*.json")
    elsewhere = file.rename(tmp_path / "mailed.json")
    # What was killed leaves the terminal as it had it: no echo, and Enter is no end of a line.
    small.burst("\nstty sane; tput rmcup; clear; echo who''le\n")
    small.until(lambda screen: "whole" in screen and "step 3" not in screen, "a whole terminal")
    small.run(f"{start} runbook resume {elsewhere}")
    small.shows("lb-no-address", "step 3 of 5", "1 note", "✗ 3 Does a pool select it?", "CS201")
    small.watch()
    small.burst("b")
    small.shows("step 2 of 5")
    small.type("C-c")
    small.shows("ready>")
    assert not small.alternate
