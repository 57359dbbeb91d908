"""The real program as a child on a pseudo terminal, and what a terminal would make of its bytes."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte

from screens.registry import places
from tests.forked_programs import Forked, forked
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent
QUIET = 0.2
"""Seconds without a byte after which a program that waits has nothing more to say for now."""

F_KEYS = {
    "overview": b"\x1bOP",
    "pods": b"\x1bOQ",
    "sessions": b"\x1bOR",
    "routes": b"\x1bOS",
    "services": b"\x1b[15~",
    "pools": b"\x1b[17~",
    "logs": b"\x1b[18~",
    "configuration": b"\x1b[19~",
}

# What pyte does not know, and would show as text.
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>][0-9]*u|\x1b\[\?[0-9]+\$p|\x1b\][0-9]+;[^\x07\x1b]*\x07")

_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*)?\Z")
"""A sequence of which the end has not arrived yet."""


class Program:
    """`python -m app …` on a terminal of its own; everything it wrote, and the screen it made."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        size: tuple[int, int] = (80, 24),
        anew: bool = False,
    ) -> None:
        """`anew`: it is started and imported as ever, and not the child of one that has been."""
        self.master, terminal = pty.openpty()
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self._fed = 0
        self.written = b""
        self._window(*size)
        variables = clean_environment() | dict(environment or {})
        self.process: subprocess.Popen[bytes] | Forked
        if anew:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", *arguments],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                cwd=ROOT,
                env=variables,
                start_new_session=True,
            )
        else:
            self.process = forked(arguments, variables, terminal)
        os.close(terminal)
        os.set_blocking(self.master, False)

    def type(self, keys: bytes) -> None:
        """Send what a keyboard, or a terminal that was asked, would send."""
        os.write(self.master, keys)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, as dragging its corner does."""
        self._window(width, height)
        self.screen.resize(height, width)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def until(self, true: Callable[[], bool], what: str = "it") -> None:
        """Read until something is so."""
        end = time.monotonic() + PATIENCE
        while not true():
            left = end - time.monotonic()
            assert left > 0, f"{what} did not come; the screen is:\n{self.text}"
            self._read(min(left, 0.1))

    def shows(self, *texts: str) -> str:
        """The screen, as soon as all the texts are on it."""
        self.until(lambda: all(text in self.text for text in texts), str(texts))
        return self.text

    def go(self, place: str) -> str:
        """Go to a screen; what it shows once it stands and nothing more is written for a moment."""
        self.type(F_KEYS[place])
        title = next(known.title for known in places() if known.name == place)
        # With the way to it before, where there is room for that.
        named = re.compile(rf"^ (\S+ > )?{title} ")
        self.until(lambda: bool(named.match(self.text.split("\n")[1])), f"screen {title}")
        return self.settled()

    def settled(self) -> str:
        """The screen once nothing more is written for a moment."""
        end = time.monotonic() + PATIENCE
        while self._read(QUIET) or self._at_work:
            assert time.monotonic() < end, "it never pauses"
        return self.text

    def comes_to_rest(self, seconds: float) -> bool:
        """Whether it comes to write nothing for so long."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                if self._read(left):
                    break
            else:
                return True
        return False

    @property
    def text(self) -> str:
        """What stands on the screen."""
        begun = _BEGUN.search(self.written, self._fed)
        end = begun.start() if begun else len(self.written)
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", self.written[self._fed : end]))
        self._fed = end
        return "\n".join(self.screen.display)

    def ended(self) -> int:
        """The exit code, once it has ended; its last words are read."""
        self.until(lambda: self.process.poll() is not None, "the end")
        while self._read(0):
            pass
        assert self.process.returncode is not None
        return self.process.returncode

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    @property
    def _at_work(self) -> bool:
        """Whether it runs, or would if the machine let it; where that cannot be seen, it waits."""
        for stat in Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            with suppress(OSError):  # the thread has ended
                if stat.read_text().rpartition(")")[2].split()[0] in "RD":
                    return True
        return False

    def _read(self, seconds: float) -> bool:
        """Whether something came within so long."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self.master, 65_536)
        except OSError as gone:  # the other side is closed
            if gone.errno not in (errno.EIO, errno.EAGAIN):
                raise
            return False
        self.written += piece
        return bool(piece)

    def _window(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def clean_environment() -> dict[str, str]:
    """This process's, without what says how to draw; a terminal of 256 colours that has UTF-8."""
    ours = ("NO_COLOR", "COLORTERM", "COLORFGBG", "COLUMNS", "LINES", "LC_ALL", "LC_CTYPE", "TMUX")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("CILISCOPE_", *ours))}
    said = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "CILISCOPE_CONFIG": os.devnull}
    return plain | said


@contextmanager
def program(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    size: tuple[int, int] = (80, 24),
    anew: bool = False,
) -> Iterator[Program]:
    """The program for the length of a block."""
    running = Program(*arguments, environment=environment, size=size, anew=anew)
    try:
        yield running
    finally:
        running.close()
