"""The discovery documents of a simulated cluster: what it serves, under which versions.

Shapes: Kubernetes `apimachinery/pkg/apis/meta/v1` (APIVersions, APIGroupList, APIResourceList) as
a 1.36 API server writes them. A client that asks for aggregated discovery is content with these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.lab.store import JsonObject, Resource

_VERBS = ["get", "list", "watch"]


def discovery_document(path: str, resources: Iterable[Resource]) -> JsonObject | None:
    """The document at `/api`, `/apis`, `/api/v1`, `/apis/GROUP` or `/apis/GROUP/VERSION`.

    None when these resources make no such document.
    """
    known = list(resources)
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
    names["authorization.k8s.io"] = None
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
    if group == "authorization.k8s.io":
        return ["v1"]
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
    if (group, version) == ("authorization.k8s.io", "v1"):
        entries.append(_access_review())
    if not entries:
        return None
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": group_version,
        "resources": entries,
    }


def _resource_entries(resource: Resource) -> list[JsonObject]:
    entry: JsonObject = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.key != ("", "pods"):
        return [entry]
    log: JsonObject = {
        "name": "pods/log",
        "singularName": "",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["get"],
    }
    return [entry, log]


def _access_review() -> JsonObject:
    return {
        "name": "selfsubjectaccessreviews",
        "singularName": "selfsubjectaccessreview",
        "namespaced": False,
        "kind": "SelfSubjectAccessReview",
        "verbs": ["create"],
    }
