"""Whether a runbook can be followed to its end, whatever is found: nothing in it leads nowhere."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias, get_args

import msgspec
import yaml
from msgspec import structs
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from app.config.state_dir import read_up_to
from app.diagnosis.catalog import CODES
from app.diagnosis.service_path.path import HopName
from app.runbooks import schema
from collectors.sanitize import one_line, printable

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_BLOCK = re.compile(r"CS\d")
MOST_STEPS = 100
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


def flaws(runbook: schema.Runbook) -> tuple[Flaw, ...]:
    """Everything that keeps a runbook from being followed; () for a sound one."""
    found = [*_own(runbook), *_of_steps(runbook)]
    return tuple(found) or tuple(_of_ways(runbook))


def known_code(text: str) -> bool:
    """Whether it is a code, or the beginning of a block of them."""
    return text in CODES or bool(_BLOCK.fullmatch(text) and any(c.startswith(text) for c in CODES))


def _own(runbook: schema.Runbook) -> Iterator[Flaw]:
    if not 0 < len(runbook.steps) <= MOST_STEPS:
        text = f"there are more than {MOST_STEPS} steps" if runbook.steps else "there is no step"
        yield Flaw(("steps",), text)
    for name in ("title", "when"):
        if not getattr(runbook, name).strip():
            yield Flaw((name,), _SAYS_NOTHING)
    for place, code in enumerate(runbook.fits):
        if not known_code(code):
            yield Flaw(("fits", place), f"there is no code {code!r}")
    for name in runbook.parameters:
        if not _ID.fullmatch(name):
            yield Flaw(("parameters", name), "is no word of small letters")


def _of_steps(runbook: schema.Runbook) -> Iterator[Flaw]:
    ids = [step.id for step in runbook.steps]
    for number, step in enumerate(runbook.steps):
        at: Place = ("steps", number)
        if not _ID.fullmatch(step.id) or step.id == schema.END:
            yield Flaw((*at, "id"), f"{step.id!r} is no name for a step: small letters, digits, -")
        if not step.ask.strip():
            yield Flaw((*at, "ask"), _SAYS_NOTHING)
        if step.id in ids[:number]:
            yield Flaw((*at, "id"), f"{step.id!r} is the name of another step already")
        for verdict, follows in step.next:
            if follows and follows != schema.END and follows not in ids:
                text = f"there is no step {follows!r}; steps are {', '.join(ids)}, or {schema.END}"
                yield Flaw((*at, "next", str(verdict)), text)
        yield from _dead_ends(step, at)
        yield from _looks(runbook, step, at)
        yield from _manual(step, at)
        yield from _blanks(runbook, step, at)


def _dead_ends(step: schema.Step, at: Place) -> Iterator[Flaw]:
    """A verdict that leads nowhere, except where waiting for another one is the sense of it."""
    for verdict, follows in step.next:
        if not follows and not (step.verify and verdict is not schema.StepVerdict.PASS):
            yield Flaw((*at, "next"), f"says not what follows when the step is {verdict}")
    judges = any(look.findings or look.hop for look in step.look)
    if not (judges or step.manual or step.action):
        text = "nothing judges it: it needs findings, a hop, an action or a manual answer"
        yield Flaw(at, text)


def _looks(runbook: schema.Runbook, step: schema.Step, at: Place) -> Iterator[Flaw]:
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
            text = "a hop is of a service: the runbook needs a parameter `service` of that kind"
            yield Flaw((*place, "hop"), text)
        yield from _superfluous(look, place)


def _superfluous(look: schema.Look, place: Place) -> Iterator[Flaw]:
    if look.threshold != "warn" and not look.findings:
        yield Flaw((*place, "threshold"), "is of findings alone")
    if look.about and look.hop:
        yield Flaw((*place, "about"), "a hop is of the service anyway")


def _manual(step: schema.Step, at: Place) -> Iterator[Flaw]:
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


def _blanks(runbook: schema.Runbook, step: schema.Step, at: Place) -> Iterator[Flaw]:
    """`{word}` stands for a parameter, and there must be one of that name."""
    texts: list[tuple[Place, str]] = [
        ((*at, name), getattr(step, name)) for name in ("ask", "read", "fix")
    ]
    texts += [((*at, "commands", n), text) for n, text in enumerate(step.commands)]
    if step.manual:
        place: Place = (*at, "manual")
        texts.append(((*place, "do"), step.manual.do))
        texts += [((*place, "commands", n), text) for n, text in enumerate(step.manual.commands)]
    known = schema.words(runbook.parameters)
    for where, text in texts:
        for word in schema.BLANK.findall(text):
            if word not in known and not (word in (ROUTERS, CONNECTIONS) and "manual" in where):
                yield Flaw(where, _no_parameter(runbook, word))
        if "commands" in where and _quoted(text):
            yield Flaw(where, f"{_quoted(text)} stands in quotes; it is quoted where it is needed")


def _quoted(text: str) -> str:
    """A blank of a command that stands in quotes, where its value could end them; "" for none."""
    for found in schema.BLANK.finditer(text):
        before = text[: found.start()]
        for escaped in ("\\'", '\\"'):
            before = before.replace(escaped, "")
        if before.count("'") % 2 or before.count('"') % 2:
            return found[0]
    return ""


def _of_ways(runbook: schema.Runbook) -> Iterator[Flaw]:
    """Steps that no way leads to, and ways that come back to where they were."""
    steps = {step.id: step for step in runbook.steps}
    numbers = {step.id: number for number, step in enumerate(runbook.steps)}
    done: set[str] = set()
    way: list[str] = []

    def follow(id_: str) -> Iterator[Flaw]:
        if id_ in way:
            text = f"leads in a circle, with nothing new to see: {' → '.join((*way, id_))}"
            yield Flaw(("steps", numbers[way[-1]], "next"), text)
            return
        if id_ in done:
            return
        way.append(id_)
        for _, follows in steps[id_].next:
            if follows and follows != schema.END:
                yield from follow(follows)
        way.pop()
        done.add(id_)

    yield from follow(runbook.steps[0].id)
    for number, step in enumerate(runbook.steps):
        if step.id not in done:
            yield Flaw(("steps", number, "id"), f"no step leads to {step.id!r}")


def _names_service(runbook: schema.Runbook) -> bool:
    service = runbook.parameters.get("service")
    return service is not None and service.kind == "service"


def _no_parameter(runbook: schema.Runbook, word: str) -> str:
    known = ", ".join(runbook.parameters) or "none"
    return f"there is no parameter {word!r}; there are: {known}"


LARGEST = 256 << 10
"""Bytes that a runbook may have."""
DEEPEST = 20
"""Levels to which it may be nested; a runbook has six."""

MOST_PARTS = 5_000
"""Parts that it may have; also when its aliases are written out."""

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands in a file: the keys and numbers on the way to it."""

