"""The runbooks there are, built-in ones and the operator's own; and which one fits what was found.

A parameter that the runbook needs is the thing of its kind that the finding is about, or what
follows from it. One that may be left out is filled only where the finding is about one such thing
alone: a router with three sessions is a matter of all three.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import chain
from pathlib import Path

from msgspec import UNSET, structs

from app.diagnosis.catalog import CODES, code, concerning
from app.diagnosis.diagnoser import Verdict as Outcome
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity
from app.model.lbipam import LoadBalancer
from app.model.pool_matching import matching_pools
from app.runbooks import schema
from app.runbooks.parsing import BadRunbook, Flaw, SourceLines, flaws, parse, read_file
from collectors.sanitize import one_line

_BUILT_IN = Path(__file__).parent / "library"
_ENDING = ".yaml"
_FILES = {path.stem.partition("-")[2]: path for path in sorted(_BUILT_IN.glob(f"[0-9]*{_ENDING}"))}
"""Those that come with ciliscope, by name; a file's number says what is needed most."""


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A runbook that can be begun, or why it cannot."""

    name: str
    own: bool
    """Whether it is the operator's."""
    runbook: schema.Runbook | None
    problem: str = ""


class Library:
    """Every runbook by its name; the operator's own stand in the place of their namesakes."""

    def __init__(self, own: Path | None = None) -> None:
        """`own`: the operator's folder of runbooks, which need not be there."""
        self._own = own

    def names(self) -> tuple[str, ...]:
        """The names of all, those that come with ciliscope first."""
        own = sorted(self._own_files())
        return (*_FILES, *(name for name in own if name not in _FILES))

    def runbook(self, name: str) -> schema.Runbook:
        """The runbook of this name. Raises BadRunbook where there is none that can be followed."""
        files = self._own_files()
        if name in files:
            return load(files[name], name)
        if name in _FILES:
            return built_in(name)
        near = difflib.get_close_matches(name, self.names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(self.names())}"
        raise BadRunbook(f"there is no runbook {name!r}; {hint}")

    def entries(self) -> tuple[LibraryEntry, ...]:
        """All of them, those that cannot be followed with the reason; so too the whole folder."""
        problem = self._listed()[1]
        unread = [LibraryEntry(str(self._own), True, None, problem)] if problem else []
        return (*(self._entry(name) for name in self.names()), *unread)

    def _entry(self, name: str) -> LibraryEntry:
        own = name in self._own_files()
        try:
            return LibraryEntry(name, own, self.runbook(name))
        except BadRunbook as problem:
            return LibraryEntry(name, own, None, str(problem))

    def _own_files(self) -> dict[str, Path]:
        found = (path for path in self._listed()[0] if path.suffix in (_ENDING, ".yml"))
        return {path.stem: path for path in sorted(found, reverse=True)}

    def _listed(self) -> tuple[list[Path], str]:
        """What lies in the operator's folder, and why that cannot be read, or ""."""
        try:
            return (list(self._own.iterdir()) if self._own else []), ""
        except FileNotFoundError:
            return [], ""
        except OSError as problem:
            return [], one_line(f"{self._own}: {problem.strerror or problem}")


@cache
def built_in(name: str) -> schema.Runbook:
    """A runbook that comes with ciliscope. Raises KeyError, BadRunbook."""
    return load(_FILES[name], name)


def load(path: Path, name: str = "") -> schema.Runbook:
    """The runbook in a file. Raises BadRunbook, with file, line and key."""
    found, source = parse(read_file(path), str(path), name or path.stem)
    if isinstance(found, schema.Extension):
        return _extended(found, source)
    return _sound(_with_pages(found), source)


