"""Every kind that is watched: where the API serves it, in which versions, and why it is needed.

The table, `watched.toml`, is the whole reading list of ciliscope on the Kubernetes API, and so the
list of rights it needs. Secrets are not on it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from collectors.cilium import records as cilium_records
from collectors.kubernetes import records
from collectors.kubernetes.records import Object

CILIUM_GROUP = "cilium.io"


@dataclass(frozen=True, slots=True)
class Rights:
    """One RBAC rule: what must be granted for a kind to be read."""

    api_groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    resource_names: tuple[str, ...]
    """Empty: all names."""
    namespace: str
    """Where a Role suffices; "" when it takes a ClusterRole."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as the API serves it."""

    kind: str
    """Name of the snapshot's field."""
    object_kind: str
    """Its name in Kubernetes."""
    group: str
    """API group, "" for the core."""
    versions: tuple[str, ...]
    """Versions to try, best first."""
    record: type[Object]
    namespace: str = ""
    """Namespace to read; "" for all of them and for cluster-scoped kinds."""
    name: str = ""
    """The only object to read; "" for all."""
    cluster_scoped: bool = False
    """Whether its objects are in no namespace."""
    on_demand: bool = False
    """Whether it is read only while somebody asks for it; the right to it is optional then."""
    why: str = ""
    """What cannot be judged without it: ends the sentence "without it …"."""

    @property
    def plural(self) -> str:
        """Name of the kind in paths and in RBAC rules."""
        name = self.object_kind.lower()
        return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"

    @property
    def label(self) -> str:
        """What the operator calls it."""
        return self.kind.replace("_", " ")

    @property
    def custom(self) -> bool:
        """Whether the kind comes with Cilium; all others every API server serves."""
        return self.group == CILIUM_GROUP

    @property
    def field_selector(self) -> str:
        """`fieldSelector` of the list and the watch; "" for none.

        RBAC lets a rule with `resourceNames` list and watch only with this selector.
        """
        return f"metadata.name={self.name}" if self.name else ""

    def path(self, version: str) -> str:
        """URL path of the list under a version."""
        namespaced = f"namespaces/{self.namespace}/" if self.namespace else ""
        return f"{self.group_path(version)}/{namespaced}{self.plural}"

    def object_path(self, version: str, namespace: str, name: str) -> str:
        """URL path of one object under a version."""
        inside = "" if self.cluster_scoped else f"namespaces/{namespace}/"
        return f"{self.group_path(version)}/{inside}{self.plural}/{name}"

    def group_path(self, version: str) -> str:
        """URL path of the discovery document that lists the kinds of a version."""
        return f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"

    def rights(self) -> Rights:
        """The RBAC rule without which this kind cannot be read."""
        return Rights(
            api_groups=(self.group,),
            resources=(self.plural,),
            verbs=("get", "list", "watch"),
            resource_names=(self.name,) if self.name else (),
            namespace=self.namespace,
        )


_RECORDS: dict[str, type[Object]] = {
    name: record
    for module in (records, cilium_records)
    for name, record in vars(module).items()
    if isinstance(record, type) and issubclass(record, Object)
}


_ROWS = tomllib.loads(Path(__file__).with_name("watched.toml").read_text("utf-8"))
_WATCHED = msgspec.convert(
    [{"kind": kind, "group": "", "versions": ["v1"], **row} for kind, row in _ROWS.items()],
    tuple[Resource, ...],
    dec_hook=lambda _, name: _RECORDS[name],
)


def resources(cilium_namespace: str = "kube-system") -> tuple[Resource, ...]:
    """Every kind to watch, for a Cilium that is installed in this namespace."""
    return tuple(
        replace(each, namespace=cilium_namespace) if each.namespace else each for each in _WATCHED
    )
