"""The index of the pages of codes, from the catalogue: `make findings` writes it."""

from __future__ import annotations

from pathlib import Path

from app.diagnosis.catalog import CODES, code, docs_page
from app.diagnosis.inputs import CATEGORIES

ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT / "docs" / "findings" / "README.md"


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


if __name__ == "__main__":
    INDEX.write_text(index(), "utf-8")
