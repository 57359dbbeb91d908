"""The outcome of a check for people: by category, roots with their proof and their remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from app.diagnosis import inputs as categories
from app.diagnosis.catalog import CODES
from app.diagnosis.inputs import labels
from app.diagnosis.verdict import COUNTED, Verdict, category_of, docs_page, names
from app.model.durations import age, plural
from app.model.finding import Evidence, Finding, Severity
from app.report.json import cluster_item
from collectors.sanitize import one_line, printable

WIDTH = 100
"""Columns at which sentences are wrapped; evidence and commands never are: they are copied."""
EVIDENCE = 6
"""Observations shown of each finding; JSON has all."""
VALUE = 200
"""Characters shown of what was observed; JSON has all."""
HEAD = 0.6
"""Part of them from its beginning, of what is longer: a log line ends with what it is about."""
_CUT = " ... "

_OK = "ok"
_SIGNS = {
    _OK: ("✓", "+"),
    Severity.FAIL: ("✗", "x"),
    Severity.WARN: ("!", "!"),
    Severity.UNKNOWN: ("?", "?"),
    Severity.INFO: ("·", "-"),
}
_COLOURS = {_OK: 32, Severity.FAIL: 31, Severity.WARN: 33, Severity.UNKNOWN: 35, Severity.INFO: 36}


class Pen:
    """How signs are drawn."""

    def __init__(self, *, ascii_only: bool = False, colour: bool = False) -> None:
        self._column = 1 if ascii_only else 0
        self._colour = colour

    def sign(self, verdict: Severity | str) -> str:
        """The sign of a severity, or of `ok`."""
        sign = _SIGNS[verdict][self._column]
        return f"\x1b[{_COLOURS[verdict]}m{sign}\x1b[0m" if self._colour else sign


def text(verdict: Verdict, pen: Pen) -> str:
    """The whole report, a newline at the end."""
    lines = [_heading(verdict), ""]
    for category in verdict.categories:
        lines += [category, "-" * len(category), *_category(verdict, category, pen), ""]
    lines += [*ignored_lines(verdict), _status(verdict, pen)]
    return "\n".join(lines) + "\n"


def short(verdict: Verdict, pen: Pen) -> str:
    """One line for each finding that nothing explains, then for what was left out or not read.

    Empty when there is none of these.
    """
    lines = [
        f"{pen.sign(top.severity)} {top.code} {one_line(top.summary)}{_count(verdict, top)}"
        for top in verdict.tops
        if top.severity is not Severity.INFO
    ]
    lines += ignored_lines(verdict)
    if off := not_read(verdict):
        lines.append(f"{pen.sign(Severity.INFO)} {off}")
    return "".join(f"{line}\n" for line in lines)


def finding_lines(finding: Finding, pen: Pen, causes: Iterable[Finding] = ()) -> Iterator[str]:
    """A finding with its evidence, its remedy, its command and its page."""
    yield from _wrapped(f"{pen.sign(finding.severity)} {finding.code} ", finding.summary, "    ")
    causes = tuple(causes)
    if causes:
        yield from _wrapped("    because   ", names(causes, 3))
    shown = finding.evidence[:EVIDENCE]
    for number, evidence in enumerate(shown):
        yield ("    evidence  " if number == 0 else " " * 14) + evidence_line(evidence)
    if len(finding.evidence) > len(shown):
        yield " " * 14 + f"and {len(finding.evidence) - len(shown)} more (-o json)"
    if finding.remedy:
        yield from remedy_lines("    remedy    ", finding.remedy)
    if finding.command:
        yield f"    command   {one_line(finding.command)}"
    yield f"    docs      {docs_page(finding.code)} (ciliscope explain {finding.code})"


def evidence_line(evidence: Evidence, limit: int = VALUE) -> str:
    """`Service home/grafana: status.conditions[…] = False (services, 3s ago)`."""
    old = "" if evidence.age is None else f", {age(evidence.age)} ago"
    where = ": ".join(filter(None, (evidence.object, evidence.field)))
    value = one_line(evidence.value) or "(empty)"
    if len(value) > limit:
        head = int(limit * HEAD)
        value = f"{value[:head]}{_CUT}{value[head + len(_CUT) - limit :]}"
    return one_line(f"{where} = {value} ({evidence.source}{old})")


def remedy_lines(head: str, remedy: str) -> Iterator[str]:
    """The sentences wrapped; what is indented or a list stays as it is, for it is a manifest."""
    for line in remedy.splitlines():
        if line.startswith((" ", "- ")):
            yield " " * len(head) + printable(line)
        else:
            yield from _wrapped(head, line)
        head = " " * len(head)


def _heading(verdict: Verdict) -> str:
    cluster = cluster_item(verdict.snapshot)
    parts = [f"Cluster {cluster.context or '(no context)'}"]
    parts.append(f"Kubernetes {cluster.kubernetes or 'version unknown'}")
    parts.append(f"Cilium {cluster.cilium or 'version unknown'}")
    parts.append(f"as of {verdict.snapshot.taken_at:%Y-%m-%d %H:%M:%SZ}")
    return one_line(", ".join(parts))


def _category(verdict: Verdict, category: str, pen: Pen) -> Iterator[str]:
    tops, folded = verdict.tops_of(category), verdict.folded(category)
    for top in tops:
        yield from finding_lines(top, pen, verdict.causes(top))
        follow = verdict.follow(top)
        if follow:
            head = f"{plural(len(follow), 'finding')}: "
            yield from _wrapped("    explains  ", head + names(follow, 4))
    if folded:
        yield from _wrapped(f"{pen.sign(folded[0].severity)} ", _shown_elsewhere(verdict, folded))
    if not tops and not folded:
        yield from _nothing_found(verdict, category, pen)
        return
    if missing := verdict.unjudged[category]:
        yield from _wrapped("? ", f"not judged for want of {labels(missing)}")
    if off := not_read(verdict, (category,)):
        yield from _wrapped(f"{pen.sign(Severity.INFO)} ", off)


def _nothing_found(verdict: Verdict, category: str, pen: Pen) -> Iterator[str]:
    missing, off = verdict.unjudged[category], not_read(verdict, (category,))
    if missing:
        text = f"nothing found, but not all was judged for want of {labels(missing)}"
        yield from _wrapped(f"{pen.sign(Severity.UNKNOWN)} ", text)
        if off:
            yield from _wrapped(f"{pen.sign(Severity.INFO)} ", off)
        return
    codes = sum(categories.category(code) == category for code in CODES)
    kept = f" ({off})" if off else ""
    yield from _wrapped(f"{pen.sign(_OK)} ", f"{plural(codes, 'code')} tried, nothing found{kept}")


def not_read(verdict: Verdict, categories: Iterable[str] | None = None) -> str:
    """What was switched off, or not granted as nothing needs it, and these categories would be
    judged from; "" when nothing was."""
    asked, lacking = verdict.not_read(categories), verdict.not_granted(categories)
    texts = [f"not read, as asked: {', '.join(asked)}"] if asked else []
    texts += [f"not read for want of an optional right: {', '.join(lacking)}"] if lacking else []
    return "; ".join(texts)


def _shown_elsewhere(verdict: Verdict, folded: tuple[Finding, ...]) -> str:
    tops = {
        top.id: top for top in verdict.tops if {f.id for f in verdict.follow(top)} & _ids(folded)
    }
    what = f"{plural(len(folded), 'finding')} here "
    what += "follows from " if len(folded) == 1 else "follow from "
    return what + "; ".join(
        f"{top.code} {top.subject} ({category_of(top)})" for top in tops.values()
    )


def _ids(findings: Iterable[Finding]) -> set[str]:
    return {finding.id for finding in findings}


def ignored_lines(verdict: Verdict) -> Iterator[str]:
    """The findings that are left out, each with its reason."""
    for each in verdict.ignored:
        text = f"{each.finding.code} {each.finding.subject}: {each.entry.reason}"
        yield one_line(f"ignored: {text} ({each.entry.place})")


def _status(verdict: Verdict, pen: Pen) -> str:
    counts = verdict.counts()
    worst = next((s for s in COUNTED if counts[s] and s is not Severity.INFO), None)
    words = [f"{counts[s]} {s}" for s in COUNTED if counts[s]]
    follow = len(verdict.findings) - len(verdict.tops)
    if follow:
        words.append(f"{follow} more that follow" if follow > 1 else "1 more that follows")
    if verdict.ignored:
        words.append(f"{len(verdict.ignored)} ignored")
    if not verdict.complete and worst is None:
        worst, words = Severity.UNKNOWN, [*words, "not everything could be judged"]
    return f"{pen.sign(worst or _OK)} {', '.join(words) or 'nothing found'}"


def _count(verdict: Verdict, top: Finding) -> str:
    follow = len(verdict.follow(top))
    return f" (explains {plural(follow, 'finding')})" if follow else ""


def _wrapped(head: str, sentence: str, indent: str | None = None) -> list[str]:
    """The sentence after its head, wrapped under itself (or to an indent)."""
    hang = " " * len(head) if indent is None else indent
    plain = one_line(sentence)
    lines = textwrap.wrap(
        plain, WIDTH - len(hang), break_long_words=False, break_on_hyphens=False
    ) or [""]
    return [head + lines[0], *(hang + line for line in lines[1:])]
