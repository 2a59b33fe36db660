"""Upscaling in tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.checkpoints.families import FAMILIES
from plugins.diffusion.models import loader
from plugins.diffusion.pipeline import tiling
from plugins.diffusion.pipeline.tiled_noise import TiledNoise
from plugins.diffusion.tools.tiled_upscale import TiledUpscale
from scripts import diffusion_docs
from studio import api, testing
from tests.plugins.diffusion.conftest import BUILDERS


@pytest.fixture
def small(tmp_path: Path) -> Path:
    Image.effect_mandelbrot((36, 28), (-2, -1.5, 1, 1.5), 40).convert("RGB").save(tmp_path / "small.png")
    return tmp_path / "small.png"


def upscale(ctx: testing.FakeContext | None = None, **values: Any) -> Image.Image:
    (made,) = testing.results(testing.run(TiledUpscale, ctx or testing.FakeContext(seed=5), steps=4, **values))
    assert isinstance(made, api.Image)
    assert isinstance(made.picture, Image.Image)
    return made.picture


def test_tool_can_be_cancelled_and_is_deterministic(sd: Path, small: Path) -> None:
    testing.check_tool(TiledUpscale, {"image": small, "model": str(sd), "steps": 4, "overlap": 8})


def test_tiles_share_one_progress_and_one_preview(sd: Path, small: Path) -> None:
    ctx = testing.FakeContext()
    picture = upscale(ctx, image=small, model=str(sd), overlap=8, strength=0.5)
    assert picture.size == (72, 56)
    fractions = [event.step for event in ctx.events if isinstance(event, api.Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {event.text.split(":")[0] for event in ctx.events if isinstance(event, api.Progress)} >= {
        "Tile 1 of 6",
        "Tile 6 of 6",
    }
    previews = [event.content for event in ctx.events if isinstance(event, api.Preview)]
    assert {one.size for one in previews if isinstance(one, Image.Image)} == {(72, 56)}
    assert (np.asarray(previews[-1]) == np.asarray(picture)).all()


def test_strength_zero_only_enlarges(sd: Path, small: Path) -> None:
    """A random autoencoder keeps no colours, so the test only checks whether something has changed."""
    plain = upscale(image=small, model=str(sd), strength=0)
    assert (np.asarray(plain) == np.asarray(Image.open(small).resize((72, 56), Image.Resampling.LANCZOS))).all()
    assert (np.asarray(upscale(image=small, model=str(sd))) != np.asarray(plain)).any()


def test_enlarging_needs_no_model(small: Path) -> None:
    assert upscale(image=small, model="there-is-none", strength=0, scale=1.5).size == (54, 42)


@pytest.mark.parametrize("family", [family for family in BUILDERS if diffusion_docs.supports_upscale(FAMILIES[family])])
def test_every_family_with_strength_upscales(family: str, tiny_model: Callable[[str], Path], small: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    model = str(tiny_model(family))
    values: dict[str, Any] = {"image": small, "model": model, "tile": 32, "overlap": 0, "negative_prompt": "grey"}
    assert upscale(ctx, scale=1.5, **values).size == (54, 42)
    notices = [event.text for event in ctx.events if isinstance(event, api.Notice)]
    assert len(notices) == len(set(notices))


class Pausing(testing.FakeContext):
    """Asks for a pause in the middle of a tile."""

    tile = 3

    def emit(self, event: api.Event) -> None:
        super().emit(event)
        if isinstance(event, api.Progress) and event.text.startswith(f"Tile {self.tile} "):
            self.pause_requested = True


def test_pause_keeps_finished_tiles_and_pixels(sd: Path, small: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"image": small, "model": str(sd), "overlap": 8, "strength": 0.8, "sampler": "euler_a"}
    whole = upscale(**values)
    with pytest.raises(api.Paused):
        upscale(Pausing(seed=5, folder=tmp_path), **values)
    resumed = testing.FakeContext(seed=5, folder=tmp_path)
    assert (np.asarray(upscale(resumed, **values)) == np.asarray(whole)).all()
    texts = [event.text for event in resumed.events if isinstance(event, api.Progress)]
    assert texts[1:3] == ["1 of 6 tiles done", "2 of 6 tiles done"]
    assert texts[3].startswith("Tile 3 of 6")


@pytest.mark.parametrize(("mode", "result"), [("L", "RGB"), ("P", "RGB"), ("I;16", "RGB"), ("RGBA", "RGBA")])
def test_images_of_any_mode(sd: Path, tmp_path: Path, mode: str, result: str) -> None:
    grey = np.linspace(0, 255, 15 * 11).reshape(11, 15).astype(np.uint8)
    picture = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.radial_gradient("L").resize(picture.size))
    picture.save(tmp_path / "kind.png")
    made = upscale(image=tmp_path / "kind.png", model=str(sd), scale=3)
    assert made.size == (45, 33)
    assert made.mode == result
    if mode == "RGBA":
        expected = picture.getchannel("A").resize((45, 33), Image.Resampling.LANCZOS)
        assert (np.asarray(made.getchannel("A")) == np.asarray(expected)).all()


def test_single_pixel_is_enlarged(sd: Path, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "#ff0000").save(tmp_path / "one.png")
    assert upscale(image=tmp_path / "one.png", model=str(sd), scale=4).size == (4, 4)


def test_too_large_result_is_refused_before_loading(tmp_path: Path) -> None:
    Image.new("1", (8000, 8000)).save(tmp_path / "large.png")
    with pytest.raises(api.BadInput, match="32,000 × 32,000 px would be 1,024 megapixels"):
        upscale(image=tmp_path / "large.png", model="there-is-none", scale=4)


def test_models_without_image_to_image_are_refused(tiny_model: Callable[[str], Path], small: Path) -> None:
    with pytest.raises(api.BadInput, match="cannot start from an image"):
        upscale(image=small, model=str(tiny_model("sana")))


@pytest.mark.parametrize(("side", "length", "overlap"), [(72, 32, 8), (40, 32, 16), (32, 32, 8), (512, 64, 500)])
def test_tiles_cover_a_side_and_overlap(side: int, length: int, overlap: int) -> None:
    row = tiling.plan_row(side, length, overlap, 8)
    assert row.starts[0] == 0
    assert row.end == side
    shared = [before + length - start for before, start in zip(row.starts, row.starts[1:], strict=False)]
    assert all(one >= min(overlap, length // 2) for one in shared)
    assert all(start % 8 == 0 for start in row.starts)


def test_no_seam_between_tiles_of_different_colours() -> None:
    """Between tiles of two greys, neighbouring pixels differ by no more than the steepest step of the ramp."""
    across, down = tiling.plan_row(72, 32, 8, 8), tiling.plan_row(56, 32, 8, 8)
    blender = tiling.TileBlender(np.zeros((53, 70, 3), np.uint8), across, down)
    for line in range(len(down.starts)):
        for column in range(len(across.starts)):
            blender.add_tile(column, line, np.full((32, 32, 3), 60 + 120 * ((line + column) % 2), np.uint8))
    canvas = blender.canvas.astype(int)
    assert canvas.min() == 60
    assert canvas.max() == 180
    steepest = 120 * 1.5 / 8 + 2
    assert np.abs(np.diff(canvas, axis=0)).max() <= steepest
    assert np.abs(np.diff(canvas, axis=1)).max() <= steepest


def test_overlapping_tiles_have_the_same_noise() -> None:
    noise = TiledNoise((96, 64), lambda: torch.Generator().manual_seed(3))
    left = noise.crop(torch.empty(1, 4, 8, 8), 0, 16, 64)
    right = noise.crop(torch.empty(1, 4, 8, 8), 32, 0, 64)
    assert torch.equal(left[:, :, :6, 4:], right[:, :, 2:, :4])
    assert 0.8 < left.std() < 1.2


def test_neighbouring_tiles_start_from_the_same_noise(sd: Path, small: Path) -> None:
    """The test compares the first inputs of the denoiser for two tiles, 4 latent pixels apart."""
    ctx = testing.FakeContext()
    seen: list[torch.Tensor] = []
    unet = loader.load(ctx, str(sd)).base.unet
    unet.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].clone()))
    upscale(ctx, image=small, model=str(sd), strength=1.0, overlap=16)
    first, second = seen[0], seen[4]
    same, other = (float((one - second[..., :12]).abs().mean()) for one in (first[..., 4:], first[..., :12]))
    assert same < other / 3
