"""`ciliscope config` and `ciliscope info`, as they are typed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


def ciliscope(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CILISCOPE_")}
    return subprocess.run(
        [sys.executable, "-m", "app", *words],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


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
