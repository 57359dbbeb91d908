"""Commands for the cluster that is shown, ready to be copied."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot


def kubectl(snapshot: Snapshot, words: str, namespace: str = "") -> str:
    """A `kubectl` command with these words, which are quoted already."""
    return f"kubectl{_where(snapshot, namespace)} {words}"


def cilium(snapshot: Snapshot, words: str) -> str:
    """A `cilium` command with these words, which are quoted already."""
    namespace = snapshot.cilium_namespace
    return f"cilium{_where(snapshot, '' if namespace == 'kube-system' else namespace)} {words}"


def ciliscope(snapshot: Snapshot, *words: str) -> str:
    """A subcommand of ciliscope; the words are quoted here."""
    return f"ciliscope {shlex.join(filter(None, words))}{_where(snapshot, '')}"


def _where(snapshot: Snapshot, namespace: str) -> str:
    context = f" --context {shlex.quote(snapshot.context)}" if snapshot.context else ""
    return context + (f" -n {shlex.quote(namespace)}" if namespace else "")
