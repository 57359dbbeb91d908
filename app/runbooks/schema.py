"""What a runbook is: when it helps, what it asks for, its steps, and where each verdict leads.

A runbook is data: a step names what is looked at (findings, a hop of a service's way, a table, a
log), never how. So nothing in a file can change a cluster, or be judged otherwise than by `check`.
Its parameters name things of the cluster, and stand in its texts as words in braces.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from app.diagnosis.service_path.path import HopName
from app.model.case import Case
from app.model.finding import Ref
from app.model.lbipam import parse_address
from app.report.tables import WORDS
from app.state.kinds import NODES, POOLS, SERVICES, Kind

END = "end"
"""Where a runbook ends, in place of the next step."""


class StepVerdict(StrEnum):
    """What a step has found."""

    PASS = "pass"  # noqa: S105
    """It is as it should be."""
    FAIL = "fail"
    """Here is something wrong."""
    UNKNOWN = "unknown"
    """It cannot be told: something could not be read, or nobody has answered yet."""


ParameterKind: TypeAlias = Literal["service", "session", "node", "pool", "address"]
"""What a parameter names: `NAMESPACE/NAME`, `NODE/PEER-ADDRESS`, a node, a pool, an address."""

Threshold: TypeAlias = Literal["fail", "warn", "info"]

if TYPE_CHECKING:
    TableName: TypeAlias = str
else:
    TableName = Literal[tuple(word for word in WORDS if word != "logs")]
"""A table, as `get` prints it; a log has a key of its own."""

LogName: TypeAlias = Literal["ipam", "bgp"]
"""The operator's log of LB-IPAM, or what the agents say of BGP."""

ActionName: TypeAlias = Literal["connectivity-test"]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a runbook's file."""


PAGES = "pages"
"""In a built-in runbook: the codes whose pages in the catalogue name the step."""


class Parameter(_Part, frozen=True):
    """Something that the operator names once, and steps are about."""

    kind: ParameterKind
    ask: str
    """The question for it, in plain words."""
    optional: bool = False
    """Whether the runbook makes sense without it; it is then about everything of the kind."""


class Look(_Part, frozen=True):
    """One thing that a step looks at: exactly one of `findings`, `hop`, `table` and `log`.

    Findings and hops judge; tables and logs are shown beside.
    """

    findings: tuple[str, ...] = ()
    """Codes (`CS201`), whole blocks of them (`CS2`), or `PAGES`."""
    about: str = ""
    """Of the findings, table or log only what concerns this parameter; "": all."""
    threshold: Threshold = "warn"
    """The least severity with which a finding fails the step. `info`: as `warn`, and what is only
    worth knowing makes it unknown."""
    hop: HopName | Literal[""] = ""
    """A hop of the way of the service that the parameter `service` names."""
    table: TableName | Literal[""] = ""
    log: LogName | Literal[""] = ""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What of the four it names."""
        known = {"findings": self.findings, "hop": self.hop, "table": self.table, "log": self.log}
        return tuple(name for name, value in known.items() if value)


class Choice(_Part, frozen=True):
    """An answer that can be given to a manual step."""

    key: str
    """The word by which it is chosen."""
    says: str
    """What was seen, in the operator's words."""
    verdict: StepVerdict


class Manual(_Part, frozen=True):
    """What the operator looks at where ciliscope cannot, as on the router."""

    do: str
    """Where to look, and at what."""
    choices: tuple[Choice, ...]
    commands: tuple[str, ...] = ()
    """What to type there. `{routers}` stands for the commands that a service's way names."""


class Next(_Part, frozen=True):
    """Which step follows, by verdict; `end` ends the runbook. Absent: it waits for another."""

    passed: str = field(default="", name="pass")
    fail: str = ""
    unknown: str = ""

    def after(self, verdict: StepVerdict) -> str:
        """The step that follows, or `end`; "" where this verdict is waited out."""
        return {"pass": self.passed, "fail": self.fail, "unknown": self.unknown}[verdict]

    def __iter__(self) -> Iterator[tuple[StepVerdict, str]]:
        """Each verdict and where it leads."""
        return ((verdict, self.after(verdict)) for verdict in StepVerdict)


