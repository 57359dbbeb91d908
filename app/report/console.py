"""How reports reach standard output, whatever its encoding."""

from __future__ import annotations

import os
import sys

from app.config.settings import Settings
from app.report.lines import Pen


def ascii_only(settings: Settings) -> bool:
    """Whether signs must be ASCII: asked for, or standard output can carry nothing else."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    asked = settings.ascii_only if sys.stdout.isatty() else bool(settings.ascii)
    return asked or not encoding.startswith("utf")


def pen_for(settings: Settings) -> Pen:
    """Signs for standard output; in colour on a terminal, unless NO_COLOR is set."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return Pen(ascii_only=ascii_only(settings), colour=colour)


def print_text(text: str, settings: Settings) -> None:
    """Write words for people; what the encoding cannot carry becomes `?`."""
    encoding = "ascii" if ascii_only(settings) else "utf-8"
    print_bytes(text, encoding)


def print_bytes(text: str, encoding: str = "utf-8") -> None:
    """Write a document as it must be, whatever standard output's own encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(encoding, "replace"))
    sys.stdout.buffer.flush()
