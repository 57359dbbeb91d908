"""The command line as a script uses it: words and an environment in; output and exit code out.

`ciliscope` runs it in the test's process, where a lab of `tests.lab_asked` may be its cluster.
What only a process can show is seen in `test_processes`, and that both come to the same.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from app.cli.main import main
from tests.lab_asked import Lab, asking

ROOT = Path(__file__).parent.parent

Done = subprocess.CompletedProcess[str]


def pointing_at(lab: Lab) -> dict[str, str]:
    """The environment in which a lab is the cluster."""
    told = {"KUBECONFIG": str(lab.kubeconfig), "CILISCOPE_CILIUM": str(lab.cilium)}
    return told if lab.at is None else {**told, "CILISCOPE_AT": lab.at.isoformat()}


def environment(**more: str) -> dict[str, str]:
    """This process's, without what names a cluster or sets anything; no config file; and more."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CILISCOPE_", "KUBECONFIG"))}
    return {**clean, "CILISCOPE_CONFIG": os.devnull, "PYTHONPATH": str(ROOT), **more}


def ciliscope(*words: str, **more: str) -> Done:
    """Run the program to its end, in this process."""
    return run_here(words, environment(**more))


def run_here(words: Sequence[str], variables: Mapping[str, str], folder: Path = ROOT) -> Done:
    """The same with exactly these environment variables, in a folder."""
    encoding = variables.get("PYTHONIOENCODING", "utf-8")
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    err = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace")
    with (
        open(os.devnull) as nothing,
        patch.dict(os.environ, {"COLUMNS": "80", **variables}, clear=True),
        patch.object(sys, "stdin", nothing),
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(err),
        asking(),
    ):
        code = main(words)
    return Done([*words], code, _written(out), _written(err))


def run_process(words: Sequence[str], variables: Mapping[str, str], folder: Path = ROOT) -> Done:
    """The same by a process."""
    return subprocess.run(
        [sys.executable, "-m", "app", *words],
        env=variables,
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
    )


def _written(stream: io.TextIOWrapper[io.BytesIO]) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()
