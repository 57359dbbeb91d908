"""The words that lead to screens, and the keys that do: one table for prompt, keys and help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A screen and how to reach it."""

    name: str
    title: str
    key: str
    words: tuple[str, ...]
    tells: str
    """What it tells, for the help."""


PLACES = (
    Place("overview", "Overview", "f1", ("overview", "status"), "everything at a glance"),
    Place("pods", "Pods", "f2", ("pods", "po"), "the pods of Cilium"),
    Place("sessions", "Sessions", "f3", ("sessions", "peers"), "the BGP sessions"),
    Place("routes", "Routes", "f4", ("routes",), "what is announced, and what should be"),
    Place("services", "Services", "f5", ("services", "svc"), "LoadBalancer services, addresses"),
    Place("pools", "Pools", "f6", ("pools",), "pools of addresses"),
    Place("logs", "Logs", "f7", ("logs",), "what operator and agents log"),
    Place(
        "configuration", "Configuration", "f8", ("configuration", "config"), "the key parameters"
    ),
)
QUIT = ("quit", "q", "q!", "qa", "exit")
HELP = ("help", "h")
REFRESH = ("refresh",)


_MEANINGS = (*(place.words for place in PLACES), HELP, REFRESH, QUIT)
"""The words of each meaning, the one that is spelled out first."""


def meant(word: str) -> tuple[str, ...]:
    """The commands that a word may mean: itself, else those that begin so; () for none.

    Only one that is spelled out quits: a slip of the finger must not.
    """
    if any(word in words for words in _MEANINGS):
        return (word,)
    found = (
        next((each for each in words if each.startswith(word)), "")
        for words in _MEANINGS
        if words is not QUIT
    )
    return tuple(filter(None, found))


def place_of(word: str) -> Place | None:
    """The screen that a word leads to."""
    return next((place for place in PLACES if word in place.words), None)


def all_words() -> tuple[str, ...]:
    """Every word that the prompt knows, the first of each meaning before its short forms."""
    first = [words[0] for words in _MEANINGS]
    return (*first, *(word for words in _MEANINGS for word in words[1:]))