_PLACE = re.compile(r" - at `(?P<where>[^`]*)`$")
_PART = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_NOT_ONE_OF = "Invalid enum value"
_WANTED_TEXT = "Expected `str`, got `"


class BadRunbook(Exception):
    """A file is no runbook; one sentence that names file, line and key."""


@dataclass(frozen=True, slots=True)
class SourceLines:
    """Where each part of a file stands, for errors that name it."""

    file: str
    lines: Mapping[Place, int] = field(default_factory=dict, repr=False)

    def refuse(self, at: Place, sentence: str) -> BadRunbook:
        """The error about what stands there; about the nearest part around it that is known."""
        place = at
        while place and place not in self.lines:
            place = place[:-1]
        line = f":{self.lines[place]}" if place in self.lines else ""
        key = f" {spelled(at)}:" if at else ""
        return BadRunbook(one_line(f"{self.file}{line}:{key} {sentence}"))


def spelled(path: Place) -> str:
    """A path as it is written in messages: `steps[2].next.pass`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def parse(
    text: bytes, file: str, name: str
) -> tuple[schema.Runbook | schema.Extension, SourceLines]:
    """The runbook of this text, or what it changes of another. Raises BadRunbook.

    `file` is how errors call it, `name` what the runbook is called.
    """
    tree, source = _tree(text, file)
    if not _ID.fullmatch(name):
        shown = "its name must be words of small letters and digits, joined by `-`"
        raise source.refuse((), shown)
    if not isinstance(tree, dict):
        raise source.refuse((), "a runbook is a mapping with title, when, steps")
    if "name" in tree:
        raise source.refuse(("name",), "a runbook is called as its file is; leave this out")
    _parameters(tree.get("parameters"), source)
    kind: type[schema.Runbook | schema.Extension] = (
        schema.Extension if "extends" in tree else schema.Runbook
    )
    try:
        found = msgspec.convert({**tree, "name": name}, kind)
    except msgspec.ValidationError as problem:
        raise _located(str(problem), source) from None
    return found, source


def _parameters(tree: Value, source: SourceLines) -> None:
    """Each parameter by itself: of the whole it would not be told which one is wrong."""
    if not isinstance(tree, dict):
        return
    for name, value in tree.items():
        try:
            msgspec.convert(value, schema.Parameter)
        except msgspec.ValidationError as problem:
            raise _located(str(problem), source, ("parameters", name)) from None


def read_file(path: Path) -> bytes:
    """The bytes of a runbook's file. Raises BadRunbook where it cannot be read."""
    try:
        text = read_up_to(path, LARGEST)
    except OSError as problem:
        raise BadRunbook(one_line(f"{path}: {problem.strerror or problem}")) from None
    if text is None:
        raise BadRunbook(one_line(f"{path}: is larger than {LARGEST >> 10} KiB; no runbook is"))
    return text


