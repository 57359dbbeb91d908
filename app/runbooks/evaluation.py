"""A step held against the cluster as it is now: its verdict, why, and what that rests on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.diagnosis import inputs as categories
from app.diagnosis.catalog import CODES, concerning
from app.diagnosis.diagnoser import Verdict as Outcome
from app.diagnosis.inputs import INPUTS, labels, unread
from app.diagnosis.service_path.path import Hop, HopState
from app.diagnosis.service_path.paths import path_of
from app.model.case import Case
from app.model.finding import Evidence, Finding, Severity
from app.model.wording import count, more
from app.runbooks.schema import Look, Parameters, Runbook, Step, StepVerdict, refs
from app.state.kinds import SERVICES, Kind
from app.state.snapshot import SourceHealth

_WORST = (StepVerdict.FAIL, StepVerdict.UNKNOWN, StepVerdict.PASS)
_HOPS = {
    HopState.OK: StepVerdict.PASS,
    HopState.BROKEN: StepVerdict.FAIL,
    HopState.UNKNOWN: StepVerdict.UNKNOWN,
    HopState.NOT_REACHED: StepVerdict.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class View:
    """The cluster at one moment, as a runbook looks at it."""

    case: Case
    outcome: Outcome
    """What was found in it."""

    @property
    def known(self) -> Mapping[str, Finding]:
        """All findings by their id, those of other categories included."""
        return {f.id: f for f in (*self.outcome.findings, *self.outcome.elsewhere)}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one look, or a whole step, says."""

    verdict: StepVerdict
    because: str
    """One sentence, without a full stop."""
    findings: tuple[Finding, ...] = ()
    """What is wrong or not known: what explains the rest first."""
    evidence: tuple[Evidence, ...] = ()
    """What it rests on beside the evidence of the findings."""
    hops: tuple[Hop, ...] = ()


def judge(runbook: Runbook, step: Step, given: Parameters, view: View) -> Judgement | None:
    """What the live data says of a step; None where nothing in it judges."""
    shown = [
        _of_hop(look, given, view, verify=step.verify)
        if look.hop
        else _of_findings(runbook, look, given, view)
        for look in step.look
        if look.findings or look.hop
    ]
    if not shown:
        return None
    shown.sort(key=lambda judgement: _WORST.index(judgement.verdict))
    worst = shown[0].verdict
    leading = [judgement for judgement in shown if judgement.verdict is worst]
    return Judgement(
        verdict=worst,
        because="; ".join(_each_once([j.because for j in leading])),
        findings=tuple({f.id: f for j in shown for f in j.findings}.values()),
        evidence=tuple(dict.fromkeys(e for j in leading for e in j.evidence)),
        hops=tuple(hop for j in shown for hop in j.hops),
    )


def _each_once(texts: Sequence[str]) -> Iterator[str]:
    """The texts, without those that stand in another one already."""
    for text in dict.fromkeys(texts):
        if not any(text != other and text in other for other in texts):
            yield text


def worst(verdicts: Iterable[StepVerdict]) -> StepVerdict:
    """The worst of some verdicts: what fails before what is not known."""
    return min(verdicts, key=_WORST.index)


def _of_findings(runbook: Runbook, look: Look, given: Parameters, view: View) -> Judgement:
    concerned = _concerned(runbook, look, given, view)
    found = [f for f in concerned if f.code.startswith(tuple(look.findings))]
    failing = (Severity.FAIL,) if look.threshold == "fail" else (Severity.FAIL, Severity.WARN)
    bad = tuple(f for f in found if f.severity in failing)
    if bad:
        return Judgement(StepVerdict.FAIL, _summary(bad), bad)
    # What is only worth knowing may be the cause, and may not.
    open_ = (Severity.UNKNOWN, *([Severity.INFO] if look.threshold == "info" else []))
    unknown = tuple(f for f in found if f.severity in open_)
    if unknown:
        return Judgement(StepVerdict.UNKNOWN, _summary(unknown), unknown)
    missing = unread_by(look, view)
    if missing:
        why = next((f": {source.error}" for source in missing if source.error), "")
        text = f"it cannot be judged for want of {labels(missing)}{why}"
        return Judgement(StepVerdict.UNKNOWN, text)
    tried = sum(code.startswith(tuple(look.findings)) for code in CODES)
    beside = f", {count(len(found), 'remark')} beside" if found else ""
    return Judgement(
        StepVerdict.PASS, f"{count(tried, 'known fault')} looked for, none found{beside}"
    )


