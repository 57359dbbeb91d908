"""What `check --wait` waits for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.diagnosis.catalog import CODES
from app.diagnosis.verdict import Verdict
from app.model.finding import Severity
from app.state.snapshot import State

ALLOWED = "ok, no-warn, or 'CODE gone' with a code of docs/findings, as 'CS401 gone'"

_GONE = re.compile(r"(CS\d{3})[ =:-]+gone", re.IGNORECASE)
_MAY_COME = (State.LOADING, State.FAILING, State.STALE)
"""While a source is so, that nothing is found says nothing; a missing right stays missing."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that comes true or does not."""

    text: str
    code: str = ""
    """The code that is to go; "": severities decide."""
    no_warn: bool = False

    def holds(self, verdict: Verdict) -> bool:
        """Whether it is true now, and known to be."""
        silent = (health for sources in verdict.unjudged.values() for health in sources)
        if any(health.state in _MAY_COME for health in silent):
            return False
        if self.code:
            return all(finding.code != self.code for finding in verdict.findings)
        return not verdict.reached(Severity.WARN if self.no_warn else Severity.FAIL)


def parse_condition(text: str) -> Condition:
    """The condition that a text names. Raises ValueError."""
    words = " ".join(text.split())
    if words in ("ok", "no-warn"):
        return Condition(words, no_warn=words == "no-warn")
    gone = _GONE.fullmatch(words)
    code = gone[1].upper() if gone else ""
    if code not in CODES:
        raise ValueError(text)
    return Condition(f"{code} gone", code=code)