def _with_pages(runbook: schema.Runbook) -> schema.Runbook:
    """The runbook with what the pages of codes say of it: where to begin, and what a step shows."""
    named = [entry for entry in map(code, CODES) if entry.runbooks[:1] == (runbook.name,)]

    def look_of(step: schema.Step, look: schema.Look) -> schema.Look:
        codes = tuple(entry.code for entry in named if entry.step == step.id)
        if schema.PAGES not in look.findings or not codes:
            return look
        others = (each for each in look.findings if each != schema.PAGES)
        return structs.replace(look, findings=(*codes, *others))

    return structs.replace(
        runbook,
        fits=runbook.fits or tuple(entry.code for entry in named),
        steps=tuple(
            structs.replace(step, look=tuple(look_of(step, look) for look in step.look))
            for step in runbook.steps
        ),
    )


def _sound(runbook: schema.Runbook, source: SourceLines) -> schema.Runbook:
    for flaw in flaws(runbook):
        raise source.refuse(flaw.at, flaw.says)
    return runbook


def _extended(change: schema.Extension, source: SourceLines) -> schema.Runbook:
    if change.extends not in _FILES:
        known = ", ".join(_FILES)
        text = f"there is no built-in runbook {change.extends!r}; there are: {known}"
        raise source.refuse(("extends",), text)
    base = built_in(change.extends)
    steps = list(base.steps)
    for number, step in enumerate(change.steps):
        _put(steps, step, source, number)
    own = {name: getattr(change, name) for name in ("title", "when", "fits")}
    runbook = structs.replace(
        base,
        name=change.name,
        parameters=base.parameters | change.parameters,
        steps=tuple(steps),
        **{name: value for name, value in own.items() if value is not UNSET},
    )
    for flaw in flaws(runbook):
        raise source.refuse(*_in_file(flaw, runbook, change))
    return runbook


def _put(
    steps: list[schema.Step], change: schema.StepChange, source: SourceLines, number: int
) -> None:
    """A step in the place of its namesake, or behind the one that it names."""
    fields = structs.asdict(change)
    after = str(fields.pop("after"))
    step, ids = schema.Step(**fields), [each.id for each in steps]
    if step.id in ids and not after:
        steps[ids.index(step.id)] = step
    elif after and after not in ids:
        text = f"there is no step {after!r}; steps are {', '.join(ids)}"
        raise source.refuse(("steps", number, "after"), text)
    elif step.id in ids:
        text = f"{step.id!r} is there already, and stands where it stands: leave this out"
        raise source.refuse(("steps", number, "after"), text)
    else:
        place = ids.index(after) + 1 if after else len(steps)
        if after and not any(step.id in dict(each.next).values() for each in steps):
            steps[place - 1] = _leading_to(steps[place - 1], step.id)
        steps.insert(place, step)


def _leading_to(step: schema.Step, new: str) -> schema.Step:
    """The step with another one behind it: what went on where it passes goes there first."""
    old = step.next
    unknown = new if old.unknown == old.passed else old.unknown
    return structs.replace(step, next=structs.replace(old, passed=new, unknown=unknown))


def _in_file(
    flaw: Flaw, runbook: schema.Runbook, change: schema.Extension
) -> tuple[tuple[str | int, ...], str]:
    """Where in the file of an extension a flaw of the whole stands, and what it says."""
    match flaw.at:
        case ("steps", int(number), *rest):
            step = runbook.steps[number]
            places = [n for n, each in enumerate(change.steps) if each.id == step.id]
            if places:
                return ("steps", places[0], *rest), flaw.says
            return (), f"makes step {step.id!r} of {change.extends} unfit: {flaw.says}"
    return flaw.at, flaw.says


_SESSIONS = ("Session", "Loss")
"""Kinds of things that are named `NODE/PEER-ADDRESS`."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A runbook that can be begun at once."""

    runbook: schema.Runbook
    parameters: schema.Parameters
    """All that it needs."""
    finding: Finding | None = None
    """What it is suggested for; None: nothing is found about the thing."""


