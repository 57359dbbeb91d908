"""One line of a container's log, whatever its format, and what it says of LB-IPAM and BGP.

Cilium mixes formats: slog logfmt and logrus side by side in 1.17, JSON where `log-opt` asks for it
(its first lines stay text all the same), klog lines of client-go, panics. So each line is read for
itself, leniently: what cannot be read better is a text line, and nothing raises. Everything passes
`collectors.sanitize`, after escapes are resolved.

Source: Cilium pkg/logging, and the log calls of 1.17 to 1.21 (operator/pkg/lbipam,
operator/pkg/bgp, pkg/bgp) and of GoBGP v3 and v4; `docs/cilium.md`, logs. Notifications: RFC 4271
sections 4.5 and 6 (codes 1 to 6), RFC 4486 (cease), RFC 5492, RFC 6608, RFC 7313, RFC 8538, RFC
9234, RFC 9384, RFC 9687; IANA, "BGP Error (Notification) Codes".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
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


Marker: TypeAlias = Literal["", "gap", "restart", "previous", "moved"]
"""`previous`: a line of the container before its restart. `gap`, `restart`, `moved`: no line of the
container but a note of ours that lines are missing here, that a new container begins, that another
pod is followed from here on. "": a line."""


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """A line of a container's log, or a marker between lines."""

    key: str
    """Sorts as the log was written, and by time among several containers."""
    pod: str
    container: str
    line: LogLine
    """Of a marker: when, and a sentence that says what happened."""
    node: str = ""
    marker: Marker = ""


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
_OWN_TIME = frozenset({"time", "ts"})
_MESSAGE = frozenset({"msg", "message"})
_MODULE_NAMES = frozenset({"module", "subsys"})
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
        elif name in _MODULE_NAMES and not module:
            module = value
        elif name == "component" and not component:
            component = value
        else:
            fields.append((name, value))
    return LogLine(time, level, message, module, component, tuple(fields), raw, form)


def _level(value: str) -> str:
    """slog writes levels between its own as `INFO+2`."""
    plain = re.split(r"[+-]", value, maxsplit=1)[0].lower()
    return _KNOWN.levels.get(value) or _KNOWN.levels.get(plain, "")


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


Topic: TypeAlias = Literal["ipam", "bgp", ""]


def topic(line: LogLine) -> Topic:
    """What the line is about: LB-IPAM, BGP, or "" for anything else.

    Known by its module, in either form: `module=….lbipam` (1.18 and later) or `subsys=lbipam`. A
    line without one counts when its message is known, or when it complains about our kinds.
    """
    known = _MODULE.search(line.module)
    if known:
        return "ipam" if known[1] == "lbipam" else "bgp"
    if line.component.startswith("gobgp"):
        return "bgp"
    if line.module:
        return ""
    if line.message in _KNOWN.ipam_events or line.message.startswith(_KNOWN.ipam_messages):
        return "ipam"
    if line.level in _COMPLAINTS:
        kind = _OUR_KINDS.search(f"{line.message} {line.field('error', 'err')}")
        if kind:
            return "bgp" if kind[1] else "ipam"
    return ""


def is_noise(line: LogLine) -> bool:
    """Whether the line says only that the machinery turns. A warning of Cilium's is none."""
    if _WATCH_ENDED.search(line.message):
        return True
    return line.level in ("", "debug", "info") and line.message.startswith(_KNOWN.noise)


def event(line: LogLine) -> str:
    """What happened, in one line: a sentence for the messages we know, else the message itself.

    The message keeps what names things (service, address, pool, peer, instance) and its error.
    """
    notification = _NOTIFICATION.fullmatch(line.message)
    if notification:
        return _notification(line, notification[1])
    if line.message == "Peer Down" and line.peer:
        return f"peer {line.peer} down: {_reason(line.field('Reason'))}"
    conflict = _CONFLICT.fullmatch(line.message)
    if conflict:  # the fields are of no use: Cilium swaps two of them (lbipam.go)
        pool, part, taken, other = conflict.groups()
        return f"pool {pool} is in conflict with pool {other}: {part} overlaps {taken}"
    for template in (
        *_KNOWN.ipam_events.get(line.message, ()),
        *_KNOWN.bgp_events.get(line.message, ()),
    ):
        try:
            return template.format_map(_facts(line))
        except KeyError:
            continue  # this version of Cilium does not say so much
    return _as_it_is(line)


