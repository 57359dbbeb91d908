"""What can be asked of `explain`, in the words that it takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from app.diagnosis.catalog import CODES
from app.diagnosis.explain import ABOUT
from app.diagnosis.verdict import docs_page

_CODE = re.compile(r"cs\d+", re.IGNORECASE)
FORMS = "service NAMESPACE/NAME, ip ADDRESS, prefix CIDR, session NODE [PEER], pool NAME, or a code"


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
        raise BadQuestion(f"explain takes {FORMS}; not {what!r}")
    most = 2 if what == "session" else 1
    if not 1 <= len(names) <= most:
        raise BadQuestion(f"explain {what} takes {'one or two names' if most > 1 else 'one name'}")
    _check_form(what, names[0])
    return Question(what, tuple(names))


def who_question(names: Sequence[str]) -> Question:
    """The question that `who` asks, of an address or a prefix. Raises BadQuestion."""
    if len(names) != 1:
        raise BadQuestion("who takes one address, as 172.29.52.100, or one prefix")
    kind = "prefix" if "/" in names[0] else "ip"
    try:
        _check_form(kind, names[0])
    except BadQuestion:
        form = "an address, or a prefix, as 172.29.52.96/27"
        raise BadQuestion(f"who is {names[0]!r}; it must be {form}") from None
    return Question(kind, (names[0],))


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
