"""One object of the API as it is, as YAML: what `kubectl get -o yaml` prints, made printable.

Only GET, and only kinds that ciliscope needs anyway and a few that explain them. A Secret is
refused before anything is asked. Left out are `managedFields` and the annotation in which kubectl
keeps what was last applied: both repeat the rest, and the latter may hold what was taken out since.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping

from collectors.kubernetes.answers import ApiError
from collectors.kubernetes.api import ApiSession
from collectors.kubernetes.resources import Resource, resources
from collectors.sanitize import JsonValue, one_line, printable, printable_json
from collectors.source import ReadError, Reason

TIMEOUT = 10.0
"""Seconds in which one object must be there."""

_USABLE = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._:-]+\Z")
"""What can stand in a path as it is: DNS labels, dots, and colons of RBAC."""
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


KINDS: Mapping[str, Resource] = {each.object_kind: each for each in resources()}
"""Kinds that can be read, by their Kubernetes name. Secrets are not among them."""


async def read_object(session: ApiSession, kind: str, namespace: str, name: str) -> str:
    """The object as printable YAML, a newline at the end. Raises ReadError."""
    if kind.lower() in ("secret", "secrets"):
        raise ReadError(Reason.REFUSED, "Secrets are never read")
    served = KINDS.get(kind)
    if served is None:
        text = f"a {one_line(kind)} is no object of the API that can be read"
        raise ReadError(Reason.ABSENT, text)
    if not (_USABLE.match(name) and (served.cluster_scoped or _USABLE.match(namespace))):
        text = f"{one_line(f'{namespace}/{name}')!r} is no name of an object"
        raise ReadError(Reason.ABSENT, text)
    absent: ApiError | None = None
    for version in served.versions:
        try:
            path = served.object_path(version, namespace, name)
            answer = await session.get(path, timeout=TIMEOUT)
        except ApiError as problem:
            if problem.reason is not Reason.ABSENT:
                raise
            absent = absent or problem
            continue
        return await asyncio.to_thread(as_yaml, answer.body)
    raise absent or ReadError(Reason.ABSENT, f"there is no {kind} {name}")


def as_yaml(body: bytes) -> str:
    """A JSON object as printable YAML, without what only repeats the rest. Raises ReadError."""
    import yaml

    try:
        document: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        raise ReadError(Reason.UNREADABLE, "the answer of the API server is no JSON") from None
    if not isinstance(document, dict):
        raise ReadError(Reason.UNREADABLE, "the answer of the API server is no object")
    if document.get("kind") == "Secret":
        raise ReadError(Reason.REFUSED, "Secrets are never read")
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(
        printable_json(_pruned(document)),
        Dumper=dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1_000_000,
    )
    return printable(str(text))


def _pruned(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    kept = {name: value for name, value in metadata.items() if name != "managedFields"}
    annotations = kept.get("annotations")
    if isinstance(annotations, dict):
        left = {name: value for name, value in annotations.items() if name != _APPLIED}
        kept["annotations"] = left
        if not left:
            del kept["annotations"]
    return {**document, "metadata": kept}
