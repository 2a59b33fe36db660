"""The tool that finds faces, as an artist uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.face_swap import studio_tools
from plugins.face_swap.tools.find import FindFaces
from studio import api, testing
from studio.core.paths import Home
from tests.plugins.face_swap.drawn_faces import draw_face, draw_group


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "group.png"
    draw_group(["#d9a58a", "#8a5a40"], 200).save(path)
    return path


def test_the_plugin_follows_the_rules() -> None:
    testing.check_plugin(studio_tools())
    testing.check_light_import("plugins.face_swap")


def test_faces_are_drawn_and_noted(face_home: Home, photo: Path) -> None:
    testing.check_tool(FindFaces, {"image": photo})
    events = testing.run(FindFaces, image=photo, mesh=True)
    (image,) = testing.results(events)
    assert isinstance(image, api.Image)
    assert [face["number"] for face in image.notes["faces"]] == [1, 2]
    assert {"box", "yaw", "pitch", "roll", "size", "sharpness", "occlusion", "landmarks"} <= set(
        image.notes["faces"][0]
    )
    assert (np.asarray(image.picture) != np.asarray(Image.open(photo))).any()
    notices = [event.text for event in events if isinstance(event, api.Notice)]
    assert notices == [notices[0]]
    assert notices[0].startswith("Face 1: ")


def test_a_rotated_phone_photo_is_turned_upright(face_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_face(300).rotate(90).save(path, exif=exif)
    (image,) = testing.results(testing.run(FindFaces, image=path))
    assert isinstance(image, api.Image)
    assert abs(image.notes["faces"][0]["roll"]) < 5


def test_an_image_without_a_face_says_so(face_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    Image.new("RGB", (64, 64), "#304050").save(path)
    events = testing.run(FindFaces, image=path)
    assert "No face was found." in [event.text for event in events if isinstance(event, api.Notice)]


def test_without_the_model_package_the_command_is_named(home: Home, photo: Path) -> None:
    with pytest.raises(api.BadInput, match=r"Get it .* with `studio models get face-detection`"):
        testing.run(FindFaces, image=photo)
