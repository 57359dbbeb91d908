"""Every screen and every word behind `:`; what follows the words, and what they complete to.

A screen that has a key and words is found by the `PLACE` that its module ends in. Every word is
that of the program's subcommand, or the name that kubectl has for the objects; short names of kinds
must be spelled out, all other words may be cut short while they mean one thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

import screens
from app.model.finding import Health
from app.report.lines import LEADER, SIGN, Line, Span, plain
from app.state.kinds import BGP_PEERS, NODE_CONFIGS, POOLS, SERVICES
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import Place
from screens.help import entry


@cache
def places() -> tuple[Place, ...]:
    """The places of `screens/NAME.py` and `screens/NAME/screen.py`, in the order of their keys.

    Imports every screen, so nothing asks for them before the first frame.
    """
    found: list[Place] = []
    for each in iter_modules(screens.__path__, "screens."):
        name = f"{each.name}.screen" if each.ispkg else each.name
        if find_spec(name) is not None:
            place = getattr(import_module(name), "PLACE", None)
            found += [place] if isinstance(place, Place) else []
    return tuple(sorted(found, key=lambda place: int(place.key.removeprefix("f"))))


@dataclass(frozen=True, slots=True)
class Word:
    """A command that is no screen of its own."""

    words: tuple[str, ...]
    shows: str
    takes: str = ""
    """What stands behind it, for the help; "" for nothing."""
    spelled: bool = False
    """Whether it must be spelled out: a slip of the finger must not do it."""

    @property
    def name(self) -> str:
        """Its first word."""
        return self.words[0]


INFO = Word(("info", "sources"), "what is read, how it is, and where files are kept")
WORDS = (
    Word(("check",), "what is wrong, root causes first", "[CATEGORY ...]"),
    Word(("explain", "why"), "one thing", "service NS/NAME|ip|prefix|session|pool|CODE"),
    Word(("get",), "the screen of that word", "WHAT"),
    Word(("who",), "who holds and announces an address", "ADDRESS|PREFIX"),
    Word(("run", "runbook"), "the runbooks; one of them", "[NAME [PARAMETER=VALUE]]"),
    INFO,
    Word(("ctx", "contexts"), "the contexts; another cluster", "[CONTEXT]"),
    Word(("mouse",), "give the mouse to ciliscope, or back to the terminal", "on|off"),
    Word(("theme",), "other colours", "NAME"),
    Word(("aliases",), "all words that lead somewhere"),
    Word(("help", "h"), "keys and commands"),
    Word(("refresh",), "read everything again"),
    Word(("solve",), "while practising: the solution, and the path you took", spelled=True),
    Word(("quit", "q", "q!", "qa", "exit"), "quit", spelled=True),
)
"""The commands; what each does is in `COMMANDS` of the dashboard, by its name."""


@cache
def meanings() -> tuple[Place | Word, ...]:
    """What a word can mean: the screens before the commands."""
    return (*places(), *WORDS)


_LABEL = r"\w[\w./-]*!?=[\w./-]*"
_FILTER = re.compile(
    rf"(?P<label>{_LABEL}(?:,{_LABEL})*)|(?P<no>!?)/(?P<filter>.*)|(?P<flag>-[lf].*\S.*)"
)


def meant(word: str) -> tuple[Place | Word, ...]:
    """What a word may mean: what is called so, else what begins so; () for nothing."""
    for each in meanings():
        if word in each.words or (isinstance(each, Place) and word in each.kinds):
            return (each,)
    return tuple(each for each in meanings() if _begins(each, word))


def spelled(meaning: Place | Word, word: str) -> str:
    """The word of a meaning that a shorter one begins."""
    return next((each for each in meaning.words if each.startswith(word)), meaning.words[0])


def place_of(word: str) -> Place | None:
    """The screen that a word leads to, when it is spelled out."""
    return next((place for place in places() if word in (*place.words, *place.kinds)), None)


def all_words() -> tuple[str, ...]:
    """Every word that the prompt completes, the first of each meaning before its short forms."""
    return (
        *(each.words[0] for each in meanings()),
        *(word for each in meanings() for word in each.words[1:]),
    )


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
    first = next(
        (at for at, word in enumerate(words) if word.startswith(("/", "!", "-")) or "=" in word),
        len(words),
    )
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


def _begins(each: Place | Word, word: str) -> bool:
    if isinstance(each, Word) and each.spelled:
        return False
    return any(known.startswith(word) for known in each.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names that are known where the prompt is, beside those of the cluster."""

    contexts: Sequence[str] = ()
    themes: Sequence[str] = ()
    codes: Sequence[str] = ()
    categories: Sequence[str] = ()
    runbooks: Callable[[], Sequence[str]] = tuple
    """Read when they are asked for: that takes a moment."""


