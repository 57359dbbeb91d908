"""Which kinds of BGP's configuration the API server does not serve: of what they say, nothing is
known, however surely none of them was read."""

from __future__ import annotations

from collections.abc import Iterable

from app.model.case import Case
from app.state.kinds import (
    BGP_OBJECTS,
    Kind,
)
from app.state.snapshot import State


def unserved(case: Case, kinds: Iterable[Kind[object]] = BGP_OBJECTS) -> tuple[Kind[object], ...]:
    """Those of these kinds that the API server does not know."""
    return tuple(kind for kind in kinds if case.snapshot.health_of(kind).state is State.ABSENT)
