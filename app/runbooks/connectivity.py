"""The connectivity test for whoever shows it: what it would do, the consent, and the run.

The only module that may run `collectors.cilium.connectivity_test`, which changes the cluster; a
contract in `pyproject.toml` sees to that. Plan and records are in
`collectors.cilium.connectivity`, which every module may import.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from app.config.settings import Settings
from collectors.cilium.cli import CiliumCli
from collectors.cilium.connectivity import ConnectivityPlan, Consent, command_text, effects
from collectors.cilium.connectivity_test import Cleanup, ConnectivityRun, namespaces_of
from collectors.kubernetes.api import ApiSession

_open: set[ConnectivityRun] = set()
_OFF = "the `cilium` command is switched off (--no-cli, or cilium.enabled in the settings)"
_REPLAY = "this is a recording, which nothing can be run in"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody is asked to consent to."""

    plan: ConnectivityPlan
    effects: tuple[str, ...]
    """What it does to the cluster, one sentence each."""
    command: str
    """The exact command, as one types it."""
    cleanup: str
    """The command that removes everything again; it is run when the test is over."""
    obstacle: str
    """Why it cannot be run here, one sentence; "" where it can."""
    settings: Settings
    """Where it runs; the context is named, so that no other can become the current one."""


def proposal(settings: Settings, plan: ConnectivityPlan | None = None, *, context: str) -> Proposal:
    """What would be run in the cluster of a context: the one that is shown ("" in a pod).

    Pure. None is the basic plan.
    """
    plan = plan or ConnectivityPlan()
    here = replace(settings, context=context or None)
    aimed = _cli(here).aimed
    obstacle = _REPLAY if here.at is not None else "" if here.cli else _OFF
    return Proposal(
        plan,
        effects(plan),
        command_text((*aimed, *plan.argv)),
        command_text((*aimed, *plan.cleanup_argv)),
        obstacle,
        here,
    )


@asynccontextmanager
async def connectivity_run(
    proposed: Proposal, *, consent: Consent
) -> AsyncGenerator[ConnectivityRun, None]:
    """The run that was proposed and consented to; `progress` of it starts it.

    Read it inside, to its end: leaving the context kills what runs. Raises ValueError where there
    is an obstacle.
    """
    if proposed.obstacle:
        raise ValueError(proposed.obstacle)
    settings = proposed.settings
    session = ApiSession(settings.kubeconfig, settings.context)
    cleanup = Cleanup(
        proposed.plan,
        _cli(settings).aimed,
        settings.kubeconfig,
        settings.context,
        namespaces_of(session),
    )
    run = ConnectivityRun(cleanup, consent)
    _open.add(run)
    try:
        yield run
    finally:
        run.abandon()
        await session.close()
        if not run.left_behind():
            _open.discard(run)


def left_behind() -> tuple[str, ...]:
    """For the end of the program: what runs that were cut short have left, and how to remove it."""
    return tuple(sentence for run in _open if (sentence := run.left_behind()))


def _cli(settings: Settings) -> CiliumCli:
    return CiliumCli(
        settings.cilium,
        kubeconfig=settings.kubeconfig,
        context=settings.context,
        namespace=settings.namespace,
    )
