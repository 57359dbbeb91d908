"""What keeps keys from waiting for the interpreter and for Textual.

A full collection of garbage stops everything for as long as it takes: 200 to 500 ms with 2,000
services read, and CPython begins one whenever enough new objects have lived long enough. So none
begins by itself; it is done when no key was pressed for a while. Young garbage goes as ever.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, MutableMapping

EVERY = 300.0
"""Seconds between two full collections."""
QUIET = 5.0
"""Seconds without a key after which one disturbs nobody."""
AT_LAST = 1800.0
"""Seconds after which one is done whoever presses keys."""

FRAMES = "120"
"""Repaints a second at most. What follows from a key is painted one or two of these later."""

_NEVER = 1 << 30


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Before Textual is imported: let it repaint sooner, and no collection begin by itself."""
    environ.setdefault("TEXTUAL_FPS", FRAMES)
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


class Tidying:
    """Decides when garbage is collected."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` tells seconds from any moment on."""
        self._clock = clock
        self._pressed_at = self._done_at = clock()

    def pressed(self) -> None:
        """A key came."""
        self._pressed_at = self._clock()

    def tick(self) -> None:
        """Collect if it is time, and a moment at which nobody waits."""
        now = self._clock()
        since = now - self._done_at
        if since >= AT_LAST or (since >= EVERY and now - self._pressed_at >= QUIET):
            gc.collect()
            self._done_at = self._clock()
