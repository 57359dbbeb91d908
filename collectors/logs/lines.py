"""One line of a container's log, whatever its format, as a `LogLine`.

Cilium mixes formats: slog logfmt and logrus side by side in 1.17, JSON where `log-opt` asks for it
(its first lines stay text all the same), klog lines of client-go, panics. So each line is read for
itself, leniently: what cannot be read better is a text line, and nothing raises. Everything passes
`collectors.sanitize`, after escapes are resolved. Source: Cilium pkg/logging; `docs/cilium.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Literal, TypeAlias, cast

import msgspec

from collectors.sanitize import REPLACEMENT, JsonValue, printable

LogFormat: TypeAlias = Literal["logfmt", "json", "text"]
Pairs: TypeAlias = tuple[tuple[str, str], ...]


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a log. All text is printable, and all but `raw` without line breaks and tabs."""

    time: datetime
    """When the kubelet took the line; the line's own time stays in `raw`."""
    level: str = ""
    """`debug`, `info`, `warning`, `error`, `fatal`; "" when the line does not say."""
    message: str = ""
    module: str = ""
    """`module=`, or `subsys=` of older loggers."""
    component: str = ""
    fields: Pairs = ()
    """Names and values in the order of the line, without those above."""
    raw: str = ""
    """The line as it came, without the kubelet's time."""
    format: LogFormat = "text"

    def field(self, *names: str) -> str:
        """The value of the first of these names that the line has and that is not empty, or ""."""
        for name in names:
            for known, value in self.fields:
                if known == name and value:
                    return value
        return ""

    @property
    def service(self) -> str:
        """`namespace/name` of the service the line is about, or ""."""
        name = self.field("serviceName", "service", "k8sSvcName")
        namespace = self.field("k8sNamespace") if name and "/" not in name else ""
        return f"{namespace}/{name}" if namespace else name

    @property
    def address(self) -> str:
        """The address, or addresses, the line is about, or ""."""
        return self.field("ipAddr") or self.field("ipAddrs").strip("[]").replace(" ", ", ")

    @property
    def pool(self) -> str:
        """The pool the line is about, the first where it names two, or ""."""
        return self.field("poolName", "pool-name", "poolName1", "pool1-name")

    @property
    def peer(self) -> str:
        """The BGP peer: its address where the line has it, else its name in the config, or ""."""
        key = self.field("Key")
        return key if _is_address(key) else self.field("peer", "peerAddress", "peer_address")

    @property
    def node(self) -> str:
        """The node the line names, or "". Not the node it was written on."""
        return self.field("nodeName", "node")


def parse_line(raw: bytes | str, time: datetime) -> LogLine:
    """One line, its API timestamp split off and given as `time`. Never raises.

    An overlong line is cut as `collectors.sanitize` says; JSON is read whole before the cut.
    """
    whole = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    text = printable(whole.rstrip("\r\n")).replace("\n", " ")
    if text.startswith("{"):
        pairs = _json_pairs(whole)
        if pairs:
            return _from_pairs(pairs, text, time, "json")
    if _LOGFMT.match(text):
        return _from_pairs(tuple(_logfmt_pairs(text)), text, time, "logfmt")
    klog = _KLOG.match(text)
    if klog:
        return _from_klog(klog, text, time)
    level = "fatal" if text.startswith(_FATAL) else ""
    return LogLine(time, level, _flat(text), raw=text)


_LOGFMT = re.compile(r"\s*(?:time|ts|level|msg)=")
# A name, then a quoted value, an unterminated one, or a bare one that goes on to the next `name=`.
_PAIR = re.compile(
    r"""(?<!\S)([^\s="]++)=(?:
        "((?:[^"\\]++|\\.)*+)"(?=\s|$)
      | "((?:[^"\\]++|\\.)*+\\?)$
      | (\S*+(?:\s++(?![^\s="]++=)\S++)*+)
    )""",
    re.VERBOSE,
)
_KLOG = re.compile(
    r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d(?:\.\d+)?\s+\d+ "
    r"(?P<source>[^\s\]]+:\d+)\] ?(?P<rest>.*)"
)
_KLOG_STRUCTURED = re.compile(r'"((?:[^"\\]++|\\.)*+)"(?=\s|$)(?P<pairs>.*)')
_FATAL = ("panic: ", "fatal error: ")
_LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "fatal": "fatal",
    "panic": "fatal",
    "i": "info",
    "w": "warning",
    "e": "error",
    "f": "fatal",
}
_OWN_TIME = frozenset({"time", "ts"})
_MESSAGE = frozenset({"msg", "message"})
_MODULE = frozenset({"module", "subsys"})
_FLAT = str.maketrans("\n\t", "  ")


