"""How far random searches go: the two profiles of hypothesis.

`ci`, the default, tries the same examples in every run: what is green stays green until the code
or the test changes. `long`, of `make test-all`, tries others each time, and ten times as many.
No example has a deadline and none is too slow, for the machine may be busy.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")

_SCALE = {"ci": 0.5, "long": 5.0}[PROFILE]


def load_profile() -> None:
    """Search as the environment says."""
    settings.register_profile(
        PROFILE,
        max_examples=examples(100),
        deadline=None,
        derandomize=PROFILE == "ci",
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile(PROFILE)


def examples(count: int) -> int:
    """How many to try where `count` are worth their time."""
    return max(1, round(count * _SCALE))
