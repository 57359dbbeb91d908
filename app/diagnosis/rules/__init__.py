"""The rules: one module a block of codes, each a pure function of a case."""

from __future__ import annotations
