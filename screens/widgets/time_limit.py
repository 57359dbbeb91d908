"""A limit to what a pattern may cost: Python's `re` has none, and some patterns never end.

`re` looks for signals while it matches, so a timer's signal ends it in the middle of a match. The
timer counts the processor time of this process: a busy machine does not make a pattern slow.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_armed = False


class TooSlow(Exception):
    """The limit is reached."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooSlow where the block takes more processor time than this.

    Signals reach the main thread alone, where the terminal is; in another the block has no limit.
    """
    global _armed
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGVTALRM, _end)
    _armed = True
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        _armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _end(_number: int, _frame: FrameType | None) -> None:
    # A signal that comes when the block has just ended ends nothing.
    if _armed:
        raise TooSlow
