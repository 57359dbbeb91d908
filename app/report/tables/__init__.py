"""The tables that `get` prints and screens show: one module each, named as it is asked for.

A module holds what a row is, how rows are made of a snapshot, and the columns. It ends in `TABLE`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.report.columns import Table
    from app.report.json import Item

WORDS = (
    "pods",
    "nodes",
    "sessions",
    "routes",
    "services",
    "pools",
    "agents",
    "policies",
    "endpoints",
    "logs",
    "config",
    "sources",
)
"""Every table, in the order in which help lists them."""


def table(word: str) -> Table[Item]:
    """The table of this word. Its module is imported when it is first asked for."""
    found: Table[Item] = import_module(f"{__name__}.{word}").TABLE
    return found
