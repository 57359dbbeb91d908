"""The categories of `check`, and which of them a word means, at the prompt and in scripts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

BLOCKS = {
    "1": "cilium",
    "2": "lb-ipam",
    "3": "bgp-config",
    "4": "bgp-sessions",
    "5": "advertisement",
    "6": "workload",
    "7": "configuration",
    "8": "view",
}
"""The category of each block of codes, by the first digit of these."""

CATEGORIES = tuple(BLOCKS.values())
"""In the order in which `check` prints them."""


def category(code: str) -> str:
    """The category of a code."""
    return BLOCKS[code[2]]


class NoCategory(Exception):
    """A word means no category; one sentence that says so."""

    def __init__(self, word: str) -> None:
        super().__init__(f"there is no category {word!r}")
        self.near: tuple[str, ...] = tuple(difflib.get_close_matches(word.lower(), CATEGORIES))
        """Categories that the word resembles, the nearest first."""


def categories_of(words: Iterable[str]) -> tuple[str, ...]:
    """The categories that words name or, each, begin; () for no words. Raises NoCategory."""
    meant = {category for word in words for category in _meant(word)}
    return tuple(category for category in CATEGORIES if category in meant)


def _meant(word: str) -> tuple[str, ...]:
    begin = word.lower()
    if begin in CATEGORIES:
        return (begin,)
    found = tuple(category for category in CATEGORIES if begin and category.startswith(begin))
    if not found:
        raise NoCategory(word)
    return found
