"""What a command may become: words first, then what its words take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from screens.words import (
    CHECK,
    COMMANDS,
    CTX,
    EXPLAIN,
    GET,
    MOUSE,
    PLACES,
    THEME,
    WHO,
    Word,
    all_words,
)

if TYPE_CHECKING:
    from app.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names that are known where the prompt is, beside those of the cluster."""

    contexts: Sequence[str] = ()
    themes: Sequence[str] = ()
    codes: Sequence[str] = ()
    categories: Sequence[str] = ()


def completions(typed: str, snapshot: Snapshot, names: Names) -> tuple[str, ...]:
    """The texts that what is typed may become, best first; never what is typed already."""
    if not typed.strip():
        return ()
    *before, last = typed.split(" ")
    offered = all_words() if not before else _arguments([w for w in before if w], snapshot, names)
    begun = [each for each in offered if each.lower().startswith(last.lower())]
    found = (" ".join([*before, each]) for each in begun)
    return tuple(text for text in found if text != typed)


def _arguments(words: Sequence[str], snapshot: Snapshot, names: Names) -> Sequence[str]:
    command = _command(words[0])
    if command is EXPLAIN:
        return _explained(words[1:], snapshot, names)
    if command is WHO and len(words) == 1:
        return _explained(["ip"], snapshot, names)
    if len(words) > 1 or command is None:
        return ()
    return {
        CHECK: names.categories,
        CTX: names.contexts,
        THEME: names.themes,
        MOUSE: ("on", "off"),
        GET: tuple(place.words[0] for place in PLACES),
    }.get(command, ())


def _explained(words: Sequence[str], snapshot: Snapshot, names: Names) -> Sequence[str]:
    match words:
        case []:
            return ("service", "ip", "prefix", "session", "pool", *names.codes)
        case ["service"]:
            return sorted(snapshot.services)
        case ["pool"]:
            return sorted(pool.name for pool in snapshot.pools.values())
        case ["session"]:
            return sorted({*snapshot.agents_by_node, *snapshot.bgp_peers, *snapshot.node_configs})
        case ["ip"]:
            return sorted(
                ingress.ip
                for service in snapshot.services.values()
                for ingress in service.status.load_balancer.ingress
                if ingress.ip
            )
        case _:
            return ()


def _command(word: str) -> Word | None:
    return next((each for each in COMMANDS if word.lower() in each.words), None)
