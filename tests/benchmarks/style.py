"""Time and memory of each starter style, and the visibility of bands."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from plugins.style_transfer.inference import streaming
from plugins.style_transfer.models import generators
from plugins.style_transfer.models import style as style_models
from plugins.style_transfer.models.style import Style
from plugins.style_transfer.training import presets
from tests.benchmarks.figure import MIN_SAMPLES, Figure
from tests.benchmarks.style_sheet import find_starters

SIDE, WHOLE = 512, 2048
LARGE = (6000, 8000)
"""Rows and columns: 48 megapixels."""
INTERVAL = 0.01
"""Seconds between two measurements of the memory."""


def run() -> Iterator[Figure]:
    styles = [(style_models.open_style(folder), folder.name) for folder in find_starters()]
    styles += [(_build_untrained(), "a ResNet of random weights")]
    yield from (_time_style(style, name) for style, name in styles if isinstance(style, Style))
    yield from (_compare_bands(style, name) for style, name in styles if isinstance(style, Style))
    kinds = {style.architecture: (style, name) for style, name in styles if isinstance(style, Style)}
    for style, name in kinds.values():
        yield from _measure_large(style, name)


def _time_style(style: Style, name: str) -> Figure:
    photo = _make_photo(SIDE, SIDE)
    samples = [_clock(lambda: _stylize(style, photo)) for _ in range(MIN_SAMPLES + 1)]
    return Figure(title=f"{SIDE}² in {name}", samples=tuple(samples[1:]), bound=1500)


def _compare_bands(style: Style, name: str) -> Figure:
    """Compare the result in bands with that of the whole image: the largest difference."""
    import torch

    photo = _make_photo(WHOLE, WHOLE)
    bands = _stylize(style, photo).astype(np.float32) / 257
    whole = style(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    values = ((whole + 1) * 127.5).permute(1, 2, 0).numpy()
    worst = float(np.abs(bands - values).max())
    return Figure(title=f"{WHOLE}² in bands against the whole, {name}", unit="of 255", samples=(worst,), bound=2)


def _measure_large(style: Style, name: str) -> Iterator[Figure]:
    """Measure the memory for a large image, which includes the image and the result themselves."""
    size = f"{LARGE[0] * LARGE[1] // 1_000_000} megapixels in {name}"
    with _Peak() as peak:
        duration = _clock(lambda: _stylize(style, _make_photo(*LARGE)))
    yield Figure(title=f"{size}, memory above the loaded model", unit="MB", samples=(peak.megabytes,), bound=2048)
    yield Figure(title=f"{size}, time", unit="s", samples=(duration / 1000,))


class _Peak:
    """The peak memory of this process inside the context, above what it had before."""

    def __enter__(self) -> _Peak:
        self._process, self._ended = psutil.Process(), threading.Event()
        self._before = self._peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def megabytes(self) -> float:
        return float(self._peak - self._before) / 2**20

    def _poll(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._peak = max(self._peak, self._process.memory_info().rss)


def _stylize(style: Style, photo: NDArray[np.uint8]) -> NDArray[np.uint16]:
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as scratch:
        return streaming.stylize(style, photo, Path(scratch), lambda _: None)


def _build_untrained() -> Style:
    """Build an untrained network as trained by CUT, whose instance norms need the statistics of the whole image."""
    import torch

    torch.manual_seed(0)
    config: dict[str, Any] = presets.generator_config("cut", "small")
    return Style(generators.build_network(config), "random", config, "signed", "cpu")


def _make_photo(height: int, width: int) -> NDArray[np.uint8]:
    """Make gradients, waves and grain, [height, width, 3]."""
    grain = np.random.default_rng(0).integers(0, 48, (height, width, 3), np.uint8)
    down = np.linspace(0, 120, height, dtype=np.float32)[:, None]
    across = 40 + 40 * np.sin(np.linspace(0, 90, width, dtype=np.float32))[None]
    photo: NDArray[np.uint8] = grain + (down + across).astype(np.uint8)[..., None]
    return photo


def _clock(work: Callable[[], object]) -> float:
    """Return the duration in ms."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000