class Step(_Part, frozen=True):
    """One question, and what answers it."""

    id: str
    ask: str
    """The question, in plain words. `{service}` and the like stand for the parameters."""
    next: Next
    look: tuple[Look, ...] = ()
    read: str = ""
    """How to read what is shown."""
    fix: str = ""
    """What to do where it fails, beside what the findings themselves say."""
    commands: tuple[str, ...] = ()
    """What shows the same by hand."""
    manual: Manual | None = None
    action: ActionName | None = None
    """What may be run here, after it was agreed to."""
    verify: bool = False
    """Whether it waits until what was found is gone: until it passes, nothing follows."""


class Runbook(_Part, frozen=True):
    """A runbook, whole."""

    title: str
    when: str
    """What one sees when it is the right one, in a sentence."""
    steps: tuple[Step, ...]
    fits: tuple[str, ...] = ()
    """Codes, or blocks of them, with which to begin here; (): those whose pages name it first."""
    parameters: dict[str, Parameter] = {}
    name: str = ""
    """How it is called; its file's name without the ending."""

    def step(self, id: str) -> Step:  # noqa: A002
        """The step of this name. Raises KeyError."""
        for step in self.steps:
            if step.id == id:
                return step
        raise KeyError(id)


class StepChange(Step, frozen=True):
    """A step of a runbook that extends another: a new one, or one in the place of its namesake."""

    after: str = ""
    """Behind which step a new one stands; "": at the end."""


class Extension(_Part, frozen=True):
    """A runbook made of another one."""

    extends: str
    """The name of the built-in runbook."""
    title: str | UnsetType = UNSET
    when: str | UnsetType = UNSET
    fits: tuple[str, ...] | UnsetType = UNSET
    parameters: dict[str, Parameter] = {}
    """Further parameters, or others in the place of their namesakes."""
    steps: tuple[StepChange, ...] = ()
    name: str = ""


Parameters = Mapping[str, str]
"""What the operator has named, by parameter."""

FORMS: Mapping[ParameterKind, str] = {
    "service": "NAMESPACE/NAME",
    "session": "NODE/PEER-ADDRESS",
    "node": "NODE",
    "pool": "POOL",
    "address": "ADDRESS",
}
"""How each kind is named."""

BLANK = re.compile(r"\{([a-z][a-z0-9-]*(?:\.[a-z]+)?)\}")
"""What stands in a text for a parameter: its name in braces, or a half of it (`{service.name}`)."""


class BadParameter(Exception):
    """A parameter is missing, unknown or no such thing; one sentence with what is allowed."""


def checked(runbook: Runbook, given: Parameters) -> dict[str, str]:
    """The parameters, all that are needed, each in its form. Raises BadParameter."""
    for name in given:
        if name not in runbook.parameters:
            known = ", ".join(runbook.parameters) or "none"
            raise BadParameter(f"{runbook.name} has no parameter {name!r}; it has: {known}")
    for name, parameter in runbook.parameters.items():
        if not given.get(name):
            if not parameter.optional:
                form = FORMS[parameter.kind]
                raise BadParameter(f"{runbook.name} needs {name}={form}: {parameter.ask}")
        elif not has_form(parameter.kind, given[name]):
            form = FORMS[parameter.kind]
            raise BadParameter(f"{name} is {given[name]!r}; it must be {form}")
    return {name: given[name] for name in runbook.parameters if given.get(name)}


def has_form(kind: ParameterKind, text: str) -> bool:
    """Whether a text can be the name of a thing of this kind."""
    if kind == "service":
        return len([part for part in text.split("/") if part]) == 2 and text.count("/") == 1
    if kind == "session":
        node, _, peer = text.partition("/")
        return bool(node) and parse_address(peer) is not None
    if kind == "address":
        return parse_address(text) is not None
    return bool(text.strip()) and "/" not in text


def refs(kind: ParameterKind, name: str, case: Case) -> frozenset[Ref]:
    """The things in the cluster that a parameter means, as findings point at them."""
    return frozenset(_refs(kind, name, case))


