"""Time that passes only while nothing else is to be done: waits take none, and none is missed.

For what waits for timers alone. What waits for a socket or a child would see time fly.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar, TypeVarTuple

Parameters = ParamSpec("Parameters")
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class _Selector(selectors.DefaultSelector):
    """Finds what is ready, and passes the time where nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop in which threads are not needed: their work is done where it is asked for."""

    def __init__(self) -> None:
        self._passing = _Selector()
        super().__init__(self._passing)

    def time(self) -> float:
        """Seconds that have passed."""
        return self._passing.now

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Arguments], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        """What it comes to, at once."""
        done: asyncio.Future[Result] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as problem:  # noqa: BLE001 - it is raised where it is awaited
            done.set_exception(problem)
        return done


def in_virtual_time(
    test: Callable[Parameters, Coroutine[object, object, Result]],
) -> Callable[Parameters, Result]:
    """The test, run in such time."""

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            return runner.run(test(*args, **kwargs))

    return run
