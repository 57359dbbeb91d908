"""Whether the API server answers at all, which version it is, and what time it thinks it is.

Ages are computed from the server's clock; an operator whose own clock is wrong would otherwise see
leases expired that are not.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from time import monotonic

import msgspec

from collectors.kubernetes.api import ApiError, ApiResponse, ApiSession, Pacing, Timing
from collectors.kubernetes.records import ClusterVersion
from collectors.sanitize import one_line
from collectors.source import Failed, Heard, Reason, Replaced, Update

_HALF_A_SECOND = timedelta(seconds=0.5)
_SAME_CLOCK = 1.0
"""Seconds within which two measurements of the skew are one: `Date` has whole seconds."""


class _Version(msgspec.Struct, rename="camel"):
    git_version: str


class VersionSource:
    """Asks `GET /version` again and again: the pulse of the API server."""

    kind = "version"
    label = "API server"

    def __init__(
        self,
        session: ApiSession,
        *,
        timing: Timing | None = None,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`clock` is the local clock that the server's is compared with."""
        self._session = session
        self._timing = timing or Timing()
        self._pacing = Pacing(session, self._timing, jitter)
        self._clock = clock
        self._last: ClusterVersion | None = None

    def refresh(self) -> None:
        """Ask now. For an operator who wants it so."""
        self._pacing.wake()

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Ask until closed; see `Source`. An answer that says nothing new is `Heard`."""
        while True:
            self._pacing.woken = False
            try:
                yield await self._asked()
                self._pacing.succeeded()
                await self._pacing.pause(self._timing.poll)
            except ApiError as error:
                seconds = self._pacing.after(error)
                yield Failed(self.kind, error.reason, error.message, seconds)
                await self._pacing.pause(seconds, error)

    async def _asked(self) -> Update:
        begun, asked = monotonic(), self._clock()
        answer = await self._session.get("/version", timeout=self._timing.list_timeout)
        took = monotonic() - begun
        version = self._read(answer, asked + timedelta(seconds=took / 2))
        if self._last is not None and _alike(version, self._last):
            return Heard(self.kind)
        self._last = version
        return Replaced(self.kind, (version,), took)

    def _read(self, answer: ApiResponse, ours: datetime) -> ClusterVersion:
        try:
            version = msgspec.json.decode(answer.body, type=_Version)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise ApiError(
                Reason.UNREADABLE,
                f"{self._session.server} does not answer /version as a Kubernetes API does: "
                f"{problem}",
            ) from None
        # `Date` is cut to whole seconds, so on average it is half a second behind.
        skew = (answer.date + _HALF_A_SECOND - ours).total_seconds() if answer.date else None
        return ClusterVersion(one_line(version.git_version), skew)


def _alike(one: ClusterVersion, other: ClusterVersion) -> bool:
    if one.git_version != other.git_version:
        return False
    if one.clock_skew is None or other.clock_skew is None:
        return one.clock_skew is other.clock_skew
    return abs(one.clock_skew - other.clock_skew) <= _SAME_CLOCK
