"""Keeps key handling responsive: schedules garbage collection, sets the frame rate.

A full collection stops everything for 200 to 500 ms with 2,000 services read, and CPython starts
one whenever enough new objects have lived long enough. So none starts by itself; it is done when
no key was pressed for a while. Young garbage is collected as usual.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, MutableMapping

EVERY = 300.0
"""Seconds between two full collections."""
QUIET = 5.0
"""Seconds without a key before one is done."""
LATEST = 1800.0
"""Seconds after which one is done in spite of keys."""

FRAMES = "120"
"""Repaints a second at most. The effect of a key is painted one or two of these later."""

_NEVER = 1 << 30


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Before Textual is imported: repaint sooner, and start no full collection."""
    environ.setdefault("TEXTUAL_FPS", FRAMES)
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


class GcPacer:
    """Decides when garbage is collected."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._pressed_at = self._done_at = clock()

    def pressed(self) -> None:
        """A key was pressed."""
        self._pressed_at = self._clock()

    def tick(self) -> None:
        """Collect if it is time and no key was pressed lately."""
        now = self._clock()
        since = now - self._done_at
        if since >= LATEST or (since >= EVERY and now - self._pressed_at >= QUIET):
            gc.collect()
            self._done_at = self._clock()
