"""Labs that answer inside the test's process: the program reads them without a socket or a child.

What stands between the program and the lab is replaced, and nothing else: the session with the API
is answered by the lab's own code, the `cilium` command by the lab's simulation, and a log is read
to its end at once. Watches, parsers, the monitor and the settling are the program's own. The same
labs as processes are read in `tests.lab_reading`; `test_lab_inside` compares the two.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

import msgspec

from app.lab.access import NoSuchPath, Refusal, locate, not_found, permit
from app.lab.reads import list_document, log_query, log_text, page_of, with_type
from app.lab.recording import load_recording
from app.lab.resources import discovery_document
from app.lab.scenario import Scenario, read_scenario
from app.lab.server import kubeconfig
from app.lab.store import Cluster
from app.lab.world import World
from app.pipeline import settle, sources
from app.state import monitor
from collectors.cilium.cli import CiliumCli
from collectors.kubernetes.answers import refusal
from collectors.kubernetes.api import ApiResponse, ApiSession
from collectors.kubernetes.connection import Query
from collectors.logs.follow import ContainerLog, FollowedLog
from collectors.process import CommandTimedOut, Completed
from collectors.sanitize import printable_bytes
from collectors.source import Appended, Update
from tests.lab_cluster import NOON, HandClock

_PORTS = itertools.count(1)
"""Where each lab says that it is served; nothing is asked there."""


class Lab(Protocol):
    """A lab, in whichever process."""

    @property
    def context(self) -> str:
        """The context of its kubeconfig."""

    @property
    def kubeconfig(self) -> Path:
        """The file that names it."""

    @property
    def cilium(self) -> Path:
        """Its `cilium` program."""

    @property
    def at(self) -> datetime | None:
        """The moment it stands still at; None when it lives."""


@dataclass(frozen=True)
class AskedLab:
    """A lab in this process, with the files that name it as `app.lab.launch.RunningLab` has."""

    cluster: Cluster
    context: str
    kubeconfig: Path
    cilium: Path
    at: datetime


_LABS: dict[str, AskedLab] = {}
"""The labs there are, by the server in their kubeconfigs and by their `cilium` programs."""


@contextmanager
def asked_lab(
    scenario: str | Scenario | None = None, *, replay: Path | None = None
) -> Iterator[AskedLab]:
    """A lab for the length of the block. A scenario stands still at noon, as a recording does."""
    with tempfile.TemporaryDirectory(prefix="asked-lab-") as folder:
        lab = _lab(scenario, replay, Path(folder))
        server = f"https://127.0.0.1:{next(_PORTS)}"
        lab.kubeconfig.write_text(json.dumps(kubeconfig(server, b"", "token", lab.context)))
        names = (server, str(lab.cilium))
        _LABS.update(dict.fromkeys(names, lab))
        try:
            yield lab
        finally:
            for name in names:
                del _LABS[name]


def _lab(scenario: str | Scenario | None, replay: Path | None, folder: Path) -> AskedLab:
    files = (folder / "kubeconfig", folder / "cilium")
    if replay is not None:
        cluster = load_recording(replay)
        return AskedLab(cluster, f"lab-{replay.resolve().name}", *files, cluster.clock())
    if not isinstance(scenario, Scenario):
        scenario = read_scenario(scenario or "home")
    world = World(scenario, scenario.seed, HandClock())
    cluster = world.cluster(scenario.kubernetes)
    world.advance(NOON)
    return AskedLab(cluster, f"lab-{scenario.name}", *files, NOON)


@contextmanager
def asking() -> Iterator[None]:
    """While inside, the program asks these labs in this process; other clusters as ever.

    Everything is said at once here, so that nothing has to be waited for.
    """
    with ExitStack() as stack:
        for module, name, instead in (
            (sources, "ApiSession", _AskedSession),
            (sources, "CiliumCli", _AskedCli),
            (sources, "FollowedLog", WholeLog),
            (settle, "QUIET", 0.0),
            (settle, "LOOK", 0.01),
            (monitor, "RATE", 100.0),
        ):
            stack.enter_context(patch.object(module, name, instead))
        yield


class _AskedSession(ApiSession):
    """The API of the lab that the kubeconfig names; of another server, as ever."""

    async def open(self) -> None:
        """Be ready to ask."""
        await self.identify()
        if self.server not in _LABS:
            await super().open()

    async def get(
        self,
        path: str,
        query: Query = (),
        *,
        timeout: float = 10.0,
        accept: str = "application/json",
    ) -> ApiResponse:
        """The lab's answer. Raises ApiError."""
        await self.identify()
        lab = _LABS.get(self.server)
        if lab is None:
            return await super().get(path, query, timeout=timeout, accept=accept)
        status, body = await _answer(lab.cluster, path, dict(query))
        if status != 200:
            raise refusal(path, self.server, status, body, {})
        return ApiResponse(body, lab.cluster.clock().replace(microsecond=0))

    @asynccontextmanager
    async def lines(
        self,
        path: str,
        query: Query = (),
        *,
        idle: float = 310.0,
        answer: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """A watch of a cluster in which nothing happens."""
        if self.server in _LABS:
            yield _never()
            return
        async with super().lines(path, query, idle=idle, answer=answer) as lines:
            yield lines


async def _never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def _answer(cluster: Cluster, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
    """Status and body, as `app.lab.server` answers a GET."""
    try:
        return 200, await _body(cluster, path, query)
    except Refusal as refused:
        return refused.code, msgspec.json.encode(refused.status)
    except NoSuchPath:
        return 404, b"404 page not found\n"


async def _body(cluster: Cluster, path: str, query: Mapping[str, str]) -> bytes:
    documents = cluster.documents
    if path in documents and path not in cluster.list_versions:
        return documents[path]
    if path == "/version":
        return msgspec.json.encode(cluster.kubernetes)
    known = cluster.store.resources.values()
    found = None if "/apis" in documents else discovery_document(path, known)
    if found is not None:
        return msgspec.json.encode(found)
    target = locate(path, cluster)
    permit(cluster, "get" if target.name else "list", target)
    if target.subresource:
        text = log_text(cluster, log_query(cluster, target, query))
        return b"".join([piece async for piece in text])
    if target.name:
        obj = cluster.store.get(target.resource.key, target.namespace, target.name)
        if obj is None:
            raise not_found(target.resource, target.name)
        return msgspec.json.encode(with_type(obj, target))
    page = page_of(cluster, target, query)
    if page.whole and target.path in documents:
        return documents[target.path]
    return msgspec.json.encode(list_document(page, target))


class _AskedCli(CiliumCli):
    """The `cilium` command: a lab's where it is a lab's program."""

    async def run(self, *argv: str, timeout: float) -> Completed:
        """What it prints; nobody waits for it."""
        program, *words = self.command_line(*argv, timeout=timeout)
        lab = _LABS.get(program)
        if lab is None:
            return await super().run(*argv, timeout=timeout)
        said = lab.cluster.cilium(words)
        if said.seconds > timeout:
            raise CommandTimedOut(f"{program} had not ended after {timeout:g} s")
        return Completed(said.exit, said.stdout, printable_bytes(said.stderr), said.seconds)


class WholeLog(FollowedLog):
    """A log that is read to its end at once: a lab that stands still writes no more."""

    async def _stream(self, log: ContainerLog) -> AsyncGenerator[Update, None]:
        before = await self._before_restart(log)
        answer = await self._session.get(log.path, log.query(tailLines=str(self._tail)))
        lines = [log.stamped(line) for line in answer.body.splitlines()]
        yield Appended(self.kind, (*before, *log.read(lines)))
        await self._aim.leaves_log(log.target)
