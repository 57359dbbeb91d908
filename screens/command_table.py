"""The words behind `:`, and the keys of the screens: one table for prompt, keys and help.

Every word is that of the program's subcommand, or the name that kubectl has for the objects; short
names of kinds must be spelled out, all other words may be cut short while they mean one thing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    kinds: tuple[str, ...] = ()
    """Names that kubectl has for what is on it; they must be spelled out."""


@dataclass(frozen=True, slots=True)
class Word:
    """A command that is no screen of its own."""

    words: tuple[str, ...]
    tells: str
    takes: str = ""
    """What stands behind it, for the help; "" for nothing."""
    spelled: bool = False
    """Whether it must be spelled out: a slip of the finger must not do it."""


PLACES = (
    Place("overview", "Overview", "f1", ("overview", "status"), "everything at a glance"),
    Place("pods", "Pods", "f2", ("pods", "po"), "the pods of Cilium", ("pod", "ds", "deploy")),
    Place(
        "sessions",
        "Sessions",
        "f3",
        ("sessions", "peers"),
        "the BGP sessions",
        ("no", "nodes", "node", "cbgpnode", "ciliumbgpnodeconfigs"),
    ),
    Place("routes", "Routes", "f4", ("routes",), "what is announced, and what should be"),
    Place(
        "services",
        "Services",
        "f5",
        ("services", "svc"),
        "LoadBalancer services, addresses",
        ("service",),
    ),
    Place(
        "pools",
        "Pools",
        "f6",
        ("pools",),
        "pools of addresses",
        ("ippool", "ippools", "lbippool", "lbippools", "ciliumloadbalancerippools"),
    ),
    Place("logs", "Logs", "f7", ("logs",), "what operator and agents log"),
    Place(
        "configuration",
        "Configuration",
        "f8",
        ("configuration", "config"),
        "the key parameters",
        ("cm", "cbgpcluster", "cbgppeer", "cbgpadvert", "bgpp", "ciliumbgpclusterconfigs"),
    ),
)

CHECK = Word(("check",), "what is wrong, root causes first", "[CATEGORY ...]")
EXPLAIN = Word(("explain", "why"), "one thing", "service NS/NAME|ip|prefix|session|pool|CODE")
GET = Word(("get",), "the screen of that word", "WHAT")
WHO = Word(("who",), "who holds and announces an address", "ADDRESS|PREFIX")
RUN = Word(("run", "runbook"), "the runbooks; one of them", "[NAME [PARAMETER=VALUE]]")
INFO = Word(("info", "sources"), "what is read, how it is, and where files are kept")
CTX = Word(("ctx", "contexts"), "the contexts; another cluster", "[CONTEXT]")
MOUSE = Word(("mouse",), "give the mouse to ciliscope, or back to the terminal", "on|off")
THEME = Word(("theme",), "other colours", "NAME")
ALIASES = Word(("aliases",), "all words that lead somewhere")
HELP = Word(("help", "h"), "keys and commands")
REFRESH = Word(("refresh",), "read everything again")
SOLVE = Word(("solve",), "while practising: the solution, and the path you took", spelled=True)
QUIT = Word(("quit", "q", "q!", "qa", "exit"), "quit", spelled=True)
COMMANDS = (
    *(CHECK, EXPLAIN, GET, WHO, RUN, INFO, CTX, MOUSE, THEME, ALIASES, HELP, REFRESH),
    *(SOLVE, QUIT),
)

_LABEL = r"\w[\w./-]*!?=[\w./-]*"
_FILTER = re.compile(
    rf"(?P<label>{_LABEL}(?:,{_LABEL})*)|(?P<no>!?)/(?P<filter>.*)|(?P<flag>-[lf].*\S.*)"
)


def meant(word: str) -> tuple[Place | Word, ...]:
    """What a word may mean: what is called so, else what begins so; () for nothing."""
    everything: tuple[Place | Word, ...] = (*PLACES, *COMMANDS)
    for each in everything:
        if word in each.words or (isinstance(each, Place) and word in each.kinds):
            return (each,)
    return tuple(each for each in everything if _begins(each, word))


def spelled(meaning: Place | Word, word: str) -> str:
    """The word of a meaning that a shorter one begins."""
    return next((each for each in meaning.words if each.startswith(word)), meaning.words[0])


def place_of(word: str) -> Place | None:
    """The screen that a word leads to, when it is spelled out."""
    return next((place for place in PLACES if word in (*place.words, *place.kinds)), None)


def all_words() -> tuple[str, ...]:
    """Every word that the prompt completes, the first of each meaning before its short forms."""
    meanings = [each.words for each in (*PLACES, *COMMANDS)]
    return (*(words[0] for words in meanings), *(word for words in meanings for word in words[1:]))


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind the word of a screen, as in k9s."""

    words: tuple[str, ...] = ()
    """What stands before the filter; some screens know such words."""
    filter: str | None = ""
    """As the lists take it; "" for none, None where what stands there is no filter."""
    context: str | None = None
    """The context behind `@`."""


def behind(rest: Sequence[str]) -> Behind:
    """`[@context] [word ...] [filter] [@context]`, taken apart."""
    words = list(rest)
    context = None
    for place in (-1, 0):
        if context is None and words and words[place].startswith("@"):
            context = words.pop(place)[1:]
    first = next((at for at, word in enumerate(words) if _begins_filter(word)), len(words))
    filtered = filter_of(" ".join(words[first:])) if words[first:] else ""
    return Behind(tuple(words[:first]), filtered, context)


def filter_of(rest: str) -> str | None:
    """The filter behind the word of a screen, as the lists take it; None where it is none.

    `/regex`, `!/regex` or `/!regex`, `k=v` or `-l k=v` for labels, `-f letters`.
    """
    found = _FILTER.fullmatch(rest.strip())
    if found is None:
        return None
    if found["label"] is not None:
        return f"-l {found['label']}"
    return found["flag"] or (found["no"] + found["filter"] if found["filter"] else "")


def _begins_filter(word: str) -> bool:
    return word.startswith(("/", "!", "-")) or "=" in word


def _begins(each: Place | Word, word: str) -> bool:
    if isinstance(each, Word) and each.spelled:
        return False
    return any(known.startswith(word) for known in each.words)
