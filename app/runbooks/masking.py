"""What a transcript shows to others: without secrets and, where that is wished, without addresses.

The same address has the same number everywhere, so that what belongs together is still seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

_HIDDEN = "(hidden)"
_SECRETS = (
    # A word for a secret, and what is set to it: `password: x`, `--token=x`, `"secret": "x"`.
    re.compile(
        r"""(?P<name>(?:pass(?:word|wd|phrase)?|secret|token|md5|(?:api|auth|authentication|md5|
        private|access|secret)[-_]?key)["']?\s*(?:=|:\s)\s*)
        (?P<secret>"[^"]*"|'[^']*'|[^\s,;"'&]+)""",
        re.IGNORECASE | re.VERBOSE,
    ),
    # A flag and its value: `--password x`.
    re.compile(r"(?P<name>--(?:password|token|secret)\s+)(?P<secret>[^\s-]\S*)", re.IGNORECASE),
    re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)(?P<secret>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE),
    # On routers the word stands before the secret, and before that how it is written there:
    # `neighbor 10.0.0.1 password 7 x` (FRR, IOS), `password "x";` (BIRD), `authentication-key "x"`.
    re.compile(
        r"(?P<name>\bneighbor\s+\S+\s+password\s+(?:\d\s+)?+)(?P<secret>[^\s(]\S*)", re.IGNORECASE
    ),
    re.compile(
        r"""(?P<name>\b(?:password|authentication-key)\s+)(?P<secret>"[^"]*"|'[^']*')""",
        re.IGNORECASE,
    ),
    # JSON Web Tokens (RFC 7519): three parts, of which the first is the JSON of a header.
    re.compile(r"(?P<name>)(?P<secret>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)"),
    re.compile(r"(?P<name>://[^/\s:@]+:)(?P<secret>[^/\s@]+)(?=@)"),
    # RFC 7468: a key on lines of its own, or on one.
    re.compile(
        r"(?P<name>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?P<secret>[^-]+)(?=-----END|\Z)", re.DOTALL
    ),
)
_RUN = re.compile(r"[0-9A-Fa-f:.]*[0-9A-Fa-f:][:.][0-9A-Fa-f:.]+")
"""What may be an address, or have one in it."""
_IPV4 = re.compile(r"(?<!\d)(?<!\d\.)\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
_LONGEST = 64
"""Characters of a run in which an address of IPv6 is looked for: it has 45 at most."""


def without_secrets(text: str) -> str:
    """The text; what looks like a secret is hidden."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<name>{_HIDDEN}", text)
    return text


def hider(*, addresses: bool) -> Callable[[str], str]:
    """What makes texts fit for others; `addresses`: numbers stand for these, the same in all."""
    numbers: dict[IPv4Address | IPv6Address, int] = {}

    def number(text: str) -> str:
        address = _address(text)
        if address is None:
            return text
        return f"(address {numbers.setdefault(address, len(numbers) + 1)})"

    def hidden(text: str) -> str:
        text = without_secrets(text)
        return _RUN.sub(lambda run: _numbered(run, number), text) if addresses else text

    return hidden


def _numbered(run: re.Match[str], number: Callable[[str], str]) -> str:
    """A run of digits, colons and dots with its addresses numbered."""
    text = run[0]
    glued = run.string[run.end() : run.end() + 1]
    if text.count(":") > 1 and len(text) <= _LONGEST and not (glued.isalnum() or glued == "_"):
        first, last = _within(text, run.string[: run.start()][-1:])
        if first < last:
            return text[:first] + number(text[first:last]) + text[last:]
    return _IPV4.sub(lambda found: number(found[0]), text)


def _within(text: str, before: str) -> tuple[int, int]:
    """Where in a run the address of IPv6 begins and ends; (0, 0) where there is none.

    A colon or full stop beside it is punctuation, and so is the end of a word with its colon
    (`node:fd00::1`).
    """
    begin = text.index(":") + 1 if before.isalnum() or before == "_" else 0
    rest = text[begin:]
    starts = range(begin, begin + len(rest) - len(rest.lstrip(":.")) + 1)
    ends = [len(text) - cut for cut in range(len(text) - len(text.rstrip(":.")) + 1)]
    for first in starts:
        for last in ends:
            if first < last and ":" in text[first:last] and _address(text[first:last]) is not None:
                return first, last
    return 0, 0


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
