"""Whether the locale lets a terminal show more than ASCII.

Python makes UTF-8 of the locales C and POSIX before any code runs (PEP 538, PEP 540), so what it
says of its own encoding tells nothing; the environment with which the process was started does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_STARTED_WITH = Path("/proc/self/environ")


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Whether the first of LC_ALL, LC_CTYPE and LANG that is set names UTF-8.

    Of the C locale nobody knows; it is taken by its word, which is ASCII.
    """
    named = next((environment[n] for n in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(n)), "")
    return "utf8" in named.lower().replace("-", "")


def started_with(environment: Mapping[str, str], own: Path = _STARTED_WITH) -> Mapping[str, str]:
    """The environment, with LC_CTYPE as it was before Python set it, where that can be told."""
    try:
        words = own.read_bytes().split(b"\0")
    except OSError:  # only Linux tells
        return environment
    first = dict(word.decode("utf-8", "replace").partition("=")[::2] for word in words if word)
    return {**environment, "LC_CTYPE": first.get("LC_CTYPE", "")}
