"""The whole verdict in one sentence: how the LoadBalancer services fare, and how many causes.

It claims no more than was judged: what could not be read is said to be unknown, never well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.diagnosis.service_path.path import ServicePath
from app.diagnosis.service_path.paths import service_paths
from app.model.finding import Finding, Severity
from app.model.wording import count
from app.state.kinds import SERVICES
from app.state.snapshot import State

if TYPE_CHECKING:
    from app.diagnosis.verdict import Verdict
    from app.model.case import Case
    from app.model.finding import Health

_SERVICES = "LoadBalancer service"
_MOST = 3
"""Names listed at most."""


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
        return Headline("unknown", f"Nothing wrong so far; still reading {_listed(waits)} …")
    if warns:
        return Headline("warn", f"{_wants(warns)}. {_served(case, reach)}")
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


def _wants(warns: int) -> str:
    return f"{count(warns, 'thing')} {'wants' if warns == 1 else 'want'} attention"


def _unjudged(verdict: Verdict) -> str:
    missing = dict.fromkeys(h.label for unread in verdict.unjudged.values() for h in unread)
    of = f" for want of {_listed(list(missing))}" if missing else ""
    return f"Nothing wrong is seen, but not everything could be judged{of}"


def _seen(path: ServicePath) -> bool:
    """Whether some of its prefixes is announced all the same: one family may be broken alone."""
    return any(prefix.actual for prefix in path.prefixes)


def _listed(words: list[str]) -> str:
    rest = len(words) - _MOST
    return ", ".join(words[:_MOST]) + (f" and {rest} more" if rest > 0 else "")
