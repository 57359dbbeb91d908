"""`python -m ciliscope` from an installed wheel, `python -m app` from a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

if (Path(__file__).parent / "collectors").is_dir():
    sys.path.insert(0, str(Path(__file__).parent))

from app.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
