"""From a file to a runbook: each error names file, line and key, and no file costs more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.runbooks.library import load
from app.runbooks.parsing import LARGEST, BadRunbook, parse
from app.runbooks.schema import Extension, Runbook
from collectors.sanitize import one_line
from tests.runbook_files import SMALL
from tests.searching import examples

QUOTES = 'text that reads as a number, yes, no or null stands in quotes: "no"'


def refused(text: str | bytes, name: str = "mine") -> str:
    """With which sentence a file is refused."""
    with pytest.raises(BadRunbook) as told:
        parse(text if isinstance(text, bytes) else text.encode(), "f.yaml", name)
    return str(told.value)


def changed(old: str, new: str) -> str:
    """The small runbook, with something wrong in it."""
    assert old in SMALL
    return SMALL.replace(old, new, 1)


def test_a_runbook_is_read_as_it_is_written() -> None:
    found, source = parse(SMALL.encode(), "f.yaml", "mine")
    assert isinstance(found, Runbook)
    assert (found.name, [step.id for step in found.steps]) == ("mine", ["state", "fixed"])
    assert source.lines["steps", 1, "verify"] == 15
    assert (
        str(source.refuse(("steps", 1, "next", "fail"), "x")) == "f.yaml:16: steps[1].next.fail: x"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "f.yaml: is empty; a runbook has title, when, steps"),
        ("# only words\n", "f.yaml: is empty; a runbook has title, when, steps"),
        ("- a\n", "f.yaml:1: a runbook is a mapping with title, when, steps"),
        (b"title: \xff\n", "f.yaml: byte 8 is no UTF-8"),
        (SMALL + "title: x\n", "f.yaml:1: title: stands twice, on line 1 and on line 17"),
        (
            SMALL + "name: x\n",
            "f.yaml:17: name: a runbook is called as its file is; leave this out",
        ),
        (
            changed("when: Something is down.\n", ""),
            "f.yaml:1: object missing required field `when`",
        ),
        (changed("title", "titel"), "f.yaml:1: titel: there is no such key; did you mean title?"),
        (
            changed("ask: Is {session}", "aks: Is {session}"),
            "f.yaml:7: steps[0].aks: there is no such key; did you mean ask?",
        ),
        (
            changed("pass: end, fail", "pas: end, fail"),
            "f.yaml:10: steps[0].next.pas: there is no such key; did you mean pass?",
        ),
        (
            changed("kind: session", "knid: session"),
            "f.yaml:4: parameters.session.knid: there is no such key; did you mean kind?",
        ),
        (
            changed("kind: session", "kind: sesion"),
            "f.yaml:4: parameters.session.kind: invalid enum value 'sesion'; it is one of service, "
            "session, node, pool, address",
        ),
        (
            changed("findings: [CS401], about: session", "hop: adress"),
            "f.yaml:9: steps[0].look[0].hop: invalid enum value 'adress'; it is one of class, "
            "pool, address, endpoints, advertised, sessions, routes, router",
        ),
        (
            changed("ask: Is {session} up?", "ask: no"),
            f"f.yaml:7: steps[0].ask: expected `str`, got `bool`; {QUOTES}",
        ),
        (
            changed("ask: Is {session} up?", "ask: 17"),
            f"f.yaml:7: steps[0].ask: expected `str`, got `int`; {QUOTES}",
        ),
        (
            changed("ask: Is {session} up?", "ask:"),
            f"f.yaml:7: steps[0].ask: expected `str`, got `null`; {QUOTES}",
        ),
        (
            changed("verify: true", 'verify: "true"'),
            "f.yaml:15: steps[1].verify: expected `bool`, got `str`",
        ),
        (
            changed("[CS401], about", "CS401, about"),
            "f.yaml:9: steps[0].look[0].findings: expected `array`, got `str`",
        ),
        (SMALL + "? [a]\n: b\n", "f.yaml:1: has a key that is no word"),
        (SMALL + "<<: {a: b}\n", "f.yaml:17: <<: there is no such key"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(text: str | bytes, sentence: str) -> None:
    assert refused(text) == sentence


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (changed("    ask: Is {session}", "\task: Is {session}"), "f.yaml:7: ", "is no YAML"),
        (SMALL + "---\n" + SMALL, "f.yaml:17: ", "another document"),
        ('a: "', "f.yaml:1: ", "is no YAML"),
        ("a: *b\n", "f.yaml:1: ", "undefined alias 'b'"),
        ("a: &a [*a]\n", "f.yaml:1: ", "nested deeper than 20 levels"),
        ("[" * 2000, "f.yaml:1: ", "nested deeper than 20 levels"),
        ("".join(" " * n + "a:\n" for n in range(1, 99)), "f.yaml:", "nested deeper"),
        ("\0", "f.yaml: ", "is no YAML"),
    ],
)
def test_what_is_no_yaml_is_told_at_its_line(text: str, place: str, words: str) -> None:
    told = refused(text)
    assert told.startswith(place)
    assert words in told


def test_aliases_are_not_written_out_without_bounds() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    lines += [f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in pairs]
    assert "has more than 5000 parts" in refused("\n".join(lines))


def test_more_parts_than_a_runbook_has_are_not_even_read() -> None:
    told = refused("- aaaaaaaa\n" * 11_000)
    assert told.startswith("f.yaml:10")
    assert told.endswith(": has more than 5000 parts; no runbook has")


@pytest.mark.parametrize(
    "text",
    ["[" + "a," * 120_000, "k: v\n" * 40_000, "%Y\n" * 60_000],
    ids=["list", "keys", "directives"],
)
def test_a_hostile_file_costs_no_more_than_its_size(text: str) -> None:
    begun = time.process_time()
    refused(text.encode()[:LARGEST])
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("name", ["My Book", "", "a--b", "-a", "a/b", "ä", "a.b"])
def test_the_name_of_a_file_is_a_word(name: str) -> None:
    assert "its name must be words of small letters and digits" in refused(SMALL, name)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRunbook, match=r"gone\.yaml: No such file"):
        load(tmp_path / "gone.yaml")
    with pytest.raises(BadRunbook, match="Is a directory"):
        load(tmp_path)
    large = tmp_path / "large.yaml"
    large.write_text("#" * (LARGEST + 1))
    with pytest.raises(BadRunbook, match="is larger than 256 KiB; no runbook is"):
        load(large)


def test_control_characters_do_not_come_in() -> None:
    found, _ = parse(changed("Is it up now?", r'"\e[31mred"').encode(), "f.yaml", "mine")
    assert isinstance(found, Runbook)
    assert found.steps[1].ask == "�[31mred"
    assert "\x1b" not in refused(changed("title", r'"\e[31m"'))


WORDS = st.sampled_from(
    ["title", "when", "steps", "id", "ask", "next", "pass", "end", "look", "findings", "CS401",
     "extends", "parameters", "kind", "no", "1", "{", "}", "[", "]", ":", ",", "- ", "\n", "\n  ",
     "\n    ", "&a", "*a", "? ", "|", ">", '"', "'", "#", "!", "%", "\t", "---\n", "\x1b", "<<"]
)  # fmt: skip
PIECES = st.lists(st.one_of(WORDS, st.text(max_size=6)), max_size=60).map("".join)


def told_of(text: bytes) -> str:
    """With which words a file is refused; "" where it is a runbook."""
    try:
        found, _ = parse(text, "f.yaml", "mine")
    except BadRunbook as problem:
        return str(problem)
    assert isinstance(found, Runbook | Extension)
    return ""


@settings(max_examples=examples(150))
@given(st.one_of(st.binary(max_size=400), PIECES.map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_any_bytes_are_a_runbook_or_refused_in_one_line(text: bytes) -> None:
    told = told_of(text)
    assert told == one_line(told)
    assert not told or told.startswith("f.yaml:")


@settings(max_examples=examples(80))
@given(st.integers(0, len(SMALL) - 1), st.sampled_from(list("x:{}[]\"'&*!|>%@`\t\n #-0\x00é")))
def test_a_slip_of_the_finger_is_no_crash(at: int, typed: str) -> None:
    told = told_of((SMALL[:at] + typed + SMALL[at + 1 :]).encode())
    assert told == one_line(told)
