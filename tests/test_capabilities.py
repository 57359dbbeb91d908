"""BGP capabilities in words: the recorded ones, those of an encoder in the test, and any bytes."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium.bgp_bytes import decode_capabilities, families_of
from collectors.cilium.command_records import Capability
from collectors.sanitize import printable
from tests.cilium_runs import NAMES, runs


def tlv(code: int, value: bytes = b"") -> bytes:
    """RFC 5492 §4: code, length, value."""
    return bytes([code, len(value)]) + value


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("AgA=", "route refresh"),
        ("SQwKdGFsb3MtY3AtMQA=", "FQDN: talos-cp-1"),
        ("BgA=", "extended message"),
        ("AQQAAQAB", "multiprotocol: ipv4/unicast"),
        ("AQQAAgAB", "multiprotocol: ipv6/unicast"),
        ("QQQAAPwA", "four-byte AS numbers: AS 64512"),
        ("BQYAAQABAAI=", "extended next hop: ipv4/unicast over ipv6"),
        (
            "QApAeAABAQAAAgEA",
            "graceful restart: 120 s, keeps on notifications, ipv4/unicast, ipv6/unicast",
        ),
        ("QAoAeAABAQAAAgEA", "graceful restart: 120 s, ipv4/unicast, ipv6/unicast"),
        ("QAZAeAABAQA=", "graceful restart: 120 s, keeps on notifications, ipv4/unicast"),
        (
            "QArAeAABAYAAAgGA",
            "graceful restart: 120 s, restarting, keeps on notifications,"
            " ipv4/unicast (forwarding kept), ipv6/unicast (forwarding kept)",
        ),
    ],
)
def test_recorded_capabilities_in_words(encoded: str, text: str) -> None:
    (capability,) = decode_capabilities([base64.b64decode(encoded)])
    assert capability.text == text
    assert capability.problem == ""


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (tlv(9, b"\x03"), "role: customer"),
        (tlv(9, b"\x63"), "role: 99"),
        (tlv(69, struct.pack("!HBB", 1, 1, 3)), "additional paths: ipv4/unicast send and receive"),
        (tlv(70), "enhanced route refresh"),
        (tlv(73, b"\x02r1\x07example"), "FQDN: r1.example"),
        (tlv(75, b"\x09FRR/10.1\x07"), "software version: FRR/10.1\ufffd"),
        (tlv(1, struct.pack("!HBB", 25, 0, 70)), "multiprotocol: l2vpn/evpn"),
        (tlv(1, struct.pack("!HBB", 99, 0, 200)), "multiprotocol: 99/200"),
        (tlv(200, b"\x01\x02"), "capability 200: 01 02"),
        (tlv(71, b"\x01"), "long-lived graceful restart: 01"),
    ],
)
def test_other_capabilities_in_words(raw: bytes, text: str) -> None:
    assert [each.text for each in decode_capabilities([raw])] == [text]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", Capability(-1, "empty capability", problem="it has no bytes")),
        (b"\x01", Capability(1, "multiprotocol", problem="ends before its length")),
        (
            b"\x01\x04\x00",
            Capability(1, "multiprotocol", "00", problem="says 4 bytes and has 1"),
        ),
        (
            tlv(65, b"\x00\x01"),
            Capability(
                65, "four-byte AS numbers", "00 01", problem="2 bytes where there must be 4"
            ),
        ),
        (
            tlv(64, b"\x00"),
            Capability(64, "graceful restart", "00", problem="1 bytes, shorter than 2"),
        ),
        (
            tlv(2, b"\x07"),
            Capability(2, "route refresh", "07", problem="1 bytes where there must be none"),
        ),
        (tlv(73, b"\x09abc"), Capability(73, "FQDN", "09 61 62 63", problem="a name is cut short")),
    ],
)
def test_malformed_capabilities_say_what_is_wrong(raw: bytes, expected: Capability) -> None:
    assert decode_capabilities([raw]) == (expected,)


def test_one_element_may_hold_several_capabilities() -> None:
    found = decode_capabilities([tlv(2) + tlv(65, struct.pack("!I", 4200000000))])
    assert [each.text for each in found] == [
        "route refresh",
        "four-byte AS numbers: AS 4200000000",
    ]


def test_the_families_of_a_side_are_those_of_its_multiprotocol_capabilities() -> None:
    found = decode_capabilities(
        [tlv(1, struct.pack("!HBB", 1, 0, 1)), tlv(64, struct.pack("!HHBB", 120, 2, 1, 0))]
    )
    assert families_of(found) == {"ipv4/unicast"}


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_no_bytes_raise_and_nothing_unprintable_comes_out(raws: list[bytes]) -> None:
    for each in decode_capabilities(raws):
        assert printable(each.text) == each.text


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 5, 6, 9, 64, 65, 69, 70, 71, 73, 75, 99]), st.binary(max_size=20)
        )
    )
)
def test_every_capability_is_kept(pairs: list[tuple[int, bytes]]) -> None:
    found = decode_capabilities([b"".join(tlv(code, value) for code, value in pairs) or tlv(2)])
    assert [each.code for each in found] == ([code for code, _ in pairs] or [2])


def test_every_recorded_capability_is_understood() -> None:
    seen = set()
    for name in NAMES:
        for argv, completed in runs(name):
            if argv[:2] == ("bgp", "peers") and not completed.code:
                for peers in json.loads(completed.out).values():
                    for peer in peers:
                        for side in ("local-capabilities", "remote-capabilities"):
                            seen |= {each["capabilities"] for each in peer.get(side) or ()}
    assert len(seen) > 10
    for capability in decode_capabilities(map(base64.b64decode, seen)):
        assert capability.problem == ""
        assert not capability.name.startswith("capability ")
