"""The console script's first module; installed as the package `ciliscope`.

The wheel keeps `app`, `screens` and `collectors` inside the `ciliscope` folder, so that
site-packages gains one name. This puts that folder first on this process's import path.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the command line and return its exit code."""
    installed = Path(__file__).parent
    if (installed / "collectors").is_dir():
        sys.path.insert(0, str(installed))
    from app.cli.main import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
