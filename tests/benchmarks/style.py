"""A photo in each style that comes with the studio: how long it takes, whether the bands in which it is painted show,
and what memory a large one needs beyond the loaded model."""

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
from plugins.style_transfer.models import style as models
from plugins.style_transfer.models.style import Style
from plugins.style_transfer.training import presets
from tests.benchmarks.measure import LEAST, Figure
from tests.benchmarks.style_sheet import starters

SIDE, WHOLE = 512, 2048
LARGE = (6000, 8000)
"""Rows and columns: 48 megapixels."""
EVERY = 0.01
"""Seconds between two looks at the memory."""


def figures() -> Iterator[Figure]:
    styles = [(models.opened(folder), folder.name) for folder in starters()]
    styles += [(_random(), "a ResNet of random weights")]
    yield from (_timed(style, name) for style, name in styles if isinstance(style, Style))
    yield from (_seams(style, name) for style, name in styles if isinstance(style, Style))
    kinds = {style.kind: (style, name) for style, name in styles if isinstance(style, Style)}
    for style, name in kinds.values():
        yield from _large(style, name)


def _timed(style: Style, name: str) -> Figure:
    photo = _photo(SIDE, SIDE)
    samples = [_clock(lambda: _painted(style, photo)) for _ in range(LEAST + 1)]
    return Figure(what=f"{SIDE}² in {name}", samples=tuple(samples[1:]), bound=1500)


def _seams(style: Style, name: str) -> Figure:
    """The largest difference between the painting in bands and the one that the network makes of the whole."""
    import torch

    photo = _photo(WHOLE, WHOLE)
    bands = _painted(style, photo).astype(np.float32) / 257
    whole = style(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    values = ((whole + 1) * 127.5).permute(1, 2, 0).numpy()
    worst = float(np.abs(bands - values).max())
    return Figure(what=f"{WHOLE}² in bands against the whole, {name}", unit="of 255", samples=(worst,), bound=2)


def _large(style: Style, name: str) -> Iterator[Figure]:
    """With the picture itself and the painting, of the size that they have."""
    size = f"{LARGE[0] * LARGE[1] // 1_000_000} megapixels in {name}"
    with _Peak() as peak:
        took = _clock(lambda: _painted(style, _photo(*LARGE)))
    yield Figure(what=f"{size}, memory above the loaded model", unit="MB", samples=(peak.megabytes,), bound=2048)
    yield Figure(what=f"{size}, time", unit="s", samples=(took / 1000,))


class _Peak:
    """The most memory that this process had while it was watched, above what it had before."""

    def __enter__(self) -> _Peak:
        self._process, self._ended = psutil.Process(), threading.Event()
        self._before = self._most = self._process.memory_info().rss
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    @property
    def megabytes(self) -> float:
        return (self._most - self._before) / 2**20

    def _look(self) -> None:
        while not self._ended.wait(EVERY):
            self._most = max(self._most, self._process.memory_info().rss)


def _painted(style: Style, photo: NDArray[np.uint8]) -> NDArray[np.uint16]:
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as scratch:
        return streaming.painted(style, photo, Path(scratch), lambda _: None)


def _random() -> Style:
    """What the bundled tool trains from paintings, untrained: its statistics go over the whole picture."""
    import torch

    torch.manual_seed(0)
    config: dict[str, Any] = presets.config("cut", "small")
    return Style(generators.build(config), "random", config, "signed", "cpu")


def _photo(height: int, width: int) -> NDArray[np.uint8]:
    """Slopes, waves and grain, [height, width, 3]."""
    grain = np.random.default_rng(0).integers(0, 48, (height, width, 3), np.uint8)
    down = np.linspace(0, 120, height, dtype=np.float32)[:, None]
    across = 40 + 40 * np.sin(np.linspace(0, 90, width, dtype=np.float32))[None]
    return grain + (down + across).astype(np.uint8)[..., None]


def _clock(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