_MODULE = re.compile(r"(?:^|\.)(lbipam|bgp-control-plane|bgp-cp-operator)(?:\.|$)")
_OUR_KINDS = re.compile(r"cilium(?:(bgp)|loadbalancerippool)", re.IGNORECASE)
_COMPLAINTS = frozenset({"warning", "error", "fatal"})
_NOTIFICATION = re.compile(r"(sent|received) notification")
_CONFLICT = re.compile(
    r"Pool '(.*?)' conflicts since range '(.*?)' overlaps range '(.*?)' from IP Pool '(.*?)'"
)
_WATCH_ENDED = re.compile(r"\bwatch of \S+ (?:ended|closed)")


class _Messages(msgspec.Struct, frozen=True):
    """The tables of `messages.toml`."""

    levels: dict[str, str]
    noise: tuple[str, ...]
    ipam_messages: tuple[str, ...]
    ipam_events: dict[str, tuple[str, ...]]
    bgp_events: dict[str, tuple[str, ...]]
    reasons: dict[str, str]
    notifications: dict[int, str]
    subcodes: dict[int, dict[int, str]]


_KNOWN = msgspec.toml.decode(Path(__file__).with_name("messages.toml").read_bytes(), type=_Messages)
_REASON_CODES = re.compile(
    r"notification-(sent|received|recv)\s+code (\d+)\(.*?\) subcode (\d+)\(.*\)(.*)"
)


def _facts(line: LogLine) -> dict[str, str]:
    """The values of a line by name, for a template; the empty ones are missing."""
    fields = {name: value for name, value in reversed(line.fields) if value}
    derived = {
        "service": line.service,
        "address": line.address,
        "pool": line.pool,
        "peer": line.peer,
    }
    return {name: value for name, value in {**fields, **derived}.items() if value}


def _notification(line: LogLine, direction: str) -> str:
    """RFC 9003: a shutdown may carry a reason in the operator's own words."""
    towards = {"sent": "to", "received": "from"}[direction]
    peer = f" {towards} {line.peer}" if line.peer else ""
    words = _code_words(line.field("Code"), line.field("Subcode")) or line.field("Data")
    said = line.field("Communicated-Reason")
    return (
        f"{direction} notification{peer}"
        + (f": {words}" if words else "")
        + (f', saying "{said}"' if said else "")
    )


def _reason(reason: str) -> str:
    codes = _REASON_CODES.fullmatch(reason)
    if codes:
        direction = "sent" if codes[1] == "sent" else "received"
        return f"notification {direction}, {_code_words(codes[2], codes[3])}{codes[4]}"
    return _KNOWN.reasons.get(reason) or reason.replace("-", " ")


def _code_words(code: str, subcode: str) -> str:
    """`AS number mismatch (Code 2 Subcode 2)`; "" when the line has no codes."""
    if not (_is_octet(code) and _is_octet(subcode)):
        return ""
    words = notification_words(int(code), int(subcode))
    return f"{words} (Code {int(code)} Subcode {int(subcode)})"


def _is_octet(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def _as_it_is(line: LogLine) -> str:
    message = line.message or line.raw.strip()
    things = (line.service, line.address, line.pool, line.peer, line.field("instance"))
    named = [thing for thing in dict.fromkeys(things) if thing and thing not in message]
    error = line.field("error", "err")
    return (
        message
        + (f" ({', '.join(named)})" if named else "")
        + (f": {error}" if error and error not in message else "")
    )


def notification_words(code: int, subcode: int) -> str:
    """What a notification means, in a few words; an unassigned code or subcode is said to be one.

    The subcode alone is enough where it is known; 0 (unspecific) gives the name of the code.
    """
    words = _KNOWN.subcodes.get(code, {}).get(subcode)
    if words is not None:
        return words
    name = _KNOWN.notifications.get(code)
    if name is None:
        return "unassigned notification"
    return name if subcode == 0 else f"{name}, unassigned subcode"
