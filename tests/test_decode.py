"""What the API sends becomes records or a named problem: never unsafe text, never a traceback."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium.records import CiliumEndpoint, CiliumPolicy, Pool
from collectors.kubernetes.answers import Undecodable, decode_event, decode_object, decode_page
from collectors.kubernetes.records import Event, NetworkPolicy, Node, Object, Pod, Service
from collectors.kubernetes.resources import Resource, resources
from collectors.sanitize import MAX_LINE, JsonValue, printable

RECORDINGS = Path(__file__).parent / "recordings"
KINDS: tuple[type[Object], ...] = (
    Pod,
    Service,
    Pool,
    Event,
    NetworkPolicy,
    CiliumPolicy,
    CiliumEndpoint,
)


def raw(document: JsonValue) -> bytes:
    return json.dumps(document).encode()


def service(**spec: JsonValue) -> JsonValue:
    return {"metadata": {"name": "web", "namespace": "home"}, "spec": spec}


def test_a_clean_object_is_decoded_as_it_is() -> None:
    decoded = decode_object(raw(service(type="LoadBalancer", loadBalancerIP="192.0.2.1")), Service)
    assert (decoded.key, decoded.spec.type) == ("home/web", "LoadBalancer")
    assert decoded.spec.load_balancer_ip == "192.0.2.1"


@pytest.mark.parametrize("ascii_only", [True, False])
def test_unsafe_text_is_made_printable_and_nothing_else_is_lost(ascii_only: bool) -> None:
    document: JsonValue = {
        "metadata": {"name": "web", "annotations": {"a\x1b": "\x1b]52;c;eA==\x07é", "b": "fine"}},
        "spec": {"ports": [{"port": 80}]},
    }
    decoded = decode_object(json.dumps(document, ensure_ascii=ascii_only).encode(), Service)
    assert decoded.metadata.annotations == {"a\ufffd": "\ufffd]52;c;eA==\ufffdé", "b": "fine"}
    assert decoded.spec.ports[0].port == 80


def test_bad_utf8_is_shown_as_such() -> None:
    decoded = decode_object(b'{"metadata":{"name":"a\xff"}}', Service)
    assert decoded.name == "a\ufffd"


def test_a_lone_surrogate_is_shown_as_such() -> None:
    assert decode_object(b'{"metadata":{"name":"a\\ud800"}}', Service).name == "a\ufffd"


def test_nulls_take_the_default() -> None:
    """Go writes `null` for an empty slice or map without `omitempty`."""
    document: JsonValue = {
        "metadata": {"name": "web", "labels": None, "creationTimestamp": None},
        "spec": {"ports": None, "selector": None, "clusterIPs": ["10.0.0.1", None]},
        "status": None,
    }
    decoded = decode_object(raw(document), Service)
    assert decoded.spec.ports == ()
    assert decoded.metadata.labels == {}
    assert decoded.spec.cluster_ips == ("10.0.0.1",)
    assert decoded.metadata.creation_timestamp is None


def test_times_are_in_utc() -> None:
    body = b'{"metadata":{"name":"n","creationTimestamp":"2026-11-23T04:15:41Z"}}'
    assert decode_object(body, Node).metadata.creation_timestamp == datetime(
        2026, 11, 23, 4, 15, 41, tzinfo=UTC
    )


def test_an_overlong_value_is_cut() -> None:
    body = raw({"metadata": {"name": "n", "annotations": {"a": "x" * MAX_LINE * 2}}})
    value = decode_object(body, Node).metadata.annotations["a"]
    assert len(value) <= MAX_LINE
    assert value.endswith("characters)")


def test_a_huge_number_is_a_number() -> None:
    body = b'{"metadata":{"name":"web","generation":' + b"9" * 30 + b"}}"
    assert decode_object(body, Service).metadata.generation == 10**30 - 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "Service without metadata"),
        (b"{}", "Service without metadata"),
        (b'{"metadata":{"name":"web","namespace":"home"},"spec":7}', "Service home/web"),
        (b'{"metadata":{"name":"w\x1beb"},"spec":{"ports":7}}', "Service w\ufffdeb"),
        (b'{"metadata":{"name":"web"},"spec":{"ports":[{"port":1e400}]}}', "Service web"),
        (b'{"metadata":{"name":"web"},"spec":{"ports":[{"port":NaN}]}}', "Service web"),
        (b'{"metadata":{"name":"web","generation":' + b"9" * 5000 + b"}}", "not JSON"),
        (b'{"metadata":{"name":"web","creationTimestamp":"yesterday"}}', "Service web"),
        (b'{"metadata":{"name":"web"},"spec":' + b"[" * 100_000, "nested too deeply"),
        (b'{"metadata":{"name":"w"},"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "too deeply"),
        (
            b'{"metadata":{"name":"w"},"x":' + b"[" * 99_999 + b"]" * 99_999 + b"}",
            "nested too deeply",
        ),
    ],
    ids=lambda value: value[:40].decode("latin1") if isinstance(value, bytes) else "",
)
def test_what_cannot_be_read_is_named_in_one_sentence(body: bytes, said: str) -> None:
    with pytest.raises(Undecodable) as problem:
        decode_object(body, Service)
    sentence = str(problem.value)
    assert said in sentence
    assert printable(sentence) == sentence
    assert "\n" not in sentence


def test_one_bad_object_does_not_take_the_others_of_its_page_with_it() -> None:
    items: list[JsonValue] = [service(), {"metadata": {"name": "bad"}, "spec": 1}, service()]
    page = decode_page(raw({"metadata": {"resourceVersion": "7"}, "items": items}), Service)
    assert [record.key for record in page.records] == ["home/web", "home/web"]
    assert len(page.problems) == 1
    assert "Service bad cannot be read" in page.problems[0]
    assert (page.resource_version, page.continue_token) == ("7", "")


def test_a_page_tells_where_the_next_one_begins() -> None:
    body = raw({"metadata": {"resourceVersion": "7", "continue": "tok\\en=="}, "items": []})
    assert decode_page(body, Pod).continue_token == "tok\\en=="


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_an_empty_list_is_one_in_both_spellings(items: bytes) -> None:
    page = decode_page(b'{"metadata":{"resourceVersion":"7"},"items":' + items + b"}", Pod)
    assert (page.records, page.problems) == ((), ())


def test_a_page_with_one_bad_byte_is_still_read() -> None:
    body = b'{"metadata":{},"items":[{"metadata":{"name":"a\xff"}},{"metadata":{"name":"b"}}]}'
    assert [pod.name for pod in decode_page(body, Pod).records] == ["a\ufffd", "b"]


@pytest.mark.parametrize(
    "body",
    [b"", b"7", b"<html>", b'{"items":7}', b'{"items":' + b"[" * 100_000, b'{"items":{"a":1}}'],
    ids=lambda body: body[:12].decode(),
)
def test_an_answer_that_is_no_list_says_so(body: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_page(body, Pod)


def test_an_event_of_a_watch_has_its_type_and_its_object() -> None:
    kind, body = decode_event(b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}')
    assert kind == "ADDED"
    assert decode_object(body, Pod).name == "a"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"type":7,"object":{}}',
        b'{"type":"ADDED"}',
        b"nonsense",
        b'{"type":"A","object":' + b"[" * 100_000,
    ],
    ids=lambda line: line[:20].decode(),
)
def test_a_line_that_is_no_event_says_so(line: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_event(line)


@pytest.mark.parametrize("resource", resources(), ids=lambda resource: str(resource.kind))
def test_every_recorded_object_is_read_without_a_problem(resource: Resource) -> None:
    group = f"apis/{resource.group}" if resource.group else "api"
    paths = [
        path
        for version in resource.versions
        for api in RECORDINGS.glob("*/api")
        for path in (api / group / version).rglob(f"{resource.plural}.json")
    ]
    for path in paths:
        page = decode_page(path.read_bytes(), resource.record)
        assert page.problems == ()
        assert page.resource_version
        assert all(record.name for record in page.records)
    assert paths


# --- whatever the outside world can send

TEXTS = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["\x1b[2J", "\u202e", "\ud800", "\r", "null", "1", "2026-11-23T04:15:41Z"]
)
NAMES = TEXTS | st.sampled_from(
    [
        "metadata",
        "name",
        "namespace",
        "labels",
        "spec",
        "status",
        "conditions",
        "blocks",
        "cidr",
        "type",
        "ports",
        "port",
        "containerStatuses",
        "state",
        "running",
        "series",
        "involvedObject",
        "specs",
        "endpointSelector",
        "matchLabels",
        "ingress",
        "from",
        "fromEndpoints",
        "toPorts",
        "identity",
        "networking",
        "addressing",
    ]
)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda part: st.one_of(st.lists(part, max_size=4), st.dictionaries(NAMES, part, max_size=4)),
    max_leaves=12,
)


def texts_of(value: object) -> list[str]:
    """Every string in a record, names included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts_of(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in texts_of(part)]
    return []


