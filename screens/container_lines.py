"""The containers of a pod as lines: what each does, how it last ended, which image it runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from app.model.durations import duration
from app.report.format import age_of, count
from app.report.lines import SIGN, Line, Span, plain, wrapped
from collectors.sanitize import one_line

if TYPE_CHECKING:
    from app.model.finding import Health
    from collectors.kubernetes.records import ContainerStatus, ContainerTerminated, Pod

_ON_THE_WAY = ("", "PodInitializing", "ContainerCreating")
"""Reasons for which a container waits that is well."""
_SIGNALS = range(129, 160)
"""Exit codes of what a signal has ended: 128 and its number, as container runtimes keep it."""


def container_lines(pod: Pod, now: datetime, width: int, *, whole: bool) -> Iterator[Line]:
    """Each container; not `whole`: only those with which something is the matter."""
    status = pod.status
    main = [(each, container_health(each)) for each in status.container_statuses]
    first = [
        (each, container_health(each, ends=True)) for each in pod.status.init_container_statuses
    ]
    if whole and not main:
        yield plain("   none yet: no kubelet has said anything of them", "none")
    for each, health in main:
        if whole or health not in ("ok", "none"):
            yield from _container(each, health, now, width, whole=whole)
    done = [each.name for each, health in first if health == "ok"]
    if whole and done:
        line = (Span(" ✓ ", "ok"), Span(f"before them ran {', '.join(done)}"))
        yield from wrapped(line, width, 3)
    for each, health in first:
        if health != "ok" and (whole or health != "none"):
            yield from _container(each, health, now, width, whole=whole, kind="init container ")


def container_health(status: ContainerStatus, *, ends: bool = False) -> Health:
    """How a container is; one that `ends` is well when it has ended well."""
    waiting, ended = status.state.waiting, status.state.terminated
    if ended is not None:
        return "ok" if ends and not (ended.exit_code or ended.signal) else "fail"
    if waiting is not None:
        return "none" if waiting.reason in _ON_THE_WAY else "fail"
    if status.state.running is None:
        return "none"
    return "ok" if status.ready else "none" if ends else "warn"


def exit_words(ended: ContainerTerminated) -> str:
    """`exit code 137 (OOMKilled), killed by signal 9`."""
    number = ended.signal or (ended.exit_code - 128 if ended.exit_code in _SIGNALS else 0)
    reason = f" ({ended.reason})" if ended.reason else ""
    killed = f", killed by signal {number}" if number else ""
    return f"exit code {ended.exit_code}{reason}{killed}"


def _container(
    status: ContainerStatus,
    health: Health,
    now: datetime,
    width: int,
    *,
    whole: bool,
    kind: str = "",
) -> Iterator[Line]:
    restarts = f", {count(status.restart_count, 'restart')}" if status.restart_count else ""
    line = (
        Span(f" {SIGN[health]} ", health),
        Span(f"{kind}{status.name}", "strong"),
        Span(f"  {_state(status, now)}{restarts}"),
    )
    yield from wrapped(line, width, 3)
    if status.state.waiting is not None and status.state.waiting.message and whole:
        yield from wrapped(plain(f"   {one_line(status.state.waiting.message)}"), width, 3)
    last = status.state.terminated or status.last_state.terminated
    if last is not None:
        yield from wrapped(plain(f"   last end  {_end(last, now)}"), width, 13)
        if last.message and whole:
            yield from wrapped(plain(f"   it said   {one_line(last.message)}"), width, 13)
    if whole and status.image:
        yield from wrapped(plain(f"   image     {status.image}"), width, 13)


def _state(status: ContainerStatus, now: datetime) -> str:
    running, waiting = status.state.running, status.state.waiting
    if running is not None:
        since = f" for {age_of(running.started_at, now)}" if running.started_at else ""
        return f"runs{since}{'' if status.ready else ', not ready'}"
    if waiting is not None:
        return f"waits: {waiting.reason or 'no reason given'}"
    return "has ended" if status.state.terminated is not None else "not started"


def _end(ended: ContainerTerminated, now: datetime) -> str:
    ago = f"{age_of(ended.finished_at, now)} ago, " if ended.finished_at else ""
    ran = ""
    if ended.started_at and ended.finished_at:
        seconds = (ended.finished_at - ended.started_at).total_seconds()
        ran = f", after {duration(max(0.0, seconds))}"
    return f"{ago}{exit_words(ended)}{ran}"
