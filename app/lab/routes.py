"""What a request path means to an API server, and whether the user may ask for it.

Path grammar: `/api/v1/…` and `/apis/GROUP/VERSION/…`, then `[namespaces/NS/]PLURAL[/NAME[/SUB]]`
(Kubernetes API concepts, "Resource URIs").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.lab.refusals import NoSuchPath, forbidden
from app.lab.store import Cluster, Resource

_NAMESPACE_PARTS = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class Target:
    """The objects a request is about."""

    resource: Resource
    version: str
    """The version the objects are asked in."""
    namespace: str
    """"" for a cluster-scoped kind, or for all namespaces."""
    name: str
    """"" for the whole collection."""
    subresource: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of what is answered."""
        return self.resource.api_version(self.version)

    @property
    def path(self) -> str:
        """The collection's path in this namespace."""
        return collection_path(self.resource, self.version, self.namespace)


def collection_path(resource: Resource, version: str, namespace: str = "") -> str:
    """Where a resource's list is served."""
    root = f"/apis/{resource.group}/{version}" if resource.group else f"/api/{version}"
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{resource.plural}"


def locate(path: str, cluster: Cluster) -> Target:
    """The target of a resource path. Raises NoSuchPath for anything else."""
    match path.removeprefix("/").split("/"):
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest] if group:
            pass
        case _:
            raise NoSuchPath
    namespace, (plural, name, subresource) = _names(rest)
    resource = cluster.store.resources.get((group, plural))
    if resource is None or version not in resource.versions:
        raise NoSuchPath
    if resource.namespaced != bool(namespace) and (namespace or name):
        raise NoSuchPath
    if namespace not in cluster.only_in.get(resource.key, {namespace}):
        raise NoSuchPath
    return Target(resource, version, namespace, name, subresource)


def permit(cluster: Cluster, verb: str, target: Target) -> None:
    """Return when the user may do this. Raises a Refusal with 403."""
    if covered(cluster, target.resource, target.namespace, target.subresource):
        raise forbidden(
            cluster.user, verb, target.resource, target.namespace, target.name, target.subresource
        )


def covered(cluster: Cluster, resource: Resource, namespace: str, subresource: str = "") -> bool:
    """Whether the cluster's `forbidden` covers a resource in a namespace ("" for all)."""
    part = f"/{subresource}" if subresource else ""
    places = {"", namespace}
    return any(
        collection_path(resource, version, place) + part in cluster.forbidden
        for version in resource.versions
        for place in places
    )


def _names(rest: Sequence[str]) -> tuple[str, tuple[str, str, str]]:
    """Namespace, and plural, name and subresource."""
    match rest:
        case ["namespaces", name, part] if part in _NAMESPACE_PARTS:
            return "", ("namespaces", name, part)
        case ["namespaces", namespace, plural, *more] if namespace:
            return namespace, _three(plural, more)
        case [plural, *more]:
            return "", _three(plural, more)
    raise NoSuchPath


def _three(plural: str, more: Sequence[str]) -> tuple[str, str, str]:
    match more:
        case []:
            return plural, "", ""
        case [name] if name:
            return plural, name, ""
        case [name, subresource] if name and subresource:
            return plural, name, subresource
    raise NoSuchPath