def completions(typed: str, snapshot: Snapshot, names: Names) -> tuple[str, ...]:
    """The texts that what is typed may become, best first; never what is typed already."""
    if not typed.strip():
        return ()
    *before, last = typed.split(" ")
    words = [word for word in before if word]
    offered = _arguments(words, last, snapshot, names) if words else all_words()
    begun = [each for each in offered if each.lower().startswith(last.lower())]
    found = (" ".join([*before, each]) for each in begun)
    return tuple(text for text in found if text != typed)


def _arguments(words: Sequence[str], last: str, snapshot: Snapshot, names: Names) -> Sequence[str]:
    found = meant(words[0].lower())
    if len(found) != 1:
        return ()
    command, more = found[0], words[1:]
    if isinstance(command, Place):
        return _behind_place(command, more, last, snapshot, names)
    match command.name:
        case "get" if more and (place := place_of(more[0].lower())):
            return _behind_place(place, more[1:], last, snapshot, names)
        case "explain":
            return _explained(more, snapshot, names)
        case "check":
            return [category for category in names.categories if category not in words]
        case _ if more:
            return ()
        case "who":
            return _explained(["ip"], snapshot, names)
        case "run":
            return names.runbooks()
        case "ctx":
            return names.contexts
        case "theme":
            return names.themes
        case "mouse":
            return ("on", "off")
        case "get":
            return tuple(place.name for place in places())
    return ()


def _behind_place(
    place: Place, words: Sequence[str], last: str, snapshot: Snapshot, names: Names
) -> Sequence[str]:
    asked = behind(words)
    if last.startswith("@"):
        return [f"@{name}" for name in names.contexts] if asked.context is None else ()
    if asked.filter != "":
        return ()
    return [word for word in place.completions(snapshot, asked.words) if word not in words]


def _explained(words: Sequence[str], snapshot: Snapshot, names: Names) -> Sequence[str]:
    match words:
        case []:
            return ("service", "ip", "prefix", "session", "pool", *names.codes)
        case ["service"]:
            return sorted(snapshot.records[SERVICES])
        case ["pool"]:
            return sorted(pool.name for pool in snapshot.records[POOLS].values())
        case ["session"]:
            return sorted(
                {
                    *snapshot.agents_by_node,
                    *snapshot.records[BGP_PEERS],
                    *snapshot.records[NODE_CONFIGS],
                }
            )
        case ["ip"]:
            return sorted(
                ingress.ip
                for service in snapshot.records[SERVICES].values()
                for ingress in service.status.load_balancer.ingress
                if ingress.ip
            )
        case _:
            return ()


def word_lines() -> list[Line]:
    """The words behind `:`, what they take, and what the signs mean."""
    lines = [plain(" Commands, after :", "strong")]
    lines += [entry(" ".join(place.words), place.shows) for place in places()]
    for word in WORDS:
        takes = f"  {word.takes}" if word.takes else ""
        lines.append((*entry(" ".join(word.words), word.shows), Span(takes, "none")))
    lines += [entry(form, shown) for form, shown in _BEHIND.items()]
    names = "; ".join(
        f"{' '.join(place.kinds)}: {place.title}" for place in places() if place.kinds
    )
    lines += [entry("also", names), (), plain(" Signs", "strong")]
    lines += [entry(SIGN[health], meaning) for health, meaning in _SIGNS.items()]
    lines += [entry(LEADER, "leads"), entry("≠", "the two witnesses of a session disagree")]
    return lines


_BEHIND = {
    "WORD /regex": "the screen with that filter, without one with none; also !/regex, -f letters",
    "WORD k=v, -l k=v": "the screen with what has that label",
    "WORD @CONTEXT": "the screen of that cluster, also with a filter",
    "svc NAMESPACE": "the services of that namespace, also with a filter",
    "logs WORD": "ipam, bgp, errors, all; operator, together, or a node",
}
"""What may stand behind the word of a screen."""

_SIGNS: dict[Health, str] = {
    "ok": "well",
    "warn": "wants attention",
    "fail": "broken",
    "unknown": "cannot be told; the reason stands beside it",
    "none": "not there, not used",
}
