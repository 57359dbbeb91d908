"""`ciliscope lab --practice`: the dashboard on a fault that is not named, then its solution."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from app.cli.config import settings_of
from app.cli.lab import settings_of as lab_settings
from app.cli.parser import config_file, flags_of
from app.config.config_file import SettingsError
from app.config.settings import Settings
from app.dashboard.practice_path import Practice
from app.lab import exercise, launch
from app.lab.scenario import ScenarioError


def run(
    options: argparse.Namespace,
    dashboard: Callable[[argparse.Namespace, Settings, Practice], int],
) -> int:
    """Practice until the dashboard is left, and return the exit code. Raises SettingsError."""
    try:
        drawn = exercise.exercise(options.scenario or exercise.drawn(options.seed))
    except ScenarioError as problem:
        raise SettingsError(str(problem)) from None
    practice = Practice(
        sentence=drawn.sentence,
        codes=drawn.codes,
        changes=drawn.changes,
        description=drawn.description,
        again=drawn.command,
    )
    with launch.start_lab(drawn.scenario, seed=options.seed or 0, context="practice") as lab:
        settings = settings_of(flags_of(options, lab_settings(lab)), config_file(options))
        return dashboard(options, settings, practice)
