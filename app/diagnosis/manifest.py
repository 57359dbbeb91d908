"""A change as it stands in a manifest, behind the sentence of a remedy: what is copied to Git.

Only where it is certain what has to stand there; else words must do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

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
