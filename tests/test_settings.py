"""Settings come from flags, environment and file, in that order, and errors name the place."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.config_file import SettingsError
from app.config.settings import OPTIONS, Settings, load, parse_duration


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, "utf-8")
    return path


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    environment = {"CILISCOPE_CONFIG": str(write(tmp_path, ""))}
    assert load({}, environment) == Settings()


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'context = "file"\n[cilium]\nnamespace = "file"\nprogram = "file"\n')
    environment = {"CILISCOPE_NAMESPACE": "environment", "CILISCOPE_CONTEXT": "environment"}
    settings = load({"context": "flag"}, environment, path)
    assert settings.context == "flag"
    assert settings.namespace == "environment"
    assert settings.cilium == "file"


def test_every_setting_can_stand_in_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'kubeconfig = "k"\ncontext = "c"\nascii = true\nat = 2026-11-23T04:48:42Z\n'
        'theme = "Light"\nmouse = true\nclipboard = "file"\n[themes]\n"prod-*" = "production"\n'
        '[cilium]\nnamespace = "n"\nprogram = "p"\nenabled = false\n'
        '[poll]\npeers = "20s"\nstatus = 60\nroutes = "1m"\n',
    )
    assert load({}, {}, path) == Settings(
        kubeconfig="k",
        context="c",
        namespace="n",
        cilium="p",
        cli=False,
        peers_interval=20.0,
        status_interval=60.0,
        routes_interval=60.0,
        ascii=True,
        theme="light",
        themes={"prod-*": "production"},
        mouse=True,
        clipboard="file",
        at=datetime(2026, 11, 23, 4, 48, 42, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("contxt = 'a'", "unknown key contxt; did you mean context?"),
        ("theme = 'pink'", "theme is 'pink'; it must be auto, dark"),
        ("[themes]\nprod = 'pink'", "themes.prod is 'pink'; it must be dark, light"),
        ("themes = 'dark'", "themes is 'dark'; it must be a table"),
        ("clipboard = 'x11'", "clipboard is 'x11'; it must be auto, osc52, file"),
        ("[poll]\npeers = '1s'", "poll.peers is '1s'; it must be a duration of at least 5s"),
        ("[poll]\npeers = true", "poll.peers is 'True'"),
        ("[cilium]\nenabled = 'perhaps'", "cilium.enabled is 'perhaps'; it must be true or false"),
        ("at = 'noon'", "at is 'noon'; it must be a time"),
        ("context = ''", "context is ''"),
        ("context = ", "is not TOML"),
        ("context = ['a']", "context is ['a']"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence_with_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load({}, {}, path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_signs_are_ascii_where_the_locale_is_not_utf_8_and_nothing_else_is_said() -> None:
    assert Settings(ascii=True).ascii_only
    assert not Settings(ascii=False).ascii_only


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load({}, {}, tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="does not exist"):
        load({}, {"CILISCOPE_CONFIG": str(tmp_path / "none.toml")})


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="environment variable CILISCOPE_CLI is 'x'"):
        load({}, {"CILISCOPE_CLI": "x", "CILISCOPE_CONFIG": "/dev/null"})


def test_a_folder_is_no_config_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load({}, {}, tmp_path)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) >= 0


@given(st.text(max_size=30), st.sampled_from([option.field for option in OPTIONS]))
def test_any_text_for_any_setting_is_taken_or_refused(text: str, name: str) -> None:
    with suppress(SettingsError):
        load({name: text}, {"CILISCOPE_CONFIG": "/dev/null"})


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_config_file_or_refused_in_plain_words(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.toml")
        file.write_bytes(raw)
        refusal = ""
        try:
            load({}, {}, file)
        except SettingsError as problem:
            refusal = str(problem)
        assert "codec" not in refusal
        assert not refusal or str(file) in refusal
