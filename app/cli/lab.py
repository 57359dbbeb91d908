"""`ciliscope lab`: the practice cluster, and what runs on it or is practiced on it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from app.cli.config import settings_of
from app.cli.parser import config_file, flags_of, grammar
from app.config.config_file import SettingsError
from app.config.settings import Settings
from app.dashboard.practice_path import Practice
from app.lab import launch
from app.lab.launch import LabFailed, RunningLab

Run = Callable[[argparse.Namespace, Mapping[str, str]], int]
"""Runs a command line with the settings that a lab brings."""
Dashboard = Callable[[argparse.Namespace, Settings, Practice], int]
"""Opens the dashboard on a fault that is not named."""


def run(
    options: argparse.Namespace, inner: list[str] | None, command: Run, dashboard: Dashboard | str
) -> int:
    """Do what was asked and return the exit code. Raises SettingsError.

    `inner`: what follows `--`, None where there is no `--`. `command` runs it, or the dashboard;
    `dashboard` is for `--practice`, or why none can be shown here.
    """
    if options.list:
        # Imported here, as below: only the list and --practice need the scenarios in this process.
        from app.lab.scenario import scenario_list

        for name, description in scenario_list():
            sys.stdout.write(f"{name:<28} {description}\n")
        return 0
    asked = options if inner is None else grammar().parse_args(inner)
    _refuse(options, asked, inner)
    try:
        if options.practice:
            return _practice(options, dashboard)
        replay = Path(options.replay) if options.replay else None
        with launch.start_lab(options.scenario, replay=replay, seed=options.seed or 0) as lab:
            given = _brought_by(lab)
            if options.serve:
                sys.stderr.write(_how_to_use(given))
                return launch.serve(lab, sys.stdout)
            return command(asked, given)
    except LabFailed as problem:
        raise SettingsError(str(problem)) from None


def _practice(options: argparse.Namespace, dashboard: Dashboard | str) -> int:
    """The dashboard on a fault that is not named, then its solution."""
    if isinstance(dashboard, str):
        raise SettingsError(f"{dashboard}, so nothing can be practised")
    from app.lab import scenario

    try:
        drawn = scenario.exercise(options.scenario or scenario.drawn(options.seed))
    except scenario.ScenarioError as problem:
        raise SettingsError(str(problem)) from None
    practice = Practice(
        sentence=drawn.sentence,
        codes=drawn.codes,
        changes=drawn.changes,
        description=drawn.description,
        again=drawn.command,
    )
    with launch.start_lab(drawn.scenario, seed=options.seed or 0, context="practice") as lab:
        settings = settings_of(flags_of(options, _brought_by(lab)), config_file(options))
        return dashboard(options, settings, practice)


def _brought_by(lab: RunningLab) -> dict[str, str]:
    """What a lab sets, by field."""
    given = {"kubeconfig": str(lab.kubeconfig), "context": lab.context, "cilium": str(lab.cilium)}
    return given if lab.at is None else {**given, "at": lab.at.isoformat()}


def _refuse(
    options: argparse.Namespace, asked: argparse.Namespace, inner: list[str] | None
) -> None:
    if options.scenario and options.replay:
        raise SettingsError("lab takes a SCENARIO or --replay DIR, not both")
    if options.serve and inner is not None:
        raise SettingsError("lab takes --serve or -- COMMAND, not both")
    for word in ("kubeconfig", "context", "cilium", "at"):
        if hasattr(options, word):
            raise SettingsError(f"lab brings its own --{word}")
    if inner is not None and asked.command == "lab":
        raise SettingsError("a lab cannot run inside a lab")
    if options.practice and (inner is not None or options.serve or options.replay):
        only = "--practice is for the dashboard: not with -- COMMAND, --serve or --replay"
        raise SettingsError(only)


def _how_to_use(given: Mapping[str, str]) -> str:
    names = {"kubeconfig": "KUBECONFIG", "cilium": "CILISCOPE_CILIUM", "at": "CILISCOPE_AT"}
    words = [f"{names[field]}={shlex.quote(given[field])}" for field in names if field in given]
    return f"The lab runs until ctrl-c. In another shell:\n  export {' '.join(words)}\n"
