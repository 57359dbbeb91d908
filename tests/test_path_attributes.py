"""Path attributes against an encoder written for the test, arbitrary bytes, and the recordings."""

from __future__ import annotations

import base64
import ipaddress
import json
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium.bgp_bytes import decode_path_attributes
from collectors.cilium.command_records import (
    AsPathSegment,
    Malformed,
    PathAttributes,
    UnknownAttribute,
)
from tests.cilium_runs import NAMES, runs

ASNS = st.integers(0, 2**32 - 1)


def attribute(kind: int, value: bytes, flags: int = 0x40, extended: bool = False) -> bytes:
    """RFC 4271 §4.3: flags, type, length in one byte or two, value."""
    if extended or len(value) > 255:
        return struct.pack("!BBH", flags | 0x10, kind, len(value)) + value
    return struct.pack("!BBB", flags & ~0x10, kind, len(value)) + value


def wire_prefix(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bytes:
    """RFC 4271 §4.3: length in bits, then as many bytes as it takes."""
    size = -(-network.prefixlen // 8)
    return bytes([network.prefixlen]) + network.network_address.packed[:size]


def only(raw: bytes) -> PathAttributes:
    """The attributes of a path that has one."""
    return decode_path_attributes([raw])


@pytest.mark.parametrize(("number", "name"), [(0, "igp"), (1, "egp"), (2, "incomplete")])
def test_origin(number: int, name: str) -> None:
    assert only(attribute(1, bytes([number]))) == PathAttributes(origin=name)


KINDS = {"set": 1, "sequence": 2, "confed-sequence": 3, "confed-set": 4}


@given(st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.lists(ASNS, max_size=70)), max_size=4))
def test_as_path(segments: list[tuple[str, list[int]]]) -> None:
    value = b"".join(
        struct.pack(f"!BB{len(asns)}I", KINDS[kind], len(asns), *asns) for kind, asns in segments
    )
    expected = tuple(AsPathSegment(kind, tuple(asns)) for kind, asns in segments)
    assert only(attribute(2, value)) == PathAttributes(as_path=expected)


def test_as_path_as_routers_print_it() -> None:
    path = decode_path_attributes(
        [
            attribute(
                2,
                struct.pack("!BB2IBBIBBI", 2, 2, 64512, 4200000000, 1, 1, 65001, 3, 1, 65010),
            )
        ]
    )
    assert path.as_path_text == "64512 4200000000 {65001} (65010)"


def test_an_empty_as_path_is_not_an_absent_one() -> None:
    assert only(attribute(2, b"")).as_path == ()
    assert only(attribute(1, b"\0")).as_path is None


@given(st.ip_addresses(v=4))
def test_next_hop(address: ipaddress.IPv4Address) -> None:
    path = only(attribute(3, address.packed))
    assert path == PathAttributes(next_hop=str(address))
    assert path.next_hop_is_self == address.is_unspecified


@given(st.integers(0, 2**32 - 1))
def test_med_and_local_preference(number: int) -> None:
    value = struct.pack("!I", number)
    assert only(attribute(4, value)) == PathAttributes(med=number)
    assert only(attribute(5, value)) == PathAttributes(local_pref=number)


@given(
    st.lists(st.tuples(st.integers(0, 65534), st.integers(0, 65535)), max_size=80), st.booleans()
)
def test_communities(pairs: list[tuple[int, int]], extended: bool) -> None:
    value = b"".join(struct.pack("!HH", *pair) for pair in pairs)
    expected = tuple(f"{high}:{low}" for high, low in pairs)
    assert only(attribute(8, value, 0xC0, extended)) == PathAttributes(communities=expected)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0xFFFFFF01, "no-export"),
        (0xFFFFFF02, "no-advertise"),
        (0xFFFFFF03, "no-export-subconfed"),
        (0xFFFFFF04, "no-peer"),
        (0xFFFF029A, "blackhole"),
        (0xFFFF0000, "graceful-shutdown"),
        (0xFFFF1234, "65535:4660"),
    ],
)
def test_well_known_communities_have_their_names(number: int, name: str) -> None:
    assert only(attribute(8, struct.pack("!I", number))).communities == (name,)


@given(st.lists(st.tuples(ASNS, ASNS, ASNS), max_size=30))
def test_large_communities(triples: list[tuple[int, int, int]]) -> None:
    value = b"".join(struct.pack("!III", *triple) for triple in triples)
    expected = tuple(f"{a}:{b}:{c}" for a, b, c in triples)
    assert only(attribute(32, value, 0xC0)) == PathAttributes(large_communities=expected)


@given(
    st.ip_addresses(v=6),
    st.none() | st.ip_addresses(v=6),
    st.lists(
        st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(
            lambda pair: ipaddress.IPv6Network(pair, strict=False)
        ),
        max_size=5,
    ),
)
def test_mp_reach(
    hop: ipaddress.IPv6Address,
    link_local: ipaddress.IPv6Address | None,
    networks: list[ipaddress.IPv6Network],
) -> None:
    hops = hop.packed + (link_local.packed if link_local else b"")
    value = struct.pack("!HBB", 2, 1, len(hops)) + hops + b"\0"
    path = only(attribute(14, value + b"".join(map(wire_prefix, networks)), 0x80))
    assert path.malformed == ()
    assert ipaddress.ip_address(path.next_hop) == hop


def test_a_next_hop_over_ipv4_is_mapped() -> None:
    raw = base64.b64decode("gA4eAAIBEAAAAAAAAAAAAAD//6wdMwsAQP0AAkQAAAAA")
    assert only(raw) == PathAttributes(next_hop="::ffff:172.29.51.11")


