"""`ciliscope runbook`: which runbooks there are, and one followed without a screen."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from app.cli.check import Request, once
from app.cli.parser import config_file, duration
from app.config.config_file import SettingsError
from app.config.expected_settings import ExpectedSetting, expectations
from app.config.settings import Settings
from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.inputs import CATEGORIES
from app.model.case import Case
from app.pipeline.settle import read_again, settled, watching
from app.pipeline.sources import Wiring
from app.report.json import SCHEMA_VERSION, indented
from app.report.lines import pen_for, print_bytes, print_text
from app.runbooks import engine, paper, schema
from app.runbooks import transcript as transcripts
from app.runbooks.connectivity import Trial, left_behind, proposal
from app.runbooks.evaluation import View
from app.runbooks.library import Library, load
from app.runbooks.parsing import BadRunbook
from app.state.kinds import COMMANDS
from app.state.snapshot import Snapshot
from collectors.sanitize import one_line, printable

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INTERRUPTED = 130
"""Exit code after a second ctrl-c."""

PAUSE = 2.0
"""Seconds between two looks while a step waits for the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A runbook to be followed without a screen."""

    runbook: schema.Runbook
    parameters: Mapping[str, str]
    answers: Mapping[str, str]
    options: argparse.Namespace
    """The command line."""
    request: Request
    """How the cluster is read and judged; `wait`: for the fix."""
    allowed: tuple[schema.ActionName, ...] = ()
    """What of that which changes the cluster may be run."""
    gone_on: transcripts.TranscriptDocument | None = None
    """A transcript to go on with."""
    file: Path | None = None
    """Its file."""


def list_all(library: Library, settings: Settings, output: str) -> int:
    """Print which runbooks there are."""
    entries = library.entries()
    if output == "json":
        shown = [
            {
                "name": each.name,
                "own": each.own,
                "title": each.runbook.title if each.runbook else None,
                "when": each.runbook.when if each.runbook else None,
                "parameters": list(each.runbook.parameters) if each.runbook else [],
                "problem": each.problem or None,
            }
            for each in entries
        ]
        document = {"schemaVersion": SCHEMA_VERSION, "kind": "Runbooks", "items": shown}
        print_bytes(indented(document))
        return 0
    width = max(len(each.name) for each in entries)
    for each in entries:
        text = each.runbook.title if each.runbook else f"cannot be used: {each.problem}"
        own = " (yours)" if each.own else ""
        print_text(one_line(f"{each.name:<{width}}  {text}{own}") + "\n", settings)
    return 0


def show(runbook: schema.Runbook, settings: Settings, output: str) -> int:
    """Print one runbook."""
    if output == "json":
        fields = msgspec.to_builtins(runbook)
        print_bytes(indented({"schemaVersion": SCHEMA_VERSION, "kind": "Runbook", **fields}))
        return 0
    lines = [f"{runbook.name}: {runbook.title}", f"when  {runbook.when}"]
    for name, parameter in runbook.parameters.items():
        optional = " (may be left out)" if parameter.optional else ""
        lines.append(f"--param {name}={schema.FORMS[parameter.kind]}{optional}  {parameter.ask}")
    numbers = {step.id: str(number) for number, step in enumerate(runbook.steps, 1)}
    for step in runbook.steps:
        lines.append("")
        lines.append(f"{numbers[step.id]}  {step.id}: {step.ask}")
        if step.read:
            lines.append(f"   {step.read}")
        if step.manual:
            lines.append(f"   by hand: {step.manual.do}")
            lines += [f"     {choice.key}: {choice.says}" for choice in step.manual.choices]
        if step.action:
            offer = proposal(settings, context=settings.context or "")
            lines.append(f"   runs with --allow {step.action}: {offer.command}")
            lines += [f"     {effect}" for effect in offer.effects]
            lines.append(f"     By hand it is removed by: {offer.cleanup}")
            lines.append("     Where nodes run Talos its namespace is labelled privileged as well.")
        ways = [(v, numbers.get(to, to)) for v, to in step.next if to]
        lines.append(
            "   " + ", ".join(f"{v} → {to if to != schema.END else 'end'}" for v, to in ways)
        )
    print_text("".join(f"{printable(line)}\n" for line in lines), settings)
    return 0


def _followed(wiring: Wiring, order: Order) -> int:
    """Follow it, print what was found, and return the exit code. Raises BadParameter."""
    try:
        found = asyncio.run(_follow(wiring, order))
    except asyncio.CancelledError:
        return INTERRUPTED
    finally:
        for sentence in left_behind():
            sys.stderr.write(f"ciliscope: {printable(sentence)}\n")
    if isinstance(found, str):
        raise schema.BadParameter(found)
    done, recorder = found
    if not order.options.no_transcript:
        text = (
            f"not kept: {recorder.problem}" if recorder.problem else f"transcript: {recorder.path}"
        )
        if recorder.moved:
            sys.stderr.write(f"ciliscope: {printable(recorder.moved)}\n")
        sys.stderr.write(f"ciliscope: {printable(text)}\n")
    output, hidden = order.options.output or "text", order.options.hide_addresses
    print_document(recorder.document(done), wiring.settings, output, hidden=hidden)
    return engine.exit_code(done)


def print_document(
    document: transcripts.TranscriptDocument, settings: Settings, output: str, *, hidden: bool
) -> None:
    """Print a transcript, without what looks like a secret."""
    document = transcripts.changed(document, transcripts.hider(addresses=hidden))
    if output == "json":
        print_bytes(transcripts.encoded(document).decode())
    elif output == "markdown":
        print_bytes(paper.markdown(document))
    else:
        print_text(paper.text(document, pen_for(settings)), settings)


async def _follow(wiring: Wiring, order: Order) -> tuple[engine.Run, transcripts.Recorder] | str:
    """The run and its file; or why its parameters name nothing that is there."""
    request = order.request
    async with watching(wiring) as monitor:
        if wiring.settings.at is not None:  # a clock that stands will never tell
            snapshot = await settled(monitor, request.deadline)
        else:
            snapshot = (await once(monitor, request)).snapshot
        hand = engine.Hand(transcripts.whoever(), snapshot.taken_at)
        if why := _elsewhere(order, snapshot.context):
            return why
        if order.gone_on is None:
            why = schema.missing(order.runbook, order.parameters, Case(snapshot))
            if why:
                return why
        recorder = _recorder(order, snapshot.context, hand.at)
        shown, judge = _begun(order, hand, snapshot.context), request.judge()
        end, said = asyncio.get_running_loop().time() + (request.wait or 0), ""
        while True:
            shown = await asyncio.to_thread(_on, shown, snapshot, judge, order)
            step = shown.current
            if step is not None and step.action in order.allowed and step.id not in shown.ran:
                shown = shown.add(await _tried(wiring.settings, snapshot, step))
                continue
            if not order.options.no_transcript:
                recorder.keep(shown)
            left = end - asyncio.get_running_loop().time()
            if not engine.waits(shown) or left <= PAUSE:
                return shown, recorder
            said = _say(shown, said)
            await asyncio.sleep(PAUSE)
            snapshot = await read_again(monitor, COMMANDS, min(request.deadline, left))


def _on(shown: engine.Run, snapshot: Snapshot, judge: Diagnoser, order: Order) -> engine.Run:
    view = View(judge.case(snapshot), judge.verdict(snapshot))
    hand = engine.Hand(transcripts.whoever(), snapshot.taken_at)
    return engine.follow(shown, view, order.answers, hand, order.allowed)


async def _tried(settings: Settings, snapshot: Snapshot, step: schema.Step) -> engine.Ran:
    """What came of the test that a step offers, and that was allowed on the command line."""
    trial = Trial(settings, snapshot)
    offer = trial.proposal
    why = trial.obstacle or f"running {offer.command}; by hand it is removed by: {offer.cleanup}"
    sys.stderr.write(f"ciliscope: {printable(why)}\n")
    said = 0

    def tell() -> None:
        nonlocal said
        for line in trial.since(said):
            sys.stderr.write(f"{line}\n")
        said = trial.printed
        sys.stderr.flush()

    with _stopping(trial):
        ran = await trial.run(
            engine.Hand(f"{transcripts.whoever()} (--allow)", datetime.now(UTC)), tell
        )
    return msgspec.structs.replace(ran, step=step.id)


@contextmanager
def _stopping(trial: Trial) -> Iterator[None]:
    """Let ctrl-c, SIGTERM and SIGHUP stop the test, which cleans up; a second one ends at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if trial.cancelled and task is not None:
            task.cancel()
            return
        sys.stderr.write("ciliscope: stopping, and cleaning up; once more leaves at once\n")
        trial.cancel()

    for number in _STOPPING:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)


