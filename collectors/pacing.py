"""When to ask again: waiting times, back-off with jitter, and the operator who will not wait.

Source for the rules: client-go/util/wait and tools/cache (back-off, jitter), RFC 9110 section
10.2.3 (Retry-After).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from collectors.api import ApiError, ApiSession
from collectors.source import Reason


@dataclass(frozen=True, slots=True)
class Timing:
    """Every waiting time of a source that reads the API, in seconds."""

    list_timeout: float = 10.0
    """For one page of a list, and until a watch begins to answer."""
    silence: float = 90.0
    """Without a byte on a watch; servers send a bookmark about every minute."""
    watch: tuple[float, float] = (240.0, 300.0)
    """How long the server is asked to keep a watch: a random time between the two."""
    first_pause: float = 1.0
    longest_pause: float = 30.0
    """Pauses after failures double from the first to the longest, with jitter."""
    absent: float = 60.0
    """Until a kind that is not served is looked for again."""
    refused: float = 300.0
    """Until a 401 or a 403 is tried again."""
    longest_wait: float = 600.0
    """The most that a server can make us wait with Retry-After."""
    short_watch: float = 1.0
    """A watch that ends sooner, with nothing said, counts as a failure."""
    poll: float = 10.0
    """Between two questions of a source that has nothing to watch."""


class Pacing:
    """The pauses of one source, and a way to end them.

    Counts failures in a row; `succeeded` starts the count anew.
    """

    def __init__(self, session: ApiSession, timing: Timing, jitter: Callable[[], float]) -> None:
        """`jitter` gives a number from 0 to 1."""
        self._session = session
        self._timing = timing
        self._jitter = jitter
        self._failures = 0
        self._waiting: asyncio.Timeout | None = None
        self.woken = False
        """Whether `wake` was called; whoever acts on it sets it back."""

    def wake(self) -> None:
        """End the current wait, or the next one if nobody is waiting."""
        self.woken = True
        self._session.try_again()
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0)

    def succeeded(self) -> None:
        """The next failure is a first one."""
        self._failures = 0

    def after(self, error: ApiError) -> float:
        """Seconds to wait after a failure, which is counted."""
        back_off = self.back_off()
        if error.retry_after is not None:
            return min(max(error.retry_after, self._timing.first_pause), self._timing.longest_wait)
        if error.reason in (Reason.UNAUTHORIZED, Reason.FORBIDDEN):
            return self._timing.refused
        return self._timing.absent if error.reason is Reason.ABSENT else back_off

    def back_off(self) -> float:
        """Seconds to wait after one more failure: doubled each time, less up to a half."""
        grown = self._timing.first_pause * (1 << min(self._failures, 20))
        self._failures += 1
        return min(self._timing.longest_pause, grown) * (1 - self._jitter() / 2)

    def watch_timeout(self) -> int:
        """Seconds to ask of the server for a watch: random, so that not all end together."""
        shortest, longest = self._timing.watch
        return round(shortest + (longest - shortest) * self._jitter())

    async def pause(self, seconds: float, error: ApiError | None = None) -> None:
        """Wait; shorter if woken, or if credentials change that were not accepted."""
        with suppress(TimeoutError):
            async with self.interruptible(seconds):
                if error is not None and error.reason is Reason.UNAUTHORIZED:
                    await self._session.credentials_changed()
                else:
                    await asyncio.Event().wait()

    @asynccontextmanager
    async def interruptible(self, seconds: float | None) -> AsyncGenerator[None, None]:
        """A deadline that `wake` brings forward to now: TimeoutError at its end.

        Whoever enters it must not yield to a consumer before leaving it.
        """
        async with asyncio.timeout(0 if self.woken else seconds) as waiting:
            self._waiting = waiting
            try:
                yield
            finally:
                self._waiting = None
