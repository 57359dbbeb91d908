"""Every screen looks as it did: text and styles, under each theme, whole and broken clusters.

Where a change is meant, `make pictures` draws them anew; the difference is read like any other.
"""

from __future__ import annotations

import pytest

from tests.pictures import FOLDER, PICTURES, Picture, drawn


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
async def test_the_screens_look_as_they_did(picture: Picture) -> None:
    path = FOLDER / f"{picture.name}.txt"
    assert (await drawn(picture)).splitlines() == path.read_text().splitlines()


def test_no_picture_is_left_over() -> None:
    names = {f"{picture.name}.txt" for picture in PICTURES}
    assert {path.name for path in FOLDER.iterdir()} == names
