"""Runs the sources and folds what they say into snapshots, published at a bounded rate.

One task per source. A publication happens only when something changed, at most `RATE` times a
second; who listens pulls the newest snapshot, so a slow listener skips some and falls behind none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol, assert_never, runtime_checkable

from app.state.kinds import KINDS, Kind
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.source import (
    Appended,
    Deleted,
    Failed,
    Heard,
    Keyed,
    Reason,
    Replaced,
    Source,
    Update,
    Upserted,
)

RATE = 4.0
"""Publications a second at most."""

STREAM_LENGTH = 5_000
"""Records kept of a stream (log lines)."""

Clock = Callable[[], datetime]

_STATE = {Reason.FORBIDDEN: State.FORBIDDEN, Reason.ABSENT: State.ABSENT}


@runtime_checkable
class Refreshable(Protocol):
    """A source that can be made to read again now."""

    def refresh(self) -> None:
        """Read again as soon as possible."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A source and how the monitor treats it."""

    source: Source
    stale_after: float = 120.0
    """Seconds of silence after which what it said is stale."""
    on_demand: bool = False
    """Whether it runs only while somebody holds a demand for its kind."""
    heartbeat: str = ""
    """Label of the source that tells whether the other side is alive. While that one fails, this
    one's silence means nothing: what it said is stale. "" for none."""


