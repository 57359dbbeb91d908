"""What was probably meant by a label or an address that misses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.lbipam import AddressRange, block_range
from app.model.near_misses import Miss, distance, farness, masked, misses, nearest, nearest_range
from app.model.selectors import selects
from collectors.cilium.records import PoolBlock
from collectors.kubernetes.records import LabelSelector, Requirement

words = st.text(alphabet="ab-1", max_size=8)


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("bgp-defualt", "bgp-default", 1),
        ("default", "defaut", 1),
        ("default", "defaullt", 1),
        ("default", "defeult", 1),
        ("default", "reserved", 7),
    ],
)
def test_a_distance_counts_what_a_hand_does_wrong(one: str, other: str, steps: int) -> None:
    assert distance(one, other) == steps


@given(words, words)
def test_a_distance_is_symmetric_and_zero_for_the_same_alone(one: str, other: str) -> None:
    assert distance(one, other) == distance(other, one)
    assert (distance(one, other) == 0) == (one == other)


@pytest.mark.parametrize(
    ("word", "candidates", "meant"),
    [
        ("bgp-defualt", ("bgp-default", "bgp-ingress"), "bgp-default"),
        ("bgp-default", ("bgp-default",), None),
        ("pool-3", ("pool-1", "pool-2"), None),
        ("bgp-default", ("bgp-default-ipv6",), None),
        ("a", ("b",), "b"),
        ("internal", ("external",), None),
        ("x", (), None),
        ("a" * 300, ("a" * 299,), None),
    ],
)
def test_a_typo_is_near_and_another_name_is_not(
    word: str, candidates: tuple[str, ...], meant: str | None
) -> None:
    assert nearest(word, candidates) == meant


WANTS_DEFAULT = LabelSelector(match_labels={"pool": "default"})


@pytest.mark.parametrize(
    ("selector", "labels", "annotations", "hint", "meant"),
    [
        (WANTS_DEFAULT, {"pool": "defualt"}, {}, "defualt looks like a typo of default", "default"),
        (
            WANTS_DEFAULT,
            {},
            {"pool": "default"},
            "pool=default is an annotation, it must be a label",
            "default",
        ),
        (
            WANTS_DEFAULT,
            {},
            {"pool": "reserved"},
            "pool=reserved is an annotation, it must be a label",
            "",
        ),
        (
            WANTS_DEFAULT,
            {"pol": "default"},
            {},
            "the label pol=default has a mistyped key",
            "default",
        ),
        (WANTS_DEFAULT, {"pol": "reserved"}, {}, "", ""),
        (WANTS_DEFAULT, {"pool": "reserved"}, {}, "", ""),
        (WANTS_DEFAULT, {"pool": "reserved"}, {"pool": "default"}, "", ""),
        (
            LabelSelector(match_expressions=(Requirement("pool", "In", ("default", "x")),)),
            {"pool": "defaul"},
            {},
            "defaul looks like a typo of default",
            "default",
        ),
        (LabelSelector(match_expressions=(Requirement("pool", "Exists"),)), {}, {}, "", ""),
        (
            LabelSelector(match_expressions=(Requirement("pool", "DoesNotExist"),)),
            {"pool": "x"},
            {},
            "",
            "",
        ),
    ],
)
def test_a_missed_requirement_says_what_was_meant(
    selector: LabelSelector,
    labels: dict[str, str],
    annotations: dict[str, str],
    hint: str,
    meant: str,
) -> None:
    (miss,) = misses(selector, labels, annotations)
    assert (miss.hint, miss.meant) == (hint, meant)
    assert miss.near == bool(hint)


def test_a_miss_reads_as_half_a_sentence() -> None:
    selector = LabelSelector(
        match_labels={"a": "1"},
        match_expressions=(Requirement("b", "NotIn", ("x",)), Requirement("c", "In", ("y", "z"))),
    )
    assert [str(miss) for miss in misses(selector, {"b": "x"})] == [
        "needs a=1, but it has no label a",
        "needs b notin (x), but it has b=x",
        "needs c in (y,z), but it has no label c",
    ]


def test_the_likeliest_slip_is_nearest() -> None:
    def far(labels: dict[str, str], annotations: dict[str, str] | None = None) -> int:
        return farness(misses(WANTS_DEFAULT, labels, annotations or {}))

    costs = [
        far({"pool": "default"}),
        far({}, {"pool": "default"}),
        far({"pool": "defualt"}),
        far({"pol": "default"}),
        far({"pool": "reserved"}),
        far({}),
    ]
    assert costs == sorted(set(costs))


@given(
    st.dictionaries(words, words, max_size=3),
    st.dictionaries(words, words, max_size=3),
    st.dictionaries(words, words, max_size=3),
)
def test_nothing_is_missed_exactly_where_a_selector_selects(
    wanted: dict[str, str], labels: dict[str, str], annotations: dict[str, str]
) -> None:
    selector = LabelSelector(match_labels=wanted)
    missed = misses(selector, labels, annotations)
    assert (not missed) == selects(selector, labels)
    assert all(isinstance(miss, Miss) and str(miss) for miss in missed)


def _range(first: str, last: str) -> AddressRange:
    return block_range(PoolBlock(start=first, stop=last))


def test_the_nearest_range_is_of_the_same_family() -> None:
    ranges = [
        ("low", _range("10.0.0.10", "10.0.0.19")),
        ("high", _range("10.0.0.40", "10.0.0.49")),
        ("six", _range("fd00::1", "fd00::9")),
    ]
    for address, name, gap in (
        ("10.0.0.22", "low", 3),
        ("10.0.0.39", "high", 1),
        ("10.0.0.45", "high", 0),
        ("10.0.0.1", "low", 9),
        ("fd00::ff", "six", 246),
    ):
        found = nearest_range(ip_address(address), ranges)
        assert found is not None
        assert (found.name, found.gap) == (name, gap)
    assert nearest_range(ip_address("10.0.0.1"), ranges[2:]) is None


def test_a_cidr_with_host_bits_says_how_it_is_read() -> None:
    assert masked(PoolBlock(cidr="192.168.100.200/28")) == (
        "192.168.100.200/28 is masked to 192.168.100.192 - 192.168.100.207"
    )
    for block in (
        PoolBlock(cidr="192.168.100.192/28"),
        PoolBlock(start="10.0.0.1"),
        PoolBlock(cidr="ten"),
        PoolBlock(),
    ):
        assert masked(block) == ""
