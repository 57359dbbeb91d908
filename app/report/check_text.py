"""The outcome of a check as text: by category, root causes with their evidence and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from app.diagnosis import inputs as categories
from app.diagnosis.catalog import CODES
from app.diagnosis.inputs import labels
from app.diagnosis.verdict import COUNTED, Verdict, category_of
from app.model.finding import Finding, Severity, health_of
from app.model.wording import count
from app.report.finding_lines import REPORT, finding_lines, labelled, names
from app.report.json import cluster_item
from app.report.lines import SIGN, Paragraph, Pen, Span, plain
from collectors.sanitize import one_line

if TYPE_CHECKING:
    from app.model.finding import Health

_BLANK = Paragraph(())


def text(verdict: Verdict, pen: Pen) -> str:
    """The whole report, a newline at the end."""
    return pen.text(_report(verdict))


def short(verdict: Verdict, pen: Pen) -> str:
    """One line for each finding that nothing explains, then for what was left out or not read.

    Empty when there is none of these.
    """
    return pen.text(_short(verdict))


def not_read(verdict: Verdict, categories: Iterable[str] | None = None) -> str:
    """What was switched off, or not granted as nothing needs it, and these categories would be
    judged from; "" when nothing was."""
    asked, lacking = verdict.not_read(categories), verdict.not_granted(categories)
    texts = [f"not read, as asked: {', '.join(asked)}"] if asked else []
    texts += [f"not read for want of an optional right: {', '.join(lacking)}"] if lacking else []
    return "; ".join(texts)


def ignored_lines(verdict: Verdict) -> Iterator[str]:
    """The findings that are left out, each with its reason."""
    for each in verdict.ignored:
        text = f"{each.finding.code} {each.finding.subject}: {each.entry.reason}"
        yield one_line(f"ignored: {text} ({each.entry.place})")


def _report(verdict: Verdict) -> Iterator[Paragraph]:
    yield from (_whole(_heading(verdict)), _BLANK)
    for category in verdict.categories:
        yield from (_whole(category), _whole("-" * len(category)))
        yield from (*_category(verdict, category), _BLANK)
    yield from map(_whole, ignored_lines(verdict))
    yield _status(verdict)


def _short(verdict: Verdict) -> Iterator[Paragraph]:
    for top in verdict.tops:
        if top.severity is not Severity.INFO:
            follow = len(verdict.follow(top))
            explains = f" (explains {count(follow, 'finding')})" if follow else ""
            sentence = f"{top.code} {one_line(top.summary)}{explains}"
            yield _signed(health_of(top.severity), sentence, whole=True)
    yield from map(_whole, ignored_lines(verdict))
    if off := not_read(verdict):
        yield _signed("none", off, whole=True)


def _heading(verdict: Verdict) -> str:
    cluster = cluster_item(verdict.snapshot)
    parts = [f"Cluster {cluster.context or '(no context)'}"]
    parts.append(f"Kubernetes {cluster.kubernetes or 'version unknown'}")
    parts.append(f"Cilium {cluster.cilium or 'version unknown'}")
    parts.append(f"as of {verdict.snapshot.taken_at:%Y-%m-%d %H:%M:%SZ}")
    return one_line(", ".join(parts))


def _category(verdict: Verdict, category: str) -> Iterator[Paragraph]:
    tops, folded = verdict.tops_of(category), verdict.folded(category)
    for top in tops:
        yield from finding_lines(top, REPORT, verdict.causes(top))
        if follow := verdict.follow(top):
            head = f"{count(len(follow), 'finding')}: "
            yield labelled("explains", one_line(head + names(follow, 4)))
    if folded:
        yield _signed(health_of(folded[0].severity), _elsewhere(verdict, folded))
    missing, off = verdict.unjudged[category], not_read(verdict, (category,))
    if tops or folded:
        if missing:
            yield _signed("unknown", f"not judged for want of {labels(missing)}")
    elif missing:
        lacking = f"for want of {labels(missing)}"
        yield _signed("unknown", f"nothing found, but not all was judged {lacking}")
    else:
        codes = sum(categories.category(code) == category for code in CODES)
        left = f" ({off})" if off else ""
        yield _signed("ok", f"{count(codes, 'code')} tried, nothing found{left}")
        return
    if off:
        yield _signed("none", off)


def _elsewhere(verdict: Verdict, folded: tuple[Finding, ...]) -> str:
    """Which findings of other categories explain these."""
    ids = {finding.id for finding in folded}
    tops = {top.id: top for top in verdict.tops if ids & {each.id for each in verdict.follow(top)}}
    what = f"{count(len(folded), 'finding')} here "
    what += "follows from " if len(folded) == 1 else "follow from "
    return what + "; ".join(
        f"{top.code} {top.subject} ({category_of(top)})" for top in tops.values()
    )


def _status(verdict: Verdict) -> Paragraph:
    counts = verdict.counts()
    worst = next((s for s in COUNTED if counts[s] and s is not Severity.INFO), None)
    words = [f"{counts[s]} {s}" for s in COUNTED if counts[s]]
    follow = len(verdict.findings) - len(verdict.tops)
    if follow:
        words.append(count(follow, "more that follows", "more that follow"))
    if verdict.ignored:
        words.append(f"{len(verdict.ignored)} ignored")
    if not verdict.complete and worst is None:
        worst, words = Severity.UNKNOWN, [*words, "not everything could be judged"]
    health = health_of(worst) if worst else "ok"
    return _signed(health, ", ".join(words) or "nothing found", whole=True)


def _signed(health: Health, sentence: str, *, whole: bool = False) -> Paragraph:
    sign = (Span(SIGN[health], health), Span(" "))
    return Paragraph(sign, plain(one_line(sentence)), whole=whole)


def _whole(text: str) -> Paragraph:
    return Paragraph((), plain(text), whole=True)
