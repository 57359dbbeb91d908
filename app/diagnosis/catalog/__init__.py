"""The catalogue of findings: one page a code (`CSnnn.md` in this folder), and which explains which.

A page has a head (front matter) with the facts of its code, and a text in four parts: what the
finding means, how to see it by hand, what to do, and its source. A page is read when it is first
asked for. A code never changes its meaning and is never used again for another.

A root cause is reported once, and what follows is folded under it. A finding is caused by another
when its code's `follows_from` names the other's code and the other is about something that it
blames, or declares to explain it where that is less. Both are declared, by the catalogue and by
the rule, so that causality can be read and tested; nothing is guessed from likeness or order. Of
several causes the worst stands first, among these the one that is about most of what the finding
blames, and then the one that explains most findings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from app.diagnosis.inputs import category
from app.model.finding import Finding, Ref, Severity
from app.state.derived import grouped

FOLDER = Path(__file__).parent

CODES: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("CS*.md")))
"""Every code, in order."""

SECTIONS = ("How to see it by hand", "What to do", "Source")
"""The headings of a page, in order; what the finding means comes before the first."""

TEXTS = ("title", "short", "pod_status", "hop", "step")
"""Keys of the front matter whose value is a text, in double quotes where YAML asks for them."""
LISTS = ("severities", "follows_from", "runbooks")
"""Keys whose value is a list of words, `[a, b]`."""

_FENCE = "---"
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)


class BadPage(Exception):
    """A page that cannot be read; one sentence that says why."""


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
    runbooks: tuple[str, ...] = ()
    """Built-in runbooks to begin with: the best first, then those for when it lacks a parameter."""
    step: str = ""
    """The step of the first runbook that looks for it; "": the runbook itself names the code."""
    hop: str = ""
    """The hop that shows why a service lacks an address: class or pool; "": address."""
    short: str = ""
    """What it means for a service, in a few words; "": its title says it."""
    pod_status: str = ""
    """What is wrong with a pod that runs, in one or two words; "": it says nothing of a pod."""

    @property
    def category(self) -> str:
        """The category it belongs to, as `check` names it."""
        return category(self.code)


@cache
def code(name: str) -> Code:
    """The entry of a code. Raises KeyError for an unknown one, BadPage for one that is no page."""
    if name not in CODES:
        raise KeyError(name)
    return parse(name, (FOLDER / f"{name}.md").read_text("utf-8"))


def docs_page(code: str) -> str:
    """The page of a code, from the root of the repository."""
    return f"app/diagnosis/catalog/{code}.md"


def parse(name: str, text: str) -> Code:
    """The entry that a page describes. Raises BadPage."""
    opening, _, rest = text.partition("\n")
    head, closing, body = rest.partition(f"\n{_FENCE}\n")
    if opening != _FENCE or not closing:
        raise BadPage(f"{name}: front matter between two lines {_FENCE} is missing")
    texts, lists = _facts(name, head)
    meaning, check, fix, source = _sections(name, body)
    return Code(
        code=name,
        title=texts["title"],
        severities=_severities(name, lists["severities"]),
        meaning=meaning,
        check=check,
        fix=fix,
        source=source,
        follows_from=lists.get("follows_from", ()),
        runbooks=lists.get("runbooks", ()),
        step=texts.get("step", ""),
        hop=texts.get("hop", ""),
        short=texts.get("short", ""),
        pod_status=texts.get("pod_status", ""),
    )


def _facts(name: str, head: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The values of the front matter: texts, and lists of words. Raises BadPage."""
    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for line in head.splitlines():
        key, colon, value = line.partition(": ")
        if key in texts or key in lists:
            raise BadPage(f"{name}: {key} is given twice")
        if not colon or not value.strip():
            raise BadPage(f"{name}: {line!r} is not KEY: VALUE")
        if key in TEXTS:
            texts[key] = value[1:-1] if value[0] == value[-1] == '"' else value
        elif key in LISTS:
            lists[key] = _words(name, key, value)
        else:
            raise BadPage(f"{name}: unknown key {key}; keys are {', '.join((*TEXTS, *LISTS))}")
    for key in ("title", "severities"):
        if key not in texts and key not in lists:
            raise BadPage(f"{name}: {key} is missing")
    return texts, lists


