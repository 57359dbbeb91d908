"""A transcript on paper: as text for people and as Markdown for an issue or a chat."""

from __future__ import annotations

from collections.abc import Iterator

from app.diagnosis.read_commands import in_context
from app.model.finding import Severity
from app.report.findings_text import Pen, remedy_lines
from app.report.markdown import escape
from app.report.paths_text import behind
from app.runbooks.engine import (
    FIXED,
    FOUND,
    NOTHING_WRONG,
    OPEN,
    Judged,
    Noted,
    Noticed,
    Ran,
    Result,
    Resumed,
    Run,
    Seen,
)
from app.runbooks.schema import Step, Verdict
from app.runbooks.subjects import command, filled
from app.runbooks.transcript import Document, run_of
from collectors.sanitize import one_line

EVIDENCE = 6
"""Observations told of a finding; the JSON has all."""

_SIGNS: dict[Verdict, Severity | str] = {
    Verdict.PASS: "ok",
    Verdict.FAIL: Severity.FAIL,
    Verdict.UNKNOWN: Severity.UNKNOWN,
}

_RESULTS: dict[Result, Severity | str] = {
    FIXED: "ok",
    NOTHING_WRONG: "ok",
    FOUND: Severity.FAIL,
    OPEN: Severity.UNKNOWN,
}


def text(document: Document, pen: Pen) -> str:
    """The transcript for people, a newline at the end."""
    run = run_of(document)
    lines = [_title(document), one_line(document.runbook.title), ""]
    for number, step in _numbered(run):
        lines += [*_step(run, number, step, pen, document.context), ""]
    lines.append(f"{pen.sign(_sign_of(run))} {run.result}")
    return "\n".join(lines) + "\n"


def markdown(document: Document) -> str:
    """The transcript as Markdown, a newline at the end."""
    run = run_of(document)
    begun = document.entries[0]
    lines = [
        f"# {escape(_title(document))}",
        "",
        escape(document.runbook.title),
        "",
        f"Begun {begun.at:%Y-%m-%d %H:%M:%SZ} by {escape(begun.by)}; result: **{run.result}**.",
    ]
    lines += [
        f"Resumed {entry.at:%Y-%m-%d %H:%M:%SZ} by {escape(entry.by)}."
        for entry in document.entries
        if isinstance(entry, Resumed)
    ]
    for number, step in _numbered(run):
        lines += ["", *_markdown_step(run, number, step)]
    return "\n".join(lines) + "\n"


def _title(document: Document) -> str:
    given = " · ".join(document.parameters.values())
    where = f" on {document.context}" if document.context else ""
    return one_line(" · ".join(filter(None, (document.runbook.name, given))) + where)


def _numbered(run: Run) -> Iterator[tuple[int, Step]]:
    """The steps on the way, each once, with their numbers; then those that were gone back from."""
    places = {step.id: number for number, step in enumerate(run.runbook.steps, 1)}
    known = {*run.judged, *run.answers, *run.ran, *run.skipped}
    known |= {entry.step for entry in run.entries if isinstance(entry, Noted)}
    behind = dict.fromkeys(run.visited)
    ahead = (s for s in run.runbook.steps if s.id in known and s not in behind)
    for step in (*behind, *ahead):
        yield places[step.id], step


def _sign_of(run: Run) -> Severity | str:
    return _RESULTS[run.result]


def _word(run: Run, step: Step) -> str:
    """Its verdict in words, and whether the run has gone back from it."""
    return _verdict(run, step) + ("" if step.id in run.way else " (gone back from)")


def _verdict(run: Run, step: Step) -> str:
    if step.id in run.skipped:
        return f"skipped: {run.skipped[step.id].reason}"
    if run.open(step):
        unanswered = step.manual is not None and step.id not in run.answers
        return f"open: nobody has {'answered' if unanswered else 'run'} it"
    return str(run.verdict(step))


