"""The part of a manifest under a remedy: YAML that says what the sentence says."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.model.finding import Value, with_manifest

SCALARS = (
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12) | st.integers()
)
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(
            st.text("abcyn/.-:# ", min_size=1, max_size=8), inner, min_size=1, max_size=3
        )
    ),
    max_leaves=8,
)


def manifest_of(text: str) -> object:
    """What stands under the sentence."""
    _, *lines = text.splitlines()
    assert all(line.startswith("  ") for line in lines)
    return yaml.safe_load("\n".join(line[2:] for line in lines))


def test_it_stands_under_the_sentence_as_one_would_write_it() -> None:
    peer: Value = {"name": "udm-pro", "peerASN": 64513}
    text = with_manifest("Set it", {"spec": {"bgpInstances": [{"name": "64512", "peers": [peer]}]}})
    assert text.splitlines() == [
        "Set it",
        "  spec:",
        "    bgpInstances:",
        '      - name: "64512"',
        "        peers:",
        "          - name: udm-pro",
        "            peerASN: 64513",
    ]


@given(st.dictionaries(st.text("abc/.-", min_size=1, max_size=8), VALUES, min_size=1, max_size=3))
def test_yaml_reads_the_same_again(manifest: dict[str, Value]) -> None:
    assert manifest_of(with_manifest("Set it", manifest)) == manifest
