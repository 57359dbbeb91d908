"""`ciliscope explain`: all that is known of one thing, and what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio
import sys

from app.cli.parser import duration
from app.config.config_file import SettingsError
from app.config.settings import Settings
from app.diagnosis import catalog
from app.diagnosis.catalog import docs_page
from app.diagnosis.diagnoser import diagnose
from app.diagnosis.explain import ABOUT, BadQuestion, NoSuchThing, question
from app.model.case import Case
from app.pipeline.settle import settled, watching
from app.pipeline.sources import Wiring
from app.report.documents import explanation_json
from app.report.explanation import explanation_text, page
from app.report.json import SCHEMA_VERSION, indented
from app.report.lines import pen_for, print_bytes, print_text
from app.state.snapshot import Snapshot
from collectors.sanitize import printable

EXPLAINED, NO_SUCH_THING, UNREADABLE = 0, 2, 3
"""Exit codes."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Answer the question and return the exit code; a code is explained without a cluster.

    Raises SettingsError.
    """
    deadline, output = duration("--timeout", options.timeout), options.output
    try:
        asked = question(options.what, options.names)
    except BadQuestion as problem:
        raise SettingsError(str(problem)) from None
    if asked.kind == "code":
        return _code(asked.names[0], output)
    wired = Wiring(settings, deadline)
    snapshot = asyncio.run(_read(wired, deadline))
    case = Case(snapshot)
    try:
        explanation = ABOUT[asked.kind](case, diagnose(case), asked.names)
    except NoSuchThing as problem:
        return _refuse(str(problem), NO_SUCH_THING if problem.certain else UNREADABLE)
    if output == "json":
        print_bytes(explanation_json(explanation))
    else:
        print_text(explanation_text(explanation, pen_for(wired.settings)), wired.settings)
    return UNREADABLE if explanation.unread else EXPLAINED


async def _read(wiring: Wiring, deadline: float) -> Snapshot:
    async with watching(wiring) as monitor:
        return await settled(monitor, deadline)


def _code(code: str, output: str) -> int:
    entry = catalog.code(code)
    if output == "json":
        names = ("code", "category", "title", "severities", "meaning", "check", "fix", "source")
        document = {
            "schemaVersion": SCHEMA_VERSION,
            "kind": "Code",
            **{name: getattr(entry, name) for name in names},
            "followsFrom": entry.follows_from,
            "docs": docs_page(entry.code),
        }
        print_bytes(indented(document))
    else:
        print_bytes(page(entry))
    return EXPLAINED


def _refuse(sentence: str, code: int) -> int:
    sys.stderr.write(f"ciliscope: {printable(sentence)}\n")
    return code
