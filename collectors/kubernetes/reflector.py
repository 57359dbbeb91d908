"""The sources of the Kubernetes API: each kind of object, mirrored, and the pulse of the server.

A kind is listed once, then watched, for ever: what client-go's Reflector does, with failures
reported instead of logged. A watch that ends is the normal case and never looks like a deletion;
only a new list replaces what is known, all at once.

The pulse is `GET /version`: whether the server answers at all, which version it is, and what time
it thinks it is. Ages are computed from the server's clock; an operator whose own clock is wrong
would otherwise see leases expired that are not.

Source: Kubernetes, "Efficient detection of changes" (API concepts); client-go/tools/cache.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from time import monotonic

import msgspec

from collectors.kubernetes import answers
from collectors.kubernetes.api import ApiResponse, ApiSession, Pacing, Timing
from collectors.kubernetes.records import ClusterVersion, Object
from collectors.kubernetes.resources import Resource
from collectors.sanitize import one_line
from collectors.source import Deleted, Failed, Heard, Reason, Replaced, Update, Upserted

PAGE = 500
"""Objects asked for at once."""

_BIG = 64 * 1024
"""Bytes from which decoding leaves the event loop."""

_SLICE = 0.01
"""Seconds of events in a row until others on the event loop have a turn, when many come at once."""

_GONE = 410


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMetadata


class _Kinds(msgspec.Struct):
    class Kind(msgspec.Struct):
        name: str

    resources: tuple[Kind, ...]


class _Relist(Exception):
    """What is known cannot be brought up to date by watching: list again."""


class Reflector:
    """The source of one kind of object.

    An object that cannot be decoded is never lost in silence: a list reports it among its
    `problems`, and one that turns up in a watch makes the kind be listed again, once, so that it is
    reported there.
    """

    def __init__(
        self,
        session: ApiSession,
        resource: Resource,
        *,
        timing: Timing | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` gives a number from 0 to 1: less of a pause, more of a watch."""
        self.kind = resource.kind
        self.label = resource.label
        self._session = session
        self._resource = resource
        self._timing = timing or Timing()
        self._pacing = Pacing(session, self._timing, jitter)
        self.served = ""
        """The API version that is read: `v2`, `v2alpha1`; "" while none is."""
        self._position = ""
        self._incomplete = False
        self._progressed = False
        self._said_something = False
        self._turn = monotonic()
        self._unreadable: set[str] = set()

    def refresh(self) -> None:
        """List again now: ends the current wait or watch. For an operator who asks for it."""
        self._pacing.wake()

    async def updates(self) -> AsyncGenerator[Update, None]:
        """List and watch until closed; see `Source`. Never raises for what the API does."""
        while True:
            try:
                resumed = bool(self._position) and not self._pacing.woken
                if not resumed:
                    yield await self._listed()
                async with aclosing(self._watched(resumed=resumed)) as changes:
                    async for change in changes:
                        yield change
            except _Relist:
                self._position = ""
                if not self._progressed:
                    await self._pacing.pause(self._pacing.back_off())
            except answers.ApiError as error:
                if not _resumable(error):
                    self._position = ""
                if error.reason is Reason.ABSENT:
                    # What is not served has no objects: those of before went with their kind.
                    yield Replaced(self.kind, (), 0.0)
                seconds = self._pacing.after(error)
                yield Failed(self.kind, error.reason, error.message, seconds)
                await self._pacing.pause(seconds, error)

    # --- listing

    async def _listed(self) -> Replaced:
        """Everything there is, from the best version that is served."""
        self._pacing.woken = False
        self._progressed = False
        begun = monotonic()
        for version in self._resource.versions:
            try:
                pages = await self._pages(version)
            except answers.ApiError as error:
                if not await self._is_missing(version, error):
                    raise
                continue
            self.served, self._position = version, pages[-1].resource_version
            records = tuple(record for page in pages for record in page.records)
            problems = tuple(problem for page in pages for problem in page.problems)
            self._incomplete = bool(problems)
            return Replaced(self.kind, records, monotonic() - begun, problems)
        self.served = ""
        text = (
            f"{self._session.server} does not serve {self._name()} "
            f"({' or '.join(self._resource.versions)})"
        )
        if self._resource.custom:
            raise answers.ApiError(Reason.ABSENT, text)
        # Not an answer that there are none: something between us and the API server is wrong.
        raise answers.ApiError(Reason.REFUSED, f"{text}, as every Kubernetes API server does")

    async def _pages(self, version: str) -> list[answers.Page[Object]]:
        pages: list[answers.Page[Object]] = []
        limit = str(PAGE)
        while not pages or pages[-1].continue_token:
            token = pages[-1].continue_token if pages else ""
            query = [("limit", limit), ("continue", token)]
            try:
                pages.append(await self._page(version, [each for each in query if each[1]]))
            except answers.ApiError as error:
                if error.status != _GONE or not token:
                    raise
                # The server has forgotten where the page ended: all at once cannot expire.
                limit, pages = "", []
        return pages

    async def _page(self, version: str, query: list[tuple[str, str]]) -> answers.Page[Object]:
        path = self._resource.path(version)
        answer = await self._session.get(
            path, [*self._selector(), *query], timeout=self._timing.list_timeout
        )
        try:
            if len(answer.body) > _BIG:
                page = await asyncio.to_thread(
                    answers.decode_page, answer.body, self._resource.record
                )
            else:
                page = answers.decode_page(answer.body, self._resource.record)
        except answers.Undecodable as problem:
            raise self._unreadable_answer(path, str(problem)) from None
        if not page.resource_version:
            raise self._unreadable_answer(path, "the list has no resourceVersion")
        return page

    async def _is_missing(self, version: str, error: answers.ApiError) -> bool:
        """Whether the kind is not served in this version.

        A 403 alone does not say: rights are looked at before existence. Discovery, which
        everybody may read, does. Only custom resources can be missing from a cluster.
        """
        if error.status == 404:
            return True
        custom = self._resource.custom and error.status == 403
        return custom and await self._serves(version) is False

    async def _serves(self, version: str) -> bool | None:
        """What discovery says of a version; None when it says nothing."""
        path = self._resource.group_path(version)
        try:
            answer = await self._session.get(path, timeout=self._timing.list_timeout)
            kinds = msgspec.json.decode(answer.body, type=_Kinds)
        except answers.ApiError as error:
            return False if error.status == 404 else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return any(kind.name == self._resource.plural for kind in kinds.resources)

    # --- watching

    async def _watched(self, *, resumed: bool) -> AsyncGenerator[Update, None]:
        """The changes after the last known version, until the server ends the watch."""
        if resumed and (self._incomplete or await self._upgraded()):
            raise _Relist
        opened: float | None = None
        watch = self._session.lines(
            self._resource.path(self.served),
            self._watch_query(),
            idle=self._timing.silence,
            answer=self._timing.list_timeout,
        )
        try:
            async with watch as lines:
                opened, self._said_something = monotonic(), False
                yield Heard(self.kind)
                while (line := await self._next(lines)) is not None:
                    yield await self._change(line)
        except answers.ApiError as error:
            if error.status == _GONE:
                raise _Relist from None
            lasted = opened is not None and self._lasted(opened)
            cut = error.status is None and error.reason is not Reason.UNREADABLE
            if not (lasted and cut):
                raise
        if opened is not None and not self._lasted(opened) and not self._pacing.woken:
            await self._pacing.pause(self._pacing.back_off())

    async def _next(self, lines: AsyncIterator[bytes]) -> bytes | None:
        """The next line; None when the watch has ended or a refresh is wanted."""
        if self._pacing.woken:
            return None
        if monotonic() - self._turn > _SLICE:
            await asyncio.sleep(0)
            self._turn = monotonic()
        try:
            async with self._pacing.interruptible(None):
                return await anext(lines, None)
        except TimeoutError:
            return None

    async def _change(self, line: bytes) -> Update:
        path = self._resource.path(self.served)
        try:
            if len(line) > _BIG:
                return await asyncio.to_thread(self._decoded, line)
            return self._decoded(line)
        except (answers.Undecodable, msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise self._unreadable_answer(path, str(problem)) from None

    def _decoded(self, line: bytes) -> Update:
        event, raw = answers.decode_event(line)
        if event == "ERROR":
            code, message = answers.status_of(raw)
            raise answers.ApiError(
                Reason.REFUSED,
                f"{self._session.server} ended the watch of {self._name()}: {message}",
                status=code,
            )
        if event == "BOOKMARK":
            self._advance(msgspec.json.decode(raw, type=_Bookmark).metadata.resource_version)
            return Heard(self.kind)
        if event not in ("ADDED", "MODIFIED", "DELETED"):
            raise answers.Undecodable(f"{event!r} is no event of a watch")
        try:
            record = answers.decode_object(raw, self._resource.record)
        except answers.Undecodable:
            return self._undecoded(event, answers.decode_object(raw, Object))
        self._advance(record.metadata.resource_version)
        if record.key in self._unreadable:
            self._unreadable.discard(record.key)
            raise _Relist
        if event == "DELETED":
            return Deleted(self.kind, record.key)
        return Upserted(self.kind, record)

    def _undecoded(self, event: str, remains: Object) -> Update:
        """An object of which no more than its name can be read: the list says what is wrong."""
        self._advance(remains.metadata.resource_version)
        if event == "DELETED":
            self._unreadable.discard(remains.key)
        elif remains.key in self._unreadable:
            return Heard(self.kind)  # reported by the list before, and nothing has changed in that
        else:
            self._unreadable.add(remains.key)
        raise _Relist

    def _advance(self, version: str) -> None:
        self._position = version or self._position
        self._progressed = self._said_something = True
        self._pacing.succeeded()

    def _lasted(self, opened: float) -> bool:
        """Whether a watch was worth its opening: it said something, or kept for a while."""
        if monotonic() - opened < self._timing.short_watch:
            return self._said_something
        self._progressed = True
        self._pacing.succeeded()
        return True

    async def _upgraded(self) -> bool:
        """Whether a better version than the one we read is served by now."""
        better = self._resource.versions[: self._resource.versions.index(self.served)]
        for version in better:
            if await self._serves(version):
                return True
        return False

    def _watch_query(self) -> list[tuple[str, str]]:
        return [
            *self._selector(),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._position),
            ("timeoutSeconds", str(self._pacing.watch_timeout())),
        ]

    def _selector(self) -> list[tuple[str, str]]:
        selector = self._resource.field_selector
        return [("fieldSelector", selector)] if selector else []

    def _name(self) -> str:
        group = self._resource.group
        return f"{self._resource.plural}.{group}" if group else self._resource.plural

    def _unreadable_answer(self, path: str, problem: str) -> answers.ApiError:
        return answers.ApiError(
            Reason.UNREADABLE, f"The answer of {self._session.server} for {path}: {problem}"
        )


def _resumable(error: answers.ApiError) -> bool:
    """Whether a watch can go on where it was: the server did not say that it cannot."""
    if error.reason is Reason.UNREADABLE:
        return False
    return error.status in (None, 401, 429)


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
            except answers.ApiError as error:
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
            raise answers.ApiError(
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
