"""What the operator has decided to live with: `ciliscope-ignore.yaml` and `--ignore`.

An entry hides the findings of its code whose subject fits its pattern, and what follows from those
alone. Nothing is hidden silently: reports tell what was ignored and why. An entry that has expired
hides nothing and is a finding of its own (CS805). Every error is one sentence that names the place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from app.config.config_file import NotText, text_of
from app.model.finding import Evidence, Finding, Ref, Severity, Topic

FILE = "ciliscope-ignore.yaml"
"""The file that is read from the working directory when none is named."""

_FIELDS = ("code", "subject", "reason", "expires")


class IgnoreError(Exception):
    """The ignore file cannot be used; one sentence with file, entry, field and what is allowed."""


@dataclass(frozen=True, slots=True)
class IgnoreEntry:
    """One decision."""

    code: str
    reason: str
    place: str
    """Where it stands: file and entry, or `--ignore`."""
    subject: str = "*"
    """Shell pattern (`*`, `?`, `[abc]`) for `Kind namespace/name`, or for `namespace/name`."""
    expires: datetime | None = None
    """The first moment at which it no longer holds; None: never."""

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires

    def covers(self, finding: Finding) -> bool:
        """Whether this finding is meant."""
        whole = str(finding.subject)
        return finding.code == self.code and (
            fnmatchcase(whole, self.subject) or fnmatchcase(whole.partition(" ")[2], self.subject)
        )


@dataclass(frozen=True, slots=True)
class Ignored:
    """A finding that is not shown, and the decision behind it."""

    finding: Finding
    entry: IgnoreEntry


def read_entries(path: Path | None, codes: Collection[str]) -> tuple[IgnoreEntry, ...]:
    """The entries of the named file, or of the default one if it is there. Raises IgnoreError."""
    import yaml

    file = path or Path(FILE)
    try:
        document: object = yaml.safe_load(text_of(file))
    except FileNotFoundError:
        if path is None:
            return ()
        raise IgnoreError(f"ignore file {file} does not exist") from None
    except OSError as problem:
        raise IgnoreError(f"ignore file {file} cannot be read: {problem.strerror}") from None
    except NotText as problem:
        raise IgnoreError(f"ignore file {file} {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        reason = " ".join(str(problem).split())
        raise IgnoreError(f"ignore file {file} is not YAML: {reason}") from None
    if document is None:
        return ()
    if not isinstance(document, list):
        raise IgnoreError(f"ignore file {file} must be a list of entries, each with {_named()}")
    return tuple(
        _entry(f"{file}, entry {number}", entry, codes) for number, entry in enumerate(document, 1)
    )


def given_entries(words: Iterable[str], codes: Collection[str]) -> tuple[IgnoreEntry, ...]:
    """The entries that `--ignore` stands for. Raises IgnoreError."""
    return tuple(
        IgnoreEntry(_code("--ignore", word, codes), "as asked on the command line", "--ignore")
        for word in words
    )


def without(
    findings: Iterable[Finding], entries: Iterable[IgnoreEntry], now: datetime
) -> tuple[tuple[Finding, ...], tuple[Ignored, ...]]:
    """What is left of the findings, and what is ignored.

    What follows only from ignored findings is ignored with them: it is the same trouble.
    """
    findings = tuple(findings)
    in_force = [entry for entry in entries if not entry.expired(now)]
    ignored: dict[str, Ignored] = {}
    for finding in findings:
        entry = next((entry for entry in in_force if entry.covers(finding)), None)
        if entry is not None:
            ignored[finding.id] = Ignored(finding, entry)
    while more := [
        Ignored(finding, ignored[finding.caused_by[0]].entry)
        for finding in findings
        if finding.id not in ignored
        and finding.caused_by
        and all(cause in ignored for cause in finding.caused_by)
    ]:
        ignored.update((each.finding.id, each) for each in more)
    left = tuple(finding for finding in findings if finding.id not in ignored)
    return left, tuple(ignored[f.id] for f in findings if f.id in ignored)


def expired_entries(entries: Iterable[IgnoreEntry], now: datetime) -> Iterator[Finding]:
    """A warning (CS805) for each entry whose time is over."""
    for entry in entries:
        if entry.expires is None or not entry.expired(now):
            continue
        day = (entry.expires - timedelta(microseconds=1)).date().isoformat()
        what = entry.code if entry.subject == "*" else f"{entry.code} for {entry.subject}"
        yield Topic("CS805", Severity.WARN, Ref("Source", "ignore file"), entry.place).finding(
            summary=f"{entry.place} ignored {what} until {day} and does so no longer",
            evidence=(
                Evidence("ignore file", entry.place, "expires", day),
                Evidence("ignore file", entry.place, "reason", entry.reason),
            ),
            remedy="Remove the entry if its finding is gone; else repair what it covers, or set a "
            "later `expires`",
        )


def _entry(place: str, entry: object, codes: Collection[str]) -> IgnoreEntry:
    if not isinstance(entry, dict):
        raise IgnoreError(f"{place} must have the fields {_named()}")
    unknown = [str(name) for name in entry if name not in _FIELDS]
    if unknown:
        raise IgnoreError(f"{place}: unknown field {unknown[0]}; known are {_named()}")
    return IgnoreEntry(
        code=_code(f"{place}: code", entry.get("code"), codes),
        reason=_text(place, "reason", entry.get("reason")),
        place=place,
        subject=_text(place, "subject", entry.get("subject", "*")),
        expires=_moment(place, entry.get("expires")),
    )


def _code(place: str, code: object, codes: Collection[str]) -> str:
    """A code, however its letters are written."""
    known = code.strip().upper() if isinstance(code, str) else ""
    if known not in codes:
        raise IgnoreError(f"{place} is {code!r}; it must be a code of docs/findings, as CS216")
    return known


def _text(place: str, field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise IgnoreError(f"{place}: {field} is {value!r}; it must be a text")
    return value.strip()


def _moment(place: str, value: object) -> datetime | None:
    """The end of that day, or that moment; UTC where no zone is given."""
    match value:
        case None:
            return None
        case datetime():
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        case date() if value < date.max:
            following = date.fromordinal(value.toordinal() + 1)
            return datetime.combine(following, time.min, UTC)
    raise IgnoreError(f"{place}: expires is {value!r}; it must be a day, as 2027-06-30")


def _named() -> str:
    return ", ".join(_FIELDS)
