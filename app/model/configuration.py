"""The key parameters of the running Cilium, from the ConfigMap `cilium-config`.

Only the running configuration decides; a chart's values may have no effect. Keys and defaults:
Cilium install/kubernetes/cilium/templates/cilium-configmap.yaml, 1.17 to 1.19; `docs/cilium.md`,
"Configuration keys".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from app.state.kinds import CONFIG_MAPS
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import ConfigMap

CONFIG_MAP = "cilium-config"


@dataclass(frozen=True, slots=True)
class KeyParameter:
    """One setting of Cilium."""

    name: str
    """What it is, in words."""
    key: str
    """Its key in the ConfigMap."""
    value: str | None
    """What the ConfigMap says; None: the key is not there."""
    default: str
    """What Cilium takes where the key is not there."""

    @property
    def effective(self) -> str:
        """The value in force, as far as the ConfigMap decides it."""
        return self.default if self.value is None else self.value


_PARAMETERS: Mapping[str, tuple[str, str]] = tomllib.loads(
    Path(__file__).with_name("parameters.toml").read_text("utf-8")
)


def config_map(snapshot: Snapshot) -> ConfigMap | None:
    """The running Cilium's ConfigMap, or None when it is not known or not there."""
    return snapshot.records[CONFIG_MAPS].get(f"{snapshot.cilium_namespace}/{CONFIG_MAP}")


def parameters(snapshot: Snapshot) -> tuple[KeyParameter, ...]:
    """The key parameters; none when the ConfigMap is not known."""
    found = config_map(snapshot)
    if found is None:
        return ()
    return tuple(
        KeyParameter(name, key, found.data.get(key), default)
        for key, (name, default) in _PARAMETERS.items()
    )


ANY = "*"
"""Expected of a setting that must have some value, whatever it is."""


def fulfils(wanted: str, actual: str | None) -> bool:
    """Whether a setting in force is as wanted; None: it has no value.

    Case does not count, nor the order of a list: Cilium reads booleans and modes in any case, and
    joins lists with spaces or commas (cilium-configmap.yaml). Networks are compared as networks.
    """
    if wanted == ANY:
        return bool(actual and actual.strip())
    return actual is not None and _items(wanted) == _items(actual)


def _items(text: str) -> list[str]:
    return sorted(_plain(item) for item in re.split(r"[\s,]+", text.strip()) if item)


def _plain(item: str) -> str:
    if "/" not in item:
        return item.lower()
    try:
        return str(ip_network(item, strict=False))
    except ValueError:
        return item.lower()
