"""Opens the dashboard: on a cluster, on a runbook to resume, or to practice."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.parser import config_file
from app.config.expected_settings import expectations
from app.config.settings import Settings
from app.dashboard.app import run_dashboard
from app.dashboard.practice_path import Practice


def run(options: argparse.Namespace, settings: Settings, practice: Practice | None = None) -> int:
    """Show the dashboard until it is left, and return the exit code. Raises SettingsError."""
    config = config_file(options)
    return run_dashboard(settings, expectations(path=config), config=config, practice=practice)


def resume(options: argparse.Namespace, settings: Settings) -> int:
    """Resume a runbook in the dashboard. Raises SettingsError."""
    from app.cli.runbook import transcript  # with the rules, which no first frame needs

    config = config_file(options)
    resumed = (transcript(options), Path(options.what))
    return run_dashboard(settings, expectations(path=config), config=config, resumed=resumed)
