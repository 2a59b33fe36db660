"""Effects are repeatable, keep the size of the photo, and look as they should."""

import numpy as np
import pytest
from numpy.typing import NDArray

from plugins.style_transfer.effects import printing, registry, stained_glass
from plugins.style_transfer.effects.registry import Effect


def draw_photo(height: int = 72, width: int = 90) -> NDArray[np.uint8]:
    """Draw a bright disk before a ramp of colours."""
    y, x = np.mgrid[:height, :width]
    image = np.dstack([x * 255 / width, y * 255 / height, 255 - x * 200 / width])
    image[(y - height / 2) ** 2 + (x - width / 2) ** 2 < 400] = (250, 240, 90)
    return image.astype(np.uint8)


@pytest.mark.parametrize("effect", registry.EFFECTS)
def test_an_effect_depends_on_image_and_seed_alone(effect: Effect) -> None:
    first = registry.apply_effect(effect, draw_photo(), 4)
    assert first.shape == draw_photo().shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, registry.apply_effect(effect, draw_photo(), 4))
    assert np.abs(first.astype(int) - draw_photo()).mean() > 10


@pytest.mark.parametrize("effect", registry.EFFECTS)
def test_an_effect_accepts_any_size(effect: Effect) -> None:
    for shape in ((1, 1), (3, 70), (41, 17)):
        assert registry.apply_effect(effect, draw_photo(*shape), 0).shape == (*shape, 3)


@pytest.mark.parametrize("effect", ["ink", "pencil"])
def test_drawings_preserve_light_and_dark(effect: Effect) -> None:
    white = registry.apply_effect(effect, np.full((40, 40, 3), 245, np.uint8), 0)
    black = registry.apply_effect(effect, np.full((40, 40, 3), 8, np.uint8), 0)
    assert white.mean() > 200
    assert black.mean() < 90
    assert np.abs(white.mean((0, 1)) - white.mean()).max() < 15


def test_dots_grow_with_the_amount_of_ink() -> None:
    tile = printing.build_screen(((1, 1), (1, -1)))
    covered = [
        float(printing.render_dots(np.full((64, 64), amount / 8, np.float32), tile).mean()) for amount in range(9)
    ]
    assert covered == sorted(covered)
    assert [covered[0], covered[4], covered[8]] == pytest.approx([0, 0.5, 1], abs=0.01)
    halves = printing.render_dots(np.full((64, 64), 0.5, np.float32), tile)
    assert np.array_equal(halves[:8, :8], halves[8:16, 24:32])


def test_pixel_art_has_blocks_of_palette_colours() -> None:
    result = registry.apply_effect("pixels", draw_photo(64, 96), 0)
    blocks = result.reshape(8, 8, 12, 8, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    colours = {tuple(colour) for colour in (printing.load_palette() * 255 + 0.5).astype(np.uint8)}
    assert {tuple(colour) for colour in result.reshape(-1, 3)} <= colours


def test_oklab_round_trip() -> None:
    colours = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    assert np.allclose(printing.from_oklab(printing.to_oklab(colours)), colours, atol=1e-3)
    assert printing.to_oklab(np.ones((1, 3), np.float32))[0, 0] == pytest.approx(1, abs=1e-3)


def test_superpixels_follow_the_colours() -> None:
    halves = np.zeros((66, 88, 3), np.float32)
    halves[:, 40:] = (0.9, 0.1, 0.05)
    cells = stained_glass.segment_superpixels(halves, 22, np.random.default_rng(0))
    assert len(np.unique(cells)) > 8
    left, right = np.unique(cells[:, :40]), np.unique(cells[:, 40:])
    assert len(np.intersect1d(left, right)) == 0
