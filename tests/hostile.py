"""Clusters in which all that can be written is hostile to a terminal, and what a terminal got.

A recording of a real cluster is taken, and every free text in it (messages, annotations, labels,
versions, log lines, what the `cilium` command says) and every name that people choose is made to
hold sequences that would do something. `foreign` then reads a byte stream the other way round: it
knows the few sequences that the program itself sends, and whatever else is in it is reported.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import unicodedata
from pathlib import Path

from tests.recorded import RECORDINGS

PAYLOADS = {
    "clipboard": "\x1b]52;c;Y2FuYXJ5\x07",
    "title": "\x1b]0;canary\x07",
    "link": "\x1b]8;;http://canary.invalid\x1b\\canary\x1b]8;;\x1b\\",
    "dcs": "\x1bP+q544e\x1b\\",
    "apc": "\x1b_Gcanary\x1b\\",
    "pm": "\x1b^canary\x1b\\",
    "clear": "\x1b[2J",
    "cursor": "\x1b[777;777H",
    "report": "\x1b[6n",
    "blink": "\x1b[5;38;5;213m",
    "reset": "\x1bc",
    "main screen": "\x1b[?47l",
    "bell": "\x07",
    "backspace": "\b\b\b\b",
    "delete": "\x7f",
    "return": "\rcanary",
    "c1 csi": "\x9b2J",
    "c1 osc": "\x9d0;canary\x9c",
    "c1 dcs": "\x90canary\x9c",
    "override": "\u202eyranac\u202c",
    "isolate": "\u2067canary\u2069",
    "zero width": "can\u200b\ufeff\u200fary",
    "line separator": "\u2028canary\u2029",
    "red": "[red]x[/red]",
    "close": "[/foo]",
    "click": "[@click=app.bell]x[/]",
    "flood": "a" + "\u0301" * 300,
    "variations": "x" + "\ufe0f" * 300,
    "unterminated": "\x1b]2;canary",
}
"""What would change a terminal, or the markup of what is drawn."""

_FREE = {"message", "note", "description", "action", "component", "error", "last-failure-msg"}
_VERSIONS = {"osImage", "kernelVersion", "containerRuntimeVersion", "holderIdentity", "hostname"}
_NAMED = ("services", "nodes", "ciliumloadbalancerippools", "ciliumbgpadvertisements")
_KEPT = {"kubernetes", "hubble-peer", "cilium-envoy", "kube-dns", "default"}


def poisoned(recording: str, folder: Path) -> Path:
    """A copy of a recording that is hostile throughout."""
    target = folder / "hostile"
    shutil.copytree(RECORDINGS / recording, target)
    poison = _Poison(target)
    for path in sorted((target / "api").rglob("*.json")):
        document = json.loads(path.read_text())
        if "items" in document:
            path.write_text(json.dumps(poison.document(document)))
    for path in sorted((target / "cli").glob("*.stdout")):
        text = path.read_text()
        if text.strip():
            path.write_text(json.dumps(poison.document(json.loads(text))))
    for path in sorted((target / "cli").glob("*.stderr")):
        path.write_bytes(poison.complaint(path.read_text()).encode())
    for path in sorted((target / "logs").rglob("*.log")):
        path.write_bytes(b"".join(poison.line(line) for line in path.read_bytes().splitlines()))
    return target


class _Poison:
    """Hands out the payloads in turn, so that each comes to stand everywhere."""

    def __init__(self, folder: Path) -> None:
        self._next = itertools.cycle(PAYLOADS.values())
        names = sorted(set(self._names(folder / "api")), key=len, reverse=True)
        self._renamed = {name: f"{name}{next(self._next)}" for name in names}
        self._chosen = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, names))})(?![\w-])")

    def document(self, value: object, key: str = "") -> object:
        """A JSON document with every text in it poisoned that the program may show."""
        if isinstance(value, list):
            return [self.document(each, key) for each in value]
        if isinstance(value, dict):
            changed = {
                self._named(name): self.document(inner, name) for name, inner in value.items()
            }
            if key in ("labels", "annotations"):
                changed |= {f"canary{payload}": payload for payload in PAYLOADS.values()}
            if key in ("terminated", "waiting"):
                changed["message"] = self.text("it was killed")
            return changed
        if isinstance(value, str):
            if key in _FREE or key in _VERSIONS or key == "errors":
                return self.text(value)
            return self._named(value)
        return value

    def text(self, value: str) -> str:
        """A free text that begins with one payload and holds some more."""
        return f"{next(self._next)}{self._named(value)} {''.join(self._some())}"

    def complaint(self, value: str) -> str:
        """What a command says on its standard error."""
        named = re.sub(r'User "[^"]+"', lambda _: f'User "eve{next(self._next)}"', value)
        return f"{self.text(named)}\n{self.text('warning')}\n"

    def line(self, raw: bytes) -> bytes:
        """A line of a log, of which the message is poisoned; and one that is nothing but noise."""
        text = self._named(raw.decode("utf-8", "replace"))
        stamp = text.partition(" ")[0]
        payload = "".join(self._some())
        named = re.sub(r'(msg="?)', lambda found: found[1] + payload, text, count=1)
        noise = f"{stamp} {next(self._next)} {next(self._next)}".encode()
        return named.encode() + b"\n" + noise + b" \x9b2J\x9d0;canary\x9c\n"

    def _some(self) -> list[str]:
        return [next(self._next) for _ in range(3)]

    def _named(self, text: str) -> str:
        return self._chosen.sub(lambda found: self._renamed[found[1]], text)

    @staticmethod
    def _names(api: Path) -> list[str]:
        found: list[str] = []
        for kind in _NAMED:
            for path in api.rglob(f"{kind}.json"):
                items = json.loads(path.read_text()).get("items", [])
                found += [item["metadata"]["name"] for item in items]
        return [name for name in found if name not in _KEPT]


MODES = {7, 25, 1000, 1002, 1003, 1004, 1006, 1015, 1049, 2004, 2026, 2048}
"""Line wrap, cursor, mouse, focus reports, the alternate screen, bracketed paste, synchronised
output, resize reports: what Textual and `app/terminal.py` switch."""
_BLINK_OR_HIDDEN = {5, 6, 8}
_SENT = re.compile(
    rb"(?P<sgr>\x1b\[[0-9;]*m)"
    rb"|\x1b\[(?P<row>[0-9]+);(?P<column>[0-9]+)H"
    rb"|\x1b\[\?(?P<mode>[0-9]+)[hl]"
    rb"|\x1b\[>[0-9]*u|\x1b\[<u"  # kitty keys
    rb"|\x1b\[\?20(?:26|48)\$p"  # whether it can do synchronised output, resize reports
    rb"|\x1b\]22;(?:default|text|pointer)\x07"  # the shape of the pointer
    rb"|\x1b\]52;c;(?P<copied>[A-Za-z0-9+/=]*)(?:\x07|\x1b\\)"
    rb"|\r?\n"
)


def foreign(stream: bytes, size: tuple[int, int] = (400, 100)) -> list[str]:
    """What the program would not have sent by itself, with what stands around it."""
    found, at = [], 0
    for sent in _SENT.finditer(stream):
        found += _unsafe(stream, at, sent.start())
        at = sent.end()
        if not _ours(sent, size):
            found.append(_around(stream, sent.start()))
    return found + _unsafe(stream, at, len(stream))


def foreign_text(text: str) -> list[str]:
    """What should not be in a report that is written to a file or a pipe."""
    return [hex(ord(c)) for c in text if _is_unsafe(c)] + _floods(text)


def _ours(sent: re.Match[bytes], size: tuple[int, int]) -> bool:
    if sent["sgr"]:
        return not _BLINK_OR_HIDDEN & _attributes(sent["sgr"])
    if sent["row"]:
        return int(sent["row"]) <= size[1] and int(sent["column"]) <= size[0]
    if sent["mode"]:
        return int(sent["mode"]) in MODES
    if sent["copied"]:
        copied = base64.b64decode(sent["copied"]).decode()
        return copied != "canary" and not foreign_text(copied)
    return True


def _attributes(sgr: bytes) -> set[int]:
    """The parameters that are no part of a colour."""
    left = [int(word or 0) for word in sgr[2:-1].split(b";")]
    found = set()
    while left:
        first = left.pop(0)
        found.add(first)
        if first in (38, 48) and left:
            del left[: 2 if left[0] == 5 else 4]
    return found


def _unsafe(stream: bytes, start: int, end: int) -> list[str]:
    text = stream[start:end].decode("utf-8", "surrogateescape")
    if any(_is_unsafe(c) for c in text) or _floods(text):
        return [_around(stream, start)]
    return []


def _is_unsafe(character: str) -> bool:
    """Controls, surrogates and what is no text; bidi and zero-width characters; line separators."""
    category = unicodedata.category(character)
    if character in "\n\t\u200c\u200d\u00ad":
        return False
    return category in ("Cc", "Cs", "Cf", "Zl", "Zp")


def _floods(text: str) -> list[str]:
    """Runs of more marks on one character than any script needs."""
    kinds = itertools.groupby(text, key=lambda c: unicodedata.category(c) in ("Mn", "Me"))
    runs = [len(list(run)) for is_mark, run in kinds if is_mark]
    return [f"{length} marks on one character" for length in runs if length > 10]


def _around(stream: bytes, at: int) -> str:
    return repr(stream[max(0, at - 30) : at + 70])
