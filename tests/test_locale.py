"""Which locales can show more than ASCII, whatever Python has made of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.config.settings import speaks_utf8, started_with


@pytest.mark.parametrize(
    ("environment", "utf8"),
    [
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LC_CTYPE": "UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "en_US.ISO-8859-1"}, False),
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "POSIX"}, False),
        ({"LC_ALL": "", "LANG": "C.UTF-8"}, True),
        ({}, False),
    ],
)
def test_the_first_variable_that_is_set_decides(environment: dict[str, str], utf8: bool) -> None:
    assert speaks_utf8(environment) is utf8


@pytest.mark.parametrize(
    ("environment", "ascii_only"),
    [
        ({}, "True"),
        ({"LANG": "C"}, "True"),
        ({"LC_ALL": "C"}, "True"),
        ({"LANG": "C.UTF-8"}, "False"),
        ({"LC_ALL": "C.UTF-8"}, "False"),
    ],
)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells")
def test_python_making_utf_8_of_the_c_locale_changes_nothing(
    environment: dict[str, str], ascii_only: str
) -> None:
    code = "from app.config.settings import Settings; print(Settings().ascii_only)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ascii_only


def test_where_nothing_tells_how_it_was_started_the_environment_stands(tmp_path: Path) -> None:
    environment = {"LC_CTYPE": "C.UTF-8"}
    assert started_with(environment, tmp_path / "none") == environment
