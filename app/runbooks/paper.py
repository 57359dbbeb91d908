"""A transcript on paper: as text for people and as Markdown for an issue or a chat."""

from __future__ import annotations

from collections.abc import Iterator

from app.model.finding import health_of, in_context
from app.report.finding_lines import observed, remedy_lines
from app.report.lines import Paragraph, Pen, Span, plain, sign, whole
from app.report.markdown import escape
from app.runbooks import engine
from app.runbooks.page import VERDICT_HEALTH, result_health
from app.runbooks.schema import Step, StepVerdict, command, filled
from app.runbooks.transcript import TranscriptDocument, run_of
from collectors.sanitize import one_line

EVIDENCE = 6
"""Observations of a finding; JSON has all."""


def text(document: TranscriptDocument, pen: Pen) -> str:
    """The transcript for people, a newline at the end."""
    return pen.text(_paragraphs(document))


def markdown(document: TranscriptDocument) -> str:
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
        if isinstance(entry, engine.Resumed)
    ]
    for number, step in _numbered(run):
        lines += ["", *_markdown_step(run, number, step)]
    return "\n".join(lines) + "\n"


def _title(document: TranscriptDocument) -> str:
    given = " · ".join(document.parameters.values())
    where = f" on {document.context}" if document.context else ""
    return one_line(" · ".join(filter(None, (document.runbook.name, given))) + where)


def _numbered(run: engine.Run) -> Iterator[tuple[int, Step]]:
    """The steps on the way, each once, with their numbers; then those that were gone back from."""
    places = {step.id: number for number, step in enumerate(run.runbook.steps, 1)}
    known = {*run.judged, *run.answers, *run.ran, *run.skipped}
    known |= {entry.step for entry in run.entries if isinstance(entry, engine.Noted)}
    behind = dict.fromkeys(run.visited)
    ahead = (s for s in run.runbook.steps if s.id in known and s not in behind)
    for step in (*behind, *ahead):
        yield places[step.id], step


def _word(run: engine.Run, step: Step) -> str:
    """Its verdict in words, and whether the run has gone back from it."""
    return _verdict(run, step) + ("" if step.id in run.way else " (gone back from)")


def _verdict(run: engine.Run, step: Step) -> str:
    if step.id in run.skipped:
        return f"skipped: {run.skipped[step.id].reason}"
    if run.open(step):
        unanswered = step.manual is not None and step.id not in run.answers
        return f"open: nobody has {'answered' if unanswered else 'run'} it"
    return str(run.verdict(step))


def _paragraphs(document: TranscriptDocument) -> Iterator[Paragraph]:
    run = run_of(document)
    yield from (whole(_title(document)), whole(one_line(document.runbook.title)), whole(""))
    for number, step in _numbered(run):
        yield from (*_step(run, number, step, document.context), whole(""))
    yield Paragraph((*sign(result_health(run)), Span(run.result)))


def _step(run: engine.Run, number: int, step: Step, context: str) -> Iterator[Paragraph]:
    verdict = run.verdict(step)
    ask = filled(step.ask, run.runbook, run.parameters)
    head = (*sign(VERDICT_HEALTH[verdict]), Span(f"{number}  "))
    yield Paragraph(head, plain(one_line(f"{ask}  {_word(run, step)}")))
    judged = run.judged.get(step.id)
    if judged is not None:
        yield from _judged(judged)
    yield from _by_hand(run, step)
    if verdict is StepVerdict.FAIL and step.fix:
        yield _behind("     do        ", filled(step.fix, run.runbook, run.parameters))
    if verdict is not StepVerdict.PASS:
        for each in step.commands:
            text = in_context(command(each, run.runbook, run.parameters), context)
            if text:
                yield whole(f"     by hand   {one_line(text)}")
    yield from (_note_line(note) for note in run.notes(step.id))


def _judged(judged: engine.Judged) -> Iterator[Paragraph]:
    if not judged.findings:
        yield _behind("     ", judged.because)
    for finding in judged.findings:
        head = (Span("     "), *sign(health_of(finding.severity)), Span(f"{finding.code} "))
        yield Paragraph(head, plain(one_line(finding.summary)))
        yield from (whole(f"       {_seen(each)}") for each in finding.evidence[:EVIDENCE])
        if finding.remedy:
            yield from remedy_lines("       do      ", finding.remedy)
        if finding.command:
            yield whole(f"       by hand {one_line(finding.command)}")


def _by_hand(run: engine.Run, step: Step) -> Iterator[Paragraph]:
    if step.manual is not None:
        answer = run.answers.get(step.id)
        if answer is None:
            yield _behind("     ", filled(step.manual.do, run.runbook, run.parameters))
            for choice in step.manual.choices:
                option = f"--answer {step.id}={choice.key}"
                yield _behind(f"       {option:<28} ", choice.says)
        else:
            yield _behind("     ", f"{answer.says} ({answer.by})")
    ran = run.ran.get(step.id)
    if ran is not None:
        yield _behind("     ", ran.says)


def _note_line(note: engine.Noted) -> Paragraph:
    return whole(one_line(f"     note      {note.text} ({note.by}, {note.at:%H:%M:%SZ})"))


def _behind(head: str, sentence: str) -> Paragraph:
    return Paragraph(plain(head), plain(one_line(sentence)))


def _seen(each: engine.Seen) -> str:
    when = f"{each.at:%H:%M:%SZ}" if each.at else ""
    return observed((each.object, each.field), each.value, (each.source, when))


def _markdown_step(run: engine.Run, number: int, step: Step) -> Iterator[str]:
    ask = filled(step.ask, run.runbook, run.parameters)
    yield from (f"## {number}. {escape(ask)}", "", f"**{escape(_word(run, step))}**")
    judged = run.judged.get(step.id)
    if judged is not None:
        at = f"{judged.at:%Y-%m-%d %H:%M:%SZ}"
        yield f"({escape(judged.because)}; {at}, {escape(judged.by)})"
        for finding in judged.findings:
            yield from _markdown_finding(finding)
    if step.manual is not None:
        yield from ("", escape(filled(step.manual.do, run.runbook, run.parameters)))
        if answer := run.answers.get(step.id):
            when = f"{escape(answer.by)}, {answer.at:%H:%M:%SZ}"
            yield from ("", f"Answer: {escape(answer.says)} ({when})")
    if ran := run.ran.get(step.id):
        yield from ("", escape(ran.says))
        if ran.lines:
            yield from _block("\n".join(ran.lines))
    for note in run.notes(step.id):
        when = f"{escape(note.by)}, {note.at:%Y-%m-%d %H:%M:%SZ}"
        yield from ("", f"> {escape(note.text)} ({when})")


def _markdown_finding(finding: engine.Noticed) -> Iterator[str]:
    yield from ("", f"* **{escape(finding.code)}** {escape(finding.summary)}")
    for each in finding.evidence[:EVIDENCE]:
        yield f"  * {escape(_seen(each))}"
    if finding.remedy:
        yield from _block(finding.remedy)
    if finding.command:
        yield from _block(finding.command)


def _block(text: str) -> Iterator[str]:
    """Lines as they are; the fence is longer than any that stands in them."""
    fence = "```"
    while fence in text:
        fence += "`"
    yield from ("", *(f"  {line}" for line in (fence, *text.splitlines(), fence)))
