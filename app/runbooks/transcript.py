"""The record of a run: kept as it happens, taken up on another machine.

The file holds the runbook too, so that whoever goes on follows the same one. What is read from it
is as little trusted as anything else from outside.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct, structs

from app.runbooks.engine import Run
from app.runbooks.entries import Back, Begun, Entry, Moved, Resumed, Skipped
from app.runbooks.parsing import spelled
from app.runbooks.schema import END, Runbook
from app.runbooks.soundness import flaws
from app.runbooks.subjects import BadParameter, checked
from collectors.sanitize import one_line, printable

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


class Document(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
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


def document(run: Run, *, context: str, program: str) -> Document:
    """The transcript of a run."""
    return Document(
        program=program,
        context=context,
        result=run.result,
        parameters=dict(run.parameters),
        runbook=run.runbook,
        entries=run.entries,
    )


def encoded(told: Document) -> bytes:
    """The transcript as JSON, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def changed(told: Document, change: Callable[[str], str]) -> Document:
    """The transcript with every text in it changed so, the runbook's own texts excepted."""
    runbook = told.runbook
    plain: Plain = msgspec.to_builtins(structs.replace(told, runbook=_NO_RUNBOOK))
    return structs.replace(msgspec.convert(_changed(plain, change), Document), runbook=runbook)


class Kept:
    """The file of one run, whole at every moment."""

    def __init__(self, path: Path) -> None:
        """`path`: where it is, or will be."""
        self.path = path

    def write(self, told: Document) -> None:
        """Put this in the place of what was there: wholly, or not at all. Raises OSError."""
        folder = self.path.parent
        for each in (*reversed(folder.parents), folder):
            each.mkdir(mode=0o700, exist_ok=True)
        beside = folder / f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encoded(told))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)
        _sync(folder)


def new_file(folder: Path, runbook: str, now: datetime) -> Path:
    """Where the transcript of a run that begins now is kept: a name of its own."""
    safe = _UNSAFE.sub("-", runbook)[:60]
    return folder / f"{safe}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}.json"


def read(path: Path) -> Document:
    """The transcript in a file. Raises BadTranscript."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as problem:
        raise BadTranscript(one_line(f"{path}: {problem.strerror or problem}")) from None
    if len(text) > LARGEST:
        raise BadTranscript(one_line(f"{path}: is larger than {LARGEST >> 20} MiB"))
    return parse(text, str(path))


def parse(text: bytes, file: str) -> Document:
    """The transcript that this text is. Raises BadTranscript."""
    try:
        plain: Plain = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise BadTranscript(one_line(f"{file}: is no JSON: {problem}")) from None
    if not isinstance(plain, dict) or plain.get("kind") != "RunbookTranscript":
        raise BadTranscript(one_line(f"{file}: is no transcript of a runbook"))
    version = plain.get("schemaVersion")
    if version != SCHEMA_VERSION:
        told = f"its schemaVersion is {version!r}, this ciliscope reads {SCHEMA_VERSION}"
        raise BadTranscript(one_line(f"{file}: {told}"))
    try:
        found = msgspec.convert(_changed(plain, printable), Document)
    except msgspec.ValidationError as problem:
        raise BadTranscript(one_line(f"{file}: {problem}")) from None
    except RecursionError:
        raise BadTranscript(one_line(f"{file}: is nested too deeply")) from None
    wrong = _wrong(found)
    if wrong:
        raise BadTranscript(one_line(f"{file}: {wrong}"))
    return found


def run_of(told: Document) -> Run:
    """The run that a transcript is of."""
    return Run(told.runbook, told.parameters, told.entries)


def _wrong(told: Document) -> str:
    """Why it cannot be gone on with; "" where it can."""
    for flaw in flaws(told.runbook):
        return f"its runbook cannot be followed: {spelled(flaw.at)}: {flaw.says}"
    try:
        checked(told.runbook, told.parameters)
    except BadParameter as problem:
        return str(problem)
    if not told.entries or not isinstance(told.entries[0], Begun):
        return "it does not tell how the run began"
    return _lost(told)


def _lost(told: Document) -> str:
    """Why its entries cannot have happened in its runbook; "" where they can."""
    known = {step.id for step in told.runbook.steps}
    way = [told.runbook.steps[0].id]
    for entry in told.entries:
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