def _words(name: str, key: str, value: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in value[1:-1].split(","))
    if value[0] + value[-1] != "[]" or not all(words):
        raise BadPage(f"{name}: {key} is {value}; it must be a list, as [a, b]")
    if len(set(words)) < len(words):
        raise BadPage(f"{name}: {key} names something twice")
    return words


def _severities(name: str, words: tuple[str, ...]) -> tuple[Severity, ...]:
    try:
        return tuple(map(Severity, words))
    except ValueError as problem:
        raise BadPage(f"{name}: severities: {problem}; they are {', '.join(Severity)}") from None


def _sections(name: str, body: str) -> tuple[str, str, str, str]:
    """The four parts of the text. Raises BadPage."""
    meaning, *rest = _HEADING.split(body)
    headings, texts = rest[::2], [text.strip() for text in (meaning, *rest[1::2])]
    if tuple(headings) != SECTIONS:
        raise BadPage(
            f"{name}: its sections are {', '.join(headings) or 'none'}; "
            f"they must be {', '.join(SECTIONS)}, in this order"
        )
    for heading, text in zip(("the text before the first heading", *SECTIONS), texts, strict=True):
        if not text:
            raise BadPage(f"{name}: {heading} is empty")
    meaning, check, fix, source = texts
    return meaning, check, fix, source


ORDER = {Severity.FAIL: 0, Severity.UNKNOWN: 1, Severity.WARN: 2, Severity.INFO: 3}
"""The worse before the better."""


def linked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings with `caused_by` filled in, in the same order."""
    findings = tuple(findings)
    by_ref = grouped((ref, finding) for finding in findings for ref in _explains(finding))
    shares = [_shares(each, code(each.code).follows_from, by_ref) for each in findings]
    explains = Counter(cause for found in shares for cause in found)
    severities = {finding.id: finding.severity for finding in findings}

    def ordered(found: Mapping[str, int]) -> tuple[str, ...]:
        def rank(cause: str) -> tuple[int, int, int, str]:
            return (ORDER[severities[cause]], -found[cause], -explains[cause], cause)

        return tuple(sorted(found, key=rank))

    return tuple(
        replace(effect, caused_by=ordered(found)) if found else effect
        for effect, found in zip(findings, shares, strict=True)
    )


def consequences(findings: Iterable[Finding], root: Finding) -> tuple[Finding, ...]:
    """What follows from a finding, directly or through others."""
    by_cause = grouped((cause, finding) for finding in findings for cause in finding.caused_by)
    seen: dict[str, Finding] = {}
    waiting = [root.id]
    while waiting:
        for finding in by_cause.get(waiting.pop(), ()):
            if finding.id not in seen:
                seen[finding.id] = finding
                waiting.append(finding.id)
    return in_order(seen.values())


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Roots before what follows from them, worse before better, then by id."""
    return tuple(sorted(findings, key=_rank))


def _rank(finding: Finding) -> tuple[bool, int, str]:
    return (not finding.root, ORDER[finding.severity], finding.id)


def _explains(finding: Finding) -> frozenset[Ref]:
    if finding.explains is not None:
        return frozenset(finding.explains)
    return frozenset((finding.subject, *finding.about))


def _shares(
    effect: Finding, follows_from: tuple[str, ...], by_ref: Mapping[Ref, Sequence[Finding]]
) -> Mapping[str, int]:
    """What explains a finding, and of how many of the things that it blames each tells."""
    if not follows_from or not effect.blames:
        return {}
    return Counter(
        cause.id
        for ref in dict.fromkeys(effect.blames)
        for cause in by_ref.get(ref, ())
        if cause.code in follows_from and cause.id != effect.id
    )


def concerning(findings: Iterable[Finding], refs: Iterable[Ref]) -> tuple[Finding, ...]:
    """Findings about these things and everything that explains those, roots first."""
    findings, wanted = tuple(findings), set(refs)
    by_id = {finding.id: finding for finding in findings}
    waiting = [f.id for f in findings if wanted & {f.subject, *f.about}]
    texts: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each not in texts and each in by_id:
            texts.add(each)
            waiting += by_id[each].caused_by
    return tuple(finding for finding in findings if finding.id in texts)