def _step(run: Run, number: int, step: Step, pen: Pen, context: str) -> Iterator[str]:
    verdict = run.verdict(step)
    ask = filled(step.ask, run.runbook, run.parameters)
    yield from behind(f"{pen.sign(_SIGNS[verdict])} {number}  ", f"{ask}  {_word(run, step)}")
    judged = run.judged.get(step.id)
    if judged is not None:
        yield from _judged(judged, pen)
    yield from _by_hand(run, step)
    if verdict is Verdict.FAIL and step.fix:
        yield from behind("     do        ", filled(step.fix, run.runbook, run.parameters))
    if verdict is not Verdict.PASS:
        for each in step.commands:
            shown = in_context(command(each, run.runbook, run.parameters), context)
            if shown:
                yield f"     by hand   {one_line(shown)}"
    yield from (_note_line(note) for note in run.notes(step.id))


def _judged(judged: Judged, pen: Pen) -> Iterator[str]:
    if not judged.findings:
        yield from behind("     ", judged.because)
    for finding in judged.findings:
        sign = pen.sign(finding.severity)
        yield from behind(f"     {sign} {finding.code} ", finding.summary)
        yield from (f"       {_seen(each)}" for each in finding.evidence[:EVIDENCE])
        if finding.remedy:
            yield from remedy_lines("       do      ", finding.remedy)
        if finding.command:
            yield f"       by hand {one_line(finding.command)}"


def _by_hand(run: Run, step: Step) -> Iterator[str]:
    if step.manual is not None:
        answer = run.answers.get(step.id)
        if answer is None:
            yield from behind("     ", filled(step.manual.do, run.runbook, run.parameters))
            for choice in step.manual.choices:
                shown = f"--answer {step.id}={choice.key}"
                yield from behind(f"       {shown:<28} ", choice.says)
        else:
            yield from behind("     ", f"{answer.says} ({answer.by})")
    ran = run.ran.get(step.id)
    if ran is not None:
        yield from behind("     ", ran.says)


def _note_line(note: Noted) -> str:
    return one_line(f"     note      {note.text} ({note.by}, {note.at:%H:%M:%SZ})")


def _seen(each: Seen) -> str:
    when = f", {each.at:%H:%M:%SZ}" if each.at else ""
    where = ": ".join(filter(None, (each.object, each.field)))
    return one_line(f"{where} = {each.value or '(empty)'} ({each.source}{when})")


def _markdown_step(run: Run, number: int, step: Step) -> Iterator[str]:
    ask = filled(step.ask, run.runbook, run.parameters)
    yield f"## {number}. {escape(ask)}"
    yield ""
    yield f"**{escape(_word(run, step))}**"
    judged = run.judged.get(step.id)
    if judged is not None:
        at = f"{judged.at:%Y-%m-%d %H:%M:%SZ}"
        yield f"({escape(judged.because)}; {at}, {escape(judged.by)})"
        for finding in judged.findings:
            yield from _markdown_finding(finding)
    if step.manual is not None:
        answer = run.answers.get(step.id)
        yield ""
        yield escape(filled(step.manual.do, run.runbook, run.parameters))
        if answer is not None:
            yield ""
            yield f"Answer: {escape(answer.says)} ({escape(answer.by)}, {answer.at:%H:%M:%SZ})"
    ran = run.ran.get(step.id)
    if ran is not None:
        yield from _markdown_ran(ran)
    for note in run.notes(step.id):
        yield ""
        yield f"> {escape(note.text)} ({escape(note.by)}, {note.at:%Y-%m-%d %H:%M:%SZ})"


def _markdown_finding(finding: Noticed) -> Iterator[str]:
    yield ""
    yield f"* **{escape(finding.code)}** {escape(finding.summary)}"
    for each in finding.evidence[:EVIDENCE]:
        yield f"  * {escape(_seen(each))}"
    if finding.remedy:
        yield from _block(finding.remedy)
    if finding.command:
        yield from _block(finding.command)


def _markdown_ran(ran: Ran) -> Iterator[str]:
    yield ""
    yield escape(ran.says)
    if ran.lines:
        yield from _block("\n".join(ran.lines))


def _block(text: str) -> Iterator[str]:
    """Lines as they are; the fence is longer than any that stands in them."""
    fence = "```"
    while fence in text:
        fence += "`"
    yield ""
    yield f"  {fence}"
    yield from (f"  {line}" for line in text.splitlines())
    yield f"  {fence}"
