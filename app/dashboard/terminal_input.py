"""Filters what a terminal sends that was not typed: replies, pasted controls, broken sequences.

Textual 8.2 takes the end of an unknown reply for keys, and an escape in pasted text for the end of
the paste; it then handles the rest as keys. Seen on Linux, November 2026.
"""

from __future__ import annotations

import re

PASTE = "\x1b[200~"
PASTED = "\x1b[201~"

KEY_PATIENCE = 0.05
"""Seconds after which a lone Escape is a key."""

REPLY_PATIENCE = 1.0
"""Seconds after which the rest of a reply is given up."""

_KEY = 2
"""Characters that may be a key: Escape, or alt with a letter. More is a truncated reply."""

LONGEST = 8192
"""Characters of an unfinished string at which it is no longer held."""

_STRING = re.compile(r"\x1b[\]P_^X](?:[^\x07\x1b\x9c]|\x1b(?!\\|$))*(?:\x07|\x9c|\x1b\\)")
_CSI = re.compile(r"\x1b\[(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<end>[@-~])")
_MOUSE_OF_OLD = re.compile(r"\x1b\[M.{3}", re.DOTALL)
_BEGUN = re.compile(
    r"\x1b(?:\[(?:[0-?]*[ -/]*|M.{0,2})|[\]P_^X](?:[^\x07\x1b\x9c]|\x1b(?!\\|$))*\x1b?)?\Z",
    re.DOTALL,
)
"""An end that may be the start of a sequence whose rest has not arrived."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_MOUSE = re.compile(r"<\d+;\d+;\d+")
_MODES = re.compile(r"\?(?:2026|2048);\d+")
"""The modes that Textual asks the terminal about."""


class InputFilter:
    """Passes keys, the mouse, whole pastes and replies that Textual asked for; drops the rest.

    It is fed pieces of any length: a sequence may be split anywhere.
    """

    def __init__(self) -> None:
        """Nothing has arrived yet."""
        self._held = ""
        self._pasting = False

    @property
    def patience(self) -> float | None:
        """Seconds to wait for the rest of what is held, then `flush`; None: without limit."""
        if not self._held or self._pasting:
            return None
        return KEY_PATIENCE if len(self._held) <= _KEY else REPLY_PATIENCE

    def feed(self, text: str) -> str:
        """The part of this, and of what was held, that is for the program."""
        text, self._held = self._held + text, ""
        begun = _BEGUN.search(text)
        if begun is not None and len(text) - begun.start() <= LONGEST:
            text, self._held = text[: begun.start()], text[begun.start() :]
        return self._passed(text)

    def flush(self) -> str:
        """The key that was held, or nothing: its rest has not arrived in time."""
        held, self._held = self._held, ""
        return held if len(held) <= _KEY else ""

    def _passed(self, text: str) -> str:
        passed: list[str] = []
        while text:
            if self._pasting:
                inside, mark, text = text.partition(PASTED)
                passed += [_pasted(inside), mark]
                self._pasting = not mark
            else:
                outside, mark, text = text.partition(PASTE)
                passed += [_typed(outside), mark]
                self._pasting = bool(mark)
        return "".join(passed)


def _typed(text: str) -> str:
    text = _MOUSE_OF_OLD.sub("", _STRING.sub("", text))
    return _CSI.sub(lambda found: found[0] if _is_for_us(found) else "", text)


def _pasted(text: str) -> str:
    """Text with its tabs and line breaks only."""
    return _CONTROLS.sub("", _CSI.sub("", _STRING.sub("", text)))


def _is_for_us(found: re.Match[str]) -> bool:
    """Whether a sequence is a key, the mouse, a size, or a reply that Textual asked for."""
    parameters, between, end = found["parameters"], found["between"], found["end"]
    if ":" in parameters:  # keys with sub-parameters: not requested, and some crash Textual
        return False
    if parameters[:1] in tuple("<=>?"):
        if end in "Mm":
            return _MOUSE.fullmatch(parameters) is not None
        return (between, end) == ("$", "y") and _MODES.fullmatch(parameters) is not None
    if between or end in "cnxy":
        return False
    if end == "R":  # F3 with shift and the like, or where the cursor is
        return not parameters or parameters.startswith("1;")
    return end != "t" or parameters.startswith("48;")