def test_a_family_that_is_not_ip_keeps_its_next_hop_as_bytes() -> None:
    value = struct.pack("!HBB", 25, 70, 3) + b"\x01\x02\x03" + b"\0" + b"whatever"
    assert only(attribute(14, value)) == PathAttributes(next_hop="010203")


@given(st.integers(0, 255).filter(lambda kind: kind not in (1, 2, 3, 4, 5, 8, 14, 32)), st.binary())
def test_an_attribute_that_is_not_decoded_is_kept_whole(kind: int, value: bytes) -> None:
    (unknown,) = only(attribute(kind, value, 0xE0)).unknown
    assert (unknown.type, unknown.value, unknown.flags & 0xE0) == (kind, value, 0xE0)


def test_an_attribute_that_is_not_decoded_has_its_registered_name() -> None:
    path = only(attribute(16, b"\x00\x02\x00\x64\x00\x00\x00\x01", 0xC0))
    assert path.unknown == (
        UnknownAttribute(16, "EXTENDED_COMMUNITIES", 0xC0, b"\x00\x02\x00\x64\x00\x00\x00\x01"),
    )


@pytest.mark.parametrize(
    ("raw", "what", "problem"),
    [
        (b"", "attribute", "0 bytes, shorter than its header of 3"),
        (b"\x40\x01", "ORIGIN", "2 bytes, shorter than its header of 3"),
        (b"\x50\x02\x00", "AS_PATH", "3 bytes, shorter than its header of 4"),
        (b"\x40\x01\x02\x00", "ORIGIN", "says 2 bytes and has 1"),
        (b"\x40\x01\x01\x00\x00", "ORIGIN", "says 1 bytes and has 2"),
        (attribute(1, b"\x03"), "ORIGIN", "origin 3 does not exist"),
        (attribute(1, b""), "ORIGIN", "0 bytes where there must be 1"),
        (attribute(2, b"\x05\x00"), "AS_PATH", "segment type 5 does not exist"),
        (attribute(2, b"\x02"), "AS_PATH", "ends inside the header of a segment"),
        (attribute(2, b"\x02\x01\xfc\x00"), "AS_PATH", "a segment of 1 AS numbers is cut short"),
        (attribute(3, b"\x0a"), "NEXT_HOP", "1 bytes where there must be 4"),
        (attribute(8, b"\x00" * 6), "COMMUNITIES", "6 bytes, not a multiple of 4"),
        (attribute(32, b"\x00" * 8), "LARGE_COMMUNITIES", "8 bytes, not a multiple of 12"),
        (attribute(14, b"\x00\x02\x01"), "MP_REACH_NLRI", "3 bytes, shorter than 5"),
        (
            attribute(14, b"\x00\x02\x01\x10\x00"),
            "MP_REACH_NLRI",
            "says its next hop has 16 bytes and ends before that",
        ),
        (
            attribute(14, b"\x00\x02\x01\x03\x00\x00\x00\x00"),
            "MP_REACH_NLRI",
            "a next hop of 3 bytes does not exist for ipv6/unicast",
        ),
        (
            attribute(14, b"\x00\x02\x01\x10" + bytes(17) + b"\x81"),
            "MP_REACH_NLRI",
            "prefix length 129 is more than 128",
        ),
        (
            attribute(14, b"\x00\x02\x01\x10" + bytes(17) + b"\x40\xfd"),
            "MP_REACH_NLRI",
            "a prefix of 64 bits is cut short",
        ),
    ],
)
def test_malformed_bytes_are_kept_and_say_what_is_wrong(
    raw: bytes, what: str, problem: str
) -> None:
    assert only(raw) == PathAttributes(malformed=(Malformed(what, problem, raw),))


def test_one_malformed_attribute_does_not_cost_the_others() -> None:
    path = decode_path_attributes([attribute(1, b"\x09"), attribute(5, struct.pack("!I", 100))])
    assert path.local_pref == 100
    assert [each.what for each in path.malformed] == ["ORIGIN"]


def test_the_first_of_two_counts() -> None:
    path = decode_path_attributes([attribute(1, b"\0"), attribute(1, b"\1")])
    assert path.origin == "igp"
    assert path.malformed[0].problem == "comes twice; the first one counts"


@given(st.lists(st.binary(max_size=64), max_size=6))
def test_no_bytes_raise(raws: list[bytes]) -> None:
    path = decode_path_attributes(raws)
    kept = [each.raw for each in path.malformed]
    assert all(raw in raws for raw in kept)


@given(st.sampled_from([1, 2, 3, 4, 5, 8, 14, 32]), st.binary(max_size=80))
def test_any_value_of_a_known_type_is_decoded_or_malformed(kind: int, value: bytes) -> None:
    path = only(attribute(kind, value))
    assert path.unknown == ()
    assert path.malformed == () or path.malformed[0].raw == attribute(kind, value)


def recorded_attributes() -> Iterator[bytes]:
    for name in NAMES:
        for argv, completed in runs(name):
            if argv[:2] == ("bgp", "routes") and not completed.code:
                for node in json.loads(completed.out).values():
                    for route in node:
                        for path in route["paths"]:
                            for each in path["path-attributes"]:
                                yield base64.b64decode(each["base64"])


def test_bits_behind_the_prefix_do_not_count() -> None:
    value = struct.pack("!HBB", 1, 1, 4) + bytes(5) + b"\x0c\xac\x1f"
    assert only(attribute(14, value, 0x80)).malformed == ()


def test_every_recorded_attribute_is_decoded() -> None:
    seen = {*recorded_attributes()}
    assert len(seen) > 15
    for raw in seen:
        path = only(raw)
        assert path.malformed == ()
        assert path.unknown == ()
