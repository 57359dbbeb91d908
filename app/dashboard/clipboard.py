"""The clipboard of the terminal the operator sits at, wherever ciliscope runs: OSC 52.

Source: xterm, "Control Sequences", OSC 52; tmux(1), `allow-passthrough` and `set-clipboard`;
screen(1), "Device control string".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

CAP = 74_994
"""Bytes of base64 in one sequence; terminals drop more, and k9s sends no more either."""

_SCREEN_CHUNK = 700
"""Characters that screen passes on in one string; its limit is 768."""

_DEAF = frozenset({"linux", "dumb", "vt100", "vt220"})
"""Terminals that are known to have no clipboard."""


def sequences(text: str, environ: Mapping[str, str], by: str = "auto") -> tuple[str, ...]:
    """What to write to the terminal so that it takes the text; () where it cannot.

    `by` is the setting: `osc52` tries also a terminal that is known to have no clipboard, `file`
    none.

    In tmux it is written twice: tmux takes the one where `set-clipboard` is on, and passes the
    other on where `allow-passthrough` is.
    """
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    deaf = by == "auto" and environ.get("TERM", "") in _DEAF
    if by == "file" or deaf or len(encoded) > CAP:
        return ()
    plain = f"\x1b]52;c;{encoded}\x07"
    if environ.get("TMUX"):
        return (plain, f"\x1bPtmux;\x1b{plain}\x1b\\")
    if environ.get("STY"):
        pieces = (plain[i : i + _SCREEN_CHUNK] for i in range(0, len(plain), _SCREEN_CHUNK))
        return tuple(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return (plain,)
