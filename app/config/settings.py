"""What the operator can set, from flags, the environment and the config file, in that order.

One table of options serves all three, so a name, its place in the file, its variable and its check
stand together. Every error names where the value came from, what it is and what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from app.config.config_file import ConfigFile, SettingsError, read_config

_STARTED_WITH = Path("/proc/self/environ")


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Whether the first of LC_ALL, LC_CTYPE and LANG that is set names UTF-8.

    Of the C locale nobody knows; it is taken by its word, which is ASCII.
    """
    named = next((environment[n] for n in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(n)), "")
    return "utf8" in named.lower().replace("-", "")


def started_with(environment: Mapping[str, str], own: Path = _STARTED_WITH) -> Mapping[str, str]:
    """The environment, with LC_CTYPE as it was before Python set it, where that can be told.

    Python makes UTF-8 of the locales C and POSIX before any code runs (PEP 538, PEP 540), so what
    it says of its own encoding tells nothing.
    """
    try:
        words = own.read_bytes().split(b"\0")
    except OSError:  # only Linux tells
        return environment
    first = dict(word.decode("utf-8", "replace").partition("=")[::2] for word in words if word)
    return {**environment, "LC_CTYPE": first.get("LC_CTYPE", "")}


MIN_INTERVAL = 5.0
"""Seconds; polling the CLI faster than this burdens the agents for nothing."""


THEME_NAMES = ("dark", "light", "ansi", "mono", "high-contrast", "deuteranopia", "production")
CLIPBOARDS = ("auto", "osc52", "file")


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
    ascii: bool | None = None
    """Whether only ASCII signs are drawn; None: the locale decides."""
    theme: str = "auto"
    """The look of the dashboard: one of THEME_NAMES, or `auto`."""
    themes: Mapping[str, str] = field(default_factory=dict)
    """Themes by context, or by a shell pattern of contexts; the first that fits wins."""
    mouse: bool = False
    """Whether the dashboard takes the mouse; the terminal's own selection is gone then."""
    clipboard: str = "auto"
    """How a copy leaves: `auto` by the terminal where it can and else into a file of the state
    folder, `osc52` by any terminal, `file` never by it."""
    at: datetime | None = None
    """The moment as of which everything is judged (a recording's clock stands); None: now."""

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII signs are drawn: as set, else where the locale is not UTF-8."""
        if self.ascii is None:
            return not speaks_utf8(started_with(os.environ))
        return self.ascii


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


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(text)
        return text.strip().lower()

    return parse


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
    Option("theme", "theme", _one_of("auto", *THEME_NAMES), f"auto, {', '.join(THEME_NAMES)}"),
    Option("mouse", "mouse", _truth, "true or false"),
    Option("clipboard", "clipboard", _one_of(*CLIPBOARDS), ", ".join(CLIPBOARDS)),
    Option("at", "at", _moment, "a time as 2026-11-23T04:48:42Z"),
)


CONFIG_VARIABLE = "CILISCOPE_CONFIG"
"""The variable that names the config file."""


def config_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where the config file is looked for: `CILISCOPE_CONFIG`, else the user's config folder."""
    named = (os.environ if environment is None else environment).get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_config_path

    return user_config_path("ciliscope") / "config.toml"


@dataclass(frozen=True, slots=True)
class Given:
    """One setting, what it is, and who said so."""

    option: Option
    text: str | None
    """As it was written; None: nobody said, the default is in force."""
    place: str
    """The flag, the variable or the key that said it; "" for the default."""
    value: object = None
    """As the program uses it, where somebody said it."""


def load(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Settings:
    """The settings in force. Raises SettingsError.

    `flags` holds what was given on the command line, by field, as text; None: not given. A config
    file that is named (`path`, `CILISCOPE_CONFIG`) must exist; the default one need not.
    """
    given, themes = resolve(flags, environment, path)
    values = {each.option.field: each.value for each in given if each.text is not None}
    return Settings(**values, themes=themes)  # type: ignore[arg-type]


def resolve(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> tuple[tuple[Given, ...], Mapping[str, str]]:
    """Every setting with who set it, and the themes by context; as `load`.

    Raises SettingsError with everything that cannot be used.
    """
    environment = os.environ if environment is None else environment
    named = path is not None or bool(environment.get(CONFIG_VARIABLE))
    file = path or config_path(environment)
    keys = [option.key for option in OPTIONS]
    config = read_config(file, keys, THEME_NAMES, must_exist=named)
    given: list[Given] = []
    problems = [*config.problems]
    for option in OPTIONS:
        try:
            given.append(_given(option, flags, environment, file, config))
        except SettingsError as problem:
            problems += problem.problems
    if problems:
        raise SettingsError(*problems)
    return tuple(given), config.themes


def _given(
    option: Option,
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: Path,
    config: ConfigFile,
) -> Given:
    for place, text in (
        (f"--{option.field.replace('_', '-')}", flags.get(option.field)),
        (f"environment variable {option.variable}", environment.get(option.variable) or None),
        (f"{file}: {option.key}", config.values.get(option.key)),
    ):
        if text is not None:
            try:
                return Given(option, text, place, option.parse(text))
            except ValueError:
                message = f"{place} is {text!r}; it must be {option.allowed}"
                raise SettingsError(message) from None
    return Given(option, None, "")
