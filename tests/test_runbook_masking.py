"""What a transcript shows to others: no secret and, where it is wished, no address."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.runbooks.transcript import hider, without_secrets
from tests.searching import examples


def hidden(text: str) -> str:
    """A text without addresses."""
    return hider(addresses=True)(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("password: hunter2", "password: (hidden)"),
        ('"secret": "a b", "x": 1', '"secret": (hidden), "x": 1'),
        ("x --from-literal=password=abc -n y", "x --from-literal=password=(hidden) -n y"),
        ("cilium --token abc --wait", "cilium --token (hidden) --wait"),
        ("TOKEN='x y' run", "TOKEN=(hidden) run"),
        ("tcp-md5-key=xyz, y", "tcp-md5-key=(hidden), y"),
        ("authentication-key \"$9$abc\";", "authentication-key (hidden);"),
        ("neighbor 10.0.0.1 password x y", "neighbor 10.0.0.1 password (hidden) y"),
        ("neighbor fd00::1 password 7 0822455D", "neighbor fd00::1 password 7 (hidden)"),
        ('password "two words";', "password (hidden);"),
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer (hidden)"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic (hidden)"),
        ("https://ann:pw@host/x", "https://ann:(hidden)@host/x"),
        ("eyJhbGciOiJ9.eyJzdWIiOiIx.c2ln", "(hidden)"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\nx=\n-----END PRIVATE KEY-----",
         "-----BEGIN PRIVATE KEY-----(hidden)-----END PRIVATE KEY-----"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden(text: str, told: str) -> None:
    assert without_secrets(text) == told
    assert without_secrets(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "the secret bgp-auth is missing",
        "authSecretRef: bgp-auth",
        "the password differs on both sides",
        "neighbor 10.0.0.1 remote-as 64512",
        "BGP Basic checks passed",
        "kubectl get secrets -n kube-system",
        "https://host:443/x",
    ],
)
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from 10.0.0.1 to 10.0.0.2, 10.0.0.1", "from (address 1) to (address 2), (address 1)"),
        ("10.0.0.1:179", "(address 1):179"),
        ("[fd00::1]:179", "[(address 1)]:179"),
        ("peer fd00::1: down", "peer (address 1): down"),
        ("peer fd00::1.", "peer (address 1)."),
        ("node:fd00::1", "node:(address 1)"),
        ("is :fd00::1", "is :(address 1)"),
        ("addr:10.0.0.1", "addr:(address 1)"),
        ("cp-1/172.29.51.1", "cp-1/(address 1)"),
        ("10.0.0.0/8, fd00::/64", "(address 1)/8, (address 2)/64"),
        ("fd00::1 is fd00:0:0:0:0:0:0:1 is FD00::1", "(address 1) is (address 1) is (address 1)"),
        ("::ffff:10.0.0.1", "(address 1)"),
        ("fe80::1%eth0", "(address 1)%eth0"),
        ("10.0.0.1-10.0.0.9", "(address 1)-(address 2)"),
    ],
)
def test_an_address_is_a_number_the_same_everywhere(text: str, told: str) -> None:
    assert hidden(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T10:15:30.123Z and 10:15:30",
        "cilium v1.17.0, 1.2.3",
        "std::a Foo::bar a::b_c",
        "sha256:abcdef0123456789",
        "lbipam.cilium.io/ips AS 64512:100",
        "00:11:22:33:44:55",
        "999.1.1.1",
        "1.2.3.4.5",
    ],
)
def test_nothing_else_is_changed(text: str) -> None:
    assert hidden(text) == text


def test_addresses_stay_where_nobody_wished_them_hidden() -> None:
    assert hider(addresses=False)("10.0.0.1 password=x") == "10.0.0.1 password=(hidden)"


def test_a_long_run_costs_no_more_than_its_length() -> None:
    for text in ("1:" * 50_000, "::" * 50_000, "1." * 50_000, "a:" * 50_000 + "x"):
        assert hidden(text)


NOBODY = IPv6Address("::")
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
)
BETWEEN = st.sampled_from(
    [
        " ",
        ", ",
        "/",
        "/32 ",
        "[",
        "]:179 ",
        "=",
        '"',
        "(",
        ") ",
        "; ",
        "\n",
        " is down: ",
        "->",
        "|",
    ]
)


def left_in(text: str) -> list[IPv4Address | IPv6Address]:
    """The addresses that somebody would still read in a text; `::` is nobody's."""
    found = []
    for word in re.split(r"[^0-9A-Za-z:.]+", text):
        try:
            found.append(ip_address(word.strip(".")))
        except ValueError:
            continue
    return [address for address in found if address != NOBODY]


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(ADDRESSES, BETWEEN), max_size=8))
def test_no_address_is_left(parts: list[tuple[str, str]]) -> None:
    text = " " + "".join(address + between for address, between in parts)
    assert len(left_in(text)) == len([1 for address, _ in parts if ip_address(address) != NOBODY])
    told = hidden(text)
    assert left_in(told) == [], told
    assert hidden(told) == told


@settings(max_examples=examples(150))
@given(st.text(max_size=80))
def test_any_text_can_be_hidden_and_twice_is_once(text: str) -> None:
    told = hidden(text)
    assert hidden(told) == told
