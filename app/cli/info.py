"""`ciliscope info`: versions, files and what the terminal can show, for a report of a problem."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.cli.config import sentence
from app.config.config_file import SettingsError
from app.config.settings import Settings, config_path, load
from app.config.state_dir import state_folder
from app.diagnosis.ignore_file import FILE as IGNORE_FILE
from collectors.sanitize import one_line

_PACKAGES = ("ciliscope", "textual", "rich", "kubernetes", "sh", "msgspec")


def run(flags: Mapping[str, str | None], config: Path | None) -> int:
    """Print it and return the exit code, also where the settings cannot be used."""
    try:
        settings, problem = load(flags, path=config), ""
    except SettingsError as error:
        settings, problem = Settings(), sentence(error)
    known = list(facts(settings, config))
    if problem:
        known.append(("settings", f"the defaults, for {problem}"))
    width = max(len(name) for name, _ in known)
    for name, value in known:
        sys.stdout.write(f"{name:<{width}}  {one_line(value)}\n")
    return 0


def facts(settings: Settings, config: Path | None) -> Iterator[tuple[str, str]]:
    """What there is to know of this installation, by name. Nothing is asked of any cluster."""
    for package in _PACKAGES:
        yield package, _version(package)
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    file = config or config_path()
    yield "config file", f"{file}{'' if file.exists() else ' (not there)'}"
    yield "state folder", f"{state_folder(os.environ)}"
    ignore = Path(IGNORE_FILE).absolute()
    yield "ignore file", f"{ignore}{'' if ignore.exists() else ' (not there)'}"
    yield "kubeconfig", settings.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    yield "context", settings.context or "the current one"
    program = shutil.which(settings.cilium)
    used = "" if settings.cli else " (switched off)"
    yield "cilium command", f"{program or f'{settings.cilium} (not found)'}{used}"
    yield "terminal", _terminal()
    yield "signs", "ASCII" if settings.ascii_only else "Unicode"
    yield "theme", settings.theme
    yield "NO_COLOR", os.environ.get("NO_COLOR") or "not set"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _terminal() -> str:
    names = [f"{name}={os.environ[name]}" for name in ("TERM", "COLORTERM") if os.environ.get(name)]
    names += [name for name in ("TMUX", "STY", "SSH_CONNECTION") if os.environ.get(name)]
    if not sys.stdout.isatty():
        return ", ".join([*names, "standard output is no terminal"])
    size = shutil.get_terminal_size()
    return ", ".join([*names, f"{size.columns}x{size.lines}"])
