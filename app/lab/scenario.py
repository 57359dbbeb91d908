"""Scenario files: what a lab cluster is made of, what breaks in it, what to conclude from it.

A scenario is YAML, validated against the types here; it may extend another one. Mappings merge,
`manifests` merge per object, other lists replace. Times are offsets from the moment the lab starts,
such as -10m (ten minutes ago) or 90s. As a practice exercise it is drawn by chance, and says at the
end what was changed in its cluster.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from random import Random

import msgspec
import yaml

from app.lab.fields import LOADER, data, key_of, mapping, merged, objects, text
from app.lab.plane import minor, release
from app.lab.resources import resources
from app.lab.store import CannotServe, JsonObject, stamp

FOLDER = Path(__file__).parent / "scenarios"
"""The scenarios that come with the program."""


class ScenarioError(CannotServe):
    """A scenario that cannot be used; one sentence naming the file, the place and the remedy."""


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Kubernetes node."""

    name: str
    addresses: tuple[str, ...]
    pod_cidrs: tuple[str, ...] = msgspec.field(name="podCIDRs", default=())
    internal: tuple[str, ...] = ()
    """Addresses of type CiliumInternalIP."""


class RouterPlan(msgspec.Struct, forbid_unknown_fields=True):
    """A router outside the cluster."""

    name: str
    address: str
    asn: int
    hold: int = 90
    families: tuple[str, ...] = ("ipv4", "ipv6")
    routes: dict[str, int] = {}
    """How many routes it sends, by address family."""
    password: str = ""
    hops: int = 1
    """IP hops from the nodes; a session over more than one needs ebgpMultihop."""
    holds: dict[str, int] = {}
    """Nodes to which it offers another hold time."""


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that breaks at a time, for a time (for ever without `for`), perhaps repeatedly."""

    fault: str
    """One of `WORDS`."""
    at: str = "-10m"
    lasts: str = msgspec.field(name="for", default="")
    every: str = ""
    node: str = ""
    """One node; all of them when empty."""
    router: str = ""
    """One router by name; all of them when empty."""
    asn: int = 0
    """For router-asn: the number the router uses instead."""
    component: str = "cilium"
    """For unready, pod-missing and image-missing: the workload whose pods are hit."""
    version: str = ""
    """For agent-upgraded: the version that the agents run from then on."""


class ChangePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Objects that a user changed at a time: merged into the existing ones, or created."""

    at: str = "-10m"
    manifests: tuple[JsonObject, ...] = ()
    remove: tuple[str, ...] = ()
    """`Kind/name` or `Kind/namespace/name`."""


class Flaps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node whose sessions are lost now and then."""

    node: str
    every: str = "4m"


class Life(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens by itself."""

    restarts: str = ""
    """A pod beside the agents and the operator restarts about this often."""
    flaps: tuple[Flaps, ...] = ()
    since: str = "-45m"


class Generate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Additional objects made by number."""

    nodes: int = 0
    services: int = 0


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a good operator concludes: finding codes, and a sentence."""

    sentence: str
    findings: tuple[str, ...] = ()


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole lab cluster."""

    name: str
    description: str
    expect: Expectation
    cilium: str = "1.19.1"
    kubernetes: str = "v1.34.2"
    seed: int = 0
    history: str = "41d"
    """How long ago the cluster was made."""
    nodes: tuple[Node, ...] = ()
    routers: tuple[RouterPlan, ...] = ()
    config: dict[str, str] = {}
    """Values of `cilium-config` that differ from the lab's own; "" removes a key."""
    crds: dict[str, bool] = {}
    """Kinds of Cilium's that are served though this version does not bring them (left over from an
    earlier one), or are not although it does."""
    forbidden: tuple[str, ...] = ()
    """What the user may not read, as `store.Cluster.forbidden`; `create /api/v1/namespaces` and
    `delete /api/v1/namespaces`: what `cilium connectivity test` may not do."""
    clock: str = ""
    """By how much the clocks of the cluster are ahead."""
    cli: str = "0.19.7"
    """Version of cilium-cli."""
    manifests: tuple[JsonObject, ...] = ()
    backends: dict[str, tuple[str, ...]] = {}
    """Nodes on which a service (`namespace/name`) has a ready pod."""
    faults: tuple[FaultPlan, ...] = ()
    changes: tuple[ChangePlan, ...] = ()
    life: Life = Life()
    generate: Generate = Generate()
    base: bool = False
    """Only there to be extended; not listed."""


def duration(words: str, where: str) -> timedelta:
    """A length of time such as 90s, 4m, 2h, 41d or -10m. Raises ScenarioError naming `where`."""
    found = re.fullmatch(r"(-?)(\d+(?:\.\d+)?)(s|m|h|d)", words.strip())
    if found is None:
        raise ScenarioError(f"{where}: {words!r} is no length of time; write 90s, 4m, 2h or -10m")
    sign, number, unit = found.groups()
    scale = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    return timedelta(seconds=float(number) * scale) * (-1 if sign else 1)


def scenario_list() -> list[tuple[str, str]]:
    """Name and description of every scenario that comes with the program, `home` first."""
    found = [read_scenario(path.stem) for path in sorted(FOLDER.glob("*.yaml"))]
    listed = [(s.name, s.description) for s in found if not s.base]
    return sorted(listed, key=lambda entry: (entry[0] != "home", entry[0]))


