"""How long tests wait for what comes at once on a quiet machine."""

from __future__ import annotations

PATIENCE = 300.0
"""Seconds; against what hangs, not against a busy machine."""

FOREVER = 5_000
"""Seconds that something takes which is to be ended before."""
