"""The verdict of a check in words: as one sentence, in short, and whole.

The sentence claims no more than was judged: what could not be read is called unknown, never well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.diagnosis import inputs as categories
from app.diagnosis.catalog import CODES
from app.diagnosis.diagnoser import COUNTED, Verdict, category_of
from app.diagnosis.inputs import labels
from app.diagnosis.service_path.path import ServicePath
from app.diagnosis.service_path.paths import service_paths
from app.model.case import Case
from app.model.finding import Finding, Health, Severity, health_of
from app.model.wording import count, named
from app.report.finding_lines import REPORT, finding_lines, labelled, names
from app.report.json import cluster_item
from app.report.lines import BLANK, Paragraph, Pen, signed, whole
from app.state.kinds import SERVICES
from app.state.snapshot import State
from collectors.sanitize import one_line

_SERVICES = "LoadBalancer service"


@dataclass(frozen=True, slots=True)
class Headline:
    """One sentence and how good it is."""

    health: Health
    text: str


@dataclass(frozen=True, slots=True)
class Reachability:
    """How the LoadBalancer services fare, by the ways of theirs."""

    total: int
    broken: int
    """Services whose way breaks before the router, and of which no prefix is announced."""
    partly: int
    """Other services of which something is missing or odd."""
    unknown: int
    """Services of whose way some hop could not be judged, and none is broken."""
    dark: int
    """Those of them of which more is not known than whether further nodes announce them."""


def headline(case: Case, verdict: Verdict) -> Headline:
    """What is broken, in one sentence; a calm one where nothing is."""
    counts = verdict.counts()
    fails, warns = counts[Severity.FAIL], counts[Severity.WARN]
    reach = reach_of(case, verdict) if case.known(SERVICES) else None
    if fails:
        return Headline("fail", _broken(fails, reach))
    waits = [h.label for h in verdict.snapshot.health.values() if h.state is State.LOADING]
    if waits:
        return Headline("unknown", f"Nothing wrong so far; still reading {named(waits)} …")
    if warns:
        return Headline(
            "warn",
            f"{count(warns, 'thing wants', 'things want')} attention. {_served(case, reach)}",
        )
    if counts[Severity.UNKNOWN] or not verdict.complete:
        return Headline("unknown", f"{_unjudged(verdict)}. {_served(case, reach)}")
    return Headline("ok", _served(case, reach))


def reach_of(case: Case, verdict: Verdict) -> Reachability:
    """How many services there are, and on how many of their ways something is amiss."""
    amiss = {
        finding.subject.namespace + "/" + finding.subject.name
        for finding in verdict.findings
        if finding.subject.kind == "Service" and finding.severity in (Severity.FAIL, Severity.WARN)
    }
    paths = service_paths(case)
    broken = {key for key, path in paths.items() if path.broken is not None and not _seen(path)}
    unknown = {key for key, path in paths.items() if key not in broken and path.unknown}
    dark = sum(not paths[key].partly_known for key in unknown)
    return Reachability(len(paths), len(broken), len(amiss - broken), len(unknown), dark)


def affected(verdict: Verdict, top: Finding) -> tuple[tuple[str, int], ...]:
    """What a cause strikes, by what it is and how many: `(("service", 12), ("session", 3))`."""
    struck = {top.subject, *top.about}
    for finding in verdict.follow(top):
        struck |= {finding.subject, *finding.about}
    counted = Counter(ref.kind for ref in struck)
    return tuple((noun, counted[kind]) for kind, noun in _NOUNS if counted[kind])


_NOUNS = (("Service", "service"), ("Session", "session"), ("Node", "node"))


def _broken(fails: int, reach: Reachability | None) -> str:
    causes = f"{count(fails, 'cause')}."
    if reach is not None and reach.broken:
        is_ = "is" if reach.broken == 1 else "are"
        of = f"{reach.broken} of {count(reach.total, _SERVICES)}"
        return f"{of} {is_} not reachable. {causes}"
    what = f"{count(fails, 'thing')} {'is' if fails == 1 else 'are'} broken"
    if reach is None or not reach.total:
        return f"{what}."
    if reach.partly:
        of = f"{reach.partly} of {count(reach.total, _SERVICES)}"
        return f"{what}; {of} {'is' if reach.partly == 1 else 'are'} only partly served."
    if reach.dark:
        return f"{what}; how {count(reach.dark, _SERVICES)} fare is not known."
    return f"{what}; no LoadBalancer service is cut off."


def _served(case: Case, reach: Reachability | None) -> str:
    """What can be said of the services while nothing fails."""
    if reach is None:
        return "The services have not been read."
    if not reach.total:
        return "There is no LoadBalancer service."
    every = (
        f"All {count(reach.total, _SERVICES)}" if reach.total > 1 else "The LoadBalancer service"
    )
    have = "have" if reach.total > 1 else "has"
    if reach.unknown:
        unknown = "whether it is announced" if reach.total == 1 else f"how {reach.unknown} fare"
        return f"{every} {have} an address; {unknown} is not known."
    if not case.sessions:
        return f"{every} {have} an address; no BGP session is configured."
    are = "are" if reach.total > 1 else "is"
    return f"{every} {have} an address and {are} announced by every node that should."


def _unjudged(verdict: Verdict) -> str:
    missing = dict.fromkeys(h.label for unread in verdict.unjudged.values() for h in unread)
    of = f" for want of {named(missing)}" if missing else ""
    return f"Nothing wrong is seen, but not everything could be judged{of}"


def _seen(path: ServicePath) -> bool:
    """Whether some of its prefixes is announced all the same: one family may be broken alone."""
    return any(prefix.actual for prefix in path.prefixes)


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
    yield from (whole(_heading(verdict)), BLANK)
    for category in verdict.categories:
        yield from (whole(category), whole("-" * len(category)))
        yield from (*_category(verdict, category), BLANK)
    yield from map(whole, ignored_lines(verdict))
    yield _status(verdict)


def _short(verdict: Verdict) -> Iterator[Paragraph]:
    for top in verdict.tops:
        if top.severity is not Severity.INFO:
            follow = len(verdict.follow(top))
            explains = f" (explains {count(follow, 'finding')})" if follow else ""
            sentence = f"{top.code} {one_line(top.summary)}{explains}"
            yield signed(health_of(top.severity), sentence, whole=True)
    yield from map(whole, ignored_lines(verdict))
    if off := not_read(verdict):
        yield signed("none", off, whole=True)


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
        yield signed(health_of(folded[0].severity), one_line(_elsewhere(verdict, folded)))
    missing, off = verdict.unjudged[category], not_read(verdict, (category,))
    if tops or folded:
        if missing:
            yield signed("unknown", f"not judged for want of {labels(missing)}")
    elif missing:
        lacking = f"for want of {labels(missing)}"
        yield signed("unknown", f"nothing found, but not all was judged {lacking}")
    else:
        codes = sum(categories.category(code) == category for code in CODES)
        left = f" ({off})" if off else ""
        yield signed("ok", f"{count(codes, 'code')} tried, nothing found{left}")
        return
    if off:
        yield signed("none", off)


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
    return signed(health, ", ".join(words) or "nothing found", whole=True)
