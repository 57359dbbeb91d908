"""Processes of the program that need not import it: children of one that has, one for each worker.

Each is the program as it is, with a terminal, a session and an environment of its own. What it does
while it imports is seen in those that `tests.ptys` starts anew. Importing costs more than most of
what tests look at.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = (
    *("app.cli.main", "app.dashboard.app", "app.diagnosis.diagnoser", "app.pipeline.sources"),
    *("aiohttp", "kubernetes.client", "sh", "yaml"),
)
"""What the program imports, now or later."""


class Forked:
    """A process of the program, as `subprocess.Popen` would show it."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            with self._status:
                self.returncode = int(self._status.readline())
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def forked(arguments: Sequence[str], environment: Mapping[str, str], terminal: int) -> Forked:
    """The program with these arguments and variables on a terminal."""
    status, theirs = os.pipe()
    try:
        order = json.dumps([list(arguments), dict(environment)]).encode() + b"\n"
        socket.send_fds(_origin(), [order], [terminal, theirs])
    finally:
        os.close(theirs)
    return Forked(status)


@cache
def _origin() -> socket.socket:
    """The process that all are children of, to be told; it ends when this one does."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "tests.forked_programs", str(theirs.fileno())]
        process = subprocess.Popen(
            command, cwd=ROOT, pass_fds=(theirs.fileno(),), start_new_session=True
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(control: socket.socket) -> int:
    """Start what is ordered until nobody is there to order; the exit code of this process."""
    for name in HEAVY:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those who wait for programs just end
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 65_536, 2)
        if not order:
            return 0
        while not order.endswith(b"\n"):
            order += control.recv(65_536)
        if os.fork() == 0:
            control.close()
            return _attend(order, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _attend(order: bytes, terminal: int, status: int) -> int:
    """Start a program and tell how it ends; in the program, its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        return _program(order, terminal, status)
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, f"{code}\n".encode())
    os._exit(0)


def _program(order: bytes, terminal: int, status: int) -> int:
    """What `python -m app` is when it has started."""
    os.setsid()
    # Only now: whoever knows the pid may signal the group.
    os.write(status, f"{os.getpid()}\n".encode())
    os.close(status)
    for standard in range(3):
        os.dup2(terminal, standard)
    os.close(terminal)
    arguments, variables = json.loads(order)
    os.environ.clear()
    os.environ.update(variables)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        fresh = open(stream.fileno(), mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
        setattr(sys, name, fresh)
        setattr(sys, f"__{name}__", fresh)
    sys.argv = ["ciliscope", *arguments]
    from app.cli.main import main

    return main(arguments)


if __name__ == "__main__":
    raise SystemExit(_serve(socket.socket(fileno=int(sys.argv[1]))))
