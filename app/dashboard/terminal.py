"""The terminal: what it sends is filtered, any input is survived, and it is restored on exit.

Textual 8.2 ends with an error at the first byte that is not UTF-8, takes the end of an unknown
reply for keys and an escape in pasted text for the end of the paste, spins when the terminal is
gone, leaves the alternate screen on after SIGTERM or SIGHUP, and takes its size from the
environment. Seen on Linux, November 2026.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import sys
import termios
import threading
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

PASTE = "\x1b[200~"
PASTED = "\x1b[201~"

KEY_PATIENCE = 0.05
"""Seconds after which a lone Escape is a key."""

REPLY_PATIENCE = 1.0
"""Seconds after which the rest of a reply is given up."""

_KEY = 2
"""Characters that may be a key: Escape, or alt with a letter. More is a truncated reply."""

LONGEST = 8192
"""Characters of an unfinished string at which it is no longer held."""

_STRING = re.compile(r"\x1b[\]P_^X](?:[^\x07\x1b\x9c]|\x1b(?!\\|$))*(?:\x07|\x9c|\x1b\\)")
_CSI = re.compile(r"\x1b\[(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<end>[@-~])")
_MOUSE_OF_OLD = re.compile(r"\x1b\[M.{3}", re.DOTALL)
_BEGUN = re.compile(
    r"\x1b(?:\[(?:[0-?]*[ -/]*|M.{0,2})|[\]P_^X](?:[^\x07\x1b\x9c]|\x1b(?!\\|$))*\x1b?)?\Z",
    re.DOTALL,
)
"""An end that may be the start of a sequence whose rest has not arrived."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_MOUSE = re.compile(r"<\d+;\d+;\d+")
_MODES = re.compile(r"\?(?:2026|2048);\d+")
"""The modes that Textual asks the terminal about."""


class InputFilter:
    """Passes keys, the mouse, whole pastes and replies that Textual asked for; drops the rest.

    It is fed pieces of any length: a sequence may be split anywhere.
    """

    def __init__(self) -> None:
        """Nothing has arrived yet."""
        self._held = ""
        self._pasting = False

    @property
    def patience(self) -> float | None:
        """Seconds to wait for the rest of what is held, then `flush`; None: without limit."""
        if not self._held or self._pasting:
            return None
        return KEY_PATIENCE if len(self._held) <= _KEY else REPLY_PATIENCE

    def feed(self, text: str) -> str:
        """The part of this, and of what was held, that is for the program."""
        text, self._held = self._held + text, ""
        begun = _BEGUN.search(text)
        if begun is not None and len(text) - begun.start() <= LONGEST:
            text, self._held = text[: begun.start()], text[begun.start() :]
        return self._passed(text)

    def flush(self) -> str:
        """The key that was held, or nothing: its rest has not arrived in time."""
        held, self._held = self._held, ""
        return held if len(held) <= _KEY else ""

    def _passed(self, text: str) -> str:
        passed: list[str] = []
        while text:
            if self._pasting:
                inside, mark, text = text.partition(PASTED)
                passed += [_pasted(inside), mark]
                self._pasting = not mark
            else:
                outside, mark, text = text.partition(PASTE)
                passed += [_typed(outside), mark]
                self._pasting = bool(mark)
        return "".join(passed)


def _typed(text: str) -> str:
    text = _MOUSE_OF_OLD.sub("", _STRING.sub("", text))
    return _CSI.sub(lambda found: found[0] if _is_for_us(found) else "", text)


def _pasted(text: str) -> str:
    """Text with its tabs and line breaks only."""
    return _CONTROLS.sub("", _CSI.sub("", _STRING.sub("", text)))


def _is_for_us(found: re.Match[str]) -> bool:
    """Whether a sequence is a key, the mouse, a size, or a reply that Textual asked for."""
    parameters, between, end = found["parameters"], found["between"], found["end"]
    if ":" in parameters:  # keys with sub-parameters: not requested, and some crash Textual
        return False
    if parameters[:1] in tuple("<=>?"):
        if end in "Mm":
            return _MOUSE.fullmatch(parameters) is not None
        return (between, end) == ("$", "y") and _MODES.fullmatch(parameters) is not None
    if between or end in "cnxy":
        return False
    if end == "R":  # F3 with shift and the like, or where the cursor is
        return not parameters or parameters.startswith("1;")
    return end != "t" or parameters.startswith("48;")


GRACE = 0.8
"""Seconds that an orderly exit may take after a signal; then the process is ended."""

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)

_LEAVE = (
    "\x1b[?2004l"  # bracketed paste
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l"  # mouse
    "\x1b[?1004l\x1b[?2048l"  # focus reports, resize reports
    "\x1b[<u"  # kitty keys
    "\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[0m"  # main screen, cursor, line wrap, plain colours
)


