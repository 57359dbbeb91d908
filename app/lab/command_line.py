"""A `cilium` command line, read as the real program (cobra, pflag) reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from app.lab.cilium_stub import WITH_VALUE
from app.lab.fields import data
from app.lab.plane import NAMESPACE


class Flags(msgspec.Struct, frozen=True):
    """The flags that a command knows."""

    switches: frozenset[str]
    short: dict[str, str]
    values: frozenset[str] = frozenset(flag.removeprefix("--") for flag in WITH_VALUE)

    def __or__(self, more: Flags) -> Flags:
        short = self.short | more.short
        return Flags(self.switches | more.switches, short, self.values | more.values)


COMMON = data("command", "flags", Flags)
"""Of every command."""

CONNECTIVITY = COMMON | data("command", "connectivity_flags", Flags)
"""Of `cilium connectivity test`: the common ones, and its own that are of use in a lab."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class UsageError(Exception):
    """A command line that the program refuses; the text is what it says."""


@dataclass(slots=True)
class Request:
    """Words and flags of one run."""

    words: list[str] = field(default_factory=list)
    flags: dict[str, list[str]] = field(default_factory=dict)

    def value(self, flag: str) -> str:
        """A flag's value, "" when it was not given."""
        return self.flags.get(flag, [""])[-1]

    def values(self, flag: str) -> list[str]:
        """The values of a flag that may be given more than once, or as a list with commas."""
        return [part for value in self.flags.get(flag, ()) for part in value.split(",")]

    def given(self, switch: str) -> bool:
        """Whether a switch is on."""
        return self.value(switch) == "true"

    @property
    def namespace(self) -> str:
        """Where Cilium is looked for."""
        return self.value("namespace") or NAMESPACE

    @property
    def json(self) -> bool:
        """Whether JSON was asked for; the summary is the default."""
        return self.value("output") == "json"

    @property
    def wait_seconds(self) -> float:
        """`--wait-duration`, which bounds `bgp`; a minute by default."""
        return duration(self.value("wait-duration") or "1m0s")


def duration(text: str) -> float:
    """A duration as Go writes it, in seconds; 0 for "" and for none."""
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+\.?\d*)(ms|s|m|h)", text))


def parse(argv: Sequence[str]) -> Request:
    """Split words from flags, which may stand anywhere. Raises UsageError."""
    request = Request()
    rest = list(argv)
    known = CONNECTIVITY if "connectivity" in argv else COMMON
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            request.words += rest
            break
        if not argument.startswith("-") or argument == "-":
            request.words.append(argument)
            continue
        if argument.startswith("--"):
            name, attached, value = argument[2:].partition("=")
            shown = f"--{name}"
        else:
            if argument[1] not in known.short:
                raise UsageError(f"unknown shorthand flag: {argument[1]!r} in {argument}")
            name = known.short[argument[1]]
            value = attached = argument[2:].removeprefix("=")
            shown = f"'{argument[1]}' in {argument}"
        if name in known.switches:
            value = value if attached else "true"
        elif name not in known.values:
            raise UsageError(f"unknown flag: {shown}")
        elif not attached:
            if not rest:
                raise UsageError(f"flag needs an argument: {shown}")
            value = rest.pop(0)
        request.flags.setdefault(name, []).append(value)
    return request


@dataclass(frozen=True, slots=True)
class RouteQuestion:
    """Which table of which family is asked for."""

    advertised: bool
    """What peers are sent; else what the node has itself."""
    afi: str
    """"" for a family without routes in a lab."""
    asn: int = 0
    """0: every instance."""
    peer: str = ""
    """"": every peer."""

    @classmethod
    def of(cls, words: Sequence[str]) -> RouteQuestion:
        """From `available|advertised AFI SAFI [vrouter ASN] [peer ADDRESS]`. Raises UsageError."""
        if words[0] not in ("available", "advertised"):
            raise UsageError(f"invalid table type: {words[0]}")
        if len(words) < 3:
            raise UsageError("missing address family arguments, please see help for more options")
        if words[1] not in ("ipv4", "ipv6", "l2vpn", "ls", "opaque"):
            raise UsageError(f'unknown AFI {words[1]}: unknown afi: "{words[1]}"')
        asn, peer = 0, ""
        rest = list(words[3:])
        while rest:
            key, *following = rest
            value = following[0] if following else ""
            if key == "vrouter" and value.isdigit():
                asn = int(value)
            elif key in ("peer", "neighbor") and value:
                peer = value
            else:
                raise UsageError(f"invalid argument: {' '.join(rest)}")
            rest = rest[2:]
        return cls(words[0] == "advertised", words[1] if words[2] == "unicast" else "", asn, peer)
