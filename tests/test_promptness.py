"""What keeps keys from waiting: no full collection of garbage by itself, and sooner repaints."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from app.dashboard.gc_pacing import EVERY, FRAMES, LATEST, QUIET, GcPacer, prepare


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def collected() -> Iterator[Callable[[], int]]:
    """How many full collections there were."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(1)

    gc.callbacks.append(note)
    threshold = gc.get_threshold()
    gc.set_threshold(*threshold[:2], 1 << 30)
    try:
        yield lambda: len(seen)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note)


def test_garbage_is_collected_when_it_is_time_and_nobody_presses_keys(
    collected: Callable[[], int],
) -> None:
    clock = Clock()
    pacer = GcPacer(clock)
    clock.now += EVERY - 1
    pacer.tick()
    assert collected() == 0
    pacer.pressed()
    clock.now += 1
    pacer.tick()
    assert collected() == 0
    clock.now += QUIET
    pacer.tick()
    assert collected() == 1
    clock.now += QUIET
    pacer.tick()
    assert collected() == 1


def test_it_is_collected_at_last_whoever_presses_keys(collected: Callable[[], int]) -> None:
    clock = Clock()
    pacer = GcPacer(clock)
    clock.now += LATEST
    pacer.pressed()
    pacer.tick()
    assert collected() == 1


def test_no_full_collection_begins_by_itself_and_textual_repaints_sooner() -> None:
    """In a process of its own: both hold for all of it."""
    told = """
import gc, json
from app.dashboard.gc_pacing import prepare
prepare()
seen = []
gc.callbacks.append(lambda phase, info: seen.append(info["generation"]))
kept = [[n] for n in range(400_000)]
from textual.constants import MAX_FPS
print(json.dumps([MAX_FPS, sorted(set(seen))]))
"""
    out = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True)
    assert json.loads(out.stdout) == [int(FRAMES), [0, 1]]


def test_who_has_set_the_repaints_keeps_them() -> None:
    environ = {"TEXTUAL_FPS": "30"}
    threshold = gc.get_threshold()
    try:
        prepare(environ)
    finally:
        gc.set_threshold(*threshold)
    assert environ == {"TEXTUAL_FPS": "30"}
