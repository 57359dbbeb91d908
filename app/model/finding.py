"""What the diagnosis says: findings, each with its proof, its remedy and what it follows from.

Rules write commands as a reader of the documentation would type them. Who copies one is perhaps in
another context, by `--context` or after `:ctx`: there the same command asks another cluster. A
manifest is given only where it is certain what it must contain; else words must do.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Literal, TypeAlias

from app.state.derived import grouped

Health = Literal["ok", "warn", "fail", "unknown", "none"]
"""How a thing is, in the words of the screens."""

FAULTS = frozenset({"fail", "warn", "unknown"})
"""What needs an operator."""


class Severity(StrEnum):
    """How bad it is."""

    FAIL = "fail"
    """Something that should work does not."""
    WARN = "warn"
    """It works, and will not for long, or not as it seems."""
    INFO = "info"
    """Worth knowing."""
    UNKNOWN = "unknown"
    """It could not be determined."""


_HEALTH: Mapping[Severity, Health] = {
    Severity.FAIL: "fail",
    Severity.WARN: "warn",
    Severity.UNKNOWN: "unknown",
}
_RANK: Mapping[Health, int] = {"fail": 0, "unknown": 1, "warn": 2, "ok": 3, "none": 4}


def health_of(severity: Severity) -> Health:
    """How a thing is about which such a finding was made; `none` for what is worth knowing."""
    return _HEALTH.get(severity, "none")


def rank(health: Health) -> int:
    """Its place, the worst first."""
    return _RANK[health]


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """A thing in the cluster, as findings point at it: by kind and name.

    Kinds are the Kubernetes kinds (`Service`, `Node`, `CiliumLoadBalancerIPPool` …) and four of
    the field: `Session` (name `NODE/PEER-ADDRESS`), `Peer` (its address), `Prefix`, `Source` (a
    source's label). `Cluster` is the whole, with an empty name. `Loss` is named like a session:
    that it carries nothing at this moment, whatever it does at others. `Dispute` is that several
    ClusterConfigs select a node.
    """

    kind: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}".rstrip()


def service_ref(key: str) -> Ref:
    """A service, by its key."""
    namespace, _, name = key.rpartition("/")
    return Ref("Service", name, namespace)


def session_ref(node: str, address: str) -> Ref:
    """The session of a node with a peer's address."""
    return Ref("Session", f"{node}/{address}")


def loss_ref(node: str, address: str) -> Ref:
    """This session as one that carries nothing at this moment."""
    return Ref("Loss", f"{node}/{address}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation that a finding rests on."""

    source: str
    """Who said it: a source's label (`services`), or a command (`cilium bgp peers`)."""
    object: str
    """What it was said of: `Service home/grafana`, `CiliumBGPNodeConfig talos-cp-1`, a pod."""
    field: str
    """Where: a field path (`status.conditions[cilium.io/IPAMRequestSatisfied]`), a log's time."""
    value: str
    """What was said, as it was said."""
    age: float | None = None
    """Seconds since it was read, or since it was said where that is known; None: not known."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What is found, and about what."""

    code: str
    """Its code in the catalogue, `CSnnn`; a promise."""
    severity: Severity
    subject: Ref
    """What it is about."""
    detail: str = ""
    """Tells apart two findings of one code about one subject (a family, a container)."""

    @property
    def id(self) -> str:
        """What identifies it from one diagnosis to the next: code, subject and detail."""
        parts = (self.code, self.subject.kind, self.subject.namespace, self.subject.name)
        return "/".join((*filter(None, parts), *filter(None, (self.detail,))))

    def finding(
        self,
        *,
        summary: str,
        evidence: tuple[Evidence, ...],
        remedy: str,
        command: str = "",
        about: tuple[Ref, ...] = (),
        explains: tuple[Ref, ...] | None = None,
        blames: tuple[Ref, ...] = (),
        definite_at: datetime | None = None,
    ) -> Finding:
        """The finding that says this; see there what each of these is."""
        return Finding(
            self.code,
            self.severity,
            self.subject,
            self.detail,
            summary=summary,
            evidence=evidence,
            remedy=remedy,
            command=command,
            about=about,
            explains=explains,
            blames=blames,
            definite_at=definite_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Topic):
    """One thing that is wrong, odd or unknown."""

    summary: str
    """One sentence with the actual names and values; no full stop at its end."""
    evidence: tuple[Evidence, ...] = ()
    remedy: str = ""
    """What to do, in the user's terms: the manifest to change and how, or what to look at on the
    router."""
    command: str = ""
    """A command that only reads and shows the same by hand, ready to be copied."""
    about: tuple[Ref, ...] = ()
    """Everything that this says is broken, beside the subject: what may explain other findings."""
    explains: tuple[Ref, ...] | None = None
    """What may explain other findings, where that is not simply all that this is about."""
    blames: tuple[Ref, ...] = ()
    """Things which, if they are broken, explain this finding: see `app.diagnosis.catalog`."""
    definite_at: datetime | None = None
    """Of what is unknown: from when on it can be told, where time alone will tell."""
    caused_by: tuple[str, ...] = ()
    """Ids of the findings that explain this one, the chief one first; filled in by the engine."""

    @property
    def advice(self) -> str:
        """The remedy in a sentence or two, without the manifest that may stand under it."""
        lines = self.remedy.splitlines()
        return " ".join(line for line in lines if not is_manifest(line))

    @property
    def root(self) -> bool:
        """Whether nothing else explains it."""
        return not self.caused_by


def by_ref(findings: Iterable[Finding]) -> Mapping[Ref, tuple[Finding, ...]]:
    """Findings by each thing that they are about, in their order."""
    return grouped((ref, each) for each in findings for ref in {each.subject, *each.about})


def is_manifest(line: str) -> bool:
    """Whether a line of a remedy is part of a manifest, which is indented or a list."""
    return line.startswith((" ", "- "))


def worst(findings: Iterable[Finding]) -> Health:
    """How a thing is about which these findings were made; `ok` without any."""
    healths: list[Health] = [health_of(finding.severity) for finding in findings]
    return min(healths, key=rank, default="ok")


_PROGRAMS = re.compile(
    r"""'[^']*' | "(?:\\.|[^"\\])*"           # quoted: words for somebody else
    | (?:^|[;|&(])\s*(?:kubectl|cilium|ciliscope)(?=\s|$)
      (?![^;|&]*\s--context\b)""",
    re.VERBOSE | re.MULTILINE,
)


@lru_cache(maxsize=4096)
def in_context(command: str, context: str) -> str:
    """The command with `--context` for every program in it that asks the cluster.

    Pipes, other programs and what is quoted stay as they are, and so does a program that is told
    its context already. Without a context ("") nothing is changed.
    """
    if not context:
        return command
    flag = f" --context {shlex.quote(context)}"

    def with_flag(found: re.Match[str]) -> str:
        words = found.group()
        return words if words.startswith(("'", '"')) else words + flag

    return _PROGRAMS.sub(with_flag, command)


Value: TypeAlias = "str | int | Sequence[Value] | Mapping[str, Value]"

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
"""What YAML 1.1 takes for something else than text."""


def with_manifest(sentence: str, manifest: Mapping[str, Value]) -> str:
    """The sentence, and under it the part of the manifest that says the same, indented."""
    return "\n".join((sentence, *(f"  {line}" for line in _lines(manifest))))


def _lines(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, str | int):
                yield f"{_scalar(key)}: {_scalar(each)}"
            else:
                yield f"{_scalar(key)}:"
                yield from (f"  {line}" for line in _lines(each))
    elif not isinstance(value, str | int):
        for each in value:
            first, *rest = _lines(each)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _scalar(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)
