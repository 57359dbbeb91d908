"""The parent's side of the lab: start its process, wait until it can be used, end it for sure.

The lab is a process of its own, so that the program that watches it does so through a kubeconfig,
a socket and a command, as it would a real cluster. This file imports nothing heavy: the command
line imports it.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO, TextIO

_DEFAULT_SCENARIO = "home"

_STARTUP_SECONDS = 60.0
_STOP_SECONDS = 2.0
"""Longer than the process gives itself to end once its standard input has."""


class LabFailed(Exception):
    """The lab could not be started; the text is one sentence that says why."""


class RunningLab:
    """A lab that can be used; as a context manager it is stopped at the end."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stderr: IO[bytes],
        state: Path,
        context: str,
        ready: dict[str, str],
    ) -> None:
        self._process = process
        self._stderr = stderr
        self._complaints = ""
        self._state = state
        self.context = context
        """The kubeconfig's context, such as `lab-home`."""
        self.kubeconfig = Path(ready["kubeconfig"])
        """A kubeconfig with this one context; readable by the user alone."""
        self.cilium = Path(ready["cilium"])
        """The `cilium` program that talks to the lab; its directory can lead the PATH."""
        self.url = ready["url"]
        """Where the API is served."""
        self.at = datetime.fromisoformat(ready["at"]) if ready["at"] else None
        """The moment a recording stands still at; None when the lab lives."""

    def __enter__(self) -> RunningLab:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The lab's process."""
        return self._process.pid

    def wait(self) -> int:
        """Wait until the lab's process ends; its exit code."""
        return self._process.wait()

    def complaints(self) -> str:
        """What the process has written on its standard error; "" while all is well."""
        return self._complaints if self._stderr.closed else _text(self._stderr)

    def stop(self) -> None:
        """End the process and remove its state directory; may be called again."""
        _end(self._process)
        self._complaints = self.complaints()
        self._stderr.close()
        shutil.rmtree(self._state, ignore_errors=True)


def start_lab(
    scenario: str | None = None,
    *,
    replay: Path | None = None,
    seed: int = 0,
    context: str = "",
    deadline: float = _STARTUP_SECONDS,
) -> RunningLab:
    """Start a lab and return when it answers: a scenario (by name or path), or a recording.

    Without either it is the scenario `home`. `context` names the kubeconfig's context, by default
    after the scenario. `deadline` is in seconds. Raises LabFailed.
    """
    if scenario is not None and replay is not None:
        raise LabFailed("Give a scenario or a recording to replay, not both.")
    chosen = scenario or _DEFAULT_SCENARIO
    context = context or f"lab-{replay.resolve().name if replay else Path(chosen).stem}"
    what = ["--replay", str(replay)] if replay else ["--scenario", chosen]
    with ExitStack() as undo:
        state = Path(tempfile.mkdtemp(prefix="ciliscope-lab-"))
        undo.callback(shutil.rmtree, state, ignore_errors=True)
        stderr = undo.enter_context(tempfile.TemporaryFile())
        arguments = ["--state", str(state), "--context", context, "--seed", str(seed), *what]
        process = _process(arguments, stderr)
        undo.callback(_end, process)
        ready = _ready(process, stderr, deadline)
        undo.pop_all()
    return RunningLab(process, stderr, state, context, ready)


def serve(lab: RunningLab, out: TextIO) -> int:
    """Print the kubeconfig's path and wait until the lab ends or Ctrl-C; the exit code."""
    out.write(f"{lab.kubeconfig}\n")
    out.flush()
    try:
        return lab.wait()
    except KeyboardInterrupt:
        return 0


def _process(arguments: list[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the server from the tree this file lies in, wherever that is installed."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # -P: the directory the user is in must not be searched for a module named `app`.
            [sys.executable, "-P", "-m", "app.lab.server", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            # Ctrl-C and a closing terminal are the parent's affair; stdin ends with it.
            start_new_session=True,
        )
    except OSError as problem:
        raise LabFailed(f"The lab's process cannot be started: {problem}.") from problem


def _ready(process: subprocess.Popen[bytes], stderr: IO[bytes], deadline: float) -> dict[str, str]:
    """What the process says when it can be used. Raises LabFailed."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    line, end = b"", time.monotonic() + deadline
    while not line.endswith(b"\n"):
        left = end - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise LabFailed(f"The lab was not ready after {deadline:g} s.")
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            code = process.wait()
            last = _text(stderr).strip().rpartition("\n")[2]
            raise LabFailed(last or f"The lab ended before it was ready (exit code {code}).")
        line += piece
    ready: dict[str, str] = json.loads(line)
    return ready


def _end(process: subprocess.Popen[bytes]) -> None:
    """End and reap the process: by its standard input, then by force."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _text(stderr: IO[bytes]) -> str:
    # Not seek and read: the process writes at the same file position.
    size = os.fstat(stderr.fileno()).st_size
    return os.pread(stderr.fileno(), size, 0).decode("utf-8", "replace")
