"""Nothing that passes the door can do more to a terminal than be read."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from collectors.sanitize import (
    MAX_LINE,
    MAX_MARKS,
    REPLACEMENT,
    JsonValue,
    is_clean_json,
    one_line,
    printable,
    printable_bytes,
    printable_json,
)

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Embeddings, overrides and isolates: classes of UAX #9, as Python's own tables have them."""
MARKS = {
    "LEFT-TO-RIGHT MARK",
    "RIGHT-TO-LEFT MARK",
    "ARABIC LETTER MARK",
    "ZERO WIDTH SPACE",
    "ZERO WIDTH NO-BREAK SPACE",
}


def is_unsafe(character: str) -> bool:
    """The rule in words of Unicode, not in ours: controls, bidi, line breaks, surrogates, BOM."""
    if character in "\n\t":
        return False
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(character) in BIDI
        or unicodedata.name(character, "") in MARKS
    )


@cache
def unsafe() -> list[str]:
    """Every one of them."""
    return [chr(code) for code in range(0x110000) if is_unsafe(chr(code))]


MARKS_OF_OTHERS = "\u0301\u0489\u1ab0\u1dc4\u20dd\ufe0f\ufe20\u200d\U000e0061\U000e0100"
"""One of every block whose characters add to the one before."""
FLOOD = re.compile("[\u0300-\u0489\u1ab0-\u20ff\ufe00-\ufe2f\U000e0000-\U000e01ef]{9}")
"""Where there may be one; wider than the rule."""

# Weighted towards what hurts; hypothesis leaves surrogates out unless told otherwise.
characters = st.one_of(
    st.characters(exclude_categories=()),
    st.deferred(lambda: st.sampled_from(unsafe())),
    st.sampled_from("\n\r\t ab"),
)
texts = st.text(characters)


def test_the_unsafe_characters_are_the_known_ones() -> None:
    """C0 without tab and newline, DEL, C1, 14 of bidi and breaks, 3 zero-width, the surrogates."""
    assert len(unsafe()) == 30 + 1 + 32 + 9 + 3 + 2 + 2 + 2048
    assert all(character in unsafe() for character in "\x1b\x07\x9b\x7f\u202e\u2066\ufeff\ud800\r")


def test_every_single_code_point_is_shown_or_replaced() -> None:
    for code in range(0x110000):
        character = chr(code)
        expected = REPLACEMENT if is_unsafe(character) else character
        assert printable(character) == expected, hex(code)


@given(texts)
@example("\r\n")
@example("\r\r\n")
def test_nothing_unsafe_is_left(text: str) -> None:
    assert not any(is_unsafe(character) for character in printable(text))


@given(texts)
def test_safe_text_is_untouched_and_nothing_is_dropped_silently(text: str) -> None:
    assume(not FLOOD.search(text))
    unchanged = "".join(REPLACEMENT if is_unsafe(c) else c for c in text.replace("\r\n", "\n"))
    assert printable(text) == unchanged


@given(st.one_of(texts, st.builds(lambda text, n: text * n, texts, st.integers(0, 5000))))
@example("twelve chars\n" * 1400)
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    assert one_line(one_line(text)) == one_line(text)


@given(texts)
def test_one_line_has_no_breaks_tabs_or_margins(text: str) -> None:
    line = one_line(text)
    assert not {"\n", "\t"} & set(line)
    assert line == line.strip()


@pytest.mark.parametrize("length", [MAX_LINE + 1, MAX_LINE * 3])
def test_an_overlong_line_is_cut_and_says_how_much_is_missing(length: int) -> None:
    first, cut, last = printable(f"short\n{'x' * length}\nend").split("\n")
    assert (first, last) == ("short", "end")
    assert len(cut) <= MAX_LINE
    kept, _, mark = cut.partition(" … ")
    assert mark == f"(+{length - len(kept)} characters)"


@pytest.mark.parametrize("mark", MARKS_OF_OTHERS)
def test_a_flood_of_marks_is_cut_and_the_cut_is_seen(mark: str) -> None:
    for length in (1, MAX_MARKS):
        assert printable(f"a{mark * length}b") == f"a{mark * length}b"
    assert printable(f"a{mark * 300}b") == f"a{mark * MAX_MARKS}{REPLACEMENT}b"


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("mark", MARKS_OF_OTHERS)
def test_a_document_with_a_flood_of_marks_is_not_clean(mark: str, ascii_only: bool) -> None:
    raw = json.dumps(f"a{mark * (MAX_MARKS + 1)}", ensure_ascii=ascii_only).encode()
    assert not is_clean_json(raw)


def test_a_line_of_the_greatest_length_is_whole() -> None:
    line = "x" * MAX_LINE
    assert printable(line) == line


def test_many_short_lines_are_not_cut() -> None:
    text = "line\n" * MAX_LINE
    assert printable(text) == text


@given(st.binary())
def test_any_bytes_become_printable(raw: bytes) -> None:
    assert not any(is_unsafe(character) for character in printable_bytes(raw))


def test_bytes_that_are_no_utf8_are_seen() -> None:
    assert printable_bytes(b"a\xff\xc3b") == "a\ufffd\ufffdb"


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
documents: st.SearchStrategy[JsonValue] = st.recursive(
    scalars, lambda part: st.one_of(st.lists(part), st.dictionaries(texts, part)), max_leaves=8
)


def strings(value: JsonValue) -> list[str]:
    """Every string in a document, names included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [found for item in value for found in strings(item)]
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in (name, *strings(item))]
    return []


@given(documents)
def test_every_string_of_a_document_is_made_printable(document: JsonValue) -> None:
    for text in strings(printable_json(document)):
        assert not any(is_unsafe(character) for character in text)


@given(documents, st.booleans(), st.sampled_from([None, 1]))
def test_a_document_called_clean_has_no_unsafe_string(
    document: JsonValue, ascii_only: bool, indent: int | None
) -> None:
    written = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    raw = written.encode("utf-8", "surrogatepass")
    if is_clean_json(raw):
        assert not any(is_unsafe(c) for text in strings(document) for c in text)


@pytest.mark.parametrize("upper", [False, True])
def test_no_unsafe_character_is_overlooked_however_it_is_escaped(upper: bool) -> None:
    for character in unsafe():
        digits = f"{ord(character):04X}" if upper else f"{ord(character):04x}"
        for raw in (f'{{"é":"\\u{digits}"}}'.encode(), f'["\\u{digits}"]'.encode()):
            assert not is_clean_json(raw), digits
            assert json.loads(raw) is not None
        plain = f'"{character}"'.encode("utf-8", "surrogatepass")
        if ord(character) >= 0x20:  # JSON takes no raw control characters: refused by its decoder
            assert not is_clean_json(plain), digits


# A backslash before a letter may look like an escape: a false alarm, which is allowed.
@given(
    st.text(
        st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp"), exclude_characters="\\"),
        max_size=200,
    )
)
def test_ordinary_documents_are_clean(text: str) -> None:
    raw = json.dumps({"a": f"{text}\n\t"}, ensure_ascii=False).encode()
    assert is_clean_json(raw)


def test_a_document_that_may_hold_an_overlong_line_is_not_clean() -> None:
    assert not is_clean_json(json.dumps("x" * (MAX_LINE + 1)).encode())
