"""What a runbook is: when it helps, what it asks for, its steps, and where each verdict leads.

A runbook is data: a step names what is looked at (findings, a hop of a service's way, a table, a
log), never how. So nothing in a file can change a cluster, or be judged otherwise than by `check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from app.diagnosis.service_path.path import HopName

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

TableName: TypeAlias = Literal[
    "pods",
    "nodes",
    "sessions",
    "routes",
    "services",
    "pools",
    "agents",
    "policies",
    "endpoints",
    "config",
    "sources",
]
"""A table, as `get` prints it."""

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
