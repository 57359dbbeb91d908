"""Every code: what it says, what it means to the operator, how to see it by hand, what to do.

A code never changes its meaning and is never used again for another. One module a block; `CODES`
has all of them. `docs/findings/` is generated from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from app.diagnosis.catalog import (
    advertisement,
    bgp_config,
    cilium,
    configuration,
    ignore,
    lbipam,
    policies,
    sessions,
    workload,
)
from app.diagnosis.catalog import visibility as view
from app.diagnosis.catalog.code import Code

__all__ = ["CODES", "Code", "collected"]


def collected(*blocks: Iterable[Code]) -> dict[str, Code]:
    """The codes of these blocks by code, in order. Raises ValueError where one stands twice."""
    codes: dict[str, Code] = {}
    for entry in sorted(chain(*blocks), key=lambda entry: entry.code):
        if entry.code in codes:
            raise ValueError(f"{entry.code} stands twice in the catalogue")
        codes[entry.code] = entry
    return codes


CODES: dict[str, Code] = collected(
    cilium.CODES,
    lbipam.CODES,
    bgp_config.CODES,
    sessions.CODES,
    advertisement.CODES,
    workload.CODES,
    policies.CODES,
    configuration.CODES,
    view.CODES,
    ignore.CODES,
)
