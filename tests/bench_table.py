"""What a table costs: bytes, processor time and waiting, beside DataTable and a bare application.

`python -m tests.bench_table`. The three run in turn on a terminal of 140x40; medians are printed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from screens.widgets.columns import Content
from tests.bench_table_apps import APPS, CURSOR, DataApp, LiveApp, made

ROUNDS = 3
WATCHED = 6.0
"""Seconds for which a running application is watched."""

KEYS = 60
MANY = 50_000
AS_OURS = "from app.dashboard.gc_pacing import prepare; prepare(); "
"""How the dashboard begins, before it imports Textual."""

NAMES = {"live": "ours", "data": "DataTable", "bare": "bare app"}
_TOLD = re.compile(rb"<row-\d+>")


class Terminal:
    """A program on a terminal of 140x40."""

    def __init__(self, name: str, what: str) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
            start = f"from tests.bench_table_apps import run; run({name!r}, {what!r})"
            command = [sys.executable, "-c", f"{AS_OURS if name == 'live' else ''}{start}"]
            environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            environment.pop("NO_COLOR", None)
            os.execve(command[0], command, environment)  # noqa: S606

    def read(self, seconds: float) -> bytes:
        """What it writes until it is silent for so long."""
        seen = b""
        while select.select([self.file], [], [], seconds)[0]:
            seen += os.read(self.file, 65536)
        return seen

    def read_for(self, seconds: float) -> bytes:
        """What it writes within this time."""
        seen, end = b"", time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.file], [], [], left)[0]:
                seen += os.read(self.file, 65536)
        return seen

    def until(self, *patterns: re.Pattern[bytes], deadline: float = 60.0) -> list[float]:
        """Seconds until it has written each of these."""
        started, seen = time.perf_counter(), b""
        found: dict[re.Pattern[bytes], float] = {}
        while missing := [pattern for pattern in patterns if pattern not in found]:
            if not select.select([self.file], [], [], deadline)[0]:
                raise TimeoutError(f"nothing like {missing[0].pattern!r} within {deadline:g} s")
            seen += os.read(self.file, 65536)
            now = time.perf_counter() - started
            found |= {pattern: now for pattern in missing if pattern.search(seen)}
        return [found[pattern] for pattern in patterns]

    def processor_time(self) -> float:
        """Seconds of processor time it has taken (proc_pid_stat(5), fields 14 and 15)."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.file)


@contextmanager
def running(name: str, what: str) -> Iterator[Terminal]:
    """A program that has shown its rows."""
    terminal = Terminal(name, what)
    try:
        terminal.until(_TOLD)
        terminal.read(0.4)
        terminal.read_for(2.5)
        yield terminal
    finally:
        terminal.end()


def watched(name: str, what: str) -> tuple[float, float]:
    """Bytes a second and per cent of a processor, without a key."""
    with running(name, what) as terminal:
        before = terminal.processor_time()
        seen = terminal.read_for(WATCHED)
        taken = terminal.processor_time() - before
    return len(seen) / WATCHED, 100 * taken / WATCHED


def echoes(name: str) -> list[list[float]]:
    """Seconds from a key to the cursor on its next row, and to a line beside that tells that row.

    5,000 rows churn meanwhile. Without a table the line is all there is.
    """
    found: list[list[float]] = []
    with running(name, "churn") as terminal:
        for number in range(1, KEYS + 1):
            terminal.read_for(0.07)
            os.write(terminal.file, b"j")
            told = re.compile(rb"<row-%05d>" % number)
            cursor = re.compile(rb"\x1b\[[\d;]*%bm *row-%05d" % (CURSOR, number))
            found.append(terminal.until(*((told,) if name == "bare" else (cursor, told))))
    return found


async def many(name: str) -> dict[str, float]:
    """Seconds to fill, sort and filter 50,000 rows, each until it is painted."""
    found: dict[str, float] = {}
    rows = tuple(made(number, number * 7919 % MANY) for number in range(MANY))
    changed = (*rows[:5], made(5, 1), *rows[6:])
    app = APPS[name]("idle")
    async with app.run_test(size=(140, 40)) as pilot:

        async def timed(what: str, act: Callable[[], object]) -> None:
            started = time.perf_counter()
            act()
            await pilot.pause()
            found[what] = time.perf_counter() - started

        await timed("an empty step", lambda: None)
        if isinstance(app, LiveApp):
            live = app.table
            await timed("fill", lambda: live.show(Content(rows)))
            await timed("one cell changes", lambda: live.show(Content(changed)))
            await timed("sort by number", lambda: live.sort_by("c1"))
            await timed("filter: 10 % left", lambda: live.filter_by("c0:0$"))
        elif isinstance(app, DataApp):
            data = app.table
            texts = [[cell.text for cell in row.cells] for row in rows]
            left = [row for row in texts if row[0].endswith("0")]

            def fill() -> None:
                data.clear()
                for row in texts:
                    data.add_row(*row, key=row[0])

            def refill() -> None:
                data.clear()
                data.add_rows(left)

            await timed("fill", fill)
            await timed("one cell changes", lambda: data.update_cell("row-00005", "c1", "1"))
            await timed("sort by number", lambda: data.sort("c1", key=int))
            await timed("filter: 10 % left", refill)
    return found


def main() -> None:
    """Run all of it."""
    sys.stdout.write(f"\ntables on 140x40, medians of {ROUNDS} rounds in turn\n")
    told: dict[tuple[str, str], list[float]] = {}
    echo: dict[str, list[list[float]]] = {name: [] for name in APPS}
    for _ in range(ROUNDS):
        for name in APPS:
            for what in ("idle", "cell"):
                written, busy = watched(name, what)
                told.setdefault((name, f"{what}: bytes/s"), []).append(written)
                told.setdefault((name, f"{what}: % of a CPU"), []).append(busy)
            echo[name] += echoes(name)
    for name, found in echo.items():
        for what, echoed in (("echo", 0), ("the line beside", -1)):
            milliseconds = [1000 * times[echoed] for times in found]
            told[name, f"key to {what} p50, ms"] = [statistics.median(milliseconds)]
            told[name, f"key to {what} p95, ms"] = [statistics.quantiles(milliseconds, n=20)[-1]]
    for name in ("live", "data"):
        for what, seconds in asyncio.run(many(name)).items():
            told[name, f"{MANY:,} rows, {what}, ms"] = [1000 * seconds]
    _report({key: statistics.median(values) for key, values in told.items()})


def _report(told: dict[tuple[str, str], float]) -> None:
    sys.stdout.write(f"{'':<36}" + "".join(f"{NAMES[name]:>12}" for name in APPS))
    sys.stdout.write(f"{'ours/DataTable':>16}\n")
    for what in dict.fromkeys(what for _, what in told):
        values = [told.get((name, what)) for name in APPS]
        shown = "".join(f"{'' if value is None else f'{value:.1f}':>12}" for value in values)
        ours, data = values[0], values[1]
        ratio = f"{ours / data:.3f}" if ours is not None and data else ""
        sys.stdout.write(f"{what:<36}{shown}{ratio:>16}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
