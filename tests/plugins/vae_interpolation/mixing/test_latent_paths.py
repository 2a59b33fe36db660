"""Where frames stand, and how much of each picture is in them."""

import math

import pytest
import torch

from plugins.vae_interpolation.mixing import latent_paths


def points(count: int) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(4)
    return list(torch.randn(count, 1, 2, 3, 3, generator=chance))


def point(latents: list[torch.Tensor], at: float, path: latent_paths.Path, *, closed: bool = False) -> torch.Tensor:
    here = min(int(at), (len(latents) if closed else len(latents) - 1) - 1)
    shares = latent_paths.weights(path, latents, here, at - here, closed=closed)
    return torch.stack([share * latents[name] for name, share in shares.items()]).sum(0)


def test_once_begins_and_ends_on_a_picture() -> None:
    assert latent_paths.positions(5, 3, "once") == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_loop_leaves_out_the_frame_that_would_be_seen_twice() -> None:
    assert latent_paths.positions(6, 3, "loop") == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_there_and_back_is_the_same_both_ways() -> None:
    way = latent_paths.positions(8, 2, "ping-pong")
    assert way[0] == 0.0
    assert max(way) == way[4] == 1.0
    assert way[1:4] == way[:4:-1]


@pytest.mark.parametrize("easing", ["smooth", "linear", "in", "out"])
def test_easing_keeps_both_ends_and_never_turns_back(easing: latent_paths.Easing) -> None:
    values = [latent_paths.eased(step / 20, easing) for step in range(21)]
    assert (values[0], values[-1]) == (0.0, 1.0)
    assert values == sorted(values)


@pytest.mark.parametrize("path", ["linear", "spherical", "catmull-rom"])
@pytest.mark.parametrize("closed", [False, True])
def test_every_path_goes_through_every_picture(path: latent_paths.Path, closed: bool) -> None:
    latents = points(4)
    for number, latent in enumerate(latents):
        assert torch.allclose(point(latents, float(number), path, closed=closed), latent, atol=1e-5)
    if closed:
        assert torch.allclose(point(latents, 4.0, path, closed=True), latents[0], atol=1e-5)


def test_the_sphere_keeps_the_norm_that_averaging_loses() -> None:
    first, second = torch.zeros(2, 8)
    first[0], second[1] = 2.0, 2.0
    assert point([first, second], 0.5, "spherical").norm().item() == pytest.approx(2.0)
    assert point([first, second], 0.5, "linear").norm().item() == pytest.approx(2.0 / math.sqrt(2.0))


def test_the_sphere_is_the_straight_line_for_parallel_latents() -> None:
    assert latent_paths.spherical(torch.ones(3), 2.0 * torch.ones(3), 0.25) == (0.75, 0.25)


def test_a_curve_between_two_pictures_is_the_straight_line() -> None:
    latents = points(2)
    for t in (0.2, 0.5, 0.9):
        assert torch.allclose(point(latents, t, "catmull-rom"), point(latents, t, "linear"), atol=1e-5)


@pytest.mark.parametrize("closed", [False, True])
def test_a_curve_turns_no_corner(closed: bool) -> None:
    """The direction of arrival is that of departure, where straight lines turn sharply."""
    latents, step = points(5), 1e-3

    def turn(path: latent_paths.Path, at: float) -> float:
        before = point(latents, at, path, closed=closed) - point(latents, at - step, path, closed=closed)
        after = point(latents, at + step, path, closed=closed) - point(latents, at, path, closed=closed)
        return torch.nn.functional.cosine_similarity(before.flatten(), after.flatten(), 0).item()

    assert turn("catmull-rom", 2.0) > 0.99
    assert turn("linear", 2.0) < 0.5


@pytest.mark.parametrize("path", ["linear", "spherical", "catmull-rom"])
def test_a_map_of_times_gives_maps_of_weights(path: latent_paths.Path) -> None:
    latents = points(4)
    times = torch.tensor([[[[0.0, 0.3], [0.6, 1.0]]]])
    together = latent_paths.weights(path, latents, 1, times)
    for place, t in enumerate(times.flatten().tolist()):
        alone = latent_paths.weights(path, latents, 1, t)
        for name, share in together.items():
            assert torch.as_tensor(share).flatten()[place].item() == pytest.approx(float(alone[name]), abs=1e-5)
