"""Preprocessors draw edges where the image has edges, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from plugins.diffusion.modifiers import control_maps
from plugins.diffusion.modifiers.control_maps import Preprocessor
from plugins.diffusion.tools.control_map import ControlMap
from studio import api, testing

LINES: tuple[Preprocessor, ...] = ("canny", "soft_edges", "scribble")
PREPROCESSORS: tuple[Preprocessor, ...] = get_args(Preprocessor)


def square(side: int = 128) -> np.ndarray:
    """Draw an orange square on blue, from a quarter to three quarters of the sides."""
    pixels = np.full((side, side, 3), (30, 60, 160), np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = (230, 140, 40)
    return pixels


def outline(side: int = 128, width: int = 9) -> np.ndarray:
    """Mark the pixels where a control map of the square may be white."""
    inside = np.zeros((side, side), np.uint8)
    inside[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    return cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((width, width), np.uint8)) > 0


def is_within_a_pixel(lines: np.ndarray, others: np.ndarray) -> bool:
    """Check that all bright pixels of one are bright in the other, give or take a pixel."""
    wide = cv2.dilate(np.ascontiguousarray(others[..., 0]), np.ones((3, 3), np.uint8))
    return bool((wide[lines[..., 0] > 160] > 100).all())


@pytest.mark.parametrize("preprocessor", PREPROCESSORS)
@pytest.mark.parametrize("shape", [(128, 96), (37, 61), (1, 5)])
def test_a_control_map_has_the_same_size_and_the_source_is_unchanged(
    preprocessor: Preprocessor, shape: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    before = pixels.copy()
    made = control_maps.make_control_map(preprocessor, pixels)
    assert (made.shape, made.dtype) == (pixels.shape, np.uint8)
    assert (pixels == before).all()


@pytest.mark.parametrize("preprocessor", LINES)
def test_lines_are_drawn_on_the_edges_only(preprocessor: Preprocessor) -> None:
    made = control_maps.make_control_map(preprocessor, square())
    near = outline(width=21)
    assert not made[~near].any()
    row, column = made[64, :, 0], made[:, 64, 0]
    for line in (row, column):
        assert line[28:37].max() > 128
        assert line[92:101].max() > 128


@pytest.mark.parametrize("preprocessor", LINES)
@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_flat_image_gives_an_empty_control_map(preprocessor: Preprocessor, value: int) -> None:
    assert not control_maps.make_control_map(preprocessor, np.full((64, 64, 3), value, np.uint8)).any()


@pytest.mark.parametrize("preprocessor", LINES)
def test_inverted_mirrored_and_rotated_images_have_the_same_edges(preprocessor: Preprocessor) -> None:
    made = control_maps.make_control_map(preprocessor, square())
    others = (
        control_maps.make_control_map(preprocessor, 255 - square()),
        control_maps.make_control_map(preprocessor, square()[:, ::-1].copy())[:, ::-1],
        np.rot90(control_maps.make_control_map(preprocessor, np.rot90(square()).copy()), -1),
    )
    for other in others:
        assert is_within_a_pixel(made, other)
        assert is_within_a_pixel(other, made)


def test_soft_edges_are_grey_and_the_others_black_and_white() -> None:
    assert set(np.unique(control_maps.draw_canny_edges(square()))) == {0, 255}
    assert set(np.unique(control_maps.draw_scribble(square()))) == {0, 255}
    assert len(np.unique(control_maps.draw_soft_edges(square()))) > 20


def test_scribbles_are_thicker_than_canny_edges() -> None:
    assert control_maps.draw_scribble(square()).mean() > 1.5 * control_maps.draw_canny_edges(square()).mean()


def test_faint_edges_are_fainter_in_soft_edges_and_missing_in_a_scribble() -> None:
    faint = (square() // 12 + 100).astype(np.uint8)
    assert 0 < control_maps.draw_soft_edges(faint).max() < 0.8 * control_maps.draw_soft_edges(square()).max()
    assert not control_maps.draw_scribble(faint).any()


@pytest.mark.parametrize("preprocessor", LINES)
def test_more_detail_draws_more(preprocessor: Preprocessor) -> None:
    noisy = np.random.default_rng(1).normal(128, 90, (96, 96, 3)).clip(0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(noisy, (0, 0), 1.5)
    low, high = (control_maps.make_control_map(preprocessor, blurred, detail).mean() for detail in (0.1, 0.9))
    assert low < high


@pytest.mark.parametrize("preprocessor", ["blur", "tile"])
def test_blur_and_tile_keep_colours_and_lose_detail(preprocessor: Preprocessor) -> None:
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    made = control_maps.make_control_map(preprocessor, np.repeat(board[..., None], 3, axis=2))
    assert abs(made.astype(int) - 127.5).max() < 40
    kept = control_maps.make_control_map(preprocessor, square())
    assert abs(kept[64, 64].astype(int) - (230, 140, 40)).max() < 4
    flat = np.full((40, 24, 3), (10, 200, 90), np.uint8)
    assert (control_maps.make_control_map(preprocessor, flat) == flat).all()


def test_the_preprocessor_is_guessed_from_the_name() -> None:
    wanted = {
        "control_v11p_sd15_canny": "canny",
        "controlnet-canny-sdxl-1.0": "canny",
        "control_v11p_sd15_softedge": "soft_edges",
        "sd-controlnet-hed": "soft_edges",
        "control_v11p_sd15_scribble": "scribble",
        "control_v11f1e_sd15_tile": "tile",
        "sd3.5_large_controlnet_blur": "blur",
        "control_v11p_sd15_openpose": "as_it_is",
        "control_v11f1p_sd15_depth": "as_it_is",
    }
    assert {name: control_maps.guess_preprocessor(name) for name in wanted} == wanted


def test_control_maps_are_told_from_photos() -> None:
    assert control_maps.is_control_map(control_maps.draw_canny_edges(square()))
    assert control_maps.is_control_map(control_maps.draw_soft_edges(square()))
    assert not control_maps.is_control_map(square())
    assert not control_maps.is_control_map(control_maps.invert(control_maps.draw_canny_edges(square())))


def test_the_tool_draws_live(tmp_path: Path) -> None:
    Image.fromarray(square()).save(tmp_path / "square.png")
    testing.check_tool(ControlMap, {"image": tmp_path / "square.png"})
    (made,) = testing.results(testing.run(ControlMap, image=tmp_path / "square.png", guide="scribble"))
    assert isinstance(made, api.Image)
    assert (np.asarray(made.picture) == control_maps.draw_scribble(square())).all()
