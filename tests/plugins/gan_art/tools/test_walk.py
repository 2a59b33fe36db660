"""Videos that walk through seeds and creations, in time with a sound."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.gan_art.tools.dream import Dream
from plugins.gan_art.tools.walk import Walk
from studio import api, testing
from tests.plugins.gan_art.fixtures.tiny_gan import make_context, save_creation, save_tiny_gan
from tests.plugins.gan_art.sampling.test_rhythm import make_clicks


def walk(folder: Path, *, seed: int = 7, **values: Any) -> Any:
    """Return the animation of the tool with a random model."""
    ctx = make_context(folder, seed=seed)
    (result,) = testing.results(testing.run(Walk, ctx, **{"model": "tiny", "fps": 8, "seconds": 1, **values}))
    return result


def save_dream(folder: Path, seed: int, **values: Any) -> tuple[Path, Any]:
    """Return a creation of the tiny model, and its pixels."""
    (image,) = testing.results(testing.run(Dream, make_context(folder, seed=seed), model="tiny", **values))
    assert isinstance(image, api.Image)
    return save_creation(folder, image, str(seed)), image.picture


def save_sound(path: Path, samples: Any) -> Path:
    """Save samples as a WAV file of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return path


def differ(first: Any, second: Any) -> float:
    return float(np.abs(np.asarray(first).astype(int) - np.asarray(second)).mean())


def test_the_tool_can_be_cancelled_and_repeated(tmp_path: Path) -> None:
    folder = save_tiny_gan(tmp_path / "model")
    testing.check_tool(Walk, {"model": str(folder), "stops": 2, "fps": 4, "seconds": 1})


@pytest.mark.parametrize("path", ["spherical", "spline"])
@pytest.mark.parametrize("space", ["w", "z"])
def test_the_last_frame_of_a_loop_leads_to_the_first(tmp_path: Path, path: str, space: str) -> None:
    result = walk(tmp_path, stops=3, path=path, space=space)
    frames = result.frames
    assert len(frames) == 3 * 8
    steps = [differ(frames[number - 1], frames[number]) for number in range(len(frames))]
    assert 0 < steps[0] < 3 * np.mean(steps)


def test_a_walk_without_a_loop_begins_and_ends_with_its_creations(tmp_path: Path) -> None:
    first, pixels = save_dream(tmp_path, 1)
    last, last_pixels = save_dream(tmp_path, 2, class_name="pear")
    frames = walk(tmp_path, images=[first, last], loop=False, enlarge=1).frames
    assert len(frames) == 8
    assert differ(frames[0], pixels) < 1
    assert differ(frames[-1], last_pixels) < 1


def test_one_creation_is_the_first_of_the_random_stops(tmp_path: Path) -> None:
    first, pixels = save_dream(tmp_path, 1)
    frames = walk(tmp_path, images=[first], stops=3).frames
    assert len(frames) == 3 * 8
    assert differ(frames[0], pixels) < 1


def test_seeds_follow_the_creations(tmp_path: Path) -> None:
    creation, _ = save_dream(tmp_path, 1)
    _, pixels = save_dream(tmp_path, 5)
    frames = walk(tmp_path, images=[creation], seeds=[5], loop=False).frames
    assert differ(frames[-1], pixels) < 1


def test_a_walk_has_the_length_of_its_sound_and_moves_at_its_beats(tmp_path: Path) -> None:
    sound = save_sound(tmp_path / "clicks.wav", make_clicks())
    result = walk(tmp_path, sound=sound, fps=12, stops=3, pulse=0)
    assert result.sound == sound
    assert len(result.frames) == 48
    steps = [differ(before, after) for before, after in pairwise(result.frames)]
    assert np.mean([steps[round(time * 12)] for time in (1.0, 1.5, 3.0)]) > 1.5 * np.median(steps)


def test_a_walk_cuts_at_the_beats(tmp_path: Path) -> None:
    sound = save_sound(tmp_path / "clicks.wav", make_clicks((1.0, 2.0), 3.0))
    frames = walk(tmp_path, sound=sound, fps=12, beats="cut", pulse=0).frames
    steps = [differ(before, after) for before, after in pairwise(frames)]
    cuts = sorted(np.argsort(steps)[-2:] + 1)
    assert all(abs(cut - beat) <= 1 for cut, beat in zip(cuts, (12, 24), strict=True))


def test_loud_moments_move_the_styles(tmp_path: Path) -> None:
    sound = save_sound(tmp_path / "clicks.wav", make_clicks((0.5,), 1.0))
    still, moved = (walk(tmp_path, sound=sound, stops=2, pulse=pulse).frames for pulse in (0, 1))
    assert max(differ(*pair) for pair in zip(still, moved, strict=True)) > 1


@pytest.mark.parametrize("samples", [[], [0.0] * 22_050])
def test_a_file_without_sound_is_refused(tmp_path: Path, samples: list[float]) -> None:
    sound = save_sound(tmp_path / "empty.wav", samples)
    with pytest.raises(api.BadInput, match=r"empty\.wav has no sound"):
        walk(tmp_path, sound=sound)


def test_a_file_that_is_no_sound_is_refused(tmp_path: Path) -> None:
    path, _ = save_dream(tmp_path, 1)
    with pytest.raises(api.BadInput, match="has no sound"):
        walk(tmp_path, sound=path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seeds": [-1, 2]}, "A seed must be between"),
        ({"stops": 200, "seconds": 120, "fps": 120}, "frames; the most are"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(api.BadInput, match=words):
        walk(tmp_path, **values)


def test_creations_have_no_latents_to_walk_through(tmp_path: Path) -> None:
    creation, _ = save_dream(tmp_path, 1)
    with pytest.raises(api.BadInput, match="needs their styles"):
        walk(tmp_path, images=[creation], space="z")


def test_the_estimate_counts_the_frames(tmp_path: Path) -> None:
    expected = testing.estimate(Walk, make_context(tmp_path), model="tiny", stops=3, fps=8, seconds=1)
    assert expected is not None
    assert expected.work == len(walk(tmp_path, stops=3).frames)
    assert testing.estimate(Walk, make_context(tmp_path), model="no-model") is None
