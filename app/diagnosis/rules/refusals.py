"""What the API server said when it refused us (CS801): its words, and who may not do what.

Source: Kubernetes apiserver pkg/endpoints/handlers/responsewriters/errors.go, `forbiddenMessage`:
`RESOURCE "NAME" is forbidden: User "U" cannot VERB resource "R" in API group "G" [in the namespace
"N" | at the cluster scope]`, `forbidden: User "U" cannot VERB path "P"`, and why, if told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.diagnosis.rules.agent_health import agent_errors, exec_forbidden
from app.model.case import Case
from app.state.snapshot import SourceHealth

_WORDS = re.compile(r'(?:[^\s:]+(?: "[^"]*")? is )?forbidden: User .+?(?= \(HTTP \d+\)|; grant |$)')
_WHO = re.compile(r'User "([^"]+)"')
_VERB = re.compile(r"cannot (\w+) (?:resource|path) ")
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal."""

    source: str
    """Label of the source that met it."""
    words: str
    """What the API server said, without what our side says around it."""
    who: str
    """Who was refused, as a subject of a role binding; "" where it was not told."""
    verb: str
    """What was refused: `list`; "" where it was not told."""


def refusals(case: Case, sources: Iterable[SourceHealth]) -> tuple[Refusal, ...]:
    """The refusals that these sources met, each wording once."""
    by_kind = {kind: error for kind, _, error in agent_errors(case) if exec_forbidden(error)}
    found: dict[str, Refusal] = {}
    for source in sources:
        # A command that ran has no error of its own: what each agent's exec met is in its answer.
        said = source.error or by_kind.get(source.kind, "") or str(source.state)
        told = _WORDS.search(said)
        words = told[0] if told else said
        found.setdefault(words, _refusal(source.label, words))
    return tuple(found.values())


def _refusal(label: str, words: str) -> Refusal:
    who, verb = _WHO.search(words), _VERB.search(words)
    return Refusal(label, words, _subject(who[1]) if who else "", verb[1] if verb else "")


def _subject(user: str) -> str:
    namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
    return f"ServiceAccount {namespace}/{name}" if user.startswith(_ACCOUNT) else f"User {user}"
