"""`ciliscope explain`: all that is known of one thing, and what is wrong with it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from app.diagnosis.case import Case
from app.diagnosis.catalog import CODES
from app.diagnosis.diagnose import diagnose
from app.explanations import ABOUT, NoSuchThing
from app.feeds import Wiring
from app.output import pen_for, print_bytes, print_text
from app.reading import settled, watching
from app.report.json import SCHEMA_VERSION
from app.report.pages import page
from app.report.paths_text import explanation_json, explanation_text
from app.report.verdict import docs_page
from app.snapshot import Snapshot
from collectors.sanitize import printable

EXPLAINED, NO_SUCH_THING, UNREADABLE = 0, 2, 3
"""Exit codes."""

_CODE = re.compile(r"cs\d+", re.IGNORECASE)
_FORMS = (
    "service NAMESPACE/NAME, ip ADDRESS, prefix CIDR, session NODE [PEER], pool NAME, or a code"
)


class BadQuestion(Exception):
    """It cannot be told what is asked; one sentence with what is allowed."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained."""

    kind: str
    """`service`, `ip`, `prefix`, `session`, `pool` or `code`."""
    names: tuple[str, ...]


def question(what: str, names: Sequence[str]) -> Question:
    """The question that the words ask. Raises BadQuestion."""
    if what.upper() in CODES and not names:
        return Question("code", (what.upper(),))
    if what.upper() in CODES:
        raise BadQuestion(f"explain {what.upper()} takes no name; it is a code of docs/findings")
    if _CODE.fullmatch(what):
        raise BadQuestion(
            f"there is no code {what.upper()}; {docs_page('README')} lists those there are"
        )
    if what not in ABOUT:
        raise BadQuestion(f"explain takes {_FORMS}; not {what!r}")
    most = 2 if what == "session" else 1
    if not 1 <= len(names) <= most:
        raise BadQuestion(f"explain {what} takes {'one or two names' if most > 1 else 'one name'}")
    _check_form(what, names[0])
    return Question(what, tuple(names))


def run(wiring: Callable[[], Wiring], asked: Question, output: str, deadline: float) -> int:
    """Answer the question and return the exit code; a code is explained without a cluster."""
    if asked.kind == "code":
        return _code(asked.names[0], output)
    wired = wiring()
    snapshot = asyncio.run(_read(wired, deadline))
    case = Case(snapshot)
    try:
        told = ABOUT[asked.kind](case, diagnose(case), asked.names)
    except NoSuchThing as problem:
        return _refuse(str(problem), NO_SUCH_THING if problem.certain else UNREADABLE)
    if output == "json":
        print_bytes(explanation_json(told))
    else:
        print_text(explanation_text(told, pen_for(wired.settings)), wired.settings)
    return UNREADABLE if told.unread else EXPLAINED


async def _read(wiring: Wiring, deadline: float) -> Snapshot:
    async with watching(wiring) as monitor:
        return await settled(monitor, deadline)


def _check_form(what: str, name: str) -> None:
    try:
        if what == "ip":
            ip_address(name)
        elif what == "prefix":
            ip_network(name, strict=False)
    except ValueError:
        form = "an address, as 172.29.52.100" if what == "ip" else "a prefix, as 172.29.52.96/27"
        raise BadQuestion(f"explain {what} is {name!r}; it must be {form}") from None
    if what == "service" and len([part for part in name.split("/") if part]) != 2:
        raise BadQuestion(f"explain service is {name!r}; it must be NAMESPACE/NAME")


def _code(code: str, output: str) -> int:
    if output == "json":
        entry = CODES[code]
        document = {
            "schemaVersion": SCHEMA_VERSION,
            "kind": "Code",
            "code": entry.code,
            "category": entry.category,
            "title": entry.title,
            "severities": [str(severity) for severity in entry.severities],
            "meaning": entry.meaning.strip(),
            "check": entry.check.strip(),
            "fix": entry.fix.strip(),
            "source": entry.source.strip(),
            "followsFrom": list(entry.follows_from),
            "docs": docs_page(entry.code),
        }
        print_bytes(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        print_bytes(page(CODES[code]))
    return EXPLAINED


def _refuse(sentence: str, code: int) -> int:
    sys.stderr.write(f"ciliscope: {printable(sentence)}\n")
    return code
