"""The form of an entry in the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

from app.diagnosis.categories import BLOCKS
from app.model.finding import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code of the catalogue."""

    code: str
    """`CSnnn`."""
    title: str
    """What it says, in general terms, without a full stop."""
    severities: tuple[Severity, ...]
    """What it can be; the usual one first."""
    meaning: str
    """What that means and why it matters; Markdown paragraphs."""
    check: str
    """How to see it by hand; Markdown, with commands that only read."""
    fix: str
    """What to do; Markdown, with the manifest to change."""
    source: str
    """Where the fact comes from: Cilium file or documentation page and version, or RFC section."""
    follows_from: tuple[str, ...] = ()
    """Codes of findings that explain one of this code, when they are about what it blames."""

    @property
    def category(self) -> str:
        """The block it belongs to, as `check` names it."""
        return BLOCKS[self.code[2]]
