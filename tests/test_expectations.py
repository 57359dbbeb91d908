"""What is expected of the configuration, from a file or a profile, and how to get it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config.config_file import SettingsError
from app.config.expected_settings import PROFILES, ExpectedSetting, expectations
from app.diagnosis.rules.configuration import RULES
from tests.diagnosed import diagnosed
from tests.recorded import snapshot_of


def written(folder: Path, text: str) -> Path:
    file = folder / "expect.toml"
    file.write_text(text, "utf-8")
    return file


def test_nothing_is_expected_where_nothing_is_said(tmp_path: Path) -> None:
    assert expectations(path=tmp_path / "none.toml") == ()
    assert expectations(path=written(tmp_path, 'context = "home"\n')) == ()


def test_the_config_file_says_what_is_expected(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        context = "home"
        [expect]
        enable-lb-ipam = true
        cluster-pool-ipv4-mask-size = 24
        cluster-pool-ipv4-cidr = ["10.244.0.0/16", "10.245.0.0/16"]
        routing-mode = "*"
        bpf-lb-acceleration = {value = "disabled", severity = "warn"}
        """,
    )
    place = f"{file}: expect."
    wanted = (
        ExpectedSetting("bpf-lb-acceleration", "disabled", True, f"{place}bpf-lb-acceleration"),
        ExpectedSetting(
            "cluster-pool-ipv4-cidr",
            "10.244.0.0/16 10.245.0.0/16",
            place=f"{place}cluster-pool-ipv4-cidr",
        ),
        ExpectedSetting(
            "cluster-pool-ipv4-mask-size", "24", place=f"{place}cluster-pool-ipv4-mask-size"
        ),
        ExpectedSetting("enable-lb-ipam", "true", place=f"{place}enable-lb-ipam"),
        ExpectedSetting("routing-mode", "*", place=f"{place}routing-mode"),
    )
    assert expectations(path=file) == wanted
    assert expectations(environment={"CILISCOPE_CONFIG": str(file)}) == wanted


def test_a_flag_names_a_profile_or_a_file_and_wins(tmp_path: Path) -> None:
    config = written(tmp_path, "[expect]\nipam = 'kubernetes'\n")
    profile = expectations("bgp-loadbalancer", path=config)
    assert {each.key: each.value for each in profile} == PROFILES["bgp-loadbalancer"]
    assert {each.place for each in profile} == {"profile bgp-loadbalancer"}
    named = tmp_path / "other.toml"
    named.write_text("[expect]\nipam = 'multi-pool'\n")
    assert [each.value for each in expectations(str(named), path=config)] == ["multi-pool"]


def test_a_file_may_begin_with_a_profile(tmp_path: Path) -> None:
    text = "[expect]\nprofile = 'bgp-loadbalancer'\nenable-ipv6 = {value = false}\n"
    found = {each.key: each for each in expectations(str(written(tmp_path, text)))}
    assert set(found) == set(PROFILES["bgp-loadbalancer"])
    assert found["enable-ipv6"].value == "false"
    assert found["enable-ipv6"].place.endswith("expect.enable-ipv6")
    assert found["ipam"].place.startswith("profile bgp-loadbalancer of ")


MISTAKES = [
    ("[expect", "is not TOML"),
    ("[expect]\na = 1.5", "expect.a is 1.5; it must be a text, true or false"),
    ("[expect]\na = []", "expect.a is []; it must be a text, true or false"),
    ("[expect]\na = [['x']]", "expect.a is ['x']; it must be"),
    ("[expect]\na = {severity = 'warn'}", "expect.a has no value; it must be"),
    ("[expect]\na = {value = 1, level = 2}", "expect.a has 'level'; it may have value and"),
    (
        "[expect]\na = {value = 1, severity = 'info'}",
        "expect.a.severity is 'info'; it must be fail or warn",
    ),
    ("[expect]\na = {value = {x = 1}}", "expect.a.value is {'x': 1}; it must be"),
    ("[expect]\nprofile = 'x'", "expect.profile is 'x'; it must be one of bgp-loadbalancer"),
    ("[expect]\nprofile = ['x']", "expect.profile is ['x']; it must be one of bgp-loadbalancer"),
    ("expect = 1", "expect is 1; it must be a table of settings"),
    ("context = 'x'\n[expect]", "has context, expect; it must have the table [expect]"),
    ("", "has nothing; it must have the table [expect]"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_every_mistake_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as problem:
        expectations(str(file))
    assert words in str(problem.value)
    assert str(file) in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"a built-in profile .bgp-loadbalancer. or a file"):
        expectations(str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        expectations(str(tmp_path))
    bad = tmp_path / "bytes.toml"
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not UTF-8 text at byte 1"):
        expectations(str(bad))


async def test_the_profile_judges_a_cluster() -> None:
    wanted = expectations("bgp-loadbalancer")
    found = diagnosed(await snapshot_of("healthy"), RULES, wanted)
    assert {f.detail for f in found if f.root} == {"ipam"}
    # Without a cluster pool there is none whose CIDRs could be other ones.
    assert {f.detail for f in found if not f.root} == {
        "cluster-pool-ipv4-cidr",
        "cluster-pool-ipv6-cidr",
    }
    assert {(f.code, f.severity) for f in found} == {("CS701", "fail")}
