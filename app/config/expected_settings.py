"""What the operator expects of `cilium-config`: `[expect]` of the config file, or `--expect`.

```toml
[expect]
profile = "bgp-loadbalancer"
enable-bgp-control-plane = true
bpf-lb-acceleration = {value = "disabled", severity = "warn"}
cluster-pool-ipv4-cidr = ["10.244.0.0/16"]
routing-mode = "*"
```

A key is one of the ConfigMap `cilium-config`; `"*"` is any value. `profile` begins with a built-in
list, and what stands beside it wins. Every error names file and key and says what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.config.config_file import EXPECTATIONS as TABLE
from app.config.config_file import SettingsError, document_of
from app.config.settings import config_path

PROFILES: Mapping[str, Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_name("profiles.toml").read_text("utf-8")
)
"""Built-in lists by name."""

_PROFILE = "profile"
_SEVERITIES = ("fail", "warn")
_FORMS = 'a text, true or false, a number, a list of those, or {value = …, severity = "fail"}'


@dataclass(frozen=True, slots=True)
class ExpectedSetting:
    """One setting of `cilium-config` that the operator expects (`[expect]`, `--expect`)."""

    key: str
    value: str
    warn: bool = False
    """A difference is a warning, not a failure."""
    place: str = ""
    """Where this is expected: file and key, or the built-in profile."""


def expectations(
    named: str | None = None,
    environment: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> tuple[ExpectedSetting, ...]:
    """What is expected, by key. Raises SettingsError with everything that cannot be used.

    `named` is the text of `--expect`, a built-in profile or a file with a table `[expect]`: then
    the config file's own table does not count. `environment` and `path` say which config file is
    meant, as for `app.config.settings.load`; one that does not exist expects nothing.
    """
    if named is None:
        file = path or config_path(environment)
        table = document_of(file).get(TABLE) if file.exists() else None
        wanted = () if table is None else _table(table, file)
    elif named in PROFILES:
        wanted = _profile(named, f"profile {named}")
    else:
        wanted = _file(named)
    by_key = {each.key: each for each in wanted}
    return tuple(by_key[key] for key in sorted(by_key))


def _file(named: str) -> tuple[ExpectedSetting, ...]:
    file = Path(named)
    if not file.exists():
        raise SettingsError(
            f"--expect is {named!r}; it must be a built-in profile ({_profiles()}) or a file, and "
            "there is no such file"
        )
    document = document_of(file, what="")
    if set(document) != {TABLE}:
        found = ", ".join(sorted(document)) or "nothing"
        raise SettingsError(f"{file}: has {found}; it must have the table [{TABLE}] and no other")
    return _table(document[TABLE], file)


def _table(table: object, file: Path) -> tuple[ExpectedSetting, ...]:
    if not isinstance(table, dict):
        raise SettingsError(f"{file}: {TABLE} is {table!r}; it must be a table of settings")
    wanted: list[ExpectedSetting] = []
    problems: list[str] = []
    profile = table.get(_PROFILE)
    if isinstance(profile, str) and profile in PROFILES:
        wanted += _profile(profile, f"profile {profile} of {file}")
    elif profile is not None:
        place = f"{file}: {TABLE}.{_PROFILE}"
        problems.append(f"{place} is {profile!r}; it must be one of {_profiles()}")
    for key, said in table.items():
        try:
            wanted += (_wanted(key, said, file),) if key != _PROFILE else ()
        except SettingsError as problem:
            problems += problem.problems
    if problems:
        raise SettingsError(*problems)
    return tuple(wanted)


def _profile(name: str, place: str) -> tuple[ExpectedSetting, ...]:
    return tuple(ExpectedSetting(key, value, place=place) for key, value in PROFILES[name].items())


def _wanted(key: str, said: object, file: Path) -> ExpectedSetting:
    place = f"{file}: {TABLE}.{key}"
    if not isinstance(said, dict):
        return ExpectedSetting(key, _text(said, place), place=place)
    unknown = sorted(set(said) - {"value", "severity"})
    if unknown:
        raise SettingsError(f"{place} has {unknown[0]!r}; it may have value and severity")
    if "value" not in said:
        raise SettingsError(f"{place} has no value; it must be {_FORMS}")
    severity = said.get("severity", "fail")
    if severity not in _SEVERITIES:
        allowed = " or ".join(_SEVERITIES)
        raise SettingsError(f"{place}.severity is {severity!r}; it must be {allowed}")
    return ExpectedSetting(key, _text(said["value"], f"{place}.value"), severity == "warn", place)


def _text(value: object, place: str) -> str:
    """A value as `cilium-config` writes it: booleans in lower case, lists joined by spaces."""
    if isinstance(value, list) and value:
        return " ".join(_one(item, place) for item in value)
    return _one(value, place)


def _one(value: object, place: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | str):
        return str(value)
    raise SettingsError(f"{place} is {value!r}; it must be {_FORMS}")


def _profiles() -> str:
    return ", ".join(sorted(PROFILES))