def _tree(text: bytes, file: str) -> tuple[Value, SourceLines]:
    lines: dict[Place, int] = {}
    source = SourceLines(file, lines)
    try:
        root: Node | None = yaml.compose(text.decode(), _Loader)
    except UnicodeDecodeError as problem:
        raise source.refuse((), f"byte {problem.start + 1} is no UTF-8") from None
    except yaml.MarkedYAMLError as problem:
        raise _no_yaml(problem, file) from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise source.refuse((), f"is no YAML: {problem}") from None
    if root is None:
        raise source.refuse((), "is empty; a runbook has title, when, steps")
    return _value(root, (), lines, source), source


class _TooMuch(yaml.MarkedYAMLError):
    """A document is larger than a runbook can be."""


class _Loader(yaml.SafeLoader):
    """Composes no more than a runbook can be: a hostile file costs no time and no stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._parts = 0
        self._depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """The next part of the document. Raises _TooMuch beyond the bounds."""
        self._parts += 1
        self._depth += 1
        if self._depth > 2 * DEEPEST:
            self._refuse(f"is nested deeper than {DEEPEST} levels; no runbook is")
        if self._parts > 2 * MOST_PARTS:
            self._refuse(f"has more than {MOST_PARTS} parts; no runbook has")
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, sentence: str) -> NoReturn:
        raise _TooMuch(problem=sentence, problem_mark=self.get_mark())


def _no_yaml(problem: yaml.MarkedYAMLError, file: str) -> BadRunbook:
    mark = problem.problem_mark or problem.context_mark
    line = f":{mark.line + 1}" if mark else ""
    text = ", ".join(filter(None, (problem.context, problem.problem)))
    wrong = text if isinstance(problem, _TooMuch) else f"is no YAML: {text}"
    return BadRunbook(one_line(f"{file}{line}: {wrong}"))


def _value(node: Node, at: Place, lines: dict[Place, int], source: SourceLines) -> Value:
    """What a node says; where each part of it stands is noted in `lines`."""
    lines.setdefault(at, node.start_mark.line + 1)
    if len(at) > DEEPEST:
        raise source.refuse(at, f"is nested deeper than {DEEPEST} levels; no runbook is")
    if len(lines) > MOST_PARTS:
        raise source.refuse(at, f"has more than {MOST_PARTS} parts; no runbook has")
    if isinstance(node, MappingNode):
        return _mapping(node, at, lines, source)
    if isinstance(node, SequenceNode):
        return [_value(each, (*at, place), lines, source) for place, each in enumerate(node.value)]
    text = printable(str(node.value))
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind in ("int", "float"):
        return 0 if kind == "int" else 0.0  # no field takes a number: only its type matters
    return text


def _mapping(node: MappingNode, at: Place, lines: dict[Place, int], source: SourceLines) -> Value:
    found: dict[str, Value] = {}
    for key, value in node.value:
        name = printable(str(key.value)) if isinstance(key, ScalarNode) else ""
        place = (*at, name)
        if not isinstance(key, ScalarNode):
            raise source.refuse(at, "has a key that is no word")
        if name in found:
            text = f"stands twice, on line {lines[place]} and on line {key.start_mark.line + 1}"
            raise source.refuse(place, text)
        lines[place] = key.start_mark.line + 1
        found[name] = _value(value, place, lines, source)
    return found


def _located(problem: str, source: SourceLines, inside: Place = ()) -> BadRunbook:
    """What msgspec says is wrong `inside` a part, at its line."""
    found = _PLACE.search(problem)
    sentence = problem[: found.start()] if found else problem
    at = (*inside, *(_place(found["where"]) if found else ()))
    unknown = _UNKNOWN.fullmatch(sentence)
    if unknown:
        return source.refuse((*at, unknown["key"]), _unknown(at, unknown["key"]))
    if sentence.startswith(_NOT_ONE_OF) and at:
        allowed = _ALLOWED.get(str(at[-1]), ())
        sentence += f"; it is one of {', '.join(allowed)}" if allowed else ""
    if sentence.startswith(_WANTED_TEXT) and not sentence.endswith("`object`"):
        sentence += '; text that reads as a number, yes, no or null stands in quotes: "no"'
    return source.refuse(at, sentence[:1].lower() + sentence[1:])


def _unknown(at: Place, key: str) -> str:
    """That a key is none, and which one may be meant."""
    kind = next((kind for form, kind in _KINDS.items() if re.fullmatch(form, spelled(at))), None)
    known = tuple(each.encode_name for each in structs.fields(kind)) if kind else ()
    near = difflib.get_close_matches(key, known, n=1)
    return "there is no such key" + (f"; did you mean {near[0]}?" if near else "")


_STEP = r"steps\[\d+\]"
_KINDS: Mapping[str, type[msgspec.Struct]] = {
    "": schema.Extension,  # has every key of a runbook, and `extends`
    _STEP: schema.StepChange,
    rf"{_STEP}\.next": schema.Next,
    rf"{_STEP}\.look\[\d+\]": schema.Look,
    rf"{_STEP}\.manual": schema.Manual,
    rf"{_STEP}\.manual\.choices\[\d+\]": schema.Choice,
    r"parameters\..*": schema.Parameter,
}
"""What stands where in a file."""

_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "kind": get_args(schema.ParameterKind),
    "threshold": get_args(schema.Threshold),
    "hop": get_args(HopName),
    "table": get_args(schema.TableName),
    "log": get_args(schema.LogName),
    "action": get_args(schema.ActionName),
    "verdict": tuple(schema.StepVerdict),
}
"""What may stand behind a key that takes one of a few words."""


def _place(where: str) -> Place:
    """`$.steps[2].next` as its parts, up to the first that msgspec does not name."""
    parts: list[str | int] = []
    for found in _PART.finditer(where):
        if found["key"] is not None:
            parts.append(found["key"])
        elif found["index"] is not None:
            parts.append(int(found["index"]))
        else:
            break
    return tuple(parts)
