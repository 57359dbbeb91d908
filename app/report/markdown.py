"""The outcome of a check as Markdown, to be pasted into a ticket.

Text from the cluster stands in code spans, or escaped: a message cannot become a link, an image or
a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from app.diagnosis import catalog
from app.diagnosis.catalog import docs_page
from app.diagnosis.diagnoser import COUNTED, Verdict
from app.diagnosis.inputs import answered
from app.model.finding import Finding, is_manifest
from app.model.wording import count, named
from app.report.check_text import not_read
from app.report.finding_lines import evidence_text
from app.report.json import cluster_item
from collectors.sanitize import one_line, printable

FOLLOW = 20
"""Consequences named under their root."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#!|~@&$])")
_TICKS = re.compile("`+")


def markdown(verdict: Verdict) -> str:
    """The report, a newline at the end."""
    cluster = cluster_item(verdict.snapshot)
    lines = [
        f"# Check of {code(cluster.context or 'the cluster')}",
        "",
        f"Kubernetes {code(cluster.kubernetes or '?')}, Cilium {code(cluster.cilium or '?')}, "
        f"as of {verdict.snapshot.taken_at:%Y-%m-%d %H:%M:%SZ}. "
        f"Checked: {', '.join(verdict.categories)}.",
        "",
        _counts(verdict),
    ]
    if off := not_read(verdict):
        lines += ["", f"{escape(off[0].upper() + off[1:])}."]
    for severity in COUNTED:
        tops = [top for top in verdict.tops if top.severity is severity]
        for top in tops:
            lines += ["", *_section(verdict, top)]
    lines += _ignored(verdict)
    lines += _sources(verdict)
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """The text as a code span, whatever backticks it has."""
    plain = one_line(text) or " "
    fence = "`" * (max((len(found) for found in _TICKS.findall(plain)), default=0) + 1)
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"


def escape(text: str) -> str:
    """The text as plain words."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _counts(verdict: Verdict) -> str:
    counts = verdict.counts()
    texts = [f"{counts[severity]} {severity}" for severity in COUNTED if counts[severity]]
    sentence = ", ".join(texts) or "Nothing was found"
    if not verdict.complete:
        sentence += "; not everything could be judged"
    return f"**{sentence}.**"


def _section(verdict: Verdict, top: Finding) -> Iterator[str]:
    yield from (f"## {top.severity.upper()} {top.code}: {catalog.code(top.code).title}", "")
    yield from (f"{escape(top.summary)}.", "")
    if causes := verdict.causes(top):
        yield from (f"Because of {', '.join(_named(causes))}.", "")
    if top.evidence:
        yield from (*(f"- {code(evidence_text(each))}" for each in top.evidence), "")
    if top.remedy:
        yield from _remedy(top.remedy)
    if top.command:
        yield from ("```sh", one_line(top.command), "```", "")
    if follow := verdict.follow(top):
        text = f"Explains {count(len(follow), 'finding')}: {named(_named(follow), FOLLOW)}."
        yield from (text, "")
    yield f"See {docs_page(top.code)}."


def _remedy(remedy: str) -> Iterator[str]:
    """Sentences as words; what is indented or a list is a manifest and stands in a block."""
    head = "**Remedy:** "
    for manifest, lines in groupby(remedy.splitlines(), is_manifest):
        if manifest:
            yield from ("```yaml", *(printable(line) for line in lines), "```", "")
        else:
            yield from (head + escape(" ".join(lines)), "")
        head = ""


def _named(findings: Iterable[Finding]) -> Iterator[str]:
    return (f"{finding.code} {code(str(finding.subject))}" for finding in findings)


def _ignored(verdict: Verdict) -> Iterator[str]:
    if verdict.ignored:
        yield from ("", "## Ignored", "")
    for each in verdict.ignored:
        what = f"{each.finding.code} {code(str(each.finding.subject))}"
        yield f"- {what}: {escape(each.entry.reason)} ({escape(each.entry.place)})"


def _sources(verdict: Verdict) -> Iterator[str]:
    known = verdict.snapshot.health.values()
    silent = [health for health in known if health.problems or not answered(health)]
    if silent:
        yield from ("", "## Sources that did not tell all", "", "| source | state | why |")
        yield "|---|---|---|"
    for health in silent:
        why = "; ".join((*filter(None, [health.error]), *health.problems))
        yield f"| {escape(health.label)} | {health.state} | {escape(why)} |"
