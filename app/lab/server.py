"""The lab's process: one cluster, served on loopback until its parent lets go of it.

Started by `app.lab.launch` with a state directory of its own. It prints one line of JSON when it
can be used and ends when its standard input does, so it cannot outlive the parent, however that
one ended. Whatever it wrote into the state directory goes with it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import shlex
import signal
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trustme
from aiohttp import web

from app.lab.api import KubernetesApi
from app.lab.store import CannotServe, Cluster, JsonObject

_HOST = "127.0.0.1"
_GRACE = 1.5
"""Seconds after which the process ends even when it cannot end well."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 then, 2 when there was nothing that could be served."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    options = _options(argv)
    try:
        cluster = _cluster(options)
        asyncio.run(_serve(cluster, options.state, options.context, options.replay is not None))
    except CannotServe as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except OSError as problem:
        sys.stderr.write(f"The lab cannot be served: {problem}.\n")
        return 2
    return 0


def kubeconfig(url: str, authority: bytes, token: str, context: str) -> JsonObject:
    """A kubeconfig with one cluster, one user and one context; its JSON is valid YAML."""
    certificate = base64.b64encode(authority).decode()
    cluster = {"server": url, "certificate-authority-data": certificate}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }


class _Options(argparse.Namespace):
    state: Path
    context: str
    scenario: str
    replay: Path | None
    seed: int


def _options(argv: Sequence[str] | None) -> _Options:
    parser = argparse.ArgumentParser(prog="app.lab.server", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="directory for this lab alone")
    parser.add_argument("--context", required=True, help="name of the kubeconfig's context")
    parser.add_argument("--scenario", default="home", help="name or path of a scenario")
    parser.add_argument("--replay", type=Path, help="directory of a recording, not a scenario")
    parser.add_argument("--seed", type=int, default=0, help="what the scenario leaves to chance")
    return parser.parse_args(argv, namespace=_Options())


def _cluster(options: _Options) -> Cluster:
    """The cluster to serve. Raises CannotServe."""
    # Each is imported alone: a replay needs no simulation and the simulation no recordings.
    if options.replay is not None:
        from app.lab.recording import load_recording

        return load_recording(options.replay)
    from app.lab.scenario import ScenarioError
    from app.lab.world import load_scenario

    try:
        return load_scenario(options.scenario, options.seed)
    except ScenarioError as problem:
        raise CannotServe(str(problem)) from problem


async def _serve(cluster: Cluster, state: Path, context: str, frozen: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, stop.set)
    token = secrets.token_urlsafe(32)
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(_HOST, "localhost").configure_cert(tls)
    async with _listening(cluster, token, tls) as url:
        config = kubeconfig(url, authority.cert_pem.bytes(), token, context)
        written = _write(state, json.dumps(config, indent=1))
        try:
            ready = {
                "kubeconfig": str(written[0]),
                "cilium": str(written[1]),
                "at": cluster.clock().isoformat() if frozen else None,
                "url": url,
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await _live(cluster, stop)
        finally:
            _remove(state, written)


@asynccontextmanager
async def _listening(cluster: Cluster, token: str, tls: ssl.SSLContext) -> AsyncIterator[str]:
    """Serve on a free port of loopback; gives the URL."""
    application = KubernetesApi(cluster, token).application()
    # Watches never end by themselves: cancel them when their client goes, or when we do.
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, _HOST, 0, ssl_context=tls).start()
        yield f"https://{_HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _live(cluster: Cluster, stop: asyncio.Event) -> None:
    """Let the cluster live until `stop`; its own exception ends the process."""
    life = asyncio.ensure_future(cluster.run())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({life, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
    finally:
        life.cancel()
        stopped.cancel()
        await asyncio.gather(life, stopped, return_exceptions=True)


def _write(state: Path, config: str) -> tuple[Path, Path]:
    """Write the kubeconfig and the `cilium` program; returns both paths."""
    program = Path(__file__).with_name("cilium_stub.py")
    command = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(program))}"
    files = (state / "kubeconfig", state / "bin" / "cilium")
    files[1].parent.mkdir(mode=0o700)
    for path, mode, text in (
        (files[0], 0o600, config),
        (files[1], 0o700, f'#!/bin/sh\nexec {command} "$@"\n'),
    ):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
    return files


def _remove(state: Path, files: Sequence[Path]) -> None:
    """Remove what `_write` wrote, and the directories that are empty then."""
    for path in files:
        path.unlink(missing_ok=True)
    for directory in (state / "bin", state):
        with suppress(OSError):
            directory.rmdir()


def _end_with_stdin() -> None:
    """End this process when its parent is gone, whatever it is doing then."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
