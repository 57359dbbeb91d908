"""What is to be said of a pool in a few words, alike on every screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.diagnosis.lbipam import PoolUsage
    from screens.widgets.lines import Tone


def pool_note(usage: PoolUsage) -> tuple[str, Tone]:
    """What is odd about a pool, else how much of it is free; and its tone."""
    if usage.conflict:
        return f"! in conflict: {usage.conflict}", "warn"
    if usage.invalid_blocks:
        return f"! {usage.invalid_blocks[0]}", "warn"
    if usage.pool.spec.disabled:
        return "· disabled", "none"
    if usage.available is None:
        return "? not counted yet", "unknown"
    return (f"{usage.available} free", "") if usage.available else ("! none free", "warn")
