"""The real program in a real terminal, on the lab: what an operator over SSH sees and types."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recorded import RECORDINGS

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

PATIENCE = 40.0


class Terminal:
    """A tmux session of its own server, with a shell in it."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._socket = folder / "tmux"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TMUX", "CILISCOPE_"))}
        self._environment = {**clean, "CILISCOPE_CONFIG": os.devnull, "LC_ALL": "C.UTF-8"}
        size = ("-x", str(width), "-y", str(height))
        self._tmux("new-session", "-d", *size, "env PS1='ready> ' sh")
        self.shows("ready>")

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    def run(self, command: str) -> None:
        """Type a command and Enter."""
        self._tmux("send-keys", "-l", command)
        self.type("Enter")

    @property
    def screen(self) -> str:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p")

    def shows(self, *texts: str) -> str:
        """The screen, as soon as all the texts are on it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            screen = self.screen
            if all(text in screen for text in texts):
                return screen
            time.sleep(0.1)  # tmux tells nobody when a screen changes
        raise AssertionError(f"{texts} did not appear; the screen is:\n{self.screen}")

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is on."""
        return self._tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def close(self) -> None:
        """End the server and what runs in it."""
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", os.devnull, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return done.stdout


@pytest.fixture(params=[(80, 24), (140, 40)], ids=["80x24", "140x40"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    width, height = request.param
    opened = Terminal(tmp_path, width, height)
    yield opened
    opened.close()


def lab(what: str) -> str:
    root = Path(__file__).parent.parent
    return f"cd {root} && {sys.executable} -m app lab {what}"


def test_the_lab_is_seen_through_every_screen(terminal: Terminal) -> None:
    terminal.run(lab(f"--replay {RECORDINGS / 'typo-in-pool-label'}"))
    terminal.shows("ciliscope", "lab-typo-in-pool-label", "1 of 5 LoadBalancer services", "3/3")
    assert terminal.alternate
    terminal.type("F2")
    terminal.shows("Pods", "cilium-operator-", "talos-cp-3", "Running")
    terminal.type("F3")
    terminal.shows("Sessions", "172.29.51.1", "established")
    terminal.type("F4")
    terminal.shows("Services", "172.29.52.101", "bgp-default", "home/typo")
    terminal.type("F5")
    terminal.shows("Logs", "operator log")
    terminal.type(":")
    terminal.run("svc")
    terminal.shows("Services", "home/typo")
    terminal.type("?")
    terminal.shows("help for Services", "Everywhere", "Sessions")
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
    root = Path(__file__).parent.parent
    terminal.run(f"cd {root} && {sys.executable} -m app --no-cli --kubeconfig {config}")
    terminal.shows("gone", "does not answer", "https://127.0.0.1:9")
    terminal.type("F4")
    terminal.shows("Services", "cannot read services", "nothing listens there")
    terminal.type("C-c")
    terminal.shows("ready>")
    assert not terminal.alternate
