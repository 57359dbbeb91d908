"""Every kind a simulated cluster serves, and the discovery documents that describe them.

Names, scopes, short names and categories are those of a Kubernetes 1.36 API server and of the
CustomResourceDefinitions of Cilium 1.17 and 1.21 (their recorded discovery documents). Shapes of
the documents: `apimachinery/pkg/apis/meta/v1` (APIVersions, APIGroupList, APIResourceList). A
client that asks for aggregated discovery accepts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from app.lab.fields import data
from app.lab.plane import Minor, minor
from app.lab.store import JsonObject, Resource

_OLDEST = (1, 17)
"""The oldest version that is known."""
_ALPHA = "v2alpha1"


def _cilium_resources(version: Minor) -> dict[str, Resource]:
    """The kinds that a version of Cilium registers, with the versions it serves each under."""
    known = data("api", "cilium", tuple[Resource, ...])
    if version < (1, 18):
        known = tuple(
            replace(each, versions=(_ALPHA,)) if _ALPHA in each.versions else each for each in known
        )
    return {each.kind: each for each in (known if version < (1, 19) else known[:-1])}


def resources(
    cilium_version: str, crds: Mapping[str, bool] = MappingProxyType({})
) -> tuple[Resource, ...]:
    """Everything a cluster with this Cilium serves; the version as in `1.19.1` or an image tag.

    `crds` names kinds that are served although this version does not bring them, or are not
    although it does. Raises ValueError when it is no version, or no such kind.
    """
    kinds, earlier = _cilium_resources(minor(cilium_version)), _cilium_resources(_OLDEST)
    for kind, served in crds.items():
        if kind not in kinds | earlier:
            raise ValueError(f"crds: {kind!r} is no kind of Cilium's")
        resource = kinds.pop(kind, earlier[kind])
        if served:
            kinds[kind] = resource
    return (*data("api", "standard", tuple[Resource, ...]), *kinds.values())


RESOURCES = resources("1.21.0")
"""What a cluster with the newest known Cilium serves."""


_REVIEWS = Resource(
    "authorization.k8s.io", ("v1",), "selfsubjectaccessreviews", "SelfSubjectAccessReview", False
)
"""What every API server serves and stores nowhere."""


def discovery_document(path: str, resources: Iterable[Resource]) -> JsonObject | None:
    """The document at `/api`, `/apis`, `/api/v1`, `/apis/GROUP` or `/apis/GROUP/VERSION`.

    None when these resources make no such document.
    """
    known = [*resources, _REVIEWS]
    match path.strip("/").split("/"):
        case ["api"]:
            return _core_versions()
        case ["apis"]:
            return _group_list(known)
        case ["api", version]:
            return _resource_list("", version, known)
        case ["apis", group]:
            return _group(group, known)
        case ["apis", group, version]:
            return _resource_list(group, version, known)
    return None


def _core_versions() -> JsonObject:
    address = {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}


def _group_list(resources: Sequence[Resource]) -> JsonObject:
    names = dict.fromkeys(resource.group for resource in resources if resource.group)
    groups = [_group_entry(name, resources) for name in names]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(group: str, resources: Sequence[Resource]) -> JsonObject | None:
    if not _versions(group, resources):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_entry(group, resources)}


def _group_entry(group: str, resources: Sequence[Resource]) -> JsonObject:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in _versions(group, resources)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _versions(group: str, resources: Sequence[Resource]) -> list[str]:
    served = (v for resource in resources if resource.group == group for v in resource.versions)
    return sorted(set(served), key=preference)


def preference(version: str) -> tuple[bool, str]:
    """Stable versions before others, as the API server prefers them."""
    return ("alpha" in version or "beta" in version, version)


def _resource_list(group: str, version: str, resources: Sequence[Resource]) -> JsonObject | None:
    entries = [
        entry
        for resource in resources
        if resource.group == group and version in resource.versions
        for entry in _resource_entries(resource)
    ]
    if not entries:
        return None
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }


def _resource_entries(resource: Resource) -> list[JsonObject]:
    entry: JsonObject = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["create"] if resource == _REVIEWS else ["get", "list", "watch"],
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.key != ("", "pods"):
        return [entry]
    log = {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod"}
    return [entry, {**log, "verbs": ["get"]}]