def suggest(library: Library, outcome: Outcome, case: Case) -> tuple[Suggestion, ...]:
    """The runbooks to begin with, each once: for causes first, the worst of them before others."""
    known = _known(library)
    found: dict[str, Suggestion] = {}
    for finding in outcome.tops:
        if finding.severity is Severity.INFO:
            continue
        fitting = _fitting(known, finding.code)
        if not fitting or fitting[0].name in found:
            continue
        suggestion = _first(fitting, finding, outcome, case)
        if suggestion is not None:
            found.setdefault(suggestion.runbook.name, suggestion)
    return tuple(found.values())


def suggest_for(
    library: Library, finding: Finding, outcome: Outcome, case: Case
) -> Suggestion | None:
    """The runbook that fits a finding best, of those that can be filled; None: none can."""
    return _first(fitting(library, finding.code), finding, outcome, case)


def fitting(library: Library, name: str) -> list[schema.Runbook]:
    """The runbooks for a code, best first: the operator's own that name it, then its page's."""
    return _fitting(_known(library), name)


def suggest_about(library: Library, ref: Ref, outcome: Outcome, case: Case) -> Suggestion | None:
    """The runbook to begin with at a thing, whether anything is wrong with it or not."""
    name, about = _begun_at(ref, case)
    try:
        runbook = library.runbook(name) if name else None
    except BadRunbook:  # the operator's own in its place cannot be followed; the list says why
        return None
    given = None if runbook is None else _filled(runbook, (about,), tuple, case)
    if runbook is None or given is None:
        return None
    bad = (f for f in concerning(outcome.findings, (ref,)) if f.severity is not Severity.INFO)
    return Suggestion(runbook, given, next(bad, None))


def _known(library: Library) -> list[tuple[bool, schema.Runbook]]:
    """Every runbook that can be followed, and whether it is the operator's own."""
    return [(entry.own, entry.runbook) for entry in library.entries() if entry.runbook is not None]


def _fitting(known: Sequence[tuple[bool, schema.Runbook]], name: str) -> list[schema.Runbook]:
    """Those that name a code, own ones and exact ones first; then those that its page names."""
    fits = [
        (not own, -max((len(fit) for fit in book.fits if name.startswith(fit)), default=0), book)
        for own, book in known
    ]
    naming = [book for _, length, book in sorted(fits, key=lambda fit: fit[:2]) if length]
    by_name = {book.name: book for _, book in known}
    paged = [by_name[each] for each in code(name).runbooks if each in by_name]
    return list({book.name: book for book in (*naming, *paged)}.values())


def _first(
    runbooks: Iterable[schema.Runbook], finding: Finding, outcome: Outcome, case: Case
) -> Suggestion | None:
    def follows() -> Iterable[Ref]:
        return (ref for each in outcome.follow(finding) for ref in (each.subject, *each.about))

    for runbook in runbooks:
        given = _filled(runbook, (finding.subject, *finding.about), follows, case)
        if given is not None:
            return Suggestion(runbook, given, finding)
    return None


def _filled(
    runbook: schema.Runbook, own: Sequence[Ref], follows: Callable[[], Iterable[Ref]], case: Case
) -> dict[str, str] | None:
    """The parameters, as far as things fill them; None where one that is needed is left."""
    given: dict[str, str] = {}
    for name, parameter in runbook.parameters.items():
        names = dict.fromkeys(_named(parameter.kind, own, case))
        if parameter.optional:
            if len(names) == 1:
                given[name] = next(iter(names))
            continue
        first = next(chain(names, _named(parameter.kind, follows(), case)), None)
        if first is None:
            return None
        given[name] = first
    return given


def _named(kind: schema.ParameterKind, refs: Iterable[Ref], case: Case) -> Iterator[str]:
    """The things of a kind that these are, or that they lead to, as parameters name them."""
    of = _OF[kind]
    return (name for ref in refs for name in of(ref, case) if schema.has_form(kind, name))


