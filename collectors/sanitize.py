"""The only door for text from outside: what comes in may be printed, and nothing more.

A log line, an annotation or a message of a condition is written by whoever can write to the
cluster. Printed raw it owns the operator's terminal: it can write the clipboard (OSC 52), clear the
screen, or reverse what is read (CVE-2021-25743 is that class). Every string passes here as it
enters a record; nothing behind this door needs to ask again.
"""

from __future__ import annotations

import re
from typing import TypeAlias

MAX_LINE = 16_384
"""Characters kept of one line; the rest is cut and the cut is marked."""

MAX_MARKS = 8
"""Marks kept on one character, more than any script or emoji has. Hundreds of them are drawn over
the lines above and below, or hide what is written in them."""

REPLACEMENT = "�"

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
"""What `json.loads` can give."""

# C0 but tab and newline, DEL, C1; zero-width space, bidi marks, embeddings, overrides and isolates,
# line and paragraph separators, Arabic letter mark, byte order mark; lone surrogates. Joiners
# (U+200C, U+200D) stay: scripts and emoji need them.
_CODE_POINTS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff"
)
_UNSAFE = re.compile(f"[{_CODE_POINTS}]")
# Combining marks, joiners, variation selectors, tags: what adds to the character before.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff"
    "\ufe00-\ufe0f\ufe20-\ufe2f\U000e0000-\U000e01ef"
)
_FLOOD = re.compile(f"([{_MARKS}]{{{MAX_MARKS}}})[{_MARKS}]+")
_OVERLONG = re.compile(rf"[^\n]{{{MAX_LINE + 1},}}")
_LINE_BREAKS = re.compile(r"[\n\t]+")

# The same set as it can stand in the bytes of a JSON document: escaped, or as UTF-8. Escapes of a
# surrogate are looked at whole, also when they are a proper pair.
_UNSAFE_JSON = re.compile(
    rb"\\[bfr]"
    rb"|\\u(?:00(?:0[0-8b-fB-F]|1|7[fF]|[89])|061[cC]|20(?:0[bBeEfF]|2[89a-eA-E]|6[6-9])|[fF][eE][fF][fF]|[dD][89a-fA-F])"
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
    rb"|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8b\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
    rb"|\xef\xbb\xbf|\xed[\xa0-\xbf]"
    # Marks: one that is escaped may be part of a flood.
    rb"|\\u(?:03[0-6]|048[3-9]|1[aA][b-fB-F]|1[dD][c-fC-F]|20(?:0[cCdD]|[d-fD-F])|[fF][eE][02])"
    rb"|(?:\xcc[\x80-\xbf]|\xcd[\x80-\xaf]|\xd2[\x83-\x89]|\xe1(?:\xaa[\xb0-\xbf]|[\xab\xb7][\x80-\xbf])"
    rb"|\xe2\x80[\x8c\x8d]|\xe2\x83[\x90-\xbf]|\xef\xb8[\x80-\x8f\xa0-\xaf]|\xf3\xa0[\x80-\x87][\x80-\xbf]){9}"
)
_ASCII_MARKS = (b"\\u", b"\\r", b"\\b", b"\\f", b"\x7f")


def printable(text: str) -> str:
    """The text with every unsafe character shown as U+FFFD, floods of marks and overlong lines cut.

    Newlines and tabs stay; `one_line` takes them too. Never raises; idempotent.
    """
    text = _UNSAFE.sub(REPLACEMENT, text.replace("\r\n", "\n"))
    if len(text) > MAX_MARKS and not text.isascii():
        text = _FLOOD.sub(rf"\1{REPLACEMENT}", text)
    if len(text) > MAX_LINE:
        text = _OVERLONG.sub(_cut, text)
    return text


def one_line(text: str) -> str:
    """Printable text for one row: line breaks and tabs become single spaces."""
    return _OVERLONG.sub(_cut, _LINE_BREAKS.sub(" ", printable(text)).strip())


def printable_bytes(raw: bytes) -> str:
    """Printable text from bytes that claim to be UTF-8; what is not becomes U+FFFD."""
    return printable(raw.decode("utf-8", "replace"))


def is_clean_json(raw: bytes) -> bool:
    """Whether no string in a JSON document can hold anything unsafe.

    False may be a false alarm. True is certain, as no line can be overlong in a short document.
    """
    if len(raw) > MAX_LINE:
        return False
    if raw.isascii() and not any(mark in raw for mark in _ASCII_MARKS):
        return True
    return _UNSAFE_JSON.search(raw) is None


def printable_json(value: JsonValue) -> JsonValue:
    """The value with every string in it, keys included, made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [printable_json(item) for item in value]
    if isinstance(value, dict):
        return {printable(name): printable_json(item) for name, item in value.items()}
    return value


def _cut(line: re.Match[str]) -> str:
    kept = line.group()[: MAX_LINE - 48]
    return f"{kept} … (+{len(line.group()) - len(kept)} characters)"
