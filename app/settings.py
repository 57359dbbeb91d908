"""What the operator can set, from flags, the environment and the config file, in that order.

One table of options serves all three, so a name, its place in the file, its variable and its check
stand together. Every error names where the value came from, what it is and what is allowed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MIN_INTERVAL = 5.0
"""Seconds; polling the CLI faster than this burdens the agents for nothing."""


EXPECTATIONS = "expect"
"""Table of the config file that is no setting: `app.expectations` reads it."""


class SettingsError(Exception):
    """A setting cannot be used; the message names it, its place and what is allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; the defaults are those of a plain `ciliscope`."""

    kubeconfig: str | None = None
    """Path; None: `KUBECONFIG`, else the default file, else in-cluster."""
    context: str | None = None
    """None: the kubeconfig's current one."""
    namespace: str = "kube-system"
    """The namespace that Cilium runs in."""
    cilium: str = "cilium"
    """The `cilium` command: a name on the PATH, or a path."""
    cli: bool = True
    """Whether the `cilium` command is used at all: it execs into agents, and that right is as
    good as root on the nodes."""
    peers_interval: float = 15.0
    """Seconds between runs of `cilium bgp peers`."""
    status_interval: float = 30.0
    """Seconds between runs of `cilium status`."""
    routes_interval: float = 30.0
    """Seconds between runs of `cilium bgp routes`, while a screen needs them."""
    ascii: bool = False
    """Whether only ASCII signs are drawn."""
    at: datetime | None = None
    """The moment as of which everything is judged (a recording's clock stands); None: now."""


@dataclass(frozen=True, slots=True)
class Option:
    """How one setting is written down."""

    field: str
    key: str
    """Dotted place in the config file."""
    parse: Callable[[str], object]
    """Raises ValueError when the text is not allowed."""
    allowed: str

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"CILISCOPE_{self.field.upper()}"


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUTH = {"true": True, "yes": True, "on": True, "1": True} | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


def parse_duration(text: str) -> float:
    """Seconds of `15`, `15s`, `1m`, `500ms` or `2h`. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return float(found[1]) * _UNIT[found[2] or "s"]


def _interval(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < MIN_INTERVAL:
        raise ValueError(text)
    return seconds


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text


_SECONDS = f"a duration of at least {MIN_INTERVAL:g}s, as 15s or 1m"
OPTIONS = (
    Option("kubeconfig", "kubeconfig", _text, "a path"),
    Option("context", "context", _text, "the name of a kubeconfig context"),
    Option("namespace", "cilium.namespace", _text, "the namespace Cilium runs in"),
    Option("cilium", "cilium.program", _text, "a program name or path"),
    Option("cli", "cilium.enabled", _truth, "true or false"),
    Option("peers_interval", "poll.peers", _interval, _SECONDS),
    Option("status_interval", "poll.status", _interval, _SECONDS),
    Option("routes_interval", "poll.routes", _interval, _SECONDS),
    Option("ascii", "ascii", _truth, "true or false"),
    Option("at", "at", _moment, "a time as 2026-11-23T04:48:42Z"),
)


def config_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where the config file is looked for: `CILISCOPE_CONFIG`, else the user's config folder."""
    named = (os.environ if environment is None else environment).get("CILISCOPE_CONFIG")
    if named:
        return Path(named)
    from platformdirs import user_config_path

    return user_config_path("ciliscope") / "config.toml"


def load(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Settings:
    """The settings in force. Raises SettingsError.

    `flags` holds what was given on the command line, by field, as text; None: not given. A config
    file that is named (`path`, `CILISCOPE_CONFIG`) must exist; the default one need not.
    """
    environment = os.environ if environment is None else environment
    named = path is not None or bool(environment.get("CILISCOPE_CONFIG"))
    file = path or config_path(environment)
    from_file = _read(file, must_exist=named)
    values: dict[str, object] = {}
    for option in OPTIONS:
        for place, text in (
            (f"--{option.field.replace('_', '-')}", flags.get(option.field)),
            (f"environment variable {option.variable}", environment.get(option.variable) or None),
            (f"{file}: {option.key}", from_file.get(option.key)),
        ):
            if text is not None:
                values[option.field] = _parsed(option, place, text)
                break
    return Settings(**values)  # type: ignore[arg-type]


def _parsed(option: Option, place: str, text: str) -> object:
    try:
        return option.parse(text)
    except ValueError:
        raise SettingsError(f"{place} is {text!r}; it must be {option.allowed}") from None


def _read(file: Path, *, must_exist: bool) -> dict[str, str]:
    """Dotted keys and their values as text. An unknown key is an error: it would do nothing."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"config file {file} does not exist") from None
        return {}
    except OSError as problem:
        raise SettingsError(f"config file {file} cannot be read: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise SettingsError(f"config file {file} is not TOML: {problem}") from None
    known = {option.key for option in OPTIONS}
    document.pop(EXPECTATIONS, None)
    values = _flatten(document)
    unknown = sorted(set(values) - known)
    if unknown:
        raise SettingsError(
            f"config file {file}: unknown key {unknown[0]}; known are {', '.join(sorted(known))}"
        )
    for key, value in values.items():
        if isinstance(value, list):
            raise SettingsError(f"{file}: {key} is {value!r}; it must be one value, not a list")
    return {key: str(value) for key, value in values.items()}


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            values |= _flatten(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values
