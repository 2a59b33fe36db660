"""The rhythm of a sound: beats and the energy of its bands, frame by frame of a video."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Curve = NDArray[np.float64]

RATE = 22_050
"""Samples a second for the analysis."""
WINDOW, HOP = 2048, 512
"""Samples of a spectrum, and between two."""
BANDS = ((20, 200), (200, 2000), (2000, 11_000))
"""Bass, middle and treble in Hz."""
MIN_BEAT_SECONDS = 0.15
"""Shortest time between two beats."""
THRESHOLD_SECONDS = 0.75
"""Half of the time over which an onset is compared with others."""
THRESHOLD = 1.4
"""How many times the mean of its neighbourhood an onset must have to be a beat."""
MIN_ONSET = 0.1
"""Smallest onset that is a beat, as a part of the largest one."""
DECAY_SECONDS = 0.2
"""Time in which the impulse of a beat falls to a third."""


@dataclass(frozen=True)
class Rhythm:
    """What a walk follows: values in 0..1 for each frame, and the frames at which a beat begins."""

    energy: Curve
    bands: Curve
    """[3, frames]: bass, middle and treble."""
    beats: list[int]
    fps: float

    @property
    def impulses(self) -> Curve:
        """1 at each beat, falling until the next."""
        import numpy as np

        values = np.zeros(len(self.energy))
        for beat in self.beats:
            values[beat:] = np.exp(-np.arange(len(values) - beat) / (DECAY_SECONDS * self.fps))
        return values

    def choose_positions(self, segments: float, sync: float) -> Curve:
        """Return the position of each frame on a path with this many segments, which is faster at beats and if loud.

        With a `sync` of 0 it moves evenly, with 1 only as the sound does. The frame after the last one would be at
        the end of the path.
        """
        import numpy as np

        speed = 1 - sync + sync * (_to_mean_of_1(self.impulses) + _to_mean_of_1(self.energy)) / 2
        total = np.cumsum(speed)
        positions: Curve = np.concatenate([[0.0], total[:-1]]) / total[-1] * segments
        return positions

    def choose_cuts(self, drift: float) -> Curve:
        """Return the position of each frame on a path that jumps to the next stop at each beat.

        Between two beats it moves on by `drift` of a segment.
        """
        import numpy as np

        count = len(self.energy)
        positions = np.zeros(count)
        edges = sorted({0, *self.beats, count})
        for number, (start, end) in enumerate(pairwise(edges)):
            positions[start:end] = number + drift * np.arange(end - start) / (end - start)
        return positions


def analyse_sound(samples: NDArray[np.float32], fps: float) -> Rhythm:
    """Return the rhythm of samples at `RATE`, with a value for each frame of a video at `fps`."""
    import numpy as np

    frames = max(1, round(len(samples) / RATE * fps))
    spectra = _compute_spectra(samples)
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    bands = [np.sqrt((spectra[:, (hertz >= low) & (hertz < high)] ** 2).mean(axis=1)) for low, high in BANDS]
    energy = np.sqrt((spectra**2).mean(axis=1))
    rises = np.diff(np.log1p(100 * spectra), axis=0, prepend=np.zeros((1, spectra.shape[1])))
    flux = np.maximum(rises, 0).mean(axis=1)
    flux[-(WINDOW // HOP) :] = 0  # a sound that breaks off has all frequencies
    beats = sorted({min(round(hop * HOP / RATE * fps), frames - 1) for hop in _find_peaks(flux)})
    times = np.arange(frames) / fps
    hops = np.arange(len(spectra)) * HOP / RATE
    curves = [np.interp(times, hops, _to_unit(curve)) for curve in (energy, *bands)]
    return Rhythm(curves[0], np.stack(curves[1:]), beats, fps)


def _compute_spectra(samples: NDArray[np.float32]) -> Curve:
    """Return the magnitudes [hops, frequencies] of windows whose middles are `HOP` samples apart."""
    import numpy as np

    padded = np.pad(samples, (WINDOW // 2, WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: len(samples) : HOP]
    shape = np.hanning(WINDOW).astype(np.float32)
    parts = [np.abs(np.fft.rfft(windows[start : start + 256] * shape)) for start in range(0, len(windows), 256)]
    return np.concatenate(parts) / (WINDOW / 4)


def _find_peaks(flux: Curve) -> list[int]:
    """Return the hops of onsets that stand out from their neighbourhood, each the largest nearby."""
    import numpy as np

    reach = max(1, round(THRESHOLD_SECONDS * RATE / HOP))
    apart = max(1, round(MIN_BEAT_SECONDS * RATE / HOP))
    hops = np.arange(len(flux))
    low, high = np.maximum(hops - reach, 0), np.minimum(hops + reach + 1, len(flux))
    total = np.concatenate([[0.0], np.cumsum(flux)])
    mean = (total[high] - total[low]) / (high - low)
    peaks: list[int] = []
    for hop in np.flatnonzero(flux > np.maximum(THRESHOLD * mean, MIN_ONSET * flux.max())):
        is_largest = flux[hop] == flux[max(0, hop - apart) : hop + apart + 1].max()
        if is_largest and (not peaks or hop - peaks[-1] >= apart):
            peaks.append(int(hop))
    return peaks


def _to_unit(curve: Curve) -> Curve:
    """Scale a curve to 0..1, where 1 is a loud moment and not the single loudest one."""
    import numpy as np

    loud = float(np.quantile(curve, 0.98)) or float(curve.max())
    return np.clip(curve / loud, 0, 1) if loud > 0 else np.zeros_like(curve)


def _to_mean_of_1(curve: Curve) -> Curve:
    import numpy as np

    mean = float(curve.mean())
    return curve / mean if mean > 0 else np.ones_like(curve)
