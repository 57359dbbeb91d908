"""What is around every screen alike and outlives each of them, and each cluster."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Frame:
    """How the screens are framed; they all share one."""

    history: list[str] = field(default_factory=list)
    """The commands entered on any screen, newest first."""
    filters: list[str] = field(default_factory=list)
    """The filters entered on any screen, newest first."""
    crumbs: bool = True
    """Whether the title tells the way to the selected object, where that fits."""
    frozen: str = ""
    """For how long the picture has stood still, `00:41`; "" while it is live."""
