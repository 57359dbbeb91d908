"""Commands for the cluster that is shown, ready to be copied."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.snapshot import Snapshot


def kubectl(snapshot: Snapshot, words: str) -> str:
    """A `kubectl` command with these words, which are quoted already, for this cluster."""
    return f"kubectl {_context(snapshot)}{words}"


def cilium(snapshot: Snapshot, words: str) -> str:
    """A `cilium` command with these words, which are quoted already, for this cluster."""
    namespace = snapshot.cilium_namespace
    where = "" if namespace == "kube-system" else f"-n {shlex.quote(namespace)} "
    return f"cilium {_context(snapshot)}{where}{words}"


def _context(snapshot: Snapshot) -> str:
    return f"--context {shlex.quote(snapshot.context)} " if snapshot.context else ""
