"""What a transcript shows to others: without secrets and, where that is wished, without addresses.

The same address has the same number everywhere, so that what belongs together is still seen.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct, structs

from app.config.settings import config_path
from app.config.state_dir import make_private, read_up_to, state_folder
from app.model.lbipam import Address, parse_address
from app.report.json import indented
from app.runbooks.engine import Back, Begun, Entry, Moved, Resumed, Run, Skipped
from app.runbooks.library import Library
from app.runbooks.parsing import flaws, spelled
from app.runbooks.schema import END, BadParameter, Runbook, checked
from collectors.sanitize import one_line, printable

_HIDDEN = "(hidden)"
_PATTERNS = tomllib.loads(Path(__file__).with_name("secrets.toml").read_text("utf-8"))["patterns"]
_SECRETS = tuple(map(re.compile, _PATTERNS))
_RUN = re.compile(r"[0-9A-Fa-f:.]*[0-9A-Fa-f:][:.][0-9A-Fa-f:.]+")
"""What may be an address, or have one in it."""
_IPV4 = re.compile(r"(?<!\d)(?<!\d\.)\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
_LONGEST = 64
"""Characters of a run in which an address of IPv6 is looked for: it has 45 at most."""


def without_secrets(text: str) -> str:
    """The text; what looks like a secret is hidden."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<name>{_HIDDEN}", text)
    return text


def hider(*, addresses: bool) -> Callable[[str], str]:
    """What makes texts fit for others; `addresses`: numbers stand for these, the same in all."""
    numbers: dict[Address, int] = {}

    def number(text: str) -> str:
        address = parse_address(text)
        if address is None:
            return text
        return f"(address {numbers.setdefault(address, len(numbers) + 1)})"

    def hidden(text: str) -> str:
        text = without_secrets(text)
        return _RUN.sub(lambda run: _masked(run, number), text) if addresses else text

    return hidden


def _masked(run: re.Match[str], number: Callable[[str], str]) -> str:
    """A run of digits, colons and dots with its addresses numbered."""
    text = run[0]
    glued = run.string[run.end() : run.end() + 1]
    if text.count(":") > 1 and len(text) <= _LONGEST and not (glued.isalnum() or glued == "_"):
        first, last = _within(text, run.string[: run.start()][-1:])
        if first < last:
            return text[:first] + number(text[first:last]) + text[last:]
    return _IPV4.sub(lambda found: number(found[0]), text)


def _within(text: str, before: str) -> tuple[int, int]:
    """Where in a run the address of IPv6 begins and ends; (0, 0) where there is none.

    A colon or full stop beside it is punctuation, and so is the end of a word with its colon
    (`node:fd00::1`).
    """
    begin = text.index(":") + 1 if before.isalnum() or before == "_" else 0
    rest = text[begin:]
    starts = range(begin, begin + len(rest) - len(rest.lstrip(":.")) + 1)
    ends = [len(text) - cut for cut in range(len(text) - len(text.rstrip(":.")) + 1)]
    for first in starts:
        for last in ends:
            if (
                first < last
                and ":" in text[first:last]
                and parse_address(text[first:last]) is not None
            ):
                return first, last
    return 0, 0


SCHEMA_VERSION = 1
LARGEST = 32 << 20
"""Bytes that a transcript may have."""

FOLDER = "runbooks"
"""In the state folder."""

Plain: TypeAlias = "str | int | float | bool | Sequence[Plain] | dict[str, Plain] | None"

_NO_RUNBOOK = Runbook(title="", when="", steps=())

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


class BadTranscript(Exception):
    """A file is no transcript that can be gone on with; one sentence that says why."""


class TranscriptDocument(
    Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """A transcript, as it is kept."""

    schema_version: int = SCHEMA_VERSION
    kind: str = "RunbookTranscript"
    program: str = ""
    """The version of ciliscope that wrote it."""
    context: str = ""
    """The context of the kubeconfig in which it was begun."""
    result: str
    """What it has come to."""
    parameters: dict[str, str]
    runbook: Runbook
    entries: tuple[Entry, ...]


def document(run: Run, *, context: str, program: str) -> TranscriptDocument:
    """The transcript of a run."""
    return TranscriptDocument(
        program=program,
        context=context,
        result=run.result,
        parameters=dict(run.parameters),
        runbook=run.runbook,
        entries=run.entries,
    )


def encoded(shown: TranscriptDocument) -> bytes:
    """The transcript as JSON, a newline at the end."""
    return indented(shown).encode()


def changed(shown: TranscriptDocument, change: Callable[[str], str]) -> TranscriptDocument:
    """The transcript with every text in it changed so, the runbook's own texts excepted."""
    runbook = shown.runbook
    plain: Plain = msgspec.to_builtins(structs.replace(shown, runbook=_NO_RUNBOOK))
    return structs.replace(
        msgspec.convert(_changed(plain, change), TranscriptDocument), runbook=runbook
    )


def write(path: Path, shown: TranscriptDocument) -> None:
    """Put this in the place of what was there: wholly, or not at all. Raises OSError."""
    folder = path.parent
    make_private(folder)
    beside = folder / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encoded(shown))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync(folder)


def new_file(folder: Path, runbook: str, now: datetime) -> Path:
    """Where the transcript of a run that begins now is kept: a name of its own."""
    safe = _UNSAFE.sub("-", runbook)[:60]
    return folder / f"{safe}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}.json"


