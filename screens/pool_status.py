"""What is to be said of a pool in a few words, alike on every screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.model.finding import Severity
from app.report.format import count

if TYPE_CHECKING:
    from app.model.finding import Finding, Health
    from app.model.lbipam import PoolUsage
    from app.report.lines import Tone


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


def pool_state(
    usage: PoolUsage, findings: Iterable[Finding], others: Iterable[str]
) -> tuple[Health, str]:
    """How a pool is, by what was found about it, and that in words without its name.

    `others` are the pools that it overlaps.
    """
    found = tuple(findings)
    worst = {finding.severity for finding in found}
    health: Health = "ok"
    if Severity.FAIL in worst:
        health = "fail"
    elif Severity.WARN in worst:
        health = "warn"
    elif Severity.UNKNOWN in worst:
        health = "unknown"
    words = _words(usage, found, tuple(dict.fromkeys(others)))
    if health == "ok":
        if usage.pool.spec.disabled:
            health = "none"
        elif usage.conflict or usage.invalid_blocks or usage.available == 0:
            health = "warn"
        elif usage.available is None:
            health = "unknown"
    return health, words


def _words(usage: PoolUsage, findings: tuple[Finding, ...], others: tuple[str, ...]) -> str:
    codes = {finding.code: finding for finding in findings}
    off = "disabled" if usage.pool.spec.disabled else ""
    if usage.conflict or "CS207" in codes:
        whom = ", ".join(name for name in others if name != usage.pool.name) or "itself"
        told = f"overlaps {whom}"
        return f"{told}, gives nothing new" if usage.conflict else told
    if usage.invalid_blocks:
        return f"refused: {usage.invalid_blocks[0]}"
    if "CS202" in codes:
        waiting = sum(ref.kind == "Service" for ref in codes["CS202"].about)
        return f"full, {count(waiting, 'service')} {'waits' if waiting == 1 else 'wait'}"
    if off:
        held = len(usage.holders)
        return f"disabled, {held} still held" if held else off
    if usage.available is None:
        return "not counted by LB-IPAM"
    if not usage.available:
        return "full"
    if "CS216" in codes:
        return "nearly full"
    return "in use" if usage.holders else "not used"