def _refs(kind: ParameterKind, name: str, case: Case) -> Iterator[Ref]:
    if kind == "service":
        namespace, _, service = name.partition("/")
        yield Ref("Service", service, namespace)
    elif kind == "session":
        node, _, peer = name.partition("/")
        yield from (Ref("Session", name), Ref("Node", node), Ref("Peer", peer))
        yield from _agent(node, case)
    elif kind == "node":
        yield Ref("Node", name)
        yield from _agent(name, case)
        sessions = (session for session in case.sessions if session.node == name)
        yield from (Ref("Session", f"{name}/{session.peer_address}") for session in sessions)
    elif kind == "pool":
        yield Ref("CiliumLoadBalancerIPPool", name)
    else:
        address = ip_address(name)
        for balancer in case.balancers:
            if address in balancer.addresses:
                yield Ref("Service", balancer.service.name, balancer.service.metadata.namespace)
        yield Ref("Prefix", f"{address}/{address.max_prefixlen}")


def _agent(node: str, case: Case) -> Iterator[Ref]:
    agent = case.agent(node)
    if agent is not None:
        yield Ref("Pod", agent.metadata.name, agent.metadata.namespace)


def offered(kind: ParameterKind, case: Case) -> tuple[str, ...]:
    """The things of this kind that there are, to be chosen from."""
    if kind == "service":
        return tuple(sorted(balancer.service.key for balancer in case.balancers))
    if kind == "session":
        return tuple(sorted(f"{s.node}/{s.peer_address}" for s in case.sessions))
    if kind == "node":
        return tuple(sorted(case.snapshot.records[NODES]))
    if kind == "pool":
        return tuple(sorted(case.snapshot.records[POOLS]))
    found = (str(a) for balancer in case.balancers for a in balancer.addresses)
    return tuple(sorted(set(found)))


def missing(runbook: Runbook, given: Parameters, case: Case) -> str:
    """Which parameter names nothing that is there, and what comes near; "" where all are there."""
    for name, value in given.items():
        kind = runbook.parameters[name].kind
        source = _CERTAIN.get(kind)
        if source is None or not case.known(source):
            continue
        known = offered(kind, case)
        if value not in known:
            near = difflib.get_close_matches(value, known, n=3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            one = "service of type LoadBalancer" if kind == "service" else kind
            return f"there is no {one} {value}{hint}"
    return ""


_CERTAIN: Mapping[ParameterKind, Kind[object]] = {
    "service": SERVICES,
    "node": NODES,
    "pool": POOLS,
}
"""Kinds of which all are known where this was read; a session may be missing, and be the fault."""


def words(parameters: Mapping[str, Parameter]) -> frozenset[str]:
    """What may stand in braces: each parameter, and its halves where it has two."""
    found = set(parameters)
    for name, parameter in parameters.items():
        found |= {f"{name}.{half}" for half in _HALVES.get(parameter.kind, ())}
    return frozenset(found)


def filled(text: str, runbook: Runbook, given: Parameters) -> str:
    """A text with its parameters in their places; "all" where one was not named."""
    return BLANK.sub(lambda found: _word(found[1], runbook, given) or found[0], text)


def command(text: str, runbook: Runbook, given: Parameters) -> str:
    """A command with its parameters in their places, quoted; "" where it needs one not named."""
    needed = [word for word in BLANK.findall(text) if word.partition(".")[0] in runbook.parameters]
    if any(word.partition(".")[0] not in given for word in needed):
        return ""
    return BLANK.sub(lambda found: shlex.quote(_word(found[1], runbook, given) or found[0]), text)


_HALVES: Mapping[ParameterKind, tuple[str, str]] = {
    "service": ("namespace", "name"),
    "session": ("node", "peer"),
}


def _word(word: str, runbook: Runbook, given: Parameters) -> str:
    name, _, half = word.partition(".")
    parameter = runbook.parameters.get(name)
    if parameter is None:
        return ""
    if name not in given:
        return "the addresses" if parameter.kind == "address" else f"the {parameter.kind}s"
    if not half:
        return given[name]
    halves = _HALVES.get(parameter.kind, ())
    return given[name].split("/", 1)[halves.index(half)] if half in halves else ""
