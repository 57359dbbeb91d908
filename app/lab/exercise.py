"""A scenario as a practice exercise: which one is drawn, and what was changed in its cluster."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

from app.lab.fields import data, merged
from app.lab.scenario import (
    FOLDER,
    ChangePlan,
    FaultName,
    FaultPlan,
    Scenario,
    ScenarioError,
    identity,
    read_base,
    read_scenario,
)
from app.lab.store import JsonObject

_LONGEST = 60
"""Characters of a value that are shown."""

_CONFIG = "ConfigMap/kube-system/cilium-config"
"""An object of every cluster, in no scenario."""

WORDS = data("cluster", "faults", dict[FaultName, str])
"""What each fault is."""


_NOT_DRAWN = frozenset({"large"})
"""Scenarios about something other than a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """A scenario, and what a good operator finds in it."""

    scenario: str
    """Its name, or the path of its file."""
    description: str
    sentence: str
    """What to conclude."""
    codes: tuple[str, ...]
    """Codes of the findings that lead there; at least one."""
    changes: tuple[str, ...]
    """What was changed in the cluster, one sentence each."""

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


def changes_made(scenario: Scenario, base: Scenario | None) -> tuple[str, ...]:
    """What was changed in the cluster, one sentence each.

    What differs from the scenario that it extends, what was changed since, what broke.
    """
    changes = [*_settings(scenario, base), *_objects(scenario, base)]
    known = {identity(each): each for each in scenario.manifests}
    for change in scenario.changes:
        changes += _changed(change, known)
    faults, flaps = (base.faults, base.life.flaps) if base else ((), ())
    changes += (_broken(each) for each in scenario.faults if each not in faults)
    changes += (
        f"about every {each.every}: the sessions of {each.node} are reset"
        for each in scenario.life.flaps
        if each not in flaps
    )
    return tuple(changes)


def _settings(scenario: Scenario, base: Scenario | None) -> Iterator[str]:
    """What differs in the installation and around it."""
    if base is None:
        return
    if scenario.cilium != base.cilium:
        yield f"Cilium is {scenario.cilium}, with what was configured for {base.cilium}"
    if scenario.cli != base.cli:
        yield f"the cilium command is {scenario.cli}"
    for key, value in scenario.config.items():
        if base.config.get(key) != value:
            yield f"cilium-config: {key} is {value or 'not set'}"
    for kind, served in scenario.crds.items():
        if base.crds.get(kind) != served:
            yield f"the kind {kind} is {'still' if served else 'not'} served"
    for router in scenario.routers:
        if router not in base.routers:
            hops = f", {router.hops} hops away" if router.hops > 1 else ""
            secret = ", with a password" if router.password else ""
            yield f"the router is {router.name}, {router.address}, AS {router.asn}{hops}{secret}"
    for service, nodes in scenario.backends.items():
        if service in base.backends and base.backends[service] != nodes:
            yield f"{service} has ready pods on {', '.join(nodes) or 'no node'}"
    for rule in scenario.forbidden:
        if rule not in base.forbidden:
            yield f"you may not read {rule}"


def _objects(scenario: Scenario, base: Scenario | None) -> Iterator[str]:
    """The objects that the scenario brings itself."""
    if base is not None:
        known = {identity(each): each for each in base.manifests}
        for manifest in scenario.manifests:
            yield from _put("", manifest, known)


def _changed(change: ChangePlan, known: dict[str, JsonObject]) -> Iterator[str]:
    """What was applied or deleted; `known` are the objects before, and then those after."""
    when = f"{_when(change.at)}: "
    for manifest in change.manifests:
        name = identity(manifest)
        after = merged(known.get(name, {}), manifest)
        yield from _put(when, after, known)
        known[name] = after
    yield from (f"{when}{_spoken(name)} was deleted" for name in change.remove)


def _put(when: str, after: JsonObject, known: Mapping[str, JsonObject]) -> Iterator[str]:
    """How an object came to be as it is."""
    name = identity(after)
    if name in known or name == _CONFIG:
        before = known.get(name) or {**after, "data": {}}
        for difference in _differences("", before, after):
            yield f"{when}{_spoken(name)}: {difference}"
    else:
        yield f"{when}{_spoken(name)} was created"


def _differences(path: str, before: object, after: object) -> Iterator[str]:
    """Each field that differs, as deep as the two are alike."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(below, before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{place}]", one, other)
    elif isinstance(before, list) and isinstance(after, list):
        yield from (f"{path} lost {_short(each)}" for each in before if each not in after)
        yield from (f"{path} got {_short(each)}" for each in after if each not in before)
    elif before != after:
        if after is None:
            yield f"{path} is gone, was {_short(before)}"
        else:
            was = "" if before is None else f", was {_short(before)}"
            yield f"{path} is {_short(after)}{was}"


def _broken(plan: FaultPlan) -> str:
    about = [plan.node, plan.router]
    if plan.fault in ("unready", "pod-missing", "image-missing"):
        about.insert(0, plan.component)
    if plan.fault == "router-asn":
        about.append(f"AS {plan.asn}")
    about.append(plan.version)
    named = ", ".join(filter(None, about))
    lasts = f" for {plan.lasts}" if plan.lasts else ""
    every = f", every {plan.every}" if plan.every else ""
    where = f" ({named})" if named else ""
    return f"{_when(plan.at)}{lasts}{every}: {WORDS[plan.fault]}{where}"


def _when(at: str) -> str:
    return f"{at[1:]} before you began" if at.startswith("-") else f"{at} after you began"


def _spoken(name: str) -> str:
    """`Kind/namespace/name` as `Kind namespace/name`."""
    return name.replace("/", " ", 1)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
