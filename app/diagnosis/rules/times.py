"""Moments, spans and quotations, as the rules on Cilium's own health write them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from app.model.case import Case
from app.state.kinds import VERSION, Kind
from collectors.sanitize import one_line

NAMED = 4
"""Of so many things a sentence gives the names, and of so many the evidence is shown."""
CLOCKS_AGREE = 5.0
"""Seconds by which the local clock and the API server's may differ without a word about it."""


def clock_skew(case: Case) -> float | None:
    """Seconds the API server's clock is ahead of ours; None when it is not known."""
    version = next(iter(case.snapshot.records[VERSION].values()), None)
    return None if version is None else version.clock_skew


def heard(case: Case, *kinds: Kind[object]) -> datetime:
    """The moment, by the API server's clock, for which what is known of these kinds holds.

    That is when the one that is silent for longest was last heard, not now: what a pod was when the
    connection broke says nothing of how long it stayed so.
    """
    read = [case.snapshot.health_of(kind).read_at for kind in kinds]
    oldest = min((moment for moment in read if moment is not None), default=case.now)
    skew = clock_skew(case) or 0.0
    return min(oldest, case.now) + timedelta(seconds=skew if abs(skew) > CLOCKS_AGREE else 0.0)


def since(moment: datetime | None, until: datetime) -> float | None:
    """Seconds from one moment to another, at least 0; None when the first is not known."""
    return None if moment is None else max(0.0, (until - moment).total_seconds())


def quoted(text: str) -> str:
    """What somebody else said, as the end of a sentence of ours."""
    return one_line(text).rstrip(". ")


def some(texts: Collection[str], joint: str = ", ") -> str:
    """The first few, and how many more there are: there may be one for each of a thousand nodes."""
    more = len(texts) - NAMED
    shown = joint.join(list(texts)[:NAMED])
    return f"{shown}{joint}and {more} more" if more > 0 else shown
