"""What was probably meant: the label that a selector misses, and the range that an address misses.

A hint never decides anything; it tells the operator where to look first. A likeness that could as
well be intended (`pool-1` beside `pool-2`) is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from types import MappingProxyType

from app.model.lbipam import Address, AddressRange
from app.model.selectors import describe, selects
from collectors.cilium.records import PoolBlock
from collectors.kubernetes.records import LabelSelector, Requirement

_NONE: Mapping[str, str] = MappingProxyType({})
_LONG = 64
"""Names longer than this are not compared letter by letter: a label value has at most 63."""

# How far an object is from fulfilling a requirement: the nearer, the likelier it was meant.
_ANNOTATED, _TYPO, _SIMILAR_KEY, _UNWANTED, _OTHER_VALUE, _MISSING = range(1, 7)


@dataclass(frozen=True, slots=True)
class Miss:
    """A requirement of a selector that labels do not fulfil."""

    key: str
    wanted: str
    """The requirement as kubectl writes one: `a=b`, `c in (d,e)`, `!f`."""
    values: tuple[str, ...]
    """The values that would fulfil it; none where it is not about a value."""
    has: str | None
    """The label's value; None: there is no such label."""
    hint: str = ""
    """What was probably meant, in words; "" where nothing is near."""
    meant: str = ""
    """The value that was probably meant; "" where nothing is near."""
    cost: int = _MISSING
    """How far it is from being fulfilled; only good for comparing."""

    @property
    def near(self) -> bool:
        """Whether something is so close that it was probably meant."""
        return bool(self.hint)

    @property
    def excluded(self) -> bool:
        """Whether it is there that the requirement wants away: a label says so on purpose."""
        return self.cost == _UNWANTED and self.has is not None

    def __str__(self) -> str:
        has = f"no label {self.key}" if self.has is None else f"{self.key}={self.has}"
        return f"needs {self.wanted}, but it has {has}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class NearRange:
    """The range that is nearest to an address which lies in none."""

    name: str
    """Whose range it is."""
    range: AddressRange
    gap: int
    """How many addresses the address is away from it."""


def distance(one: str, other: str) -> int:
    """How many letters must be changed, added, left out or swapped to make one out of the other.

    Optimal string alignment, as for words mistyped by hand.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            steps = [before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted)]
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                steps.append(older[j - 2] + 1)
            row.append(min(steps))
    return row[-1]


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that the word is probably a typo of, or None.

    Words that differ in their digits alone name different things on purpose.
    """
    limit = min(3, max(1, len(word) // 5))
    found = sorted(
        (steps, candidate)
        for candidate in set(candidates)
        if 0 < (steps := _steps(word, candidate, limit)) <= limit
        and _without_digits(word) != _without_digits(candidate)
    )
    return found[0][1] if found else None


def misses(
    selector: LabelSelector, labels: Mapping[str, str], annotations: Mapping[str, str] = _NONE
) -> tuple[Miss, ...]:
    """The requirements of a selector that the labels do not fulfil; none where it selects.

    The annotations are those of the same object: a label written as an annotation is a common slip
    (cilium#45327).
    """
    required = [
        Requirement(key, "In", (value,)) for key, value in sorted(selector.match_labels.items())
    ]
    return tuple(
        _miss(requirement, labels, annotations)
        for requirement in (*required, *selector.match_expressions)
        if not selects(LabelSelector(match_expressions=(requirement,)), labels)
    )


def farness(missed: Iterable[Miss]) -> int:
    """How far an object is from being selected: the sum of what it misses; 0 where it is."""
    return sum(miss.cost for miss in missed)


def nearest_range(address: Address, ranges: Iterable[tuple[str, AddressRange]]) -> NearRange | None:
    """The range of the address's family that lies nearest to it; None where there is none."""
    near = [
        NearRange(name, found, _gap(address, found))
        for name, found in ranges
        if found.first.version == address.version
    ]
    return min(near, key=lambda n: (n.gap, n.name, int(n.range.first)), default=None)


def masked(block: PoolBlock) -> str:
    """How Cilium reads a CIDR with host bits, in words; "" where it has none or is no CIDR.

    Cilium operator/pkg/lbipam: 192.168.100.200/28 begins at .192.
    """
    try:
        found = ip_interface(block.cidr)
    except ValueError:
        return ""
    if not block.cidr or found.ip == found.network.network_address:
        return ""
    network = found.network
    return f"{block.cidr} is masked to {AddressRange(network[0], network[-1])}"


def _miss(
    requirement: Requirement, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Miss:
    key, has = requirement.key, labels.get(requirement.key)
    wanted = _words(requirement)
    if requirement.operator not in ("In", "Exists"):
        return Miss(key, wanted, (), has, cost=_UNWANTED)
    values = requirement.values if requirement.operator == "In" else ()
    if has is not None:
        meant = nearest(has, values) or ""
        hint = f"{has} looks like a typo of {meant}" if meant else ""
        return Miss(key, wanted, values, has, hint, meant, _TYPO if meant else _OTHER_VALUE)
    if key in annotations:
        meant = annotations[key] if not values or annotations[key] in values else ""
        hint = f"{key}={annotations[key]} is an annotation, it must be a label"
        return Miss(key, wanted, values, None, hint, meant, _ANNOTATED if meant else _SIMILAR_KEY)
    similar = nearest(key, labels)
    if similar is not None and (not values or labels[similar] in values):
        hint = f"the label {similar}={labels[similar]} has a mistyped key"
        return Miss(key, wanted, values, None, hint, labels[similar], _SIMILAR_KEY)
    return Miss(key, wanted, values, None)


def _words(requirement: Requirement) -> str:
    if requirement.operator == "In" and len(requirement.values) == 1:
        return f"{requirement.key}={requirement.values[0]}"
    return describe(LabelSelector(match_expressions=(requirement,)))


def _steps(word: str, candidate: str, limit: int) -> int:
    """The distance, or one more than the limit where it cannot be within it."""
    if abs(len(word) - len(candidate)) > limit or max(len(word), len(candidate)) > 4 * _LONG:
        return limit + 1
    return distance(word, candidate)


def _without_digits(word: str) -> str:
    return "".join(letter for letter in word if not letter.isdigit())


def _gap(address: Address, found: AddressRange) -> int:
    if address in found:
        return 0
    return max(int(found.first) - int(address), int(address) - int(found.last))
