"""The pages of the codes, `docs/findings/`, from the catalogue: `python -m app.report.pages`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from app.diagnosis.catalog import CODES, Code
from app.diagnosis.categories import CATEGORIES

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "findings"
INDEX = "README.md"


def pages(codes: Mapping[str, Code] = CODES) -> dict[str, str]:
    """Every file of the folder and what it should hold."""
    written = {f"{entry.code}.md": page(entry, codes) for entry in codes.values()}
    return {INDEX: _index(codes), **written}


def page(entry: Code, codes: Mapping[str, Code] = CODES) -> str:
    """The page of a code, as Markdown; `explain CODE` prints it."""
    return "\n".join([f"# {entry.code}: {entry.title}", "", *_body(entry, codes)])


def write(folder: Path = FOLDER) -> None:
    """Write every page and remove those of codes that there are not."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for file in folder.glob("*.md"):
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, "utf-8")


def _body(entry: Code, codes: Mapping[str, Code]) -> Iterator[str]:
    severities = " or ".join(f"**{severity}**" for severity in entry.severities)
    yield f"Category `{entry.category}`, severity {severities}."
    yield from ("", entry.meaning.strip(), "")
    yield from ("## How to see it by hand", "", entry.check.strip(), "")
    yield from ("## What to do", "", entry.fix.strip(), "")
    causes = [codes[code] for code in entry.follows_from if code in codes]
    effects = [each for each in codes.values() if entry.code in each.follows_from]
    if causes:
        yield from ("## What it can follow from", "", *_links(causes), "")
    if effects:
        yield from ("## What can follow from it", "", *_links(effects), "")
    yield from ("## Source", "", entry.source.strip(), "")


def _links(codes: list[Code]) -> Iterator[str]:
    return (f"- [{entry.code}]({entry.code}.md) {entry.title}" for entry in codes)


def _index(codes: Mapping[str, Code]) -> str:
    lines = [
        "# Findings",
        "",
        "What `ciliscope check` can find. A code never changes its meaning and is never used again",
        "for another. These pages are written from the catalogue by `python -m app.report.pages`;",
        "`ciliscope explain CODE` prints one of them.",
        "",
    ]
    for category in CATEGORIES:
        rows = [entry for entry in codes.values() if entry.category == category]
        lines += [f"## {category}", "", "| code | severity | says |", "|---|---|---|"]
        lines += [
            f"| [{entry.code}]({entry.code}.md) | {', '.join(entry.severities)} | {entry.title} |"
            for entry in rows
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    write(*(Path(word) for word in sys.argv[1:]))