def _elsewhere(order: Order, context: str) -> str:
    """Why a run is not gone on with here: it was begun on another cluster; "" where it may be."""
    begun = order.gone_on.context if order.gone_on else ""
    if order.options.elsewhere or not begun or not context or begun == context:
        return ""
    return (
        f"{order.file} was begun on {begun}, and this is {context}: what was found there says "
        f"nothing of this cluster; --context {begun}, or --elsewhere where it is the same one"
    )


def _begun(order: Order, hand: engine.Hand, context: str) -> engine.Run:
    if order.gone_on is not None:
        return engine.resume(transcripts.run_of(order.gone_on), hand, context)
    return engine.begin(order.runbook, order.parameters, hand)


def _recorder(order: Order, context: str, now: datetime) -> transcripts.Recorder:
    if order.file is not None:
        return transcripts.Recorder(order.file, order.gone_on.context if order.gone_on else context)
    return transcripts.Recorder.anew(order.runbook.name, context, now)


def _say(shown: engine.Run, said: str) -> str:
    """Tell on standard error what is waited for, whenever that changes."""
    step = shown.current
    judged = shown.judged.get(step.id) if step else None
    why = judged.because if judged else str(schema.StepVerdict.UNKNOWN)
    now = f"ciliscope: waiting at {step.id if step else schema.END}: {one_line(why)}\n"
    if now != said:
        sys.stderr.write(now)
        sys.stderr.flush()
    return now


