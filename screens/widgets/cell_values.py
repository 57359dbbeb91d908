"""The values behind the words of a table's cells, for scripts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TypeAlias

from app.report.columns import Cell, Column
from app.report.lines import LEADER, NOTHING, SIGN, to_ascii

Value: TypeAlias = str | int | float | bool | dict[str, int | bool | None] | None
"""None: not known, or nothing."""

_SPELLED = (*SIGN.values(), *map(to_ascii, SIGN.values()))
_SIGNED = re.compile(rf"[{re.escape(''.join(_SPELLED))}](?: |(?=≠|!=)|$)")
_MARKED = re.compile(rf" (?:[{LEADER}≠]|{re.escape(to_ascii(LEADER))}|!=)$")
_SHARE = re.compile(r"(\d+|\?)/(\d+|\?)(\?)?(?:\+(\d+))?")
_YES = frozenset({SIGN["ok"], to_ascii(SIGN["ok"]), LEADER, to_ascii(LEADER)})
_UNKNOWN = frozenset({"", NOTHING, SIGN["unknown"]})


def value(column: Column, cell: Cell, now: datetime) -> Value:
    """What a cell says, as a value of the kind that its column holds.

    Numbers are numbers, lengths of time are seconds, moments are ISO 8601 in UTC. Of a share there
    is how many (`is`) of how many (`of`), how many besides (`more`) and whether some are not known
    (`unsure`).
    """
    text = cell.text
    if column.holds == "flag":
        return None if text == SIGN["unknown"] else text in _YES
    if text in _UNKNOWN:
        return None
    match column.holds:
        case "number" | "seconds" | "since" | "time":
            return _measured(column, cell, now)
        case "share":
            return _share(text)
        case "state":
            return _SIGNED.sub("", text, count=1) if _SIGNED.match(text) else text
        case "marked":
            return _MARKED.sub("", text)
        case _:
            return text


def _measured(column: Column, cell: Cell, now: datetime) -> Value:
    """What a cell is sorted by; where that is no number, its words."""
    number = cell.sort
    if not isinstance(number, int | float):
        return cell.text
    if column.holds == "time":
        return datetime.fromtimestamp(number, UTC).isoformat()
    if column.holds == "since":
        return max(0, int(now.timestamp() + number))
    return number


def _share(text: str) -> Value:
    found = _SHARE.fullmatch(text)
    if found is None:
        return text
    part, whole, unsure, more = found.groups()
    return {
        "is": None if part == "?" else int(part),
        "of": None if whole == "?" else int(whole),
        "more": int(more or 0),
        "unsure": bool(unsure) or "?" in (part, whole),
    }
