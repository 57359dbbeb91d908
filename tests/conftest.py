"""What all tests share: how far random searches go, and clusters that are read often."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.commands import pointing_at
from tests.lab_asked import asked_lab
from tests.recorded import RECORDINGS
from tests.searching import load_profile

load_profile()

_LONGEST = 60


def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: half of the time a test waits for a terminal or a process."""
    return 2 * (os.cpu_count() or 1)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Each worker begins with other modules: what one has made of a module, the others find."""
    del session
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        for path in sorted(Path(__file__).parent.glob("test_*.py"))[worker::workers]:
            with suppress(Exception):  # the collection says it in full
                importlib.import_module(f"tests.{path.stem}")


def pytest_make_parametrize_id(val: object) -> str | None:
    """The beginning of a text that is too long for the name of a test; else as pytest has it."""
    if isinstance(val, str | bytes) and len(val) > _LONGEST:
        return ascii(val[:_LONGEST])
    return None


@pytest.fixture(scope="session")
def healthy() -> Iterator[dict[str, str]]:
    """The environment in which a healthy recording is the cluster of a command in this process."""
    with asked_lab(replay=RECORDINGS / "healthy") as lab:
        yield pointing_at(lab)


@pytest.fixture(scope="session")
def killed() -> Iterator[dict[str, str]]:
    """The same with a cluster whose router was killed."""
    with asked_lab(replay=RECORDINGS / "router-killed") as lab:
        yield pointing_at(lab)


def pytest_collection_finish() -> None:
    """What the tests are made of stays to the end, and little of the rest is garbage so soon."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
