"""The categories of `check`, and which of them a word means, at the prompt and in scripts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CATEGORIES = (
    "cilium",
    "lb-ipam",
    "bgp-config",
    "bgp-sessions",
    "advertisement",
    "workload",
    "configuration",
    "view",
)
"""In the order in which `check` prints them; the catalogue of codes is heavy and has the same."""


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
