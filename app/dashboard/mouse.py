"""The mouse of a running terminal: off, so that the terminal can select, until it is asked for."""

from __future__ import annotations

from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver


def use_mouse(driver: Driver | None, *, on: bool) -> bool:
    """Ask the terminal for its mouse, or give it back; False where it has none to give."""
    if not isinstance(driver, LinuxDriver):
        return False
    # The driver asks and gives back only while it is to use the mouse, also when it ends.
    driver._mouse = True
    if on:
        driver._enable_mouse_support()
    else:
        driver._disable_mouse_support()
    driver._mouse = on
    return True
