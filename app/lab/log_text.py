"""Log lines of Cilium's operator and agents, in the format of each version.

The formats are those of the recordings: 1.17 agents write logrus text with sorted fields and a
`subsys`, everything else is Go's slog text with a `module`; GoBGP 3 (up to 1.19) words
notifications, GoBGP 4 (1.20 on) gives their codes (`docs/cilium.md`, Logs).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

LBIPAM_MODULE = "operator.operator-controlplane.leader-lifecycle.lbipam"
BGP_OPERATOR_MODULE = "operator.operator-controlplane.leader-lifecycle.bgp-cp-operator"
AGENT_BGP_MODULE = "agent.controlplane.bgp-control-plane"


@dataclass(frozen=True, slots=True)
class LogText:
    """The log formats of one minor version."""

    version: tuple[int, int]

    def operator(
        self, time: datetime, level: str, message: str, module: str, **fields: object
    ) -> str:
        """A line of the operator; 1.17 writes whole seconds."""
        when = (
            _nanoseconds(time) if self.version >= (1, 18) else time.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        return _slog(when, level, message, {"module": module, **fields})

    def agent(self, time: datetime, level: str, message: str, **fields: object) -> str:
        """A line of an agent's BGP control plane."""
        when = _nanoseconds(time)
        if self.version >= (1, 18):
            return _slog(when, level, message, {"module": AGENT_BGP_MODULE, **fields})
        words = "warning" if level == "warn" else level
        ordered = {**dict(sorted(fields.items())), "subsys": "bgp-control-plane"}
        return f'time="{when}" level={words} msg={_quoted(message)}' + _fields(ordered)

    def speaker(
        self, time: datetime, level: str, message: str, instance: str, asn: int, **fields: object
    ) -> str:
        """A line of the BGP implementation inside an agent; `fields` begin with Topic and Key."""
        component = "gobgp-server" if self.version >= (1, 20) else "gobgp.BgpServerInstance"
        if self.version < (1, 18):
            return self.agent(time, level, message, component=component, asn=asn, **fields)
        return self.agent(
            time, level, message, instance=instance, component=component, asn=asn, **fields
        )


def _slog(when: str, level: str, message: str, fields: dict[str, object]) -> str:
    return f"time={when} level={level} msg={_value(message)}" + _fields(fields)


def _fields(fields: dict[str, object]) -> str:
    return "".join(f" {name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    words = str(value)
    plain = words and not any(c in ' "=' or not c.isprintable() for c in words)
    return words if plain else _quoted(words)


def _quoted(words: str) -> str:
    escaped = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _nanoseconds(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
