"""What a terminal sends: keys pass, what nobody typed does not, however it is cut into pieces."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.terminal import KEY_PATIENCE, REPLY_PATIENCE, InputFilter

KEYS = (
    *("q", "j", "G", "é", "語", "\r", "\t", "\x7f", "\x01", "\x03", " ", "~", "c", "[", "]", "?"),
    *("\x1b[A", "\x1bOP", "\x1b[15~", "\x1b[1;5C", "\x1b[Z", "\x1b[1;2R", "\x1b[97;5u"),
    *("\x1b[I", "\x1b[O", "\x1b[<0;10;5M", "\x1b[<0;10;5m", "\x1b[?2026;2$y", "\x1b[?2048;0$y"),
    "\x1b[48;24;80;480;800t",
)
REPLIES = (
    *("\x1b[?64;1;2c", "\x1b[>0;276;0c", "\x1b[64;1c", "\x1b[?0u", "\x1b[?1u", "\x1b[7;15R"),
    *("\x1b[0n", "\x1b[8;24;80t", "\x1b[?1;2n", "\x1b[>1;95;0c", "\x1b[97;5:3u", "\x1b[4;2$y"),
    *("\x1b]11;rgb:1e1e/1e1e/1e1e\x07", "\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\", "\x1b]52;c;aGk=\x07"),
    *("\x1bP>|tmux 3.3a\x1b\\", "\x1b_Gi=1;OK\x1b\\", "\x1b[M !!", "\x1b^x\x1b\\"),
)
PASTES = {
    "q\x1b[31mq": "qq",
    "\x1b[31ma\x03te": "ate",
    "fri\x00g\x1b[31ma\x03te": "frigate",
    "a\tb\nc\r\n": "a\tb\nc\r\n",
    "\x1b]0;title\x07text\x9b": "text",
    "": "",
    "a \x1b b": "a  b",
}


def _pasted(inside: str) -> str:
    return f"\x1b[200~{inside}\x1b[201~"


PIECES = st.one_of(
    st.sampled_from([(key, key) for key in KEYS]),
    st.sampled_from([(reply, "") for reply in REPLIES]),
    st.sampled_from([(_pasted(given), _pasted(left)) for given, left in PASTES.items()]),
)


def _fed(pieces: list[str]) -> str:
    mended = InputFilter()
    return "".join([*map(mended.feed, pieces), mended.flush()])


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_key_passes_as_it_is(key: str) -> None:
    assert _fed([key]) == key


@pytest.mark.parametrize("reply", REPLIES, ids=repr)
def test_a_reply_is_taken_out(reply: str) -> None:
    assert _fed([f"j{reply}k"]) == "jk"


@pytest.mark.parametrize(("inside", "left"), PASTES.items(), ids=repr)
def test_a_paste_stays_one_and_is_text(inside: str, left: str) -> None:
    assert _fed([f"j{_pasted(inside)}k"]) == f"j{_pasted(left)}k"


@given(st.lists(PIECES, max_size=8), st.lists(st.integers(0, 200), max_size=12))
def test_it_is_the_same_wherever_it_is_cut(pieces: list[tuple[str, str]], cuts: list[int]) -> None:
    whole = "".join(sent for sent, _ in pieces)
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    fed = _fed([whole[a:b] for a, b in pairwise(places)])
    assert fed == "".join(left for _, left in pieces)


@given(
    st.lists(st.text(alphabet="\x1b[]P0?;<>cMmu~\x07\\$yt2q\x9b\x03\n", max_size=12), max_size=8)
)
def test_whatever_comes_no_private_sequence_but_what_was_asked_for_passes(
    pieces: list[str],
) -> None:
    mended = InputFilter()
    passed = [mended.feed(piece) for piece in pieces]
    for each in passed:
        for sequence in re.findall(r"\x1b\[[<=>?][0-?]*[ -/]*[@-~]", each):
            assert re.fullmatch(r"\x1b\[(?:\?20(?:26|48);\d+\$y|<\d+;\d+;\d+[Mm])", sequence)


def test_escape_alone_is_a_key_after_a_moment_and_a_reply_cut_short_is_none() -> None:
    mended = InputFilter()
    assert mended.feed("\x1b") == ""
    assert InputFilter().patience is None
    assert mended.patience == KEY_PATIENCE
    assert mended.flush() == "\x1b"
    assert mended.feed("\x1b[?64;1") == ""
    assert mended.patience == REPLY_PATIENCE
    assert mended.flush() == ""
    assert mended.feed("q") == "q"


def test_the_end_of_a_paste_is_waited_for_as_long_as_it_takes() -> None:
    mended = InputFilter()
    assert mended.feed("\x1b[200~abc\x1b[20") == "\x1b[200~abc"
    assert mended.patience is None
    assert mended.feed("1~q") == "\x1b[201~q"


def test_what_never_ends_is_not_kept_for_ever() -> None:
    mended = InputFilter()
    for _ in range(1000):
        mended.feed("\x1b]" + "x" * 1000)
    assert "q" in mended.feed("\x1b\\q") + mended.flush()
