"""The diagnosis of one cluster as it goes on: each snapshot is judged once, whoever asks.

Every screen and every answer of the dashboard comes from the same verdict as `check` and `explain`.
The rules are imported when the first snapshot is judged: the first frame does not need them.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from app.diagnosis.categories import CATEGORIES
from app.state.derived import Memo

if TYPE_CHECKING:
    from app.config.expected_settings import Expected
    from app.diagnosis.ignore_file import Entry
    from app.diagnosis.service_path.path import ServicePath
    from app.diagnosis.verdict import Verdict
    from app.model.case import Case
    from app.model.finding import Finding, Ref
    from app.state.snapshot import Snapshot


class Judge:
    """Judges the snapshots of one cluster, one at a time; may be asked from any thread."""

    def __init__(
        self,
        expected: Sequence[Expected] = (),
        entries: Sequence[Entry] = (),
        categories: Collection[str] | None = None,
    ) -> None:
        """`expected`: what the operator expects of `cilium-config`; `entries`: what to ignore;
        `categories`: what is looked at, None for all."""
        self._expected = tuple(expected)
        self._entries = tuple(entries)
        self._categories = categories
        self._memo = Memo()
        self._lock = threading.RLock()
        self._last: tuple[Case, Verdict] | None = None

    def case(self, snapshot: Snapshot) -> Case:
        """The snapshot with what rules derive from it."""
        return self._judged(snapshot)[0]

    def verdict(self, snapshot: Snapshot) -> Verdict:
        """What is wrong in the categories that are looked at, without what is ignored."""
        return self._judged(snapshot)[1]

    def paths(self, snapshot: Snapshot) -> Mapping[str, ServicePath]:
        """The way of every service of type LoadBalancer by its key, as `explain` tells it."""
        from app.diagnosis.service_path.paths import service_paths

        with self._lock:
            return service_paths(self.case(snapshot))

    def concerning(self, snapshot: Snapshot, refs: Iterable[Ref]) -> tuple[Finding, ...]:
        """Findings about these things and everything that explains those, roots first."""
        from app.diagnosis.concerning import concerning

        return concerning(self.verdict(snapshot).findings, refs)

    def _judged(self, snapshot: Snapshot) -> tuple[Case, Verdict]:
        from app.model.case import Case

        with self._lock:
            last = self._last
            if last is None or last[0].snapshot is not snapshot:
                case = Case(snapshot, expected=self._expected, memo=self._memo)
                last = self._last = (case, self._verdict(case))
            return last

    def _verdict(self, case: Case) -> Verdict:
        from app.diagnosis.diagnose import diagnose
        from app.diagnosis.ignore_file import expired_entries, without
        from app.diagnosis.verdict import Verdict, category_of

        categories = tuple(
            name for name in CATEGORIES if self._categories is None or name in self._categories
        )
        found = (*diagnose(case), *expired_entries(self._entries, case.now))
        left, ignored = without(found, self._entries, case.now)
        chosen = tuple(f for f in left if category_of(f) in categories)
        causes = {cause for finding in chosen for cause in finding.caused_by}
        return Verdict(
            snapshot=case.snapshot,
            categories=categories,
            findings=chosen,
            ignored=tuple(i for i in ignored if category_of(i.finding) in categories),
            elsewhere=tuple(f for f in found if f.id in causes),
        )
