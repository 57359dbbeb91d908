"""The tables that `cilium bgp` prints without `-o json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.lab import wire
from app.lab.store import JsonObject

PEER_COLUMNS = (
    "Node",
    "Local AS",
    "Peer AS",
    "Peer Address",
    "Session State",
    "Uptime",
    "Family",
    "Received",
    "Advertised",
)
LOCAL_COLUMNS = ("Node", "VRouter", "Prefix", "NextHop", "Age", "Attrs")
ROUTE_COLUMNS = ("Node", "VRouter", "Peer", "Prefix", "NextHop", "Age", "Attrs")


def peer_rows(found: dict[str, list[JsonObject]]) -> Iterator[Sequence[object]]:
    """The rows of `bgp peers`: one per family, the peer's own cells on the first."""
    for node, peers in found.items():
        name = node
        for peer in peers:
            uptime = peer.get("uptime-nanoseconds")
            words: list[object] = [
                name,
                peer["local-asn"],
                peer.get("peer-asn", 0),
                peer["peer-address"],
                peer["session-state"],
                _elapsed(uptime if isinstance(uptime, int) else 0),
            ]
            families = peer["families"]
            for family in families if isinstance(families, list) else []:
                counts = (family.get("received", 0), family.get("advertised", 0))
                yield [*words, f"{family['afi']}/{family['safi']}", *counts]
                words = [""] * len(words)
            name = ""


def route_rows(found: dict[str, list[JsonObject]], advertised: bool) -> Iterator[Sequence[object]]:
    """The rows of `bgp routes`: one per path."""
    for node, routes in found.items():
        name = node
        for route in routes:
            paths = route["paths"]
            for path in paths if isinstance(paths, list) else []:
                attributes = [wire.read(each["base64"]) for each in path["path-attributes"]]
                hop = next((a[1] for a in attributes if a[0] == "Nexthop"), "")
                shown = " ".join(f"{{{kind}: {value}}}" for kind, value in attributes)
                peer = [route["neighbor"]] if advertised else []
                age = _elapsed(path["age-nanoseconds"])
                yield [name, route["router-asn"], *peer, route["prefix"], hop, age, f"[{shown}]"]
                name = ""


def table(columns: Sequence[str], rows: Iterator[Sequence[object]]) -> bytes:
    """Columns padded by three spaces, as Go's tabwriter does here."""
    lines = [columns, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    text = ""
    for line in lines:
        cells = [f"{cell:<{width + 3}}" for cell, width in zip(line[:-1], widths, strict=False)]
        text += "".join(cells) + line[-1] + "\n"
    return text.encode()


def _elapsed(nanoseconds: int) -> str:
    """A duration as Go prints it, rounded to seconds."""
    whole = round(nanoseconds / 1e9)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
