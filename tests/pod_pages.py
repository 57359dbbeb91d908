"""What the Pods screen shows of a snapshot, as text."""

from __future__ import annotations

from rich.cells import cell_len

from app.diagnosis.diagnoser import Diagnoser
from app.report.lines import text_of
from app.state.snapshot import Snapshot
from screens.base.detail_screen import Items
from screens.pods import PodPage, picture, pod_lines


def seen(snapshot: Snapshot) -> Items[PodPage]:
    """The picture, judged by a judge of its own."""
    return picture(snapshot, Diagnoser())


def detail(snapshot: Snapshot, name: str, width: int = 100, *, whole: bool = True) -> str:
    """The detail of the row whose key begins so."""
    return drawn(seen(snapshot), snapshot, name, width, whole=whole)


def drawn(
    found: Items[PodPage], snapshot: Snapshot, name: str, width: int, *, whole: bool = True
) -> str:
    """The detail of the row of a picture; no line is wider than the width."""
    page = next(page for key, page in found.details.items() if key.startswith(name))
    lines = [text_of(line).rstrip() for line in pod_lines(page, width, whole=whole)]
    assert max(map(cell_len, lines)) <= width
    return "\n".join(lines)