def _from_pairs(pairs: Pairs, raw: str, time: datetime, form: LogFormat) -> LogLine:
    """A name that fills a slot fills it once; a second one stays among the fields."""
    level = message = module = component = ""
    fields: list[tuple[str, str]] = []
    for name, value in pairs:
        if name in _OWN_TIME:
            continue
        if name == "level" and not level and (known := _level(value)):
            level = known
        elif name in _MESSAGE and not message:
            message = value
        elif name in _MODULE and not module:
            module = value
        elif name == "component" and not component:
            component = value
        else:
            fields.append((name, value))
    return LogLine(time, level, message, module, component, tuple(fields), raw, form)


def _level(value: str) -> str:
    """slog writes levels between its own as `INFO+2`."""
    return _LEVELS.get(value) or _LEVELS.get(re.split(r"[+-]", value, maxsplit=1)[0].lower(), "")


def _from_klog(line: re.Match[str], raw: str, time: datetime) -> LogLine:
    """klog: `I1123 04:15:41.345182       1 reflector.go:227] "message" name="value"` or plain."""
    message, fields = line["rest"], [("source", line["source"])]
    structured = _KLOG_STRUCTURED.match(message)
    if structured:
        message = _unquoted(structured[1])
        fields.extend(_logfmt_pairs(structured["pairs"]))
    return LogLine(time, _level(line["level"]), _flat(message), fields=tuple(fields), raw=raw)


def _logfmt_pairs(text: str) -> Iterator[tuple[str, str]]:
    for pair in _PAIR.finditer(text):
        name, quoted, unterminated, bare = pair.groups()
        if bare is not None:
            yield name, _flat(bare)
        else:
            yield name, _flat(_unquoted(quoted if quoted is not None else unterminated))


_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unquoted(quoted: str) -> str:
    r"""The inside of a Go string (strconv.Quote), made printable again as `\x1b` is an escape."""
    return printable(_ESCAPE.sub(_unescaped, quoted)) if "\\" in quoted else quoted


def _unescaped(escape: re.Match[str]) -> str:
    byte, short, long, letter = escape.groups()
    if letter is not None:
        return _ESCAPED.get(letter, letter)
    if byte is not None:  # Go writes a byte that is no UTF-8 this way
        return chr(int(byte, 16)) if int(byte, 16) < 0x80 else REPLACEMENT
    code = int(short or long, 16)
    return chr(code) if code <= 0x10FFFF else REPLACEMENT


def _json_pairs(text: str) -> Pairs:
    """Names and values of a JSON object; none when it is not one, or nested too deeply."""
    try:
        document = cast("JsonValue", json.loads(text, strict=False))
        if not isinstance(document, dict):
            return ()
        return tuple((_flat(printable(name)), _json_text(part)) for name, part in document.items())
    except (ValueError, RecursionError):
        return ()


def _json_text(value: JsonValue) -> str:
    """A JSON value as Cilium's text logger would write it: one reader for both formats."""
    if isinstance(value, dict) and {name.lower() for name in value} == {"name", "namespace"}:
        parts = {name.lower(): part for name, part in value.items()}
        found = (parts["namespace"], parts["name"])
        return "/".join(_json_text(part) for part in found if part)
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return f"[{' '.join(_json_text(item) for item in value)}]"
    if isinstance(value, str):
        return _flat(printable(value))
    if value is None:
        return ""
    return _flat(printable(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


def _flat(text: str) -> str:
    return text.translate(_FLAT)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
