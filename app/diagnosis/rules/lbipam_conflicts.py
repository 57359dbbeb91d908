"""Pools whose ranges overlap: CS207, and CS215 where they no longer do.

Facts: Cilium operator/pkg/lbipam/lbipam.go (settleConflicts, markPool), 1.17 to 1.21;
`docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterator

from app.diagnosis.rules.lbipam_words import (
    SHOW_POOLS,
    named,
    operator_refs,
    operator_trouble,
    pool_ref,
    settling,
    show_operator_log,
)
from app.model.case import Case
from app.model.finding import Evidence, Finding, Severity
from app.model.lb_class import enabled
from app.model.lbipam import POOL_CONFLICT, Overlap, overlaps
from app.model.pool_matching import in_conflict
from app.state.kinds import POOLS
from collectors.cilium.records import Pool


def conflicting_pools(case: Case) -> Iterator[Finding]:
    """CS207: a pool overlaps another one (or itself) and gives no new addresses."""
    if not case.known(POOLS):
        return
    pairs = overlaps(case.usages)
    active = enabled(case, "enable-lb-ipam", "true")
    for usage in case.usages:
        pool = usage.pool
        mine = [_turned(pair, pool) for pair in pairs if pool is pair.pool or pool is pair.other]
        if in_conflict(pool):
            yield from _marked(case, pool, mine)
        elif active:
            yield from _unmarked(case, pool, mine)


def _marked(case: Case, pool: Pool, pairs: list[Overlap]) -> Iterator[Finding]:
    """The operator has put the pool out of use."""
    if pairs:
        yield _conflict(case, pool, pairs)
    elif not settling(case, [usage.pool.metadata for usage in case.usages], ()):
        yield _stale_conflict(case, pool)


def _unmarked(case: Case, pool: Pool, pairs: list[Overlap]) -> Iterator[Finding]:
    """The operator has put neither pool of a pair out of use, and is to put out this one."""
    due = [pair for pair in pairs if not in_conflict(pair.other) and _newer(pair) is pool]
    changed = [pool.metadata, *(pair.other.metadata for pair in due)]
    if due and not settling(case, changed, ()):
        yield _conflict(case, pool, due)


def _turned(pair: Overlap, pool: Pool) -> Overlap:
    """The pair seen from this pool."""
    if pair.pool is pool:
        return pair
    return Overlap(pair.other, pair.other_range, pair.pool, pair.range)


def _newer(pair: Overlap) -> Pool:
    """The pool that Cilium puts out of use; of two equally old ones it may be either."""

    def age(pool: Pool) -> tuple[float, str]:
        created = pool.metadata.creation_timestamp
        return (created.timestamp() if created else 0.0, pool.name)

    return max((pair.pool, pair.other), key=age)


def _conflict(case: Case, pool: Pool, pairs: list[Overlap]) -> Finding:
    marked = in_conflict(pool)
    others = list(dict.fromkeys(pair.other.name for pair in pairs if pair.other is not pool))
    with_whom = f"pool {others[0]}" if len(others) == 1 else f"pools {named(others)}"
    common = named(f"{pair.common}" for pair in pairs)
    whom = with_whom if others else "itself"
    so = "so it gives no new addresses" if marked else "and one of them will be put out of use"
    return Finding(
        code="CS207",
        severity=Severity.WARN if pool.spec.disabled else Severity.FAIL,
        subject=pool_ref(pool.name),
        summary=f"pool {pool.name} overlaps {whom} ({common}), {so}",
        evidence=(
            *(
                case.saw(
                    POOLS,
                    str(pool_ref(pair.other.name)),
                    "spec.blocks",
                    f"{pair.other_range} overlaps {pair.range} of {pool.name}",
                )
                for pair in pairs[:8]
            ),
            *_conflict_seen(case, pool),
        ),
        remedy=(
            f"Take {common} out of spec.blocks of CiliumLoadBalancerIPPool {pool.name}"
            + (f" or of {named(others)}" if others else ", where it stands twice")
            + "; disabling a pool does not resolve an overlap"
        ),
        command=SHOW_POOLS,
    )


def _stale_conflict(case: Case, pool: Pool) -> Finding:
    name, trouble = pool.name, operator_trouble(case)
    return Finding(
        code="CS215",
        severity=Severity.WARN,
        subject=pool_ref(name),
        summary=f"pool {name} is still marked as overlapping, though it overlaps no other now"
        + (f": {trouble}" if trouble else ""),
        evidence=_conflict_seen(case, pool),
        remedy="Look at the operator's log; a restart of the operator makes it compare pools again",
        command=show_operator_log(case),
        blames=operator_refs(case),
    )


def _conflict_seen(case: Case, pool: Pool) -> tuple[Evidence, ...]:
    return tuple(
        case.saw(
            POOLS,
            str(pool_ref(pool.name)),
            f"status.conditions[{condition.type}]",
            f"{condition.status} {condition.message}".rstrip(),
        )
        for condition in pool.status.conditions
        if condition.type == POOL_CONFLICT
    )


RULES = (conflicting_pools,)
