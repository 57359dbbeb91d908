"""What happens in a run of a runbook, as it is recorded: each with its time and who did it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from app.model.finding import Evidence, Finding, Severity
from app.runbooks.schema import Verdict

Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A time; a transcript is read where the clock may show another zone."""


class Seen(Struct, frozen=True, rename="camel"):
    """One observation, with the time at which it was made."""

    source: str
    object: str
    field: str
    value: str
    at: Moment | None = None
    """None: that is not known."""


class Noticed(Struct, frozen=True, rename="camel"):
    """A finding that a verdict rests on."""

    id: str
    code: str
    severity: Severity
    summary: str
    remedy: str = ""
    command: str = ""
    evidence: tuple[Seen, ...] = ()


class _Entry(Struct, frozen=True, rename="camel", tag_field="entry"):
    at: Moment
    by: str
    """`user@host`."""


class Begun(_Entry, frozen=True, tag="begun"):
    """The run begins."""


class Resumed(_Entry, frozen=True, tag="resumed"):
    """Somebody goes on with it."""

    context: str = ""
    """The context of the kubeconfig by then; "" where it was not known yet."""


class Judged(_Entry, frozen=True, tag="judged"):
    """The live data says this of a step: the first time, or otherwise than before."""

    step: str
    verdict: Verdict
    because: str
    findings: tuple[Noticed, ...] = ()
    evidence: tuple[Seen, ...] = ()


class Answered(_Entry, frozen=True, tag="answered"):
    """Somebody has looked where ciliscope cannot."""

    step: str
    choice: str
    says: str
    verdict: Verdict


class Ran(_Entry, frozen=True, tag="ran"):
    """What a step may run was run."""

    step: str
    command: str
    verdict: Verdict
    says: str
    """How it ended, in one sentence."""
    lines: tuple[str, ...] = ()
    """The end of what it printed."""


class Moved(_Entry, frozen=True, tag="moved"):
    """On to the next step."""

    step: str
    verdict: Verdict
    """With which the step was left."""
    to: str


class Skipped(_Entry, frozen=True, tag="skipped"):
    """On to the next step without a verdict."""

    step: str
    reason: str
    to: str


class Back(_Entry, frozen=True, tag="back"):
    """Back to the step before."""

    step: str
    to: str


class Noted(_Entry, frozen=True, tag="noted"):
    """Somebody has written something down."""

    step: str
    text: str


Entry: TypeAlias = Begun | Resumed | Judged | Answered | Ran | Moved | Skipped | Back | Noted


def seen(evidence: Iterable[Evidence], now: datetime) -> tuple[Seen, ...]:
    """Observations with their times instead of their ages."""
    return tuple(
        Seen(
            source=each.source,
            object=each.object,
            field=each.field,
            value=each.value,
            at=None if each.age is None else now - timedelta(seconds=each.age),
        )
        for each in evidence
    )


def noticed(finding: Finding, now: datetime) -> Noticed:
    """A finding, as it is recorded."""
    return Noticed(
        id=finding.id,
        code=finding.code,
        severity=finding.severity,
        summary=finding.summary,
        remedy=finding.remedy,
        command=finding.command,
        evidence=seen(finding.evidence, now),
    )
