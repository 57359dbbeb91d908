"""Which version the `cilium` command is: `cilium version --client`.

The command asks the internet for Cilium's stable release in the same run, for a line that is not
read here. So it runs with a proxy that nobody can be: the request fails on this machine, at once,
and the line says `unknown`. No cluster is asked either. Source: cilium/cilium,
cilium-cli/cli/{version,cmd}.go, 0.15 to 0.19 (`http.Get`, which obeys HTTPS_PROXY).
"""

from __future__ import annotations

import re

from collectors.cilium_answer import Answer, CiliumCommand, Reading, Refusal, is_help, refusal
from collectors.command import Completed
from collectors.records import Part
from collectors.sanitize import one_line, printable_bytes
from collectors.source import Reason

KIND = "cli_version"
ARGV = ("version", "--client")
_LABEL = "cilium version --client"

LONGEST = 64
"""Characters of a version that are kept."""

_LINE = re.compile(r"^cilium-cli:(.*)$", re.MULTILINE)
_COMPILED = " compiled with "
_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?!\d)", re.ASCII)
_NOWHERE = "http://127.0.0.1:0"
"""A port that nothing can listen on."""


class CliVersion(Part, frozen=True):
    """What the command says of itself; there is one record of this kind."""

    version: str = ""
    """`v0.19.7`; "" where whoever built it did not tell."""

    @property
    def key(self) -> str:
        """`version`: there is one."""
        return "version"

    @property
    def release(self) -> tuple[int, int, int] | None:
        """The version as numbers; None where it is none of a release."""
        found = _RELEASE.match(self.version)
        return (int(found[1]), int(found[2]), int(found[3])) if found else None


def parse_version(completed: Completed) -> Answer:
    """The version that a run told, or why it told none."""
    found = _LINE.search(printable_bytes(completed.out))
    if found is not None:
        version = one_line(f"{found[1]} ".partition(_COMPILED)[0])
        return Reading((CliVersion(version[:LONGEST].rstrip()),))
    if completed.code or is_help(completed.out):
        return refusal(completed, _LABEL)
    return Refusal(Reason.UNREADABLE, f"{_LABEL} printed what is no version")


VERSION_COMMAND = CiliumCommand(
    KIND,
    ARGV,
    parse_version,
    deadline=15.0,
    interval=3600.0,
    env=(
        ("HTTPS_PROXY", _NOWHERE),
        ("https_proxy", _NOWHERE),
        ("NO_PROXY", ""),
        ("no_proxy", ""),
    ),
)
