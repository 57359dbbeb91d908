"""The pages of codes: `explain CODE`, and their index `docs/findings/README.md`.

`python -m app.report.pages` writes the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from app.diagnosis.catalog import CODES, Code, code, docs_page
from app.diagnosis.inputs import CATEGORIES

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs" / "findings" / "README.md"


def page(entry: Code) -> str:
    """The page of a code, as Markdown; `explain CODE` prints it."""
    return "\n".join([f"# {entry.code}: {entry.title}", "", *_body(entry)])


def index() -> str:
    """The index of all codes, as Markdown."""
    lines = [
        "# Findings",
        "",
        "What `ciliscope check` can find. A code never changes its meaning and is never used again",
        "for another. `ciliscope explain CODE` prints a page. `make findings` writes this index.",
        "",
    ]
    for category in CATEGORIES:
        lines += [f"## {category}", "", "| code | severity | says |", "|---|---|---|"]
        lines += [
            f"| [{entry.code}](../../{docs_page(entry.code)}) "
            f"| {', '.join(entry.severities)} | {entry.title} |"
            for entry in map(code, CODES)
            if entry.category == category
        ]
        lines.append("")
    return "\n".join(lines)


def _body(entry: Code) -> Iterator[str]:
    severities = " or ".join(f"**{severity}**" for severity in entry.severities)
    yield f"Category `{entry.category}`, severity {severities}."
    yield from ("", entry.meaning, "")
    yield from ("## How to see it by hand", "", entry.check, "")
    yield from ("## What to do", "", entry.fix, "")
    effects = [each for each in map(code, CODES) if entry.code in each.follows_from]
    if entry.follows_from:
        causes = map(code, entry.follows_from)
        yield from ("## What it can follow from", "", *_links(causes), "")
    if effects:
        yield from ("## What can follow from it", "", *_links(effects), "")
    yield from ("## Source", "", entry.source, "")


def _links(entries: Iterable[Code]) -> Iterator[str]:
    return (f"- [{entry.code}]({entry.code}.md) {entry.title}" for entry in entries)


if __name__ == "__main__":
    INDEX.write_text(index(), "utf-8")
