"""Beats and bands of sounds that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from plugins.gan_art.sampling import rhythm

FPS = 24.0
CLICKS = (0.5, 1.0, 1.5, 2.25, 3.0)


def make_clicks(times: tuple[float, ...] = CLICKS, seconds: float = 4.0) -> NDArray[np.float32]:
    """Return short bursts of noise at these times over a faint tone."""
    random = np.random.default_rng(1)
    times_of_samples = np.arange(round(seconds * rhythm.RATE)) / rhythm.RATE
    samples = 0.02 * np.sin(2 * np.pi * 220 * times_of_samples)
    for time in times:
        start = round(time * rhythm.RATE)
        burst = np.exp(-np.arange(2000) / 300) * random.uniform(-0.8, 0.8, 2000)
        samples[start : start + 2000] += burst
    return samples.astype(np.float32)


def test_the_beats_are_found_at_their_frames() -> None:
    found = [beat for beat in rhythm.analyse_sound(make_clicks(), FPS).beats if beat > 2]
    assert len(found) == len(CLICKS)
    assert max(abs(beat - time * FPS) for beat, time in zip(found, CLICKS, strict=True)) <= 1


@pytest.mark.parametrize(("hertz", "band"), [(80, 0), (800, 1), (5000, 2)])
def test_a_tone_is_in_its_band(hertz: float, band: int) -> None:
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(2 * rhythm.RATE) / rhythm.RATE)
    spectra = rhythm.analyse_sound(samples.astype(np.float32), FPS)
    assert spectra.bands.shape == (3, 48)
    assert spectra.bands[band, 24] > 0.9
    assert len([beat for beat in spectra.beats if beat > 2]) == 0


def test_a_walk_is_faster_at_beats_and_ends_in_step() -> None:
    heard = rhythm.analyse_sound(make_clicks(), FPS)
    positions = heard.choose_positions(4, sync=0.8)
    assert len(positions) == 96
    assert positions[0] == 0
    assert positions[-1] < 4
    speeds = np.diff(positions)
    assert bool((speeds > 0).all())
    assert speeds[36:39].max() > 3 * speeds[46:50].mean()
    even = heard.choose_positions(4, sync=0)
    assert np.allclose(even, np.arange(96) / 24)


def test_cuts_are_at_the_beats() -> None:
    heard = rhythm.Rhythm(np.ones(10), np.ones((3, 10)), [4, 7], FPS)
    positions = heard.choose_cuts(0.5)
    assert [*positions.astype(int)] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert positions[3] == pytest.approx(0.375)


def test_a_very_short_sound_has_one_frame() -> None:
    assert len(rhythm.analyse_sound(np.full(10, 0.5, np.float32), FPS).energy) == 1
