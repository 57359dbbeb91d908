"""The lines of an item of a list of sentences: nothing is lost at any width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.report.lines import Span, length, plain, text_of
from screens.widgets.block_list import Block, block_lines

WORDS = st.lists(st.text(alphabet="abcdefgh(),:", min_size=1, max_size=12), min_size=1, max_size=30)


@given(WORDS, WORDS, st.integers(0, 3), st.integers(40, 120))
def test_every_word_is_told_and_no_line_is_wider_than_the_room(
    said: list[str], under: list[str], numbers: int, width: int
) -> None:
    block = Block(
        key="one",
        line=(Span("CS401 ", "fail"), Span(" ".join(said))),
        indent=8,
        beside=tuple(plain(f"{n} services") for n in range(numbers)),
        under=plain(" ".join(under)),
    )
    lines = list(block_lines(block, width))
    assert all(length(line) <= width or not text_of(line)[width:].strip() for line in lines)
    told = " ".join(text_of(line)[:width] for line in lines)
    for n in range(numbers):
        told = told.replace(f"{n} services", "")
    assert told.split() == ["CS401", *said, *under]
