"""Files that the operator asks for: in the state folder, for nobody else, never overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")
_LONGEST = 80
"""Characters of a name; with time and ending it stays below what file systems allow."""


def state_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/ciliscope`, or its default (XDG Base Directory Specification 0.8)."""
    named = environ.get("XDG_STATE_HOME", "")
    base = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
    return base / "ciliscope"


def make_private(folder: Path) -> None:
    """Make a folder and those around it, each new one 0700. Raises OSError."""
    for each in (*reversed(folder.parents), folder):
        each.mkdir(mode=0o700, exist_ok=True)


def read_up_to(path: Path, most: int) -> bytes | None:
    """The bytes of a file; None where it has more than `most`. Raises OSError."""
    with path.open("rb") as file:
        text = file.read(most + 1)
    return None if len(text) > most else text


def keep(folder: Path, text: str, name: str, ending: str, now: datetime) -> Path:
    """Write a text into a new file of this folder (0600, the folder 0700) and return its path.

    The file is called after `name` and the time. Raises OSError.
    """
    make_private(folder)
    safe = _UNSAFE.sub("-", name).strip("-.")[:_LONGEST] or "ciliscope"
    stem = f"{safe}-{now:%Y%m%d-%H%M%S}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    number = 1
    while True:
        path = folder / f"{stem}{'' if number == 1 else f'-{number}'}.{ending}"
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return path
