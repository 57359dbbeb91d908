"""Whether a setting of `cilium-config` is what is expected of it, however it is written."""

from __future__ import annotations

import re
from ipaddress import ip_network

ANY = "*"
"""Expected of a setting that must have some value, whatever it is."""


def fulfils(wanted: str, actual: str | None) -> bool:
    """Whether a setting in force is as wanted; None: it has no value.

    Case does not count, nor the order of a list: Cilium reads booleans and modes in any case, and
    joins lists with spaces or commas (cilium-configmap.yaml). Networks are compared as networks.
    """
    if wanted == ANY:
        return bool(actual and actual.strip())
    return actual is not None and _items(wanted) == _items(actual)


def _items(text: str) -> list[str]:
    return sorted(_plain(item) for item in re.split(r"[\s,]+", text.strip()) if item)


def _plain(item: str) -> str:
    if "/" not in item:
        return item.lower()
    try:
        return str(ip_network(item, strict=False))
    except ValueError:
        return item.lower()
