"""What a transcript shows to others: without secrets and, where that is wished, without addresses.

The same address has the same number everywhere, so that what belongs together is still seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

_HIDDEN = "(hidden)"
_SECRETS = (
    # A word for a secret, and what is set to it: `password: x`, `--token=x`, `"secret": "x"`.
    re.compile(
        r"""(?P<name>(?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key|md5|auth[-_]?key)
        ["']?\s*(?:=|:\s)\s*)(?P<secret>"[^"]*"|'[^']*'|[^\s,;"'&]+)""",
        re.IGNORECASE | re.VERBOSE,
    ),
    re.compile(r"(?P<name>\bBearer\s+)(?P<secret>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE),
    # On routers the word stands before the secret: `neighbor 10.0.0.1 password x`.
    re.compile(r"(?P<name>\bneighbor\s+\S+\s+password\s+)(?P<secret>\S+)", re.IGNORECASE),
    # JSON Web Tokens (RFC 7519): three parts, of which the first is the JSON of a header.
    re.compile(r"(?P<name>)(?P<secret>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)"),
    re.compile(r"(?P<name>://[^/\s:@]+:)(?P<secret>[^/\s@]+)(?=@)"),
)
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
    r"(?:\.\d{1,3}){0,3})(?![\w:]|\.\d)"
)


def without_secrets(text: str) -> str:
    """The text; what looks like a secret is hidden."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<name>{_HIDDEN}", text)
    return text


def hider(*, addresses: bool) -> Callable[[str], str]:
    """What makes texts fit for others; `addresses`: numbers stand for these, the same in all."""
    numbers: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        try:
            known = str(ip_address(found[0]))
        except ValueError:
            return found[0]
        return f"(address {numbers.setdefault(known, len(numbers) + 1)})"

    def hidden(text: str) -> str:
        text = without_secrets(text)
        return _ADDRESS.sub(numbered, text) if addresses else text

    return hidden
