"""The contract between what reads the outside world and what folds it: sources and their updates.

A source can be read for ever. It never raises for anything the outside world can do: a refusal, a
time-out or nonsense becomes `Failed`, and the source goes on. Below a source every such failure is
a `ReadError`. Any other exception out of a source is a bug of ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias


class Keyed(Protocol):
    """A record that knows what identifies it within its kind."""

    @property
    def key(self) -> str:
        """The record's identity: `namespace/name`, `name`, or what its kind documents."""


class Reason(StrEnum):
    """Why a source could not be read."""

    FORBIDDEN = "forbidden"
    """The cluster knows us and says no (403, or an exec that is not permitted)."""
    ABSENT = "absent"
    """The thing is not there: a kind that is not served, a program that is not installed."""
    UNAUTHORIZED = "unauthorized"
    """The cluster does not accept our credentials (401), or a credential plugin failed."""
    UNREACHABLE = "unreachable"
    """No connection: refused, no route, DNS, TLS."""
    TIMED_OUT = "timed out"
    """Connected or started, and no answer in time."""
    REFUSED = "refused"
    """The server answered with another error (429, 5xx), or a command exited with one."""
    UNREADABLE = "unreadable"
    """An answer came, and it is not what it should be."""


class ReadError(Exception):
    """Something outside could not be read. `message` is one printable sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Replaced:
    """These are all records of the kind: what is not among them is gone."""

    kind: str
    records: tuple[Keyed, ...]
    took: float
    """Seconds from asking to having read everything."""
    problems: tuple[str, ...] = ()
    """What could not be read although the answer came: an undecodable object, an agent that
    failed. One sentence each; the reading is partial when there are any."""


@dataclass(frozen=True, slots=True)
class Upserted:
    """A record is new or has changed."""

    kind: str
    record: Keyed


@dataclass(frozen=True, slots=True)
class Deleted:
    """The record with this key is gone."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Appended:
    """New records of a stream (log lines), in order, after those already given."""

    kind: str
    records: tuple[Keyed, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """Nothing changed, and the other side said so (a bookmark, a quiet stream still open)."""

    kind: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The source could not be read; what was known before stands, and grows old."""

    kind: str
    reason: Reason
    message: str
    """One sentence, sanitised: what failed, where, and what the other side said."""
    retry_in: float | None
    """Seconds until the next attempt; None when the source waits for something else to change."""


Update: TypeAlias = Replaced | Upserted | Deleted | Appended | Heard | Failed


class Source(Protocol):
    """Something that can be read for ever."""

    @property
    def kind(self) -> str:
        """The kind this source feeds: the name of a field of the snapshot."""

    @property
    def label(self) -> str:
        """What the operator calls it: `services`, `cilium bgp peers`, `operator log`."""

    def updates(self) -> AsyncIterator[Update]:
        """Read until cancelled. Closing the iterator ends what it started."""