class TolerantDriver(LinuxDriver):
    """Textual's driver, reading through a filter that replaces bytes which are not UTF-8.

    The filter is between the terminal and Textual's own reader, which reads from a pipe instead.
    A terminal that is gone becomes SIGHUP, once.

    A terminal that hangs up sends SIGCONT after SIGHUP, and Textual takes any SIGCONT for the end
    of a ctrl-z: it would start to read again, for ever, after it has left the terminal.
    """

    _reads = False
    """Whether it has the terminal: true between start and stop."""
    _suspended = False
    """Whether it gave the terminal back only while the process is stopped."""

    def start_application_mode(self) -> None:
        """Take the terminal."""
        self._reads = True
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        """Give the terminal back."""
        self._reads = False
        super().stop_application_mode()

    def suspend_application_mode(self) -> None:
        """Give the terminal back until `resume_application_mode`."""
        self._suspended = self._reads
        super().suspend_application_mode()

    def resume_application_mode(self) -> None:
        """Take the terminal again, if it was given up for a while and is still there."""
        if sys.__stdin__ is None or not sys.__stdin__.isatty():
            return
        if self._reads:  # stopped by SIGSTOP, which cannot be caught: the shell had the terminal
            self.suspend_application_mode()
        if self._suspended:
            self._suspended = False
            super().resume_application_mode()

    def run_input_thread(self) -> None:
        """Read filtered input until the driver is stopped."""
        terminal = self.fileno
        filtered, inlet = os.pipe()
        stopped, stop = os.pipe()
        copier = threading.Thread(target=_filter, args=(terminal, inlet, stopped), daemon=True)
        copier.start()
        self.fileno = filtered
        try:
            super().run_input_thread()
        finally:
            self.fileno = terminal
            os.close(stop)
            os.close(filtered)
            copier.join()
            os.close(stopped)
            os.close(inlet)


def _filter(terminal: int, inlet: int, stopped: int) -> None:
    """Copy input until stopped: undecodable bytes as U+FFFD, without what was not typed."""
    decode = getincrementaldecoder("utf-8")("replace").decode
    typed = InputFilter()
    with selectors.DefaultSelector() as selector:
        selector.register(terminal, selectors.EVENT_READ)
        selector.register(stopped, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(typed.patience)}
            if stopped in ready:
                return
            if not ready:
                text = typed.flush()
            else:
                try:
                    data = os.read(terminal, 4096)
                except OSError:  # the terminal was taken away
                    data = b""
                if not data:
                    os.kill(os.getpid(), signal.SIGHUP)
                    return
                text = typed.feed(decode(data))
            try:
                os.write(inlet, text.encode())
            except BrokenPipeError:
                return


def use_mouse(driver: Driver | None, *, on: bool) -> bool:
    """Ask the terminal for its mouse, or give it back; False if it has none.

    It is off at first, so that the terminal can select.
    """
    if not isinstance(driver, LinuxDriver):
        return False
    # The driver asks and gives back only while it is to use the mouse, also when it ends.
    driver._mouse = True
    if on:
        driver._enable_mouse_support()
    else:
        driver._disable_mouse_support()
    driver._mouse = on
    return True


def prefer_terminal_size() -> None:
    """Drop `COLUMNS` and `LINES` from the environment if the terminal reports its own size.

    Shells and wrappers export them and do not update them with the window, yet Rich and Textual
    read them first. They remain on a serial line, which reports 0x0.
    """
    try:
        size = os.get_terminal_size(sys.__stdin__.fileno()) if sys.__stdin__ else None
    except (ValueError, OSError):
        return
    if size is not None and size.columns and size.lines:
        os.environ.pop("COLUMNS", None)
        os.environ.pop("LINES", None)


@contextmanager
def restored_terminal(end: Callable[[], None], last_act: Callable[[], None]) -> Iterator[list[int]]:
    """Around the run of an application: restores the terminal afterwards, whatever happened.

    On SIGTERM and SIGHUP `end` is called, which should make the application return; the list holds
    the signals received. If it has not returned within `GRACE`, the terminal is restored,
    `last_act` is called and the process is ended with 128 + the signal's number.
    """
    attributes = _attributes()
    received: list[int] = []
    over = threading.Event()

    def watch(signum: int) -> None:
        if not over.wait(GRACE):
            _restore(attributes)
            last_act()
            os._exit(128 + signum)

    def ended(signum: int, _frame: FrameType | None) -> None:
        if not received:
            threading.Thread(target=watch, args=(signum,), daemon=True).start()
        received.append(signum)
        end()

    before = {signum: signal.signal(signum, ended) for signum in ENDING_SIGNALS}
    restored = False
    try:
        yield received
        restored = _attributes() == attributes
    finally:
        over.set()
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if not restored:
            _restore(attributes)


def _attributes() -> list[int | list[bytes | int]] | None:
    """The settings of the terminal; None without one."""
    try:
        return termios.tcgetattr(sys.__stdin__.fileno()) if sys.__stdin__ else None
    except (termios.error, ValueError, OSError):
        return None


def _restore(attributes: list[int | list[bytes | int]] | None) -> None:
    """Restore the terminal, if there still is one."""
    if attributes is None or sys.__stdin__ is None or sys.__stderr__ is None:
        return
    try:
        termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSANOW, attributes)
        os.write(sys.__stderr__.fileno(), _LEAVE.encode())
    except (termios.error, OSError):
        return  # it is gone
