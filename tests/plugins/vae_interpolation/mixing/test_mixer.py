"""Mixes of pictures, their alignment and their frames."""

from pathlib import Path

import numpy as np
import pytest
import torch

from plugins.vae_interpolation.mixing import alignment, images
from plugins.vae_interpolation.mixing.alignment import PairAlignment, StarAlignment
from plugins.vae_interpolation.mixing.bilinear import compute_corner_weights
from plugins.vae_interpolation.mixing.flow import Flow
from plugins.vae_interpolation.mixing.mixer import Contribution, Mixer
from plugins.vae_interpolation.models.codec import SPATIAL_STARTER, load_codec
from studio import api, testing
from tests.plugins.vae_interpolation.fixtures.shapes import disk


@pytest.mark.parametrize("model", ["kl_folder", "tiny_folder", "global_folder"])
def test_a_mix_of_one_picture_is_that_picture(model: str, request: pytest.FixtureRequest) -> None:
    codec = load_codec(testing.FakeContext(), str(request.getfixturevalue(model)))
    disks_in_frame = [disk(0.35, 0.5), disk(0.65, 0.5)]
    mixer = Mixer(codec, disks_in_frame)
    for number, picture in enumerate(disks_in_frame):
        expected = (picture * 255.0).round().astype(np.uint8)
        assert np.array_equal(mixer.render([Contribution(number, 1.0, 1.0)]), expected)


def test_without_detail_a_mix_is_the_model_s_output(kl_folder: Path) -> None:
    codec = load_codec(testing.FakeContext(), str(kl_folder))
    mixer = Mixer(codec, [disk(0.35, 0.5), disk(0.65, 0.5)], detail=0.0)
    mean = codec.decode(0.5 * (mixer.latents[0] + mixer.latents[1]))
    assert torch.allclose(mixer.mix([Contribution(0, 0.5, 0.5), Contribution(1, 0.5, 0.5)]), mean, atol=1e-5)


def test_aligning_a_shifted_disk_removes_the_ghosting_of_the_starter() -> None:
    """With real weights, through latents."""
    ctx = testing.FakeContext()
    codec = load_codec(ctx, SPATIAL_STARTER)
    pairs = alignment.align_pairs(codec, [disk(0.36, 0.5), disk(0.64, 0.5)], [(0, 1)], ctx, align="auto", strength=0.5)
    assert pairs[0].plain_ghosting is not None
    assert pairs[0].aligned_ghosting is not None
    assert pairs[0].plain_ghosting > 0.7
    assert pairs[0].aligned_ghosting < 0.5 * pairs[0].plain_ghosting
    assert pairs[0].flow is not None


def test_a_flow_that_does_not_help_is_not_used(kl_folder: Path) -> None:
    ctx = testing.FakeContext()
    codec = load_codec(ctx, str(kl_folder))
    same = [disk(0.5, 0.5)] * 2
    assert alignment.align_pairs(codec, same, [(0, 1)], ctx, align="auto", strength=0.5)[0].flow is None
    assert alignment.align_pairs(codec, same, [(0, 1)], ctx, align="flow", strength=0.5)[0].flow is not None


def test_ghosting_is_reported_and_noted() -> None:
    ctx = testing.FakeContext()
    alignment.report_ghosting(
        [PairAlignment(Flow(torch.zeros(1, 2, 4, 4)), 0.9, 0.3), PairAlignment(None, 0.5, 0.5)], ctx
    )
    (notice,) = ctx.events
    assert isinstance(notice, api.Notice)
    assert notice.text == (
        "Shapes are aligned for 1 of 2 pairs. Ghosting half-way: 70 % without alignment, 40 % with alignment."
    )
    assert ctx.notes["ghosting"]["pairs"][1] == {"plain": 0.5, "aligned": 0.5, "used": "none"}


def test_nothing_is_reported_if_nothing_was_scored() -> None:
    ctx = testing.FakeContext()
    alignment.report_ghosting([PairAlignment()], ctx)
    assert (ctx.events, ctx.notes) == ([], {})


def test_a_star_of_two_is_the_flow_between_them() -> None:
    velocity = 0.2 * torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(5))
    pair = Flow(torch.nn.functional.interpolate(velocity, (24, 24), mode="bicubic"))
    warps = StarAlignment((PairAlignment(pair, 1.0, 0.0),)).compute_warps({0: 0.7, 1: 0.3})
    first, second = warps[0], warps[1]
    assert first is not None
    assert second is not None
    assert torch.allclose(first, pair.warp_first(0.3), atol=1e-5)
    assert (second - pair.warp_second(0.3))[..., 4:-4, 4:-4].abs().mean() < 0.02


def test_a_star_without_flows_has_no_warps() -> None:
    assert StarAlignment((PairAlignment(None, 0.1, 0.2),)).compute_warps({0: 0.5, 1: 0.5}) == {0: None, 1: None}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_corner_weights_sum_to_one_and_are_one_at_the_corners(count: int) -> None:
    assert sum(compute_corner_weights(count, 0.3, 0.8).values()) == pytest.approx(1.0)
    assert compute_corner_weights(count, 0.0, 0.0) == {0: 1.0}
    assert compute_corner_weights(count, 1.0, 0.0) == {1: 1.0}
    assert compute_corner_weights(count, 0.0, 1.0) == {2: 0, 3: {2: 1.0}, 4: {2: 1.0}}.get(count) or count == 2


def test_frames_suit_the_codec_and_keep_the_shape(kl_folder: Path) -> None:
    codec = load_codec(testing.FakeContext(), str(kl_folder))
    assert images.compute_frame_size((4000, 3000), 512, codec) == (512, 384)
    assert images.compute_frame_size((30, 4000), 512, codec) == (8, 512)
    assert all(side % 8 == 0 for side in images.compute_frame_size((451, 300), 333, codec))


def test_transparent_parts_show_the_background(kl_folder: Path, disks: list[Path]) -> None:
    codec = load_codec(testing.FakeContext(), str(kl_folder))
    (picture,) = images.read_pictures([disks[3]], 64, codec, background="#00ff00")
    assert picture[0, 0].tolist() == pytest.approx([0.0, 1.0, 0.0], abs=0.02)


def test_pictures_of_another_aspect_ratio_are_cropped_or_padded(kl_folder: Path, disks: list[Path]) -> None:
    codec = load_codec(testing.FakeContext(), str(kl_folder))
    cropped = images.read_pictures(disks[:2], 64, codec)
    padded = images.read_pictures(disks[:2], 64, codec, fit="pad", background="#ff0000")
    assert cropped[1].shape == padded[1].shape == (64, 64, 3)
    assert padded[1][0, 32].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=0.01)
    assert cropped[1][0, 32].tolist() == pytest.approx([0.1, 0.15, 0.3], abs=0.05)
