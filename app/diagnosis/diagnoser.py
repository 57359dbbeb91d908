"""The diagnosis of one cluster as it goes on: each snapshot is evaluated once, whoever asks.

Every screen and every answer of the dashboard comes from the same verdict as `check` and `explain`.
The rules are imported with the first snapshot: the first frame does not need them.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from app.diagnosis.inputs import CATEGORIES
from app.state.derived import Memo

if TYPE_CHECKING:
    from app.config.expected_settings import ExpectedSetting
    from app.diagnosis.ignore_file import IgnoreEntry
    from app.diagnosis.service_path.path import ServicePath
    from app.diagnosis.verdict import Verdict
    from app.model.case import Case
    from app.state.snapshot import Snapshot


class Diagnoser:
    """Evaluates the snapshots of one cluster, one at a time; may be asked from any thread."""

    def __init__(
        self,
        expected: Sequence[ExpectedSetting] = (),
        entries: Sequence[IgnoreEntry] = (),
        categories: Collection[str] | None = None,
    ) -> None:
        """`expected`: what the operator expects of `cilium-config`; `entries`: what to ignore;
        `categories`: what is looked at, None for all."""
        self._expected = tuple(expected)
        self._entries = tuple(entries)
        self._categories = CATEGORIES if categories is None else categories
        self._memo = Memo()
        self._lock = threading.RLock()
        self._last: tuple[Case, Verdict] | None = None

    def case(self, snapshot: Snapshot) -> Case:
        """The snapshot with what rules derive from it."""
        return self._evaluated(snapshot)[0]

    def verdict(self, snapshot: Snapshot) -> Verdict:
        """What is wrong in the categories that are looked at, without what is ignored."""
        return self._evaluated(snapshot)[1]

    def paths(self, snapshot: Snapshot) -> Mapping[str, ServicePath]:
        """The path of every service of type LoadBalancer by its key, as `explain` shows it."""
        from app.diagnosis.service_path.paths import service_paths

        with self._lock:
            return service_paths(self.case(snapshot))

    def _evaluated(self, snapshot: Snapshot) -> tuple[Case, Verdict]:
        from app.diagnosis.verdict import verdict_of
        from app.model.case import Case

        with self._lock:
            last = self._last
            if last is None or last[0].snapshot is not snapshot:
                case = Case(snapshot, expected=self._expected, memo=self._memo)
                last = self._last = (case, verdict_of(case, self._entries, self._categories))
            return last
