"""The words behind `:logs`: which lines, and whose."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from screens.log_filter import OPERATOR, TOGETHER

if TYPE_CHECKING:
    from screens.log_filter import Preset

_LOGS: Mapping[str, str] = {"operator": OPERATOR, "together": TOGETHER}
_PRESETS: Mapping[str, Preset] = {
    "ipam": "ipam",
    "bgp": "bgp",
    "errors": "errors",
    "all": "all",
    "events": "events",
}
WORDS = (*_PRESETS, *_LOGS)
"""What there is beside the nodes, as the keys have it."""

_ALL = "ipam bgp errors all operator together or a node"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the words ask for; None: as it is."""

    preset: Preset | None = None
    node: str | None = None
    """A node, `OPERATOR` or `TOGETHER`."""


def wish_of(words: Sequence[str], nodes: Collection[str]) -> Wish | str:
    """What words ask for where agents run on these nodes; one sentence where they mean nothing.

    A word may be cut short while it means one thing, and a node may stand behind `agent/`.
    """
    wish = Wish()
    for word in words:
        found = _meant(word.lower().removeprefix("agent/"), nodes)
        if not found:
            near = difflib.get_close_matches(word.lower(), (*WORDS, *sorted(nodes)))
            told = f"near it: {', '.join(near)}" if near else _ALL
            return f"there is no log {word!r}; {told}"
        if len(found) > 1:
            return f"{word!r} begins {', '.join(found[:4])}; Tab completes"
        wish = _with(wish, found[0])
    return wish


def _meant(word: str, nodes: Collection[str]) -> Sequence[str]:
    known = (*WORDS, *sorted(nodes))
    return (word,) if word in known else [each for each in known if each.startswith(word)]


def _with(wish: Wish, word: str) -> Wish:
    if word in _PRESETS:
        return replace(wish, preset=_PRESETS[word])
    return replace(wish, node=_LOGS.get(word, word))
