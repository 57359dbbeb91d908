"""`make bench`: how long an operator waits, as ratios within one run.

Single times say little on a shared machine; each figure stands beside a bare program of the same
kind, measured in turn with it, and medians are printed.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from app.lab.launch import start_lab
from tests import bench_diagnosis, bench_table

RUNS = 11
DEADLINE = 30.0

BARE_APP = """
from textual.app import App, ComposeResult
from textual.widgets import Static

class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("ciliscope")

Bare().run(mouse=False)
"""

FIRST_SNAPSHOT = """
import asyncio, time
from app.pipeline.sources import Wiring
from app.config.settings import load
from app.state.snapshot import State

async def main() -> None:
    wiring = Wiring(load({}))
    monitor = wiring.monitor()
    kinds = [h.kind for h in monitor.snapshot.health.values() if h.state is not State.OFF]
    running = asyncio.create_task(wiring.run(monitor))
    await monitor.settled(kinds, 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

asyncio.run(main())
"""


def until_drawn(command: list[str], environment: Mapping[str, str], text: bytes) -> float:
    """Seconds from the start of a program on a terminal of 80x24 until it has drawn the text."""
    return drawn_and_gone(command, environment, text)[0]


def drawn_and_gone(
    command: list[str],
    environment: Mapping[str, str],
    text: bytes,
    end: signal.Signals = signal.SIGKILL,
) -> tuple[float, float]:
    """The same, and the seconds from a signal until the process is gone."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execvpe(command[0], command, dict(environment))  # noqa: S606
    seen = b""
    try:
        while text not in seen:
            ready, _, _ = select.select([terminal], [], [], 1.0)
            if not ready and time.perf_counter() - started > DEADLINE:
                raise TimeoutError(f"{command[:3]} drew no {text!r} within {DEADLINE:g} s")
            if ready:
                seen += os.read(terminal, 65536)
        drawn = time.perf_counter()
        os.kill(pid, end)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if select.select([terminal], [], [], 0.002)[0]:
                with suppress(OSError):  # the other side is closed
                    os.read(terminal, 65536)
        return drawn - started, time.perf_counter() - drawn
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(terminal)


def until_ended(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds a program runs."""
    started = time.perf_counter()
    subprocess.run(command, env=dict(environment), check=True, capture_output=True)
    return time.perf_counter() - started


def report(what: str, ours: list[float], bare: list[float], beside: str) -> None:
    """One line: medians and the median of the pairwise ratios."""
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    sys.stdout.write(
        f"{what:<34} {statistics.median(ours) * 1000:7.0f} ms   {beside:<24} "
        f"{statistics.median(bare) * 1000:7.0f} ms   ratio {ratio:5.2f}\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Run all of it."""
    python = sys.executable
    with start_lab("healthy") as lab:
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "KUBECONFIG": str(lab.kubeconfig),
            "CILISCOPE_CILIUM": str(lab.cilium),
            "CILISCOPE_CONFIG": os.devnull,
        }
        sys.stdout.write(f"medians of {RUNS} runs in turn, after one that does not count\n")
        ours: list[float] = []
        bare: list[float] = []
        for _ in range(RUNS + 1):
            ours.append(until_drawn([python, "-m", "app"], environment, b"ciliscope"))
            bare.append(until_drawn([python, "-c", BARE_APP], environment, b"ciliscope"))
        report("first frame of the dashboard", ours[1:], bare[1:], "bare Textual app")
        ours, bare = [], []
        for _ in range(RUNS + 1):
            verdict, term = b"LoadBalancer services", signal.SIGTERM
            ours.append(drawn_and_gone([python, "-m", "app"], environment, verdict, term)[1])
            bare.append(
                drawn_and_gone([python, "-c", BARE_APP], environment, b"ciliscope", term)[1]
            )
        report("SIGTERM until it is gone", ours[1:], bare[1:], "bare app, killed by it")
        ours, bare = [], []
        for _ in range(RUNS + 1):
            ours.append(until_ended([python, "-c", FIRST_SNAPSHOT], environment))
            bare.append(until_ended([python, "-c", "import kubernetes.aio.config"], environment))
        report("first complete snapshot of the lab", ours[1:], bare[1:], "import kubernetes.aio")
        ours, bare = [], []
        for _ in range(RUNS + 1):
            ours.append(until_ended([python, "-m", "app", "--help"], environment))
            bare.append(until_ended([python, "-c", "pass"], environment))
        report("ciliscope --help", ours[1:], bare[1:], "python -c pass")
    bench_diagnosis.main()
    bench_table.main()


if __name__ == "__main__":
    main()
