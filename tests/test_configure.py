"""`ciliscope config` and `ciliscope info`, as they are typed."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from tests.commands import Done, run_here

FILE = """\
context = "home-ops"
theme = "light"
[poll]
peers = "20s"
[themes]
"prod-*" = "production"
[expect]
enable-hubble = true
"""


def ciliscope(*words: str, **environment: str) -> Done:
    """Run the program to its end; the config file is where the system has it, unless named."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CILISCOPE_")}
    return run_here(words, {**clean, **environment})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return path


def test_path_follows_the_flag_the_variable_and_xdg(tmp_path: Path, file: Path) -> None:
    own = tmp_path / "ciliscope" / "config.toml"
    assert ciliscope("config", "path", XDG_CONFIG_HOME=str(tmp_path)).stdout == f"{own}\n"
    assert ciliscope("config", "path", CILISCOPE_CONFIG=str(file)).stdout == f"{file}\n"
    assert ciliscope("config", "path", "--config", str(file)).stdout == f"{file}\n"


def test_show_tells_what_is_in_force_and_who_set_it_and_is_toml_itself(file: Path) -> None:
    done = ciliscope(
        "config", "show", "--config", str(file), "--ascii", CILISCOPE_STATUS_INTERVAL="1m"
    )
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert f'context = "home-ops"  # {file}: context' in lines
    assert "ascii = true  # --ascii" in lines
    assert 'poll.status = "60s"  # environment variable CILISCOPE_STATUS_INTERVAL' in lines
    assert '# poll.routes = "30s"  # default' in lines
    assert "# and 1 expectations of the cluster, in [expect]" in lines
    document = tomllib.loads(done.stdout)
    assert document["theme"] == "light"
    assert document["poll"] == {"peers": "20s", "status": "60s"}
    assert document["themes"] == {"prod-*": "production"}


def test_validate_says_that_a_file_is_well_formed_or_what_is_wrong_with_it(file: Path) -> None:
    done = ciliscope("config", "validate", "--config", str(file))
    assert done.returncode == 0
    assert "well formed: 3 settings, 1 themes by context, 1 expectations" in done.stdout
    for text, told in (("x = 1", "unknown key x"), ("[expect]\nprofile = 'x'", "profile is 'x'")):
        file.write_text(text)
        done = ciliscope("config", "validate", "--config", str(file))
        assert done.returncode == 2
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_a_file_that_is_not_there_means_the_defaults(tmp_path: Path) -> None:
    done = ciliscope("config", "validate", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "is not there; the defaults are in force" in done.stdout


def test_info_names_versions_and_every_file_and_asks_no_cluster(file: Path) -> None:
    done = ciliscope("info", "--config", str(file), "--cilium", "no-such-program", TERM="vt100")
    assert done.returncode == 0
    facts = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert facts["config file"].strip() == str(file)
    assert "state folder" in facts
    assert facts["cilium command"].strip() == "no-such-program (not found)"
    assert "TERM=vt100" in facts["terminal"]
    assert facts["context"].strip() == "home-ops"
    assert facts["textual"].strip()[0].isdigit()


WRONG = """\
colour = "red"
theme = "pink"
[poll]
peers = ["20s"]
routes = "1s"
[themes]
"prod-*" = "pink"
test = 3
[expect]
profile = "none"
routing-mode = {value = "tunnel", severity = "mild"}
ipam = {}
"""


def test_validate_lists_every_error_and_the_others_count_them(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(WRONG)
    done = ciliscope("config", "validate", "--config", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    places = (
        "unknown key colour",
        "theme is 'pink'",
        "poll.peers is ['20s']",
        "poll.routes is '1s'",
        "themes.prod-* is 'pink'",
        "themes.test is 3",
        "expect.profile is 'none'",
        "expect.routing-mode.severity is 'mild'",
        "expect.ipam has no value",
    )
    for place in places:
        assert sum(place in line for line in lines) == 1, place
    assert len(lines) == len(places)
    assert all(line.startswith("ciliscope: ") and str(path) in line for line in lines)
    for words in (["check"], ["get", "nodes"], ["lab", "--", "check"]):
        short = ciliscope(*words, "--config", str(path)) if "--" not in words else None
        short = short or ciliscope(*words, CILISCOPE_CONFIG=str(path))
        (line,) = short.stderr.splitlines()
        assert short.returncode == 2
        assert line.endswith("(and 8 more; `ciliscope config validate` lists them)"), line


def test_validate_tells_also_what_a_variable_stands_above(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('theme = "pink"\n')
    flags = ("--config", str(path))
    assert ciliscope("config", "show", *flags, CILISCOPE_THEME="dark").returncode == 0
    done = ciliscope("config", "validate", *flags, CILISCOPE_THEME="dark")
    assert done.returncode == 2
    assert "theme is 'pink'" in done.stderr
    one = ciliscope("config", "show", *flags).stderr
    assert "more" not in one


def test_where_toml_tells_the_line_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('theme = "dark"\nascii = maybe\n')
    done = ciliscope("config", "validate", "--config", str(path))
    assert done.stderr.splitlines() == [
        f"ciliscope: config file {path} is not TOML: Invalid value (at line 2, column 9)"
    ]
    path.write_text("a = " + "[" * 50_000)
    deep = ciliscope("config", "validate", "--config", str(path))
    assert deep.stderr.splitlines() == [
        f"ciliscope: config file {path} is not TOML: it nests too deeply"
    ]


def test_what_is_no_text_is_told_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes('theme = "dark"\n# grün\n'.encode("latin-1"))
    told = f"{path} is not UTF-8 text at byte 20 (line 2)"
    for words in (["config", "validate"], ["config", "show"], ["check"]):
        done = ciliscope(*words, "--config", str(path))
        assert (done.returncode, done.stderr) == (2, f"ciliscope: config file {told}\n")
    ignore = ciliscope("check", "--ignore-file", str(path))
    assert (ignore.returncode, ignore.stderr) == (2, f"ciliscope: ignore file {told}\n")
