"""The manifest in the documentation grants what the reading list needs, and nothing that writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from collectors.kubernetes.resources import Resource, resources

RIGHTS = Path(__file__).parent.parent / "docs" / "rights.md"


def manifests() -> list[dict[str, object]]:
    blocks = re.findall(r"```yaml\n(.*?)```", RIGHTS.read_text("utf-8"), re.DOTALL)
    return [document for block in blocks for document in yaml.safe_load_all(block)]


def granted(name: str, kind: str) -> list[dict[str, list[str]]]:
    found: list[dict[str, list[str]]] = []
    for document in manifests():
        metadata, rules = document["metadata"], document["rules"]
        assert isinstance(metadata, dict)
        assert isinstance(rules, list)
        if metadata["name"] == name and document["kind"] == kind:
            found += rules
    return found


@pytest.mark.parametrize("resource", resources(), ids=lambda resource: resource.kind)
def test_the_viewer_may_read_every_kind(resource: Resource) -> None:
    """What is read on demand stands in a role of its own, for it is optional."""
    needed = resource.rights()
    role = "ciliscope-policies" if resource.on_demand else "ciliscope"
    rules = granted(role, "Role" if needed.namespace else "ClusterRole")
    assert any(
        set(needed.api_groups) <= set(rule["apiGroups"])
        and set(needed.resources) <= set(rule["resources"])
        and set(needed.verbs) <= set(rule["verbs"])
        and rule.get("resourceNames", []) == list(needed.resource_names)
        for rule in rules
    )


def test_no_manifest_grants_secrets_or_a_verb_that_writes() -> None:
    for document in manifests():
        rules = document["rules"]
        assert isinstance(rules, list)
        for rule in rules:
            assert "secrets" not in rule["resources"]
            # exec is a `create`; it is the one, and stands alone.
            writes = set(rule["verbs"]) - {"get", "list", "watch"}
            assert not writes or (writes == {"create"} and rule["resources"] == ["pods/exec"])