def unread_by(look: Look, view: View) -> tuple[SourceHealth, ...]:
    """The sources that the findings of a look are judged from and that told nothing."""
    snapshot, codes = view.case.snapshot, tuple(look.findings)
    missing = (health for name in _categories(codes) for health in unread(snapshot, name))
    return tuple({health.label: health for health in missing}.values())


def _concerned(runbook: Runbook, look: Look, given: Parameters, view: View) -> Sequence[Finding]:
    name = given.get(look.about, "")
    if not name:
        return view.outcome.findings
    meant = refs(runbook.parameters[look.about].kind, name, view.case)
    return concerning(view.known.values(), meant)


def _summary(found: Sequence[Finding]) -> str:
    first, rest = found[0], len(found) - 1
    return f"{first.code} {first.summary}" + (f", {more(rest, 'finding')}" if rest else "")


def _of_hop(look: Look, given: Parameters, view: View, *, verify: bool) -> Judgement:
    key = given.get("service", "")
    path = path_of(view.case, key) if key else None
    if path is None:
        return Judgement(StepVerdict.UNKNOWN, _no_way(key, view))
    hop = next(hop for hop in path.hops if hop.name == look.hop)
    known = view.known
    findings = tuple(known.get(f.id, f) for f in hop.findings)
    verdict, because = _HOPS[hop.state], hop.reason
    if hop.state is HopState.NOT_REACHED:
        broken = path.broken
        because = f"not reached: {broken.name} is broken" if broken else "not reached"
        if verify and broken:  # what is waited for has not come, whatever would be behind it
            verdict = StepVerdict.FAIL
    return Judgement(verdict, because, findings, hop.evidence, (hop,))


def _no_way(key: str, view: View) -> str:
    if not key:
        return "no service is named"
    if not view.case.known(SERVICES):
        return f"the services could not be read, so nothing is known of {key}"
    if key not in view.case.snapshot.records[SERVICES]:
        return f"there is no service {key}"
    return f"{key} is not of type LoadBalancer"


def causes(findings: Iterable[Finding], view: View) -> tuple[Finding, ...]:
    """The findings that nothing explains among these and what explains them, each once."""
    known = view.known
    waiting, seen, found = list(findings), set[str](), dict[str, Finding]()
    while waiting:
        finding = waiting.pop(0)
        if finding.id in seen:
            continue
        seen.add(finding.id)
        explained = [known[cause] for cause in finding.caused_by if cause in known]
        if explained:
            waiting += explained
        else:
            found[finding.id] = finding
    return tuple(found.values())


def kinds_judged(runbook: Runbook) -> tuple[Kind[object], ...]:
    """What the findings and hops of a runbook are judged from."""
    looks = [look for step in runbook.steps for look in step.look]
    codes = tuple(code for look in looks for code in look.findings)
    found = [*_categories(codes)]
    if any(look.hop for look in looks):
        found += ["lb-ipam", "advertisement"]
    return tuple(dict.fromkeys(kind for category in found for kind in INPUTS[category]))


def _categories(codes: tuple[str, ...]) -> Iterable[str]:
    """The categories of codes and blocks of codes, each once."""
    meant = (code for code in CODES if codes and code.startswith(codes))
    return dict.fromkeys(map(categories.category, meant))
