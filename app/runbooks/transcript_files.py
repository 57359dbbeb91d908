"""Runbooks and transcripts on this machine: where they lie, who follows one, how a run is kept."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path

from app.config.settings import config_path
from app.config.state_dir import state_folder
from app.runbooks.engine import Run
from app.runbooks.shelf import Shelf
from app.runbooks.transcript import FOLDER, Document, Kept, document, new_file
from collectors.sanitize import one_line


def shelf(config: Path | None = None) -> Shelf:
    """The runbooks that come with ciliscope and, beside the config file, the operator's own."""
    return Shelf((config or config_path()).parent / FOLDER)


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where transcripts are kept."""
    return state_folder(environ) / FOLDER


def whoever() -> str:
    """Who sits here: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry for this number in the password file
        user = str(os.getuid())
    return one_line(f"{user}@{socket.gethostname()}")


class Recorder:
    """Keeps one run in its file, whole after each thing that happens."""

    def __init__(self, path: Path, context: str) -> None:
        """`path`: the file; `context`: that of the kubeconfig."""
        self._kept = Kept(path)
        self._context = context
        self._written = 0
        self._known = _identity(path)
        self.moved = ""
        """Why the run is kept in another file by now: somebody else writes the first one."""
        self.problem = ""
        """Why the last thing that happened is not in the file; "" where it is."""

    @classmethod
    def anew(cls, runbook: str, context: str, now: datetime) -> Recorder:
        """For a run that begins now, in a file of its own."""
        return cls(new_file(folder(), runbook, now), context)

    @property
    def path(self) -> Path:
        """Its file."""
        return self._kept.path

    def told(self, run: Run) -> Document:
        """The transcript of the run."""
        return document(run, context=self._context, program=_program())

    def keep(self, run: Run) -> None:
        """Have all that has happened in the file; where that fails `problem` says why."""
        if len(run.entries) == self._written:
            return
        self._make_way()
        try:
            self._kept.write(self.told(run))
        except OSError as error:
            self.problem = f"{error.strerror or error} ({self.path})"
        else:
            self._written, self.problem = len(run.entries), ""
            self._known = _identity(self.path)

    def _make_way(self) -> None:
        """Where somebody else has written the file meanwhile, go on in another one."""
        if _identity(self.path) in (None, self._known):
            return
        old = self.path
        number = next(n for n in count(2) if not _numbered(old, n).exists())
        self._kept = Kept(_numbered(old, number))
        self.moved = f"somebody else goes on with {old.name} too; this run is in {self.path.name}"


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What tells one writing of a file from another; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _program() -> str:
    try:
        return version("ciliscope")
    except PackageNotFoundError:
        return ""
