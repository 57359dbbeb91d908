"""The runbooks there are: those that come with ciliscope, and the operator's own beside them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from msgspec import UNSET, structs

from app.diagnosis.catalog import CODES, code
from app.runbooks.parsing import BadRunbook, Flaw, SourceLines, flaws, parse, read_file
from app.runbooks.schema import PAGES, Extension, Look, Runbook, Step, StepChange
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
    runbook: Runbook | None
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

    def runbook(self, name: str) -> Runbook:
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
def built_in(name: str) -> Runbook:
    """A runbook that comes with ciliscope. Raises KeyError, BadRunbook."""
    return load(_FILES[name], name)


def load(path: Path, name: str = "") -> Runbook:
    """The runbook in a file. Raises BadRunbook, with file, line and key."""
    found, source = parse(read_file(path), str(path), name or path.stem)
    if isinstance(found, Extension):
        return _extended(found, source)
    return _sound(_with_pages(found), source)


def _with_pages(runbook: Runbook) -> Runbook:
    """The runbook with what the pages of codes say of it: where to begin, and what a step shows."""
    named = [entry for entry in map(code, CODES) if entry.runbooks[:1] == (runbook.name,)]

    def look_of(step: Step, look: Look) -> Look:
        codes = tuple(entry.code for entry in named if entry.step == step.id)
        if PAGES not in look.findings or not codes:
            return look
        others = (each for each in look.findings if each != PAGES)
        return structs.replace(look, findings=(*codes, *others))

    return structs.replace(
        runbook,
        fits=runbook.fits or tuple(entry.code for entry in named),
        steps=tuple(
            structs.replace(step, look=tuple(look_of(step, look) for look in step.look))
            for step in runbook.steps
        ),
    )


def _sound(runbook: Runbook, source: SourceLines) -> Runbook:
    for flaw in flaws(runbook):
        raise source.refuse(flaw.at, flaw.says)
    return runbook


def _extended(change: Extension, source: SourceLines) -> Runbook:
    if change.extends not in _FILES:
        known = ", ".join(_FILES)
        text = f"there is no built-in runbook {change.extends!r}; there are: {known}"
        raise source.refuse(("extends",), text)
    base = built_in(change.extends)
    steps = list(base.steps)
    for number, step in enumerate(change.steps):
        _put(steps, step, source, number)
    runbook = Runbook(
        name=change.name,
        title=base.title if change.title is UNSET else change.title,
        when=base.when if change.when is UNSET else change.when,
        fits=base.fits if change.fits is UNSET else change.fits,
        parameters={**base.parameters, **change.parameters},
        steps=tuple(steps),
    )
    for flaw in flaws(runbook):
        raise source.refuse(*_in_file(flaw, runbook, change))
    return runbook


def _put(steps: list[Step], change: StepChange, source: SourceLines, number: int) -> None:
    """A step in the place of its namesake, or behind the one that it names."""
    fields = structs.asdict(change)
    after = str(fields.pop("after"))
    step, ids = Step(**fields), [each.id for each in steps]
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


def _leading_to(step: Step, new: str) -> Step:
    """The step with another one behind it: what went on where it passes goes there first."""
    old = step.next
    unknown = new if old.unknown == old.passed else old.unknown
    return structs.replace(step, next=structs.replace(old, passed=new, unknown=unknown))


def _in_file(flaw: Flaw, runbook: Runbook, change: Extension) -> tuple[tuple[str | int, ...], str]:
    """Where in the file of an extension a flaw of the whole stands, and what it says."""
    match flaw.at:
        case ("steps", int(number), *rest):
            step = runbook.steps[number]
            places = [n for n, each in enumerate(change.steps) if each.id == step.id]
            if places:
                return ("steps", places[0], *rest), flaw.says
            return (), f"makes step {step.id!r} of {change.extends} unfit: {flaw.says}"
    return flaw.at, flaw.says
