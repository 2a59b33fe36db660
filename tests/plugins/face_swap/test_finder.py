"""Faces are found, numbered and measured by the real networks, on drawn faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from plugins.face_swap.faces import finder, mesh, networks
from plugins.face_swap.faces.networks import FaceNetworks
from studio.core.errors import BadInput
from tests.plugins.face_swap.drawn_faces import draw_face, draw_group

EYES = np.array([[0.415, 0.478], [0.585, 0.478]])
"""Where `draw_face` draws the eyes, relative to the size."""


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image, np.uint8)


def find_one(loaded: FaceNetworks, image: Image.Image) -> finder.Face:
    (face,) = finder.find_faces(loaded, to_array(image))
    return face


def test_a_face_is_found_with_its_eyes_and_pose(face_networks: FaceNetworks) -> None:
    face = find_one(face_networks, draw_face(400))
    assert np.abs(mesh.eye_centers(face.points) - EYES * 400).max() < 0.05 * face.eye_distance
    assert abs(face.pose.yaw) < 5
    assert abs(face.pose.roll) < 3
    assert face.confidence > 0.99
    assert face.outside == 0
    assert face.occlusion < 0.1


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_faces_have_their_eyes_on_the_right_sides(face_networks: FaceNetworks, degrees: int) -> None:
    face = find_one(face_networks, draw_face(400).rotate(degrees))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = ((EYES - 0.5) @ turn + 0.5) * 400
    assert np.abs(mesh.eye_centers(face.points) - expected).max() < 0.15 * face.eye_distance


def test_faces_are_numbered_in_reading_order(face_networks: FaceNetworks) -> None:
    row = draw_group(["#d9a58a", "#8a5a40", "#f0c8b0"], 240)
    page = Image.new("RGB", (row.width, 500))
    page.paste(row, (0, 0))
    page.paste(row.crop((0, 0, 480, 240)), (100, 260))
    faces = finder.find_faces(face_networks, to_array(page))
    assert [face.number for face in faces] == [1, 2, 3, 4, 5]
    assert [face.top < 250 for face in faces] == [True, True, True, False, False]
    assert [face.left for face in faces[:3]] == sorted(face.left for face in faces[:3])
    assert len(finder.find_faces(face_networks, to_array(page), 2)) == 2


def test_small_faces_are_found_in_tiles(face_networks: FaceNetworks) -> None:
    page = Image.new("RGB", (1200, 900), "#707a70")
    page.paste(draw_face(60), (1000, 700))
    face = find_one(face_networks, page)
    assert (face.left + face.right) / 2 == pytest.approx(1030, abs=6)


def test_blur_lowers_the_sharpness_and_a_bar_is_an_occlusion(face_networks: FaceNetworks) -> None:
    image = draw_face(400)
    face = find_one(face_networks, image)
    blurred = find_one(face_networks, image.filter(ImageFilter.GaussianBlur(6)))
    assert blurred.sharpness < 0.5 * face.sharpness
    covered = image.copy()
    covered.paste("#2040c0", (120, 265, 290, 300))
    assert find_one(face_networks, covered).occlusion > face.occlusion + 0.1


def test_a_face_at_the_border_is_partly_outside(face_networks: FaceNetworks) -> None:
    cut = draw_face(400).crop((180, 0, 400, 400))
    faces = finder.find_faces(face_networks, to_array(cut))
    assert all(face.outside > 0.1 for face in faces)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (300, 200)])
def test_an_image_without_faces_has_none(face_networks: FaceNetworks, size: tuple[int, int]) -> None:
    assert finder.find_faces(face_networks, to_array(Image.new("RGB", size, "#3a6a4a"))) == []


def test_files_that_are_no_networks_are_refused(tmp_path: Path) -> None:
    for name, _ in (networks.DETECTOR, networks.MESH, networks.IRIS):
        (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="studio models verify face-detection"):
        networks.open_networks(tmp_path)
