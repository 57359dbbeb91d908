"""Selectors and access reviews are outside input: they parse, or say why not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.lab.access import (
    BadSelector,
    FieldRequirement,
    Operator,
    Refusal,
    Requirement,
    ResourceAttributes,
    ReviewSpec,
    decode_review,
    parse_field_selector,
    parse_label_selector,
    selection,
)
from app.lab.resources import resources

PODS = next(resource for resource in resources("1.21.0") if resource.plural == "pods")

names = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
keys = st.one_of(names, st.builds("{}/{}".format, st.sampled_from(["io.cilium", "a"]), names))
values = st.one_of(st.just(""), names)
sets: list[Operator] = ["in", "notin"]
bounds: list[Operator] = ["gt", "lt"]
bare: list[Operator] = ["exists", "absent"]


requirements = st.one_of(
    st.builds(
        Requirement, keys, st.sampled_from(sets), st.frozensets(values, min_size=1, max_size=4)
    ),
    st.builds(
        Requirement, keys, st.sampled_from(bounds), st.integers().map(lambda n: frozenset({str(n)}))
    ),
    st.builds(Requirement, keys, st.sampled_from(bare)),
)


def written(requirement: Requirement) -> str:
    match requirement.operator:
        case "exists":
            return requirement.key
        case "absent":
            return f"!{requirement.key}"
        case "gt" | "lt":
            sign = ">" if requirement.operator == "gt" else "<"
            return f"{requirement.key}{sign}{next(iter(requirement.values))}"
        case operator if requirement.values == {""}:
            return f"{requirement.key}{'=' if operator == 'in' else '!='}"
        case operator:
            return f"{requirement.key} {operator} ({','.join(sorted(requirement.values))})"


@given(st.lists(requirements, max_size=4))
def test_a_written_label_selector_is_read_back(wanted: list[Requirement]) -> None:
    assert parse_label_selector(",".join(map(written, wanted))) == tuple(wanted)


@given(st.text())
@example("a in (")
@example("a in ()")
@example("a notin (,")
@example("a=b,")
@example("a>x")
@example("!")
def test_any_text_is_a_label_selector_or_a_bad_one(text: str) -> None:
    with contextlib.suppress(BadSelector):
        parse_label_selector(text)


@given(st.text())
@example("metadata.name=a\\")
@example("\\")
def test_any_text_is_a_field_selector_or_a_bad_one(text: str) -> None:
    with contextlib.suppress(BadSelector):
        parse_field_selector(text, PODS)


@given(st.text())
def test_a_field_may_equal_any_text_when_it_is_escaped(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    found = parse_field_selector(f"metadata.name={escaped.replace('!', chr(92) + '!')}", PODS)
    assert found == (FieldRequirement("metadata.name", True, value),)


@given(requirements, st.dictionaries(keys, values))
def test_in_and_notin_are_opposites(requirement: Requirement, labels: dict[str, str]) -> None:
    held = Requirement(requirement.key, "in", requirement.values)
    denied = Requirement(requirement.key, "notin", requirement.values)
    assert held.matches(labels) != denied.matches(labels)
    assert Requirement(requirement.key, "exists").matches(labels) != Requirement(
        requirement.key, "absent"
    ).matches(labels)


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("weight>3", {"weight": "4"}, True),
        ("weight<3", {"weight": "4"}, False),
        ("weight>3", {"weight": "heavy"}, False),
        ("weight>3", {}, False),
        ("tier=", {"tier": ""}, True),
        ("tier=", {}, False),
        ("tier!=", {}, True),
    ],
)
def test_the_less_common_requirements(selector: str, labels: dict[str, str], matches: bool) -> None:
    wanted = selection(PODS, selector, "")
    assert wanted.matches({"metadata": {"labels": labels}}) is matches


def message(fields: dict[int, bytes]) -> bytes:
    out = b""
    for number, value in fields.items():
        out += bytes([number << 3 | 2]) + varint(len(value)) + value
    return out


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


@given(st.lists(st.text(max_size=300), min_size=7, max_size=7))
def test_a_review_in_protobuf_says_what_it_said(texts: list[str]) -> None:
    attributes = message({number: text.encode() for number, text in enumerate(texts, 1)})
    question = message({2: message({1: attributes})})
    body = b"k8s\x00" + message({1: b"", 2: question})
    assert decode_review(body) == ReviewSpec(ResourceAttributes(*texts))


@given(st.one_of(st.binary(), st.binary().map(lambda tail: b"k8s\x00" + tail)))
@example(b'{"spec": {}}')
@example(b'{"spec": null}')
@example(b"k8s\x00\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
def test_any_body_is_a_review_or_a_bad_request(body: bytes) -> None:
    with contextlib.suppress(Refusal):
        decode_review(body)
