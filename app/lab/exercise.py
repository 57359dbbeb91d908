"""Scenarios to practise on: one is drawn, and what there is to be found in it is told apart."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache
from random import Random

from app.lab.fault_descriptions import changes_made
from app.lab.scenario import FOLDER, ScenarioError, read_base, read_scenario

_NOT_DRAWN = frozenset({"large"})
"""Scenarios that are about something else than a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """A scenario, and what a good operator finds in it."""

    scenario: str
    """Its name, or the path of its file."""
    description: str
    sentence: str
    """What is to be concluded."""
    codes: tuple[str, ...]
    """Codes of the findings that lead there; at least one."""
    changes: tuple[str, ...]
    """What was done to the cluster, one sentence each."""

    @property
    def command(self) -> str:
        """What opens the same cluster again, by its name."""
        return f"ciliscope lab {shlex.quote(self.scenario)}"


def exercise(name: str) -> Exercise:
    """A scenario, by name or path, as an exercise.

    Raises ScenarioError where there is none, or nothing to be found in it.
    """
    scenario = read_scenario(name)
    codes = scenario.expect.findings
    if not codes:
        raise ScenarioError(f"there is nothing to find in {name}; --practice alone draws another")
    return Exercise(
        scenario=name,
        description=scenario.description,
        sentence=" ".join(scenario.expect.sentence.split()),
        codes=codes,
        changes=changes_made(scenario, read_base(name)),
    )


def drawn(seed: int | None = None) -> str:
    """The name of a scenario with something to find; with a seed it is always the same."""
    return Random(seed).choice(names())  # noqa: S311 (a game, no secret)


@cache
def names() -> tuple[str, ...]:
    """The scenarios that one is drawn from."""
    found = (read_scenario(path.stem) for path in FOLDER.glob("*.yaml"))
    fit = (each for each in found if each.expect.findings and not each.base)
    return tuple(sorted({each.name for each in fit} - _NOT_DRAWN))
