"""Mixes of pictures, and what holds at their ends."""

from pathlib import Path

import numpy as np
import pytest
import torch

from plugins.vae_interpolation.mixing import alignment, images
from plugins.vae_interpolation.mixing.alignment import Pair, Star
from plugins.vae_interpolation.mixing.bilinear import corner_shares
from plugins.vae_interpolation.mixing.flow import Flow
from plugins.vae_interpolation.mixing.mixer import Mixer, Share
from plugins.vae_interpolation.models import codec as models
from studio import api, testing
from tests.plugins.vae_interpolation.fixtures.shapes import disk


@pytest.mark.parametrize("model", ["kl_folder", "tiny_folder", "global_folder"])
def test_a_mix_that_is_wholly_one_picture_is_that_picture(model: str, request: pytest.FixtureRequest) -> None:
    codec = models.load(testing.FakeContext(), str(request.getfixturevalue(model)))
    shown = [disk(0.35, 0.5), disk(0.65, 0.5)]
    mixer = Mixer(codec, shown)
    for number, picture in enumerate(shown):
        expected = (picture * 255.0).round().astype(np.uint8)
        assert np.array_equal(mixer.render([Share(number, 1.0, 1.0)]), expected)


def test_without_detail_a_mix_is_what_the_model_says(kl_folder: Path) -> None:
    codec = models.load(testing.FakeContext(), str(kl_folder))
    mixer = Mixer(codec, [disk(0.35, 0.5), disk(0.65, 0.5)], detail=0.0)
    mean = codec.decode(0.5 * (mixer.latents[0] + mixer.latents[1]))
    assert torch.allclose(mixer.mixed([Share(0, 0.5, 0.5), Share(1, 0.5, 0.5)]), mean, atol=1e-5)


def test_the_starter_s_average_of_a_shifted_disk_ghosts_and_its_aligned_one_does_not() -> None:
    """With real weights, through latents."""
    ctx = testing.FakeContext()
    codec = models.load(ctx, models.SPATIAL)
    pairs = alignment.compare(codec, [disk(0.36, 0.5), disk(0.64, 0.5)], [(0, 1)], ctx, align="auto", strength=0.5)
    assert pairs[0].plain is not None
    assert pairs[0].aligned is not None
    assert pairs[0].plain > 0.7
    assert pairs[0].aligned < 0.5 * pairs[0].plain
    assert pairs[0].flow is not None


def test_where_a_flow_does_not_help_none_is_used(kl_folder: Path) -> None:
    ctx = testing.FakeContext()
    codec = models.load(ctx, str(kl_folder))
    same = [disk(0.5, 0.5)] * 2
    assert alignment.compare(codec, same, [(0, 1)], ctx, align="auto", strength=0.5)[0].flow is None
    assert alignment.compare(codec, same, [(0, 1)], ctx, align="flow", strength=0.5)[0].flow is not None


def test_ghosting_is_told_in_one_sentence_and_noted() -> None:
    ctx = testing.FakeContext()
    alignment.tell([Pair(Flow(torch.zeros(1, 2, 4, 4)), 0.9, 0.3), Pair(None, 0.5, 0.5)], ctx)
    (notice,) = ctx.events
    assert isinstance(notice, api.Notice)
    assert notice.text == (
        "Shapes are aligned for 1 of 2 pairs. Ghosting half-way: 70 % with plain averages, 40 % with shapes aligned."
    )
    assert ctx.notes["ghosting"]["pairs"][1] == {"plain": 0.5, "aligned": 0.5, "used": "none"}


def test_nothing_is_told_where_nothing_was_measured() -> None:
    ctx = testing.FakeContext()
    alignment.tell([Pair()], ctx)
    assert (ctx.events, ctx.notes) == ([], {})


def test_a_star_of_two_is_the_flow_between_them() -> None:
    velocity = 0.2 * torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(5))
    pair = Flow(torch.nn.functional.interpolate(velocity, (24, 24), mode="bicubic"))
    warps = Star((Pair(pair, 1.0, 0.0),)).warps({0: 0.7, 1: 0.3})
    first, second = warps[0], warps[1]
    assert first is not None
    assert second is not None
    assert torch.allclose(first, pair.of_first(0.3), atol=1e-5)
    assert (second - pair.of_second(0.3))[..., 4:-4, 4:-4].abs().mean() < 0.02


def test_a_star_without_flows_moves_nothing() -> None:
    assert Star((Pair(None, 0.1, 0.2),)).warps({0: 0.5, 1: 0.5}) == {0: None, 1: None}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_shares_of_the_corners_have_sum_one_and_are_whole_at_the_corners(count: int) -> None:
    assert sum(corner_shares(count, 0.3, 0.8).values()) == pytest.approx(1.0)
    assert corner_shares(count, 0.0, 0.0) == {0: 1.0}
    assert corner_shares(count, 1.0, 0.0) == {1: 1.0}
    assert corner_shares(count, 0.0, 1.0) == {2: 0, 3: {2: 1.0}, 4: {2: 1.0}}.get(count) or count == 2


def test_frames_suit_the_codec_and_keep_the_shape(kl_folder: Path) -> None:
    codec = models.load(testing.FakeContext(), str(kl_folder))
    assert images.frame_size((4000, 3000), 512, codec) == (512, 384)
    assert images.frame_size((30, 4000), 512, codec) == (8, 512)
    assert all(side % 8 == 0 for side in images.frame_size((451, 300), 333, codec))


def test_transparent_parts_show_the_background(kl_folder: Path, disks: list[Path]) -> None:
    codec = models.load(testing.FakeContext(), str(kl_folder))
    (picture,) = images.read_all([disks[3]], 64, codec, ground="#00ff00")
    assert picture[0, 0].tolist() == pytest.approx([0.0, 1.0, 0.0], abs=0.02)


def test_pictures_of_another_shape_are_cropped_or_shown_whole(kl_folder: Path, disks: list[Path]) -> None:
    codec = models.load(testing.FakeContext(), str(kl_folder))
    cropped = images.read_all(disks[:2], 64, codec)
    padded = images.read_all(disks[:2], 64, codec, fit="pad", ground="#ff0000")
    assert cropped[1].shape == padded[1].shape == (64, 64, 3)
    assert padded[1][0, 32].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=0.01)
    assert cropped[1][0, 32].tolist() == pytest.approx([0.1, 0.15, 0.3], abs=0.05)
