"""The parts of a swap: triangulation, warp, colours, masks, blending, mapping and checks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plugins.face_swap.faces import finder
from plugins.face_swap.faces.finder import Face
from plugins.face_swap.faces.networks import FaceNetworks
from plugins.face_swap.swapping import blending, checks, colour, label, mapping, masks, swap, warp
from studio.core.errors import BadInput
from tests.plugins.face_swap.drawn_faces import draw_face

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def light(face_networks: FaceNetworks) -> tuple[NDArray[np.uint8], Face]:
    return find(face_networks, draw_face(300))


@pytest.fixture(scope="module")
def dark(face_networks: FaceNetworks) -> tuple[NDArray[np.uint8], Face]:
    return find(face_networks, draw_face(400, skin="#8a5a40", eyes="#20a040"))


def find(loaded: FaceNetworks, picture: Image.Image) -> tuple[NDArray[np.uint8], Face]:
    image = np.asarray(picture, np.uint8)
    (face,) = finder.find_faces(loaded, image)
    return image, face


def test_the_triangles_use_all_points_and_are_wound_alike(light: tuple[NDArray[np.uint8], Face]) -> None:
    triangles = warp.load_triangles()
    assert triangles.shape == (897, 3)
    assert set(triangles.ravel().tolist()) == set(range(468))
    corners = light[1].points[triangles, :2]
    (first, second) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    areas = first[0] * second[1] - first[1] * second[0]
    assert (areas > 0).mean() > 0.95


def test_a_face_warped_onto_itself_is_itself(light: tuple[NDArray[np.uint8], Face]) -> None:
    image, face = light
    warped, covered = warp.warp_face(image, face.points, face.points, *image.shape[:2])
    assert covered.mean() > 0.1
    np.testing.assert_allclose(warped[covered], image[covered] / 255, atol=1.5 / 255)


def test_a_shifted_and_enlarged_mesh_moves_the_face(light: tuple[NDArray[np.uint8], Face]) -> None:
    image, face = light
    points = face.points * 1.5 + (20, 10, 0)
    warped, covered = warp.warp_face(image, face.points, points.astype(np.float32), 500, 500)
    expected = np.asarray(Image.fromarray(image).resize((450, 450), Image.Resampling.BICUBIC), np.float32) / 255
    moved = np.zeros((500, 500, 3), np.float32)
    moved[10:460, 20:470] = expected
    assert np.abs(warped - moved)[covered].mean() < 0.01


def test_the_nearer_triangles_hide_the_far_ones(light: tuple[NDArray[np.uint8], Face]) -> None:
    face = light[1]
    middle = float(face.points[1, 0])
    sides = np.zeros_like(light[0])
    sides[:, int(middle) :] = 255
    is_left = face.points[:, 0] <= middle
    folded = face.points.copy()
    folded[:, 0] = np.minimum(folded[:, 0], 2 * middle - folded[:, 0])
    shown = []
    for near in (is_left, ~is_left):
        folded[:, 2] = np.where(near, -100, 100)
        warped, covered = warp.warp_face(sides, face.points, folded, *sides.shape[:2])
        covered[:, int(middle) - 8 :] = False
        shown.append(float(warped[covered].mean()))
    assert shown[0] < 0.1
    assert shown[1] > 0.9


def test_covariance_gives_mean_and_covariance_of_the_target() -> None:
    own = RANDOM.normal(0.45, 0.05, (64, 64, 3)).clip(0, 1).astype(np.float32)
    wanted = (RANDOM.normal(0.55, 0.06, (64, 64, 3)) * (1.0, 0.8, 0.7)).clip(0, 1).astype(np.float32)
    everywhere = np.ones((64, 64), np.bool_)
    for method in ("covariance", "histogram"):
        fitted = colour.match_colours(own, everywhere, wanted, everywhere, method)
        np.testing.assert_allclose(fitted.mean((0, 1)), wanted.mean((0, 1)), atol=0.01)
    assert colour.match_colours(own, everywhere, wanted, everywhere, "none") is own
    assert colour.match_colours(own, ~everywhere, wanted, everywhere, "covariance") is own


@pytest.mark.parametrize("method", ["covariance", "histogram"])
def test_dark_colours_get_no_strange_hues(method: colour.ColourMethod) -> None:
    own = np.full((40, 40, 3), (0.8, 0.62, 0.5), np.float32) + RANDOM.normal(0, 0.02, (40, 40, 1)).astype(np.float32)
    skin = np.ones((40, 40), np.bool_)
    own[:6] = (0.4, 0.5, 0.7)
    skin[:6] = False
    wanted = np.full((40, 40, 3), (0.2, 0.14, 0.05), np.float32) + RANDOM.normal(0, 0.02, (40, 40, 1)).astype(
        np.float32
    )
    fitted = colour.match_colours(own, skin, wanted.clip(0, 1), np.ones_like(skin), method)
    assert (fitted[..., 2] - fitted[..., 0]).max() < 0.1


def test_the_transport_maps_one_covariance_to_the_other_within_limits() -> None:
    own, wanted = np.diag([4.0, 9.0, 16.0]), np.diag([9.0, 9.0, 9.0])
    transport = colour.compute_transport(own, wanted)
    np.testing.assert_allclose(transport @ own @ transport.T, wanted, rtol=0.02)
    assert np.linalg.eigvalsh(colour.compute_transport(own, wanted * 1000)).max() <= colour.MAX_GAIN + 1e-9


def test_the_mask_lies_inside_of_the_mesh_and_keeps_eyes_and_mouth(light: tuple[NDArray[np.uint8], Face]) -> None:
    image, face = light
    size = image.shape[:2]
    whole = masks.build_face_mask(face.points, *size, erode=0.1, feather=0, keep_eyes=False, keep_mouth=False)
    covered = warp.warp_face(image, face.points, face.points, *size)[1]
    assert not (whole.astype(bool) & ~covered).any()
    kept = masks.build_face_mask(face.points, *size, erode=0.1, feather=0, keep_eyes=True, keep_mouth=True)
    assert kept.sum() < whole.sum()
    eye_x, eye_y = np.rint(face.points[[33, 133], :2].mean(0)).astype(int)
    assert (whole[eye_y, eye_x], kept[eye_y, eye_x]) == (1, 0)


@pytest.mark.parametrize("method", ["multiband", "poisson", "alpha"])
def test_blending_changes_the_inside_and_keeps_the_outside(method: blending.BlendMethod) -> None:
    image = np.full((96, 80, 3), 0.3, np.float32)
    face = np.full((96, 80, 3), 0.6, np.float32)
    face[40:50, 30:50] = 0.9
    mask = np.zeros((96, 80), np.float32)
    mask[20:76, 16:64] = 1
    before = mask.copy()
    results = [blending.blend(image, face, mask, method) for _ in range(2)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(mask, before)
    assert results[0][45, 40].mean() > results[0][70, 40].mean() + 0.1
    np.testing.assert_allclose(results[0][:4], image[:4], atol=0.01)
    np.testing.assert_allclose(blending.blend(image, face, np.zeros_like(mask), method), image, atol=0.005)


def test_poisson_works_at_the_border() -> None:
    image, face = (np.full((40, 40, 3), value, np.float32) for value in (0.2, 0.7))
    blended = blending.blend(image, face, np.ones((40, 40), np.float32), "poisson")
    assert blended.shape == image.shape


def test_a_swap_brings_the_eyes_and_keeps_skin_and_surroundings(
    light: tuple[NDArray[np.uint8], Face], dark: tuple[NDArray[np.uint8], Face]
) -> None:
    (target, face), (source, other) = light, dark
    swapped = swap.swap_face(target, face.points, source, other.points, swap.SwapOptions())
    x, y = 0.415 * 300 - 4, 0.478 * 300
    iris = swapped[int(y), int(x)].astype(int)
    assert iris[1] > iris[2]
    assert target[int(y), int(x)].astype(int)[2] > target[int(y), int(x)].astype(int)[1]
    cheek = int(0.6 * 300), int(0.4 * 300)
    assert np.abs(swapped[cheek].astype(int) - target[cheek].astype(int)).max() < 25
    np.testing.assert_array_equal(swapped[:40], target[:40])
    same = swap.swap_face(target, face.points, source, other.points, swap.SwapOptions(strength=0))
    np.testing.assert_array_equal(same, target)


def test_checks_refuse_what_would_look_wrong(light: tuple[NDArray[np.uint8], Face]) -> None:
    from dataclasses import replace

    image, face = light
    good = checks.check_pair(face, image, face, image)
    assert (good.refusal, good.score) == ("", 100)
    turned = replace(face, pose=replace(face.pose, yaw=face.pose.yaw + 47))
    assert "turned 47° apart" in checks.check_pair(turned, image, face, image).refusal
    assert checks.prefers_mirror(turned, replace(face, pose=replace(face.pose, yaw=-40)))
    assert not checks.prefers_mirror(face, face)
    for change, words in (
        ({"confidence": 0.2}, "not clearly a face"),
        ({"right": face.left + 16, "bottom": face.top + 16}, "only 16 px"),
        ({"outside": 0.3}, "cut by the border"),
        ({"occlusion": 0.6}, "covered"),
    ):
        assert words in checks.check_face(replace(face, **change), "The face")  # type: ignore[arg-type]
    smaller = replace(face, right=face.left + 40, bottom=face.top + 40)
    assert "smaller" in " ".join(checks.check_pair(smaller, image, face, image).reasons)


def test_light_from_the_other_side_is_noticed(light: tuple[NDArray[np.uint8], Face]) -> None:
    image, face = light
    shade = np.linspace(0.5, 1.0, image.shape[1])[None, :, None]
    lit = (image * shade).astype(np.uint8)
    other = (image * shade[:, ::-1]).astype(np.uint8)
    assert checks.measure_light(lit, face.points) > 5 > -5 > checks.measure_light(other, face.points)
    assert "the light comes from the other side" in checks.check_pair(face, lit, face, other).reasons


@pytest.mark.parametrize(
    ("text", "pairs"), [("", []), ("1>2", [(1, 2)]), (" 1 > 2 , 2→1;3:3", [(1, 2), (2, 1), (3, 3)])]
)
def test_mappings_are_parsed(text: str, pairs: list[tuple[int, int]]) -> None:
    assert mapping.parse_mapping(text) == pairs


@pytest.mark.parametrize("text", ["one>two", "1", "1>2>3", "1>1, 2>1", "1>2,"])
def test_other_mappings_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        mapping.parse_mapping(text)


def test_faces_that_were_not_found_are_refused() -> None:
    assert mapping.choose_pairs([], 1, 1) == [(1, 1)]
    with pytest.raises(BadInput, match="1 source face and 3 target faces were found, and no mapping"):
        mapping.choose_pairs([], 1, 3)
    with pytest.raises(BadInput, match="no source face 4; 3 faces found"):
        mapping.choose_pairs([(4, 1)], 3, 1)
    with pytest.raises(BadInput, match="no target face 0; 1 face found"):
        mapping.choose_pairs([(1, 0)], 3, 1)


@pytest.mark.parametrize("corner", ["bottom right", "bottom left", "top right", "top left"])
@pytest.mark.parametrize("size", [(300, 200), (20, 12)])
def test_the_label_is_in_its_corner(corner: label.Corner, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "#ff0000")
    labelled = np.asarray(label.draw_label(picture, corner)).astype(int)
    changed = np.argwhere((labelled != (255, 0, 0)).any(-1))
    assert len(changed)
    if size[0] > 100:
        middle = changed.mean(0)
        assert (middle[0] > size[1] / 2) == corner.startswith("bottom")
        assert (middle[1] > size[0] / 2) == corner.endswith("right")
