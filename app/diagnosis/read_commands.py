"""The command of a finding, for the cluster that it was found in.

Rules write commands as a reader of the documentation would type them. Who copies one is perhaps in
another context, by `--context` or after `:ctx`: there the same words tell of another cluster.
"""

from __future__ import annotations

import re
import shlex
from functools import lru_cache

_PROGRAMS = re.compile(
    r"""'[^']*' | "(?:\\.|[^"\\])*"           # quoted: words for somebody else
    | (?:^|[;|&(])\s*(?:kubectl|cilium|ciliscope)(?=\s|$)
      (?![^;|&]*\s--context\b)""",
    re.VERBOSE | re.MULTILINE,
)


@lru_cache(maxsize=4096)
def in_context(command: str, context: str) -> str:
    """The command with `--context` for every program in it that asks the cluster.

    Pipes, other programs and what is quoted stay as they are, and so does a program that is told
    its context already. Without a context ("") nothing is changed.
    """
    if not context:
        return command
    flag = f" --context {shlex.quote(context)}"

    def told(found: re.Match[str]) -> str:
        words = found.group()
        return words if words.startswith(("'", '"')) else words + flag

    return _PROGRAMS.sub(told, command)
