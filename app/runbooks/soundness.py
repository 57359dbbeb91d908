"""Whether a runbook can be followed to its end, whatever is found: nothing in it leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.diagnosis.catalog import CODES
from app.runbooks.parsing import Place
from app.runbooks.schema import END, Look, Runbook, Step, Verdict
from app.runbooks.subjects import BLANK, words

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_BLOCK = re.compile(r"CS\d")
MOST = 100
"""Steps that a runbook may have."""

_SAYS_NOTHING = "says nothing"

ROUTERS = "routers"
"""Stands for the commands to compare with on the router."""
CONNECTIONS = "connections"
"""Stands for the commands that connect to each address and TCP port of the service."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in a runbook that cannot be right."""

    at: Place
    """Where it stands in the file."""
    says: str
    """One sentence, without the place."""


def flaws(runbook: Runbook) -> tuple[Flaw, ...]:
    """Everything that keeps a runbook from being followed; () for a sound one."""
    found = [*_own(runbook), *_of_steps(runbook)]
    return tuple(found) or tuple(_of_ways(runbook))


def known_code(text: str) -> bool:
    """Whether it is a code, or the beginning of a block of them."""
    return text in CODES or bool(_BLOCK.fullmatch(text) and any(c.startswith(text) for c in CODES))


def _own(runbook: Runbook) -> Iterator[Flaw]:
    if not 0 < len(runbook.steps) <= MOST:
        told = f"there are more than {MOST} steps" if runbook.steps else "there is no step"
        yield Flaw(("steps",), told)
    for name in ("title", "when"):
        if not getattr(runbook, name).strip():
            yield Flaw((name,), _SAYS_NOTHING)
    for place, code in enumerate(runbook.fits):
        if not known_code(code):
            yield Flaw(("fits", place), f"there is no code {code!r}")
    for name in runbook.parameters:
        if not _ID.fullmatch(name):
            yield Flaw(("parameters", name), "is no word of small letters")


def _of_steps(runbook: Runbook) -> Iterator[Flaw]:
    ids = [step.id for step in runbook.steps]
    for number, step in enumerate(runbook.steps):
        at: Place = ("steps", number)
        if not _ID.fullmatch(step.id) or step.id == END:
            yield Flaw((*at, "id"), f"{step.id!r} is no name for a step: small letters, digits, -")
        if not step.ask.strip():
            yield Flaw((*at, "ask"), _SAYS_NOTHING)
        if step.id in ids[:number]:
            yield Flaw((*at, "id"), f"{step.id!r} is the name of another step already")
        for verdict, follows in step.next:
            if follows and follows != END and follows not in ids:
                told = f"there is no step {follows!r}; steps are {', '.join(ids)}, or {END}"
                yield Flaw((*at, "next", str(verdict)), told)
        yield from _dead_ends(step, at)
        yield from _looks(runbook, step, at)
        yield from _manual(step, at)
        yield from _blanks(runbook, step, at)


def _dead_ends(step: Step, at: Place) -> Iterator[Flaw]:
    """A verdict that leads nowhere, except where waiting for another one is the sense of it."""
    for verdict, follows in step.next:
        if not follows and not (step.verify and verdict is not Verdict.PASS):
            yield Flaw((*at, "next"), f"says not what follows when the step is {verdict}")
    judges = any(look.findings or look.hop for look in step.look)
    if not (judges or step.manual or step.action):
        told = "nothing judges it: it needs findings, a hop, an action or a manual answer"
        yield Flaw(at, told)


def _looks(runbook: Runbook, step: Step, at: Place) -> Iterator[Flaw]:
    for number, look in enumerate(step.look):
        place: Place = (*at, "look", number)
        if len(look.subjects) != 1:
            yield Flaw(place, "names exactly one of findings, hop, table, log")
        for code in look.findings:
            if not known_code(code):
                yield Flaw((*place, "findings"), f"there is no code {code!r}")
        if look.about and look.about not in runbook.parameters:
            yield Flaw((*place, "about"), _no_parameter(runbook, look.about))
        if look.hop and not _names_service(runbook):
            told = "a hop is of a service: the runbook needs a parameter `service` of that kind"
            yield Flaw((*place, "hop"), told)
        yield from _superfluous(look, place)


