"""What the diagnosis says: findings, each with its proof, its remedy and what it follows from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

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
    that it carries nothing at this moment, whatever it does at others.
    """

    kind: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}".rstrip()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, odd or unknown."""

    code: str
    """Its code in the catalogue, `CSnnn`; a promise."""
    severity: Severity
    subject: Ref
    """What it is about."""
    detail: str = ""
    """Tells apart two findings of one code about one subject (a family, a container)."""
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
    """Things which, if they are broken, explain this finding: see `app.diagnosis.causes`."""
    definite_at: datetime | None = None
    """Of what is unknown: from when on it can be told, where time alone will tell."""
    caused_by: tuple[str, ...] = ()
    """Ids of the findings that explain this one, the chief one first; filled in by the engine."""

    @property
    def id(self) -> str:
        """What identifies it from one diagnosis to the next: code, subject and detail."""
        parts = (self.code, self.subject.kind, self.subject.namespace, self.subject.name)
        return "/".join((*filter(None, parts), *filter(None, (self.detail,))))

    @property
    def advice(self) -> str:
        """The remedy in a sentence or two, without the manifest that may stand under it."""
        lines = self.remedy.splitlines()
        return " ".join(line for line in lines if not is_manifest(line))

    @property
    def root(self) -> bool:
        """Whether nothing else explains it."""
        return not self.caused_by


def is_manifest(line: str) -> bool:
    """Whether a line of a remedy is part of a manifest, which is indented or a list."""
    return line.startswith((" ", "- "))


def worst(findings: Iterable[Finding]) -> Health:
    """How a thing is about which these findings were made; `ok` without any."""
    healths: list[Health] = [health_of(finding.severity) for finding in findings]
    return min(healths, key=rank, default="ok")