class Monitor:
    """Keeps the newest snapshot of everything its feeds read."""

    def __init__(
        self,
        feeds: Iterable[Feed],
        clock: Clock,
        *,
        context: str = "",
        cilium_namespace: str = "kube-system",
        setting_up: bool = False,
        follows_logs: bool = False,
    ) -> None:
        """`setting_up`: more sources will be attached before `run` is called; `follows_logs`:
        somebody attaches the log of every agent that has a session in trouble, for ever."""
        self._clock = clock
        self._feeds: dict[str, Feed] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._demands: dict[Kind[object], int] = {}
        self._attached: Counter[str] = Counter()
        """How many want each of the sources that were attached."""
        self._records: dict[str, dict[str, Keyed]] = {}
        self._changed_kinds: set[str] = set()
        self._health: dict[str, SourceHealth] = {}
        self._faint: set[str] = set()
        """Sources that are stale only because their heartbeat fails."""
        self._something_changed = asyncio.Event()
        self._published: asyncio.Event = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self.snapshot = Snapshot(
            taken_at=clock(),
            context=context,
            cilium_namespace=cilium_namespace,
            setting_up=setting_up,
            follows_logs=follows_logs,
        )
        for feed in feeds:
            self._know(feed)
        self._publish()

    async def run(self) -> None:
        """Read everything until cancelled. An exception out of a source is a bug and ends this."""
        self.snapshot = replace(self.snapshot, setting_up=False)
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for label in tuple(self._feeds):
                    self._start_or_stop(label)
                group.create_task(self._grow_old(), name="staleness")
                await self._publish_changes()
            finally:
                self._group = None

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """The newest snapshot, and then each newer one that the listener has time for."""
        while True:
            published, snapshot = self._published, self.snapshot
            yield snapshot
            await published.wait()

    async def settled(self, kinds: Iterable[Kind[object]], deadline: float) -> Snapshot:
        """The first snapshot in which every source of these kinds has answered or failed.

        After `deadline` seconds it is the newest one, with what is still loading in its health.
        """
        wanted = frozenset(kinds)
        try:
            async with asyncio.timeout(deadline):
                async for snapshot in self.snapshots():
                    if not any(
                        self._to_come(h) for h in snapshot.health.values() if h.kind in wanted
                    ):
                        return snapshot
        except TimeoutError:
            pass
        return self.snapshot

    def name(self, context: str) -> None:
        """Say which kubeconfig context this is, once that is known."""
        self.snapshot = replace(self.snapshot, context=context)
        self._something_changed.set()

    @contextmanager
    def demand(self, *kinds: Kind[object]) -> Iterator[None]:
        """Keep the on-demand sources of these kinds running while inside."""
        self._count(kinds, 1)
        try:
            yield
        finally:
            self._count(kinds, -1)

    def attach(self, feed: Feed) -> Callable[[], None]:
        """Run one more feed from now on; call the result to end it and forget its health.

        One whose label was attached before is the same source: it runs once, and ends when the
        last who attached it has called the result.
        """
        label = feed.source.label
        if label not in self._attached:
            self._know(feed)
            self._start_or_stop(label)
            self._something_changed.set()
        self._attached[label] += 1

        def detach() -> None:
            self._attached[label] -= 1
            if self._attached[label]:
                return
            del self._attached[label]
            self._stop(label)
            del self._feeds[label]
            del self._health[label]
            self._something_changed.set()

        return detach

    def refresh(self, kinds: Iterable[Kind[object]] | None = None) -> None:
        """Make the sources (of these kinds) read again now."""
        wanted = None if kinds is None else frozenset(kinds)
        for feed in self._feeds.values():
            source = feed.source
            if isinstance(source, Refreshable) and (wanted is None or KINDS[source.kind] in wanted):
                source.refresh()

    # --- running

    def _to_come(self, health: SourceHealth) -> bool:
        """Whether its answer is waited for; one that is just demanded may still be told as off."""
        off = health.state is State.OFF and bool(self._demands.get(health.kind))
        return health.state is State.LOADING or off

    def _know(self, feed: Feed) -> None:
        source = feed.source
        if source.label in self._feeds:
            raise ValueError(f"two sources are called {source.label!r}")
        self._feeds[source.label] = feed
        state = State.OFF if self._idle(feed) else State.LOADING
        self._health[source.label] = SourceHealth(
            label=source.label, kind=KINDS[source.kind], state=state, since=self._clock()
        )

    def _idle(self, feed: Feed) -> bool:
        return feed.on_demand and not self._demands.get(KINDS[feed.source.kind])

    def _count(self, kinds: Sequence[Kind[object]], step: int) -> None:
        for kind in kinds:
            self._demands[kind] = self._demands.get(kind, 0) + step
        for label, feed in tuple(self._feeds.items()):
            if feed.on_demand and KINDS[feed.source.kind] in kinds:
                self._start_or_stop(label)

    def _start_or_stop(self, label: str) -> None:
        feed = self._feeds[label]
        if self._idle(feed):
            self._stop(label)
            self._set_health(label, state=State.OFF, error="", next_try=None)
        elif label not in self._running:
            known = self._health[label]
            if known.state is State.OFF:
                self._set_health(label, state=State.STALE if known.known else State.LOADING)
            if self._group is not None:
                task = self._group.create_task(self._read(feed), name=label)
                self._running[label] = task

    def _stop(self, label: str) -> None:
        task = self._running.pop(label, None)
        if task is not None:
            task.cancel()

    async def _read(self, feed: Feed) -> None:
        async with aclosing(feed.source.updates()) as updates:  # type: ignore[type-var]
            async for update in updates:
                self._fold(feed.source.label, update)

    # --- folding

    def _fold(self, label: str, update: Update) -> None:
        match update:
            case Replaced():
                self._replace(update)
                self._answered(label, took=update.took, problems=update.problems)
            case Upserted(kind, record):
                self._records_of(kind)[record.key] = record
                self._changed_kinds.add(kind)
                self._answered(label)
            case Deleted(kind, key):
                if self._records_of(kind).pop(key, None) is not None:
                    self._changed_kinds.add(kind)
                self._answered(label)
            case Appended():
                self._append(update)
                self._answered(label)
            case Heard():
                # An open stream is quiet on a dead server, too.
                if not self._pulseless(label):
                    self._answered(label)
            case Failed():
                self._failed(label, update)
            case _:
                assert_never(update)
        self._something_changed.set()

    def _records_of(self, kind: str) -> dict[str, Keyed]:
        return self._records.setdefault(kind, {})

    def _replace(self, update: Replaced) -> None:
        """Keep the record that was known where the new one equals it: identity means unchanged."""
        old = self._records_of(update.kind)
        new: dict[str, Keyed] = {}
        for record in update.records:
            known = old.get(record.key)
            new[record.key] = known if known == record and known is not None else record
        unchanged = len(new) == len(old) and all(old.get(key) is new[key] for key in new)
        if not unchanged:
            self._records[update.kind] = new
            self._changed_kinds.add(update.kind)

    def _append(self, update: Appended) -> None:
        records = self._records_of(update.kind)
        records.update((record.key, record) for record in update.records)
        surplus = len(records) - STREAM_LENGTH
        for key in tuple(records)[: max(0, surplus)]:
            del records[key]
        self._changed_kinds.add(update.kind)

    # --- health

    def _answered(
        self, label: str, *, took: float | None = None, problems: tuple[str, ...] | None = None
    ) -> None:
        known = self._health[label]
        self._set_health(
            label,
            state=State.FRESH,
            read_at=self._clock(),
            error="",
            next_try=None,
            took=known.took if took is None else took,
            problems=known.problems if problems is None else problems,
        )

    def _failed(self, label: str, failure: Failed) -> None:
        wait = failure.retry_in
        self._set_health(
            label,
            state=_STATE.get(failure.reason, State.FAILING),
            error=failure.message,
            next_try=None if wait is None else self._clock() + timedelta(seconds=wait),
        )

    def _pulseless(self, label: str) -> bool:
        feed = self._feeds.get(label)
        heartbeat = self._health.get(feed.heartbeat) if feed else None
        return heartbeat is not None and heartbeat.state in (State.FAILING, State.STALE)

    def _set_health(self, label: str, **changes: object) -> None:
        known = self._health[label]
        if changes.get("state", known.state) is not known.state:
            changes["since"] = self._clock()
        self._health[label] = replace(known, **changes)  # type: ignore[arg-type]
        self._something_changed.set()

    async def _grow_old(self) -> None:
        """A source that was not heard of for too long is stale, and that is news."""
        while True:
            await asyncio.sleep(1)
            now = self._clock()
            for label, health in tuple(self._health.items()):
                limit = timedelta(seconds=self._feeds[label].stale_after)
                read_at = health.read_at
                silent = read_at is not None and now - read_at > limit
                if health.state is State.FRESH and self._pulseless(label):
                    self._faint.add(label)
                    self._set_health(label, state=State.STALE)
                elif health.state is State.FRESH and silent:
                    self._set_health(label, state=State.STALE)
                elif label in self._faint and not self._pulseless(label):
                    self._faint.discard(label)
                    if health.state is State.STALE:
                        self._set_health(label, state=State.FRESH)

    # --- publishing

    async def _publish_changes(self) -> None:
        while True:
            await self._something_changed.wait()
            self._something_changed.clear()
            self._publish()
            await asyncio.sleep(1 / RATE)

    def _publish(self) -> None:
        changes = {
            KINDS[kind]: MappingProxyType(dict(self._records_of(kind)))
            for kind in self._changed_kinds
        }
        self._changed_kinds.clear()
        self.snapshot = replace(
            self.snapshot,
            taken_at=self._clock(),
            health=MappingProxyType(dict(self._health)),
            records=self.snapshot.records.with_changes(changes),
        )
        published, self._published = self._published, asyncio.Event()
        published.set()