def _superfluous(look: Look, place: Place) -> Iterator[Flaw]:
    if look.threshold != "warn" and not look.findings:
        yield Flaw((*place, "threshold"), "is of findings alone")
    if look.about and look.hop:
        yield Flaw((*place, "about"), "a hop is of the service anyway")


def _manual(step: Step, at: Place) -> Iterator[Flaw]:
    if step.manual is None:
        return
    keys = [choice.key for choice in step.manual.choices]
    place: Place = (*at, "manual", "choices")
    if not step.manual.do.strip():
        yield Flaw((*at, "manual", "do"), _SAYS_NOTHING)
    if not keys:
        yield Flaw(place, "there is nothing to choose from")
    for number, key in enumerate(keys):
        if not _ID.fullmatch(key):
            yield Flaw((*place, number, "key"), f"{key!r} is no word of small letters, digits, -")
        if key in keys[:number]:
            yield Flaw((*place, number, "key"), f"{key!r} is the word for another choice already")


def _blanks(runbook: Runbook, step: Step, at: Place) -> Iterator[Flaw]:
    """`{word}` stands for a parameter, and there must be one of that name."""
    texts: list[tuple[Place, str]] = [
        ((*at, name), getattr(step, name)) for name in ("ask", "read", "fix")
    ]
    texts += [((*at, "commands", n), text) for n, text in enumerate(step.commands)]
    if step.manual:
        place: Place = (*at, "manual")
        texts.append(((*place, "do"), step.manual.do))
        texts += [((*place, "commands", n), text) for n, text in enumerate(step.manual.commands)]
    known = words(runbook.parameters)
    for where, text in texts:
        for word in BLANK.findall(text):
            if word not in known and not (word in (ROUTERS, CONNECTIONS) and "manual" in where):
                yield Flaw(where, _no_parameter(runbook, word))
        if "commands" in where and _quoted(text):
            yield Flaw(where, f"{_quoted(text)} stands in quotes; it is quoted where it is needed")


def _quoted(text: str) -> str:
    """A blank of a command that stands in quotes, where its value could end them; "" for none."""
    for found in BLANK.finditer(text):
        before = text[: found.start()]
        for escaped in ("\\'", '\\"'):
            before = before.replace(escaped, "")
        if before.count("'") % 2 or before.count('"') % 2:
            return found[0]
    return ""


def _of_ways(runbook: Runbook) -> Iterator[Flaw]:
    """Steps that no way leads to, and ways that come back to where they were."""
    steps = {step.id: step for step in runbook.steps}
    numbers = {step.id: number for number, step in enumerate(runbook.steps)}
    done: set[str] = set()
    way: list[str] = []

    def follow(id_: str) -> Iterator[Flaw]:
        if id_ in way:
            told = f"leads in a circle, with nothing new to see: {' → '.join((*way, id_))}"
            yield Flaw(("steps", numbers[way[-1]], "next"), told)
            return
        if id_ in done:
            return
        way.append(id_)
        for _, follows in steps[id_].next:
            if follows and follows != END:
                yield from follow(follows)
        way.pop()
        done.add(id_)

    yield from follow(runbook.steps[0].id)
    for number, step in enumerate(runbook.steps):
        if step.id not in done:
            yield Flaw(("steps", number, "id"), f"no step leads to {step.id!r}")


def _names_service(runbook: Runbook) -> bool:
    service = runbook.parameters.get("service")
    return service is not None and service.kind == "service"


def _no_parameter(runbook: Runbook, word: str) -> str:
    known = ", ".join(runbook.parameters) or "none"
    return f"there is no parameter {word!r}; there are: {known}"