GOOD = 0
TIMEOUT = "20s"
"""How long sources may take to answer, where nothing else is asked for."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Do what was asked and return the exit code. Raises SettingsError with one sentence."""
    config = config_file(options)
    try:
        return _run(options, settings, config, expectations(path=config))
    except (
        BadRunbook,
        schema.BadParameter,
        engine.BadAnswer,
        transcripts.BadTranscript,
    ) as problem:
        raise SettingsError(str(problem)) from None


def transcript(options: argparse.Namespace) -> transcripts.TranscriptDocument:
    """The transcript that `resume` goes on with. Raises SettingsError."""
    _refuse_flags(options)
    try:
        return transcripts.read(Path(_what(options)))
    except transcripts.BadTranscript as problem:
        raise SettingsError(str(problem)) from None


def _run(
    options: argparse.Namespace,
    settings: Settings,
    config: Path | None,
    expected: tuple[ExpectedSetting, ...],
) -> int:
    output = options.output or "text"
    _refuse_flags(options)
    match options.word:
        case "list":
            return list_all(transcripts.library(config), settings, output)
        case "show":
            return show(transcripts.library(config).runbook(_what(options)), settings, output)
        case "validate":
            found = load(Path(_what(options)))
            text = f"{options.what}: {found.name}, {len(found.steps)} steps, can be followed"
            sys.stdout.write(f"{printable(text)}\n")
            return GOOD
        case "export":
            kept = transcripts.read(Path(_what(options)))
            print_document(kept, settings, output, hidden=options.hide_addresses)
            return GOOD
    deadline = duration("--timeout", options.timeout or TIMEOUT)
    gone_on = transcripts.read(Path(_what(options))) if options.word == "resume" else None
    book = gone_on.runbook if gone_on else transcripts.library(config).runbook(_what(options))
    order = Order(
        runbook=book,
        parameters=schema.checked(book, _pairs("--param", options.param))
        if gone_on is None
        else {},
        answers=engine.checked_answers(book, _pairs("--answer", options.answer)),
        options=options,
        request=Request(
            categories=CATEGORIES,
            deadline=deadline,
            wait=None if options.wait is None else duration("--wait", options.wait),
            expected=expected,
        ),
        allowed=("connectivity-test",) if options.allow else (),
        gone_on=gone_on,
        file=Path(_what(options)) if gone_on else None,
    )
    return _followed(Wiring(settings, deadline), order)


_ONLY: Mapping[str, tuple[str, ...]] = {
    "--param": ("run",),
    "--answer": ("run", "resume"),
    "--wait": ("run", "resume"),
    "--allow": ("run", "resume"),
    "--elsewhere": ("resume",),
    "--timeout": ("run", "resume"),
    "--output": ("list", "show", "run", "resume", "export"),
    "--no-transcript": ("run", "resume"),
    "--hide-addresses": ("run", "resume", "export"),
}
"""The words that each flag is for."""


def _refuse_flags(options: argparse.Namespace) -> None:
    """A flag that would do nothing is refused. Raises SettingsError."""
    for flag, words in _ONLY.items():
        if getattr(options, flag.strip("-").replace("-", "_")) and options.word not in words:
            *others, last = words
            text = f"{', '.join(others)} and {last}" if others else last
            raise SettingsError(f"{flag} is for runbook {text}")
    if options.word == "list" and options.what:
        raise SettingsError("runbook list takes nothing behind it; runbook show NAME tells of one")
    if options.word in ("list", "show") and options.output == "markdown":
        raise SettingsError(f"runbook {options.word} has no -o markdown; it has text and json")


def _what(options: argparse.Namespace) -> str:
    if not options.what:
        kind = "NAME" if options.word in ("show", "run") else "FILE"
        hint = "; runbook list tells which there are" if kind == "NAME" else ""
        raise SettingsError(f"runbook {options.word} takes a {kind}{hint}")
    return str(options.what)


def _pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise SettingsError(f"{flag} is {text!r}; it must be NAME=VALUE")
        if name in found:
            raise SettingsError(f"{flag} names {name} twice")
        found[name] = value
    return found