def read(path: Path) -> TranscriptDocument:
    """The transcript in a file. Raises BadTranscript."""
    try:
        text = read_up_to(path, LARGEST)
    except OSError as problem:
        raise BadTranscript(one_line(f"{path}: {problem.strerror or problem}")) from None
    if text is None:
        raise BadTranscript(one_line(f"{path}: is larger than {LARGEST >> 20} MiB"))
    return parse(text, str(path))


def parse(text: bytes, file: str) -> TranscriptDocument:
    """The transcript that this text is. Raises BadTranscript."""
    try:
        plain: Plain = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise BadTranscript(one_line(f"{file}: is no JSON: {problem}")) from None
    if not isinstance(plain, dict) or plain.get("kind") != "RunbookTranscript":
        raise BadTranscript(one_line(f"{file}: is no transcript of a runbook"))
    version = plain.get("schemaVersion")
    if version != SCHEMA_VERSION:
        shown = f"its schemaVersion is {version!r}, this ciliscope reads {SCHEMA_VERSION}"
        raise BadTranscript(one_line(f"{file}: {shown}"))
    try:
        found = msgspec.convert(_changed(plain, printable), TranscriptDocument)
    except msgspec.ValidationError as problem:
        raise BadTranscript(one_line(f"{file}: {problem}")) from None
    except RecursionError:
        raise BadTranscript(one_line(f"{file}: is nested too deeply")) from None
    wrong = _wrong(found)
    if wrong:
        raise BadTranscript(one_line(f"{file}: {wrong}"))
    return found


def run_of(shown: TranscriptDocument) -> Run:
    """The run that a transcript is of."""
    return Run(shown.runbook, shown.parameters, shown.entries)


def _wrong(shown: TranscriptDocument) -> str:
    """Why it cannot be gone on with; "" where it can."""
    for flaw in flaws(shown.runbook):
        return f"its runbook cannot be followed: {spelled(flaw.at)}: {flaw.says}"
    try:
        checked(shown.runbook, shown.parameters)
    except BadParameter as problem:
        return str(problem)
    if not shown.entries or not isinstance(shown.entries[0], Begun):
        return "it does not tell how the run began"
    return _lost(shown)


def _lost(shown: TranscriptDocument) -> str:
    """Why its entries cannot have happened in its runbook; "" where they can."""
    known = {step.id for step in shown.runbook.steps}
    way = [shown.runbook.steps[0].id]
    for entry in shown.entries:
        if isinstance(entry, Begun | Resumed):
            continue
        if isinstance(entry, Back) and entry.step == way[-1] and len(way) > 1:
            way.pop()
        elif entry.step not in known and not isinstance(entry, Back):
            return f"it tells of {entry.step!r}, which is no step of its runbook"
        elif isinstance(entry, Moved | Skipped | Back):
            if entry.step != way[-1] or isinstance(entry, Back):
                return f"it leaves step {entry.step!r} while it stands at {way[-1]!r}"
            if entry.to not in known | {END}:
                return f"it goes to {entry.to!r}, which is no step of its runbook"
            way.append(entry.to)
    return ""


def _changed(plain: Plain, change: Callable[[str], str]) -> Plain:
    if isinstance(plain, str):
        return change(plain)
    if isinstance(plain, list | tuple):
        return [_changed(each, change) for each in plain]
    if isinstance(plain, dict):
        return {change(key): _changed(value, change) for key, value in plain.items()}
    return plain


def _sync(folder: Path) -> None:
    """Have the folder itself written, so that the new name is not lost with the power.

    Not every file system can do that; the file is in its place anyway.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def library(config: Path | None = None) -> Library:
    """The runbooks that come with ciliscope and, beside the config file, the operator's own."""
    return Library((config or config_path()).parent / FOLDER)


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where transcripts are kept."""
    return state_folder(environ) / FOLDER


def whoever() -> str:
    """Who sits here: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry for this number in the password file
        user = str(os.getuid())
    return one_line(f"{user}@{socket.gethostname()}")


class Recorder:
    """Keeps one run in its file, whole after each thing that happens."""

    def __init__(self, path: Path, context: str) -> None:
        """`path`: the file; `context`: that of the kubeconfig."""
        self.path = path
        self._context = context
        self._written = 0
        self._known = _identity(path)
        self.moved = ""
        """Why the run is kept in another file by now: somebody else writes the first one."""
        self.problem = ""
        """Why the last thing that happened is not in the file; "" where it is."""

    @classmethod
    def anew(cls, runbook: str, context: str, now: datetime) -> Recorder:
        """For a run that begins now, in a file of its own."""
        return cls(new_file(folder(), runbook, now), context)

    def document(self, run: Run) -> TranscriptDocument:
        """The transcript of the run."""
        return document(run, context=self._context, program=_program())

    def keep(self, run: Run) -> None:
        """Have all that has happened in the file; where that fails `problem` says why."""
        if len(run.entries) == self._written:
            return
        self._make_way()
        try:
            write(self.path, self.document(run))
        except OSError as error:
            self.problem = f"{error.strerror or error} ({self.path})"
        else:
            self._written, self.problem = len(run.entries), ""
            self._known = _identity(self.path)

    def _make_way(self) -> None:
        """Where somebody else has written the file meanwhile, go on in another one."""
        if _identity(self.path) in (None, self._known):
            return
        old = self.path
        number = next(n for n in count(2) if not _path_of(old, n).exists())
        self.path = _path_of(old, number)
        self.moved = f"somebody else goes on with {old.name} too; this run is in {self.path.name}"


def _path_of(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What tells one writing of a file from another; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _program() -> str:
    try:
        return version("ciliscope")
    except PackageNotFoundError:
        return ""
