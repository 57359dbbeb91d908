"""What an operator copies from a finding: its command, and the manifest under its remedy.

Rules write commands as a reader of the documentation would type them. Who copies one is perhaps in
another context, by `--context` or after `:ctx`: there the same command asks another cluster. A
manifest is given only where it is certain what it must contain; else words must do.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

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

    def with_flag(found: re.Match[str]) -> str:
        words = found.group()
        return words if words.startswith(("'", '"')) else words + flag

    return _PROGRAMS.sub(with_flag, command)


Value: TypeAlias = "str | int | Sequence[Value] | Mapping[str, Value]"

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
"""What YAML 1.1 takes for something else than text."""


def with_manifest(sentence: str, manifest: Mapping[str, Value]) -> str:
    """The sentence, and under it the part of the manifest that says the same, indented."""
    return "\n".join((sentence, *(f"  {line}" for line in _lines(manifest))))


def _lines(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, str | int):
                yield f"{_scalar(key)}: {_scalar(each)}"
            else:
                yield f"{_scalar(key)}:"
                yield from (f"  {line}" for line in _lines(each))
    elif not isinstance(value, str | int):
        for each in value:
            first, *rest = _lines(each)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _scalar(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)