def outcome(body: bytes, kind: type[Object]) -> list[str]:
    """Every text that comes out of reading a body: of the record, or of the problem."""
    try:
        return texts_of(msgspec.to_builtins(decode_object(body, kind)))
    except Undecodable as problem:
        return [str(problem)]


@given(VALUES, st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from(KINDS), st.booleans())
def test_no_document_raises_or_lets_unsafe_text_in(
    metadata: JsonValue, rest: dict[str, JsonValue], kind: type[Object], ascii_only: bool
) -> None:
    named: JsonValue = {"name": "n", **metadata} if isinstance(metadata, dict) else metadata
    document = {"metadata": named} | rest
    body = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    for text in outcome(body, kind):
        assert printable(text) == text


@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from(KINDS))
def test_no_damage_to_a_document_raises(noise: bytes, at: int, kind: type[Object]) -> None:
    body = raw(service(ports=[{"port": 80, "name": "é"}], selector={"app": "web"}))
    for damaged in (noise, body[:at] + noise + body[at:], body[:at] + noise, body[at:]):
        for text in outcome(damaged, kind):
            assert printable(text) == text
        for sentence in (problem_of_page(damaged, kind), problem_of_event(damaged)):
            assert printable(sentence) == sentence


def problem_of_page(body: bytes, kind: type[Object]) -> str:
    try:
        return " ".join(decode_page(body, kind).problems)
    except Undecodable as problem:
        return str(problem)


def problem_of_event(line: bytes) -> str:
    try:
        return decode_event(line)[0]
    except Undecodable as problem:
        return str(problem)


@given(TEXTS)
def test_the_type_of_an_event_is_printable(kind: str) -> None:
    told, _ = decode_event(raw({"type": kind, "object": {}}))
    assert printable(told) == told