def _services(ref: Ref, case: Case) -> Iterator[str]:
    if ref.kind == "CiliumLoadBalancerIPPool":
        yield from _waiting(ref.name, case)
        holders = (u.holders.values() for u in case.usages if u.pool.name == ref.name)
        yield from (key for keys in holders for each in keys for key in each)
    else:
        yield from (balancer.service.key for balancer in _balancers(ref, case))


def _sessions(ref: Ref, case: Case) -> Iterator[str]:
    if ref.kind in _SESSIONS:
        yield ref.name
    elif ref.kind == "Peer":
        sessions = (s for s in case.sessions if s.peer_address == ref.name)
        yield from (f"{s.node}/{s.peer_address}" for s in sessions)


def _nodes(ref: Ref, case: Case) -> Iterator[str]:
    if ref.kind == "Node":
        yield ref.name
    elif ref.kind in _SESSIONS:
        yield ref.name.partition("/")[0]
    elif ref.kind == "Pod":
        yield from (each.pod.spec.node_name for each in case.pods if each.pod.key == _key(ref))


def _pools(ref: Ref, case: Case) -> Iterator[str]:
    if ref.kind == "CiliumLoadBalancerIPPool":
        yield ref.name
    else:
        found = (balancer.pools for balancer in _balancers(ref, case))
        yield from (pool for pools in found for pool in pools)


def _addresses(ref: Ref, case: Case) -> Iterator[str]:
    network = _network(ref)
    found = (address for balancer in _balancers(ref, case) for address in balancer.addresses)
    yield from (str(address) for address in found if network is None or address in network)


_OF: Mapping[schema.ParameterKind, Callable[[Ref, Case], Iterator[str]]] = {
    "service": _services,
    "session": _sessions,
    "node": _nodes,
    "pool": _pools,
    "address": _addresses,
}


def _balancers(ref: Ref, case: Case) -> Iterator[LoadBalancer]:
    """The service that is meant, or those that have an address of the prefix that is."""
    if ref.kind == "Service":
        return (balancer for balancer in case.balancers if balancer.service.key == _key(ref))
    network = _network(ref)
    if network is None:
        return iter(())
    return (b for b in case.balancers if any(address in network for address in b.addresses))


def _begun_at(ref: Ref, case: Case) -> tuple[str, Ref]:
    """The name of the runbook to begin with at a thing, "" for none, and what it is then about."""
    match ref.kind:
        case "Service":
            reached = any(b.addresses or b.hostnames for b in _balancers(ref, case))
            return ("lb-unreachable" if reached else "lb-no-address"), ref
        case "Session" | "Loss" | "Peer":
            return "bgp-session-down", ref
        case "Node":
            return "node-maintenance", ref
        case "Pod" if any(each.pod.key == _key(ref) for each in case.pods):
            return "cilium-unhealthy", ref
        case "CiliumLoadBalancerIPPool":
            waiting = next(_waiting(ref.name, case), "")
            return ("lb-no-address" if waiting else ""), _service(waiting)
        case "Prefix" if any(_balancers(ref, case)):
            return "not-announced", ref
        case "Prefix" if _network(ref) is not None:  # of pods: it stands and falls with sessions
            return "bgp-session-down", ref
    return "", ref


def _waiting(pool: str, case: Case) -> Iterator[str]:
    """The services without address that a pool selects."""
    for balancer in case.balancers:
        if balancer.addresses or balancer.hostnames:
            continue
        if any(match.name == pool and match.selects for match in matching_pools(case, balancer)):
            yield balancer.service.key


def _network(ref: Ref) -> IPv4Network | IPv6Network | None:
    """The network of a prefix; None for anything else."""
    try:
        return ip_network(ref.name, strict=False) if ref.kind == "Prefix" else None
    except ValueError:
        return None


def _key(ref: Ref) -> str:
    return f"{ref.namespace}/{ref.name}"


def _service(key: str) -> Ref:
    namespace, _, name = key.partition("/")
    return Ref("Service", name, namespace)