def read_scenario(name_or_path: str) -> Scenario:
    """A scenario by name or by path; `large:services=50,nodes=5` sets its `generate`.

    Raises ScenarioError.
    """
    name, _, parameters = name_or_path.partition(":")
    path = _path(name)
    document = _document(path, ())
    if parameters:
        document["generate"] = {**mapping(document, "generate"), **_parameters(path, parameters)}
    document["name"] = path.stem
    for entry in objects(document, "manifests"):
        if not text(entry, "kind") or not text(entry, "metadata", "name"):
            raise ScenarioError(f"{path}: a manifest needs `kind` and `metadata.name`: {entry!r}")
    try:
        scenario = msgspec.convert(document, Scenario)
        _check_values(scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{path}: {_sentence(str(error))}") from error
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from error
    return scenario


def read_base(name_or_path: str) -> Scenario | None:
    """The scenario that this one extends; None: it stands alone. Raises ScenarioError."""
    path = _path(name_or_path.partition(":")[0])
    base = _base(path, _parsed(path))
    return None if base is None else read_scenario(str(base))


def _check_values(scenario: Scenario) -> None:
    """Raises ValueError for a version, kind, fault, address or network that is none."""
    for number, plan in enumerate(scenario.faults):
        if plan.fault not in WORDS:
            where = f"`faults[{number}].fault`"
            raise ValueError(f"Invalid enum value {plan.fault!r} in {where}")
    minor(scenario.cilium)
    release(scenario.cli)
    resources(scenario.cilium, scenario.crds)
    for node in scenario.nodes:
        for address in (*node.addresses, *node.internal):
            ipaddress.ip_address(address)
        for cidr in node.pod_cidrs:
            ipaddress.ip_network(cidr)
    for router in scenario.routers:
        ipaddress.ip_address(router.address)


def _path(name: str) -> Path:
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml")))
        raise ScenarioError(f"there is no scenario {name!r}; the scenarios are: {known}")
    return path


def _document(path: Path, above: tuple[Path, ...]) -> JsonObject:
    document = _parsed(path)
    base = _base(path, document)
    document.pop("extends", None)
    if base is None:
        return document
    if base in (*above, path):
        raise ScenarioError(f"{path}: `extends` leads back to {base}")
    listed = document.get("manifests", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ScenarioError(f"{path}: `manifests` is a list of objects")
    return _extended(_document(base, (*above, path)), document)


_loaded: Callable[[str], object] = lru_cache(128)(partial(yaml.load, Loader=LOADER))
"""YAML's value, of which each caller makes its own: a base is read for all that extend it."""


def _parsed(path: Path) -> JsonObject:
    try:
        parsed = _loaded(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: is not UTF-8 text at byte {error.start}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ScenarioError(f"{path}: is not valid YAML: {reason}") from error
    document = mapping({"document": _plain(parsed)}, "document")
    if not document or not all(isinstance(key, str) for key in document):
        raise ScenarioError(f"{path}: a scenario is a mapping with at least a `description`")
    return document


def _base(path: Path, document: JsonObject) -> Path | None:
    """The file of the scenario that one extends."""
    extends = document.get("extends")
    if extends is None:
        return None
    if not isinstance(extends, str):
        raise ScenarioError(f"{path}: `extends` is the name of one scenario")
    return path.parent / extends if extends.endswith((".yaml", ".yml")) else _path(extends)


def _plain(value: object) -> object:
    """YAML's times as the texts that Kubernetes writes."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return stamp(value if value.tzinfo is None else value.astimezone(UTC))
    return value.isoformat() if isinstance(value, date) else value


def _extended(base: JsonObject, document: JsonObject) -> JsonObject:
    manifests = {identity(each): each for each in objects(base, "manifests")}
    for each in objects(document, "manifests"):
        manifests[identity(each)] = merged(manifests.get(identity(each), {}), each)
    base.pop("base", None)
    joined = merged(base, {k: v for k, v in document.items() if k != "manifests"})
    joined["manifests"] = list[object](manifests.values())
    return joined


def identity(manifest: JsonObject) -> str:
    """`Kind/name` or `Kind/namespace/name`."""
    return "/".join(filter(None, (text(manifest, "kind"), *key_of(manifest))))


def _parameters(path: Path, parameters: str) -> JsonObject:
    found: JsonObject = {}
    for part in parameters.split(","):
        key, _, value = part.partition("=")
        if key not in ("nodes", "services") or not value.isdigit():
            raise ScenarioError(
                f"{path}: parameter {part!r} is unknown; write services=NUMBER or nodes=NUMBER"
            )
        found[key] = int(value)
    return found


def _sentence(error: str) -> str:
    words = re.sub(r" - at `\$\.?([^`]*)`", r" in `\1`", error).replace(" in ``", "")
    return words.replace("Object contains unknown field", "unknown key")


_LONGEST = 60
"""Characters of a value that are shown."""

_CONFIG = "ConfigMap/kube-system/cilium-config"
"""An object of every cluster, in no scenario."""

WORDS = data("cluster", "faults", dict[str, str])
"""What can break in a running cluster, in words."""


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
