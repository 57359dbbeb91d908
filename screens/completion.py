"""What a command may become: words first, then what its words take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.state.kinds import BGP_PEERS, NODE_CONFIGS, POOLS, SERVICES
from screens.command_table import (
    CHECK,
    CTX,
    EXPLAIN,
    GET,
    MOUSE,
    PLACES,
    RUN,
    THEME,
    WHO,
    Place,
    all_words,
    behind,
    meant,
    place_of,
)
from screens.logs.choice import WORDS as LOG_WORDS

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot


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
    command = found[0] if len(found) == 1 else None
    if isinstance(command, Place):
        return _behind_place(command, words[1:], last, snapshot, names)
    if command is GET and len(words) > 1 and (place := place_of(words[1].lower())):
        return _behind_place(place, words[2:], last, snapshot, names)
    if command is EXPLAIN:
        return _explained(words[1:], snapshot, names)
    if command is WHO and len(words) == 1:
        return _explained(["ip"], snapshot, names)
    if command is CHECK:
        return [category for category in names.categories if category not in words]
    if len(words) > 1 or command is None:
        return ()
    if command is RUN:
        return names.runbooks()
    return {
        CTX: names.contexts,
        THEME: names.themes,
        MOUSE: ("on", "off"),
        GET: tuple(place.words[0] for place in PLACES),
    }.get(command, ())


def _behind_place(
    place: Place, words: Sequence[str], last: str, snapshot: Snapshot, names: Names
) -> Sequence[str]:
    asked = behind(words)
    if last.startswith("@"):
        return [f"@{name}" for name in names.contexts] if asked.context is None else ()
    if asked.filter != "":
        return ()
    if place.name == "services" and not asked.words:
        return sorted({service.namespace for service in snapshot.records[SERVICES].values()})
    offered = (*LOG_WORDS, *sorted(snapshot.agents_by_node)) if place.name == "logs" else ()
    return [word for word in offered if word not in words]


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
