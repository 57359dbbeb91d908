"""A kubeconfig is read as kubectl reads it, and what is wrong with it is said in one sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from collectors.kubernetes.answers import ApiError
from collectors.kubernetes.kubeconfig import Access, context_names, read_access
from collectors.sanitize import one_line
from collectors.source import Reason
from tests.api_server import Json

HERE: dict[str, Json] = {
    "current-context": "home",
    "contexts": [{"name": "home", "context": {"cluster": "lab", "user": "ops", "namespace": "n"}}],
    "clusters": [{"name": "lab", "cluster": {"server": "https://lab:6443/"}}],
    "users": [{"name": "ops", "user": {"token": "t"}}],
}


def write(path: Path, document: Mapping[str, Json] | str) -> Path:
    text = document if isinstance(document, str) else yaml.safe_dump(dict(document))
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, context: str | None = None) -> Access:
    return read_access(str(path), context, {}, path.parent / "no-service-account")


def refused(path: Path, context: str | None = None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(path, context)
    assert caught.value.message == one_line(caught.value.message)
    return caught.value


def test_the_current_context_is_resolved(tmp_path: Path) -> None:
    access = read(write(tmp_path / "config", HERE))
    assert (access.context, access.cluster_name, access.user_name) == ("home", "lab", "ops")
    assert (access.server, access.namespace, access.user.token) == ("https://lab:6443", "n", "t")


def test_another_context_can_be_asked_for(tmp_path: Path) -> None:
    contexts: list[Json] = [
        {"name": "home", "context": {"cluster": "lab"}},
        {"name": "away", "context": {"cluster": "lab"}},
    ]
    path = write(tmp_path / "config", {**HERE, "contexts": contexts})
    assert read(path, "away").context == "away"
    assert read(path, "away").namespace == "default"
    assert context_names(str(path), {}) == ("home", "away")


def test_the_first_file_to_name_something_wins(tmp_path: Path) -> None:
    one = write(
        tmp_path / "one",
        {"clusters": [{"name": "lab", "cluster": {"server": "https://first"}}], "users": None},
    )
    two = write(tmp_path / "two", HERE)
    three = write(tmp_path / "three", {"current-context": "never"})
    listed = os.pathsep.join([str(tmp_path / "missing"), str(one), "", str(two), str(three)])
    access = read_access(None, None, {"KUBECONFIG": listed})
    assert access.context == "home"
    assert access.server == "https://first"
    assert access.user.token == "t"


def test_the_default_is_in_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", HERE)
    assert read_access(None, None, {"HOME": str(tmp_path)}).context == "home"


def test_paths_start_at_the_file_that_holds_them(tmp_path: Path) -> None:
    cluster: dict[str, Json] = {"server": "https://lab", "certificate-authority": "ca.crt"}
    user: dict[str, Json] = {
        "client-certificate": "pki/me.crt",
        "client-key": "/k",
        "tokenFile": "t",
    }
    (tmp_path / "sub").mkdir()
    access = read(
        write(
            tmp_path / "sub" / "config",
            {
                **HERE,
                "clusters": [{"name": "lab", "cluster": cluster}],
                "users": [{"name": "ops", "user": user}],
            },
        )
    )
    base = tmp_path / "sub"
    assert access.cluster.certificate_authority == str(base / "ca.crt")
    assert access.user.client_certificate == str(base / "pki/me.crt")
    assert access.user.client_key == "/k"
    assert access.user.token_file == str(base / "t")


def test_a_change_of_any_file_changes_the_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "config", HERE)
    access = read(path)
    before = access.fingerprint
    assert access.fingerprint == before
    path.write_text(path.read_text() + "\n")
    assert access.fingerprint != before


def test_dates_and_nulls_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    text = yaml.safe_dump(dict(HERE)).replace("token: t", "token: 2026-11-23")
    text += "extensions:\npreferences: {}\n"
    assert read(write(tmp_path / "config", text)).user.token == "2026-11-23"


# --- what can be wrong


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path / "config")
    assert error.reason is Reason.UNREADABLE
    assert f"{tmp_path / 'config'} cannot be read: No such file" in error.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not YAML"),
        ("token: secret: c", "is not YAML (line 1, column 14): mapping values are not allowed"),
        ("\x00", "is not YAML"),
        ("hello", "is not a kubeconfig: Expected `object`, got `str`"),
        ("users: [{name: 1}]", "Expected `str`, got `int` - at `$.users[0].name`"),
        ("contexts: {}", "got `object` - at `$.contexts`"),
        ("clusters: [{cluster: {}}]", "missing required field `name` - at `$.clusters[0]`"),
        ("", "sets no current-context; it has no contexts"),
        ("contexts: [{name: a}, {name: a}]", "has two entries named 'a' in contexts"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, text: str, expected: str) -> None:
    error = refused(write(tmp_path / "config", text))
    assert error.reason is Reason.UNREADABLE
    assert str(tmp_path / "config") in error.message
    assert expected in error.message
    assert "secret" not in error.message


def test_an_unknown_context_lists_the_known(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "config", HERE), "work")
    assert "has no context 'work'; it has: home" in error.message


def test_an_unknown_cluster_is_named(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "config", {**HERE, "clusters": []}))
    assert error.reason is Reason.UNREADABLE
    assert "the cluster 'lab'" in error.message


def test_an_unknown_user_is_named(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "config", {**HERE, "users": []}))
    assert error.reason is Reason.UNAUTHORIZED
    assert "the user 'ops'" in error.message


@pytest.mark.parametrize("server", ["", "lab:6443", "ftp://lab", "https://", "https://lab:port"])
def test_a_server_that_is_no_address_is_named(tmp_path: Path, server: str) -> None:
    clusters: list[Json] = [{"name": "lab", "cluster": {"server": server}}]
    error = refused(write(tmp_path / "config", {**HERE, "clusters": clusters}))
    assert f"the server {server!r}" in error.message


@given(st.text() | st.text("{}[]:-,'\"&*!|>#\n a1", max_size=60))
def test_any_text_is_a_kubeconfig_or_an_api_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(ApiError):
        read(path)


_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "home", "lab", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "context", "cluster", "user", "server", "exec", "token"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(HERE)), _JSON))
def test_any_document_is_a_kubeconfig_or_an_api_error(
    tmp_path: Path, document: dict[str, Json]
) -> None:
    path = write(tmp_path / "config", {**HERE, **document})
    with suppress(ApiError):
        assert read(path).server


# --- in a cluster


def service_account(folder: Path) -> Path:
    for name, text in (("token", "tok"), ("ca.crt", "pem"), ("namespace", "mine\n")):
        (folder / name).write_text(text)
    return folder


POD = {"HOME": str(Path(__file__) / "no folder"), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
"""The environment in a pod, which has no home."""


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    environ = {**POD, "KUBERNETES_SERVICE_PORT": "6443"}
    access = read_access(None, None, environ, service_account(tmp_path))
    assert access.server == "https://10.0.0.1:6443"
    assert access.user.token_file == str(tmp_path / "token")
    assert access.cluster.certificate_authority == str(tmp_path / "ca.crt")
    assert (access.context, access.namespace) == ("", "mine")


def test_a_pod_with_ipv6_uses_brackets(tmp_path: Path) -> None:
    environ = {**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert read_access(None, None, environ, service_account(tmp_path)).server == (
        "https://[fd00::1]:443"
    )


def test_a_kubeconfig_comes_before_the_service_account(tmp_path: Path) -> None:
    environ = {**POD, "KUBECONFIG": str(write(tmp_path / "config", HERE))}
    assert read_access(None, None, environ, service_account(tmp_path)).context == "home"


def test_no_kubeconfig_and_no_pod_is_said(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match=r"There is no kubeconfig: .*/no folder/\.kube/config"):
        read_access(None, None, POD, tmp_path)


def test_a_context_in_a_pod_is_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="There is no context 'x'"):
        read_access(None, "x", POD, service_account(tmp_path))
