"""Effects that are computed: repeatable, of the photo's size, and what they are called."""

import numpy as np
import pytest
from numpy.typing import NDArray

from plugins.style_transfer.effects import printing, registry, stained_glass


def photo(height: int = 72, width: int = 90) -> NDArray[np.uint8]:
    """A bright disk before a ramp of colours."""
    y, x = np.mgrid[:height, :width]
    made = np.dstack([x * 255 / width, y * 255 / height, 255 - x * 200 / width])
    made[(y - height / 2) ** 2 + (x - width / 2) ** 2 < 400] = (250, 240, 90)
    return made.astype(np.uint8)


@pytest.mark.parametrize("effect", registry.EFFECTS)
def test_an_effect_follows_from_picture_and_seed(effect: str) -> None:
    first = registry.paint(effect, photo(), 4)
    assert first.shape == photo().shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, registry.paint(effect, photo(), 4))
    assert np.abs(first.astype(int) - photo()).mean() > 10


@pytest.mark.parametrize("effect", registry.EFFECTS)
def test_an_effect_takes_any_size(effect: str) -> None:
    for shape in ((1, 1), (3, 70), (41, 17)):
        assert registry.paint(effect, photo(*shape), 0).shape == (*shape, 3)


@pytest.mark.parametrize("effect", ["ink", "pencil"])
def test_drawings_keep_light_light_and_dark_dark(effect: str) -> None:
    white = registry.paint(effect, np.full((40, 40, 3), 245, np.uint8), 0)
    black = registry.paint(effect, np.full((40, 40, 3), 8, np.uint8), 0)
    assert white.mean() > 200
    assert black.mean() < 90
    assert np.abs(white.mean((0, 1)) - white.mean()).max() < 15


def test_dots_grow_with_what_is_wanted() -> None:
    tile = printing.screen(((1, 1), (1, -1)))
    covered = [float(printing.dots(np.full((64, 64), amount / 8, np.float32), tile).mean()) for amount in range(9)]
    assert covered == sorted(covered)
    assert [covered[0], covered[4], covered[8]] == pytest.approx([0, 0.5, 1], abs=0.01)
    halves = printing.dots(np.full((64, 64), 0.5, np.float32), tile)
    assert np.array_equal(halves[:8, :8], halves[8:16, 24:32])


def test_pixel_art_has_blocks_of_palette_colours() -> None:
    made = registry.paint("pixels", photo(64, 96), 0)
    blocks = made.reshape(8, 8, 12, 8, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    colours = {tuple(colour) for colour in (printing.palette() * 255 + 0.5).astype(np.uint8)}
    assert {tuple(colour) for colour in made.reshape(-1, 3)} <= colours


def test_oklab_there_and_back() -> None:
    colours = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    assert np.allclose(printing.from_oklab(printing.oklab(colours)), colours, atol=1e-3)
    assert printing.oklab(np.ones((1, 3), np.float32))[0, 0] == pytest.approx(1, abs=1e-3)


def test_cells_keep_to_colours() -> None:
    halves = np.zeros((66, 88, 3), np.float32)
    halves[:, 40:] = (0.9, 0.1, 0.05)
    cells = stained_glass.superpixels(halves, 22, np.random.default_rng(0))
    assert len(np.unique(cells)) > 8
    left, right = np.unique(cells[:, :40]), np.unique(cells[:, 40:])
    assert len(np.intersect1d(left, right)) == 0
