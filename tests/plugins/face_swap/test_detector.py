"""Decoding of the detector's outputs, tiles, and merging of candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from plugins.face_swap.faces import detector
from plugins.face_swap.faces.detector import Detection


class OneFace:
    """A detector that finds one face at an anchor, with a box of a quarter of the image."""

    def __init__(self, anchor: int, score: float = 0.9) -> None:
        self.anchor, self.score = anchor, score
        self.inputs: list[NDArray[np.float32]] = []

    def __call__(self, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self.inputs.append(image)
        raw = np.zeros((896, 16), np.float32)
        raw[self.anchor, 2:4] = 64
        raw[self.anchor, 4:8] = (-10, -5, 10, -5)
        logits = np.full(896, -100, np.float32)
        logits[self.anchor] = np.log(self.score / (1 - self.score))
        return [raw.ravel(), logits]


def make_detection(left: float, top: float, side: float, score: float = 0.9, level: int = 0) -> Detection:
    return Detection(score, left, top, left + side, top + side, np.zeros((6, 2), np.float32), level)


def test_anchors_are_two_on_a_fine_and_six_on_a_coarse_grid() -> None:
    anchors = detector._build_anchors()
    assert anchors.shape == (896, 2)
    np.testing.assert_allclose(anchors[[0, 1, 2, 32]], [[1 / 32, 1 / 32]] * 2 + [[3 / 32, 1 / 32], [1 / 32, 3 / 32]])
    np.testing.assert_allclose(anchors[[512, 517, 518]], [[1 / 16, 1 / 16]] * 2 + [[3 / 16, 1 / 16]])


@pytest.mark.parametrize(("height", "width"), [(256, 256), (512, 1024), (90, 60)])
def test_a_detection_is_in_pixels_of_the_image(height: int, width: int) -> None:
    network = OneFace(512 + 6 * (8 * 4 + 4))
    (found,) = detector.detect(network, np.zeros((height, width, 3), np.uint8))
    scale = max(height, width) / 256
    center = np.array([width, height]) / 2 + 16 * scale
    assert ((found.left + found.right) / 2, (found.top + found.bottom) / 2) == pytest.approx(center, abs=scale)
    assert (found.width, found.height) == pytest.approx((64 * scale, 64 * scale))
    assert found.points[1] - found.points[0] == pytest.approx((20 * scale, 0))
    assert network.inputs[0].shape == (256, 256, 3)


def test_uncertain_candidates_are_dropped() -> None:
    assert detector.detect(OneFace(7, score=0.3), np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize(("height", "width"), [(1000, 1000), (300, 2000), (7, 5)])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_tiles_cover_the_image_and_overlap(height: int, width: int, level: int) -> None:
    covered = np.zeros((height, width), int)
    for top, left, side in detector.list_tiles(height, width, level):
        assert side == max(1, round(max(height, width) / 2**level))
        covered[top : top + side, left : left + side] += 1
    assert covered.min() >= 1


def test_the_same_face_of_two_levels_is_kept_once_from_the_coarser() -> None:
    whole, tile = make_detection(100, 100, 50, 0.6), make_detection(104, 98, 52, 0.95, level=1)
    nose = make_detection(118, 118, 12, 0.9, level=1)
    other = make_detection(300, 100, 50, 0.7, level=1)
    assert detector.merge([tile, nose, whole, other]) == [other, whole]


def test_overlapping_candidates_become_their_weighted_mean() -> None:
    one, other = make_detection(0, 0, 100, 0.8), make_detection(10, 0, 100, 0.4)
    (merged,) = detector._suppress([replace(other), one])
    assert merged.left == pytest.approx(10 / 3)
    assert merged.score == 0.8
