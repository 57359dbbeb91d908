"""The API bodies of a recording: which kinds they are, and the objects in them.

Discovery documents say what a kind is; a kind that they do not list is told from its list alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from app.lab.discovery import preference
from app.lab.store import JsonObject, Resource

_COLLECTION = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
)

ResourceKey = tuple[str, str]


class BodyUnreadable(Exception):
    """A body is not what the API server would have answered; the text says how."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Where a list was recorded."""

    group: str
    version: str
    namespace: str
    """"" for the whole cluster."""
    plural: str

    @property
    def key(self) -> ResourceKey:
        """As `Resource.key`."""
        return (self.group, self.plural)

    @property
    def path(self) -> str:
        """The request path."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{inside}/{self.plural}"


@dataclass(slots=True)
class RecordedBodies:
    """Every body of a recording by request path."""

    raw: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, JsonObject] = field(default_factory=dict)
    """All of them, decoded."""
    lists: dict[Collection, JsonObject] = field(default_factory=dict)

    def add(self, path: str, body: bytes) -> None:
        """Take in the body that was answered at `path`. Raises BodyUnreadable."""
        try:
            document = msgspec.json.decode(body, type=dict[str, object])
        except msgspec.DecodeError as problem:
            raise BodyUnreadable(f"it is not a JSON object: {problem}") from problem
        self.raw[path] = body
        self.documents[path] = document
        if "items" in document:
            _check_list(document)
            self.lists[collection_at(path)] = document

    def versions(self) -> dict[str, str]:
        """The resourceVersion of each list by its path."""
        return {
            path: str(metadata_of(document)["resourceVersion"])
            for path, document in self.documents.items()
            if "items" in document
        }

    def resources(self, also: Iterable[Collection]) -> dict[ResourceKey, Resource]:
        """The kinds recorded, and those refused collections that discovery knows."""
        found: dict[ResourceKey, list[str]] = {}
        for place in [*self.lists, *also]:
            versions = found.setdefault(place.key, [])
            if place.version not in versions:
                versions.append(place.version)
        return {
            key: self._resource(key, tuple(sorted(versions, key=preference)))
            for key, versions in found.items()
        }

    def listed(self, place: Collection) -> bool:
        """Whether the discovery documents list a collection's kind."""
        return self._entry(place) is not None

    def derived_documents(self) -> dict[str, bytes]:
        """Discovery documents that follow from those recorded, by path.

        Of each group: its own document, a part of `/apis`; and a version whose kinds were not
        recorded lists none. Without that every run of kubectl complains about each of them.
        """
        found: dict[str, JsonObject] = {}
        for group in _mappings(self.documents.get("/apis", {}).get("groups")):
            path = f"/apis/{group.get('name')}"
            found[path] = {"kind": "APIGroup", "apiVersion": "v1", **group}
            for version in _mappings(group.get("versions")):
                found[f"/apis/{version.get('groupVersion')}"] = {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": version.get("groupVersion"),
                    "resources": [],
                }
        return {path: msgspec.json.encode(document) for path, document in found.items()}

    def _resource(self, key: ResourceKey, versions: tuple[str, ...]) -> Resource:
        group, plural = key
        entry = self._entry(Collection(group, versions[0], "", plural))
        if entry is not None:
            namespaced = entry.get("namespaced") is True
            return Resource(group, versions, plural, str(entry.get("kind", "")), namespaced)
        lists = {place: known for place, known in self.lists.items() if place.key == key}
        kind = str(next(iter(lists.values())).get("kind", "")).removesuffix("List")
        namespaced = any(
            place.namespace or any("namespace" in metadata_of(item) for item in items_of(known))
            for place, known in lists.items()
        )
        return Resource(group, versions, plural, kind, namespaced)

    def _entry(self, place: Collection) -> JsonObject | None:
        group = f"/apis/{place.group}/{place.version}" if place.group else f"/api/{place.version}"
        entries = _mappings(self.documents.get(group, {}).get("resources"))
        return next((entry for entry in entries if entry.get("name") == place.plural), None)


def collection_at(path: str) -> Collection:
    """The collection at a request path. Raises BodyUnreadable."""
    found = _COLLECTION.fullmatch(path)
    if found is None:
        raise BodyUnreadable(f"{path} is not the path of a list")
    return Collection(
        found["group"] or "", found["version"], found["namespace"] or "", found["plural"]
    )


def items_of(document: JsonObject) -> list[JsonObject]:
    """The objects of a list."""
    return _mappings(document.get("items"))


def metadata_of(obj: JsonObject) -> JsonObject:
    """An object's or a list's metadata."""
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _mappings(value: object) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _check_list(document: JsonObject) -> None:
    """Raise BodyUnreadable unless every item has a name and the list a version."""
    items = document["items"]
    if not isinstance(items, list):
        raise BodyUnreadable("its items are not a list")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or not isinstance(metadata_of(item).get("name"), str):
            raise BodyUnreadable(f"item {number} has no metadata.name")
    version = metadata_of(document).get("resourceVersion")
    if not (isinstance(version, str) and version.isascii() and version.isdigit()):
        raise BodyUnreadable("its metadata.resourceVersion is not a number")
