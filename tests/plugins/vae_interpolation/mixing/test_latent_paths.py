"""Positions of frames, and the weights of the latents in them."""

import math

import pytest
import torch

from plugins.vae_interpolation.mixing import latent_paths


def random_latents(count: int) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(4)
    return list(torch.randn(count, 1, 2, 3, 3, generator=chance))


def interpolate(
    latents: list[torch.Tensor], at: float, path: latent_paths.LatentPath, *, closed: bool = False
) -> torch.Tensor:
    start = min(int(at), (len(latents) if closed else len(latents) - 1) - 1)
    weights = latent_paths.compute_weights(path, latents, start, at - start, closed=closed)
    return torch.stack([weight * latents[index] for index, weight in weights.items()]).sum(0)


def test_once_begins_and_ends_on_a_picture() -> None:
    assert latent_paths.compute_frame_positions(5, 3, "once") == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_loop_leaves_out_the_frame_that_would_be_shown_twice() -> None:
    assert latent_paths.compute_frame_positions(6, 3, "loop") == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_ping_pong_returns_by_the_same_positions() -> None:
    positions = latent_paths.compute_frame_positions(8, 2, "ping-pong")
    assert positions[0] == 0.0
    assert max(positions) == positions[4] == 1.0
    assert positions[1:4] == positions[:4:-1]


@pytest.mark.parametrize("easing", ["smooth", "linear", "in", "out"])
def test_easing_keeps_both_ends_and_is_monotonic(easing: latent_paths.Easing) -> None:
    values = [latent_paths.ease(step / 20, easing) for step in range(21)]
    assert (values[0], values[-1]) == (0.0, 1.0)
    assert values == sorted(values)


@pytest.mark.parametrize("path", ["linear", "spherical", "catmull-rom"])
@pytest.mark.parametrize("closed", [False, True])
def test_every_path_goes_through_every_picture(path: latent_paths.LatentPath, closed: bool) -> None:
    latents = random_latents(4)
    for number, latent in enumerate(latents):
        assert torch.allclose(interpolate(latents, float(number), path, closed=closed), latent, atol=1e-5)
    if closed:
        assert torch.allclose(interpolate(latents, 4.0, path, closed=True), latents[0], atol=1e-5)


def test_slerp_keeps_the_norm_that_averaging_loses() -> None:
    first, second = torch.zeros(2, 8)
    first[0], second[1] = 2.0, 2.0
    assert interpolate([first, second], 0.5, "spherical").norm().item() == pytest.approx(2.0)
    assert interpolate([first, second], 0.5, "linear").norm().item() == pytest.approx(2.0 / math.sqrt(2.0))


def test_slerp_of_parallel_latents_is_linear() -> None:
    assert latent_paths.compute_slerp_weights(torch.ones(3), 2.0 * torch.ones(3), 0.25) == (0.75, 0.25)


def test_a_spline_of_two_latents_is_linear() -> None:
    latents = random_latents(2)
    for t in (0.2, 0.5, 0.9):
        assert torch.allclose(interpolate(latents, t, "catmull-rom"), interpolate(latents, t, "linear"), atol=1e-5)


@pytest.mark.parametrize("closed", [False, True])
def test_a_spline_has_no_corners(closed: bool) -> None:
    """The direction before a picture equals that after it, while straight lines turn sharply."""
    latents, step = random_latents(5), 1e-3

    def turn(path: latent_paths.LatentPath, at: float) -> float:
        before = interpolate(latents, at, path, closed=closed) - interpolate(latents, at - step, path, closed=closed)
        after = interpolate(latents, at + step, path, closed=closed) - interpolate(latents, at, path, closed=closed)
        return torch.nn.functional.cosine_similarity(before.flatten(), after.flatten(), 0).item()

    assert turn("catmull-rom", 2.0) > 0.99
    assert turn("linear", 2.0) < 0.5


@pytest.mark.parametrize("path", ["linear", "spherical", "catmull-rom"])
def test_a_map_of_times_gives_maps_of_weights(path: latent_paths.LatentPath) -> None:
    latents = random_latents(4)
    times = torch.tensor([[[[0.0, 0.3], [0.6, 1.0]]]])
    together = latent_paths.compute_weights(path, latents, 1, times)
    for place, t in enumerate(times.flatten().tolist()):
        alone = latent_paths.compute_weights(path, latents, 1, t)
        for index, weight in together.items():
            assert torch.as_tensor(weight).flatten()[place].item() == pytest.approx(float(alone[index]), abs=1e-5)
