"""Every screen that has a key and words: found by the `PLACE` that its module ends in."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

import screens
from screens.base.cluster_screen import Place


@cache
def places() -> tuple[Place, ...]:
    """The places of `screens/NAME.py` and `screens/NAME/screen.py`, in the order of their keys.

    Imports every screen, so nothing asks for them before the first frame.
    """
    found: list[Place] = []
    for each in iter_modules(screens.__path__, "screens."):
        name = f"{each.name}.screen" if each.ispkg else each.name
        if find_spec(name) is not None:
            place = getattr(import_module(name), "PLACE", None)
            found += [place] if isinstance(place, Place) else []
    return tuple(sorted(found, key=lambda place: int(place.key.removeprefix("f"))))
