"""Where the inner pictures of a network lie while a large picture is painted: in memory, then on the disk."""

from __future__ import annotations

import errno
import math
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

SPARE = 2**30
"""Bytes of the disk that are left free."""
PEAK = 1024.0
"""What the largest value of some rows becomes before they are stored in 16 bits, which reach to 65,504."""


class Store:
    """Room for planes: `memory` bytes as float32 on `device`, and beyond that files in `folder` as float16.

    Planes are computed in bands of about `band` bytes; on a processor those that its cache holds are the quickest.
    """

    def __init__(self, folder: Path, device: str, memory: int, band: int) -> None:
        self.device = device
        self.band = band
        self.left = memory
        self._folder = folder

    def has_memory(self, shape: tuple[int, int, int]) -> bool:
        """Whether a plane of (channels, height, width) fits into memory."""
        return 4 * math.prod(shape) <= self.left

    def has_room(self, shape: tuple[int, int, int]) -> bool:
        """Whether a plane fits without taking more than half of what the disk has free."""
        return self.has_memory(shape) or 4 * math.prod(shape) <= shutil.disk_usage(self._folder).free - SPARE

    def kept(self, shape: tuple[int, int, int]) -> Kept:
        """Room for a plane of (channels, height, width); it is given back when nobody holds it any more.

        Raises BadInput where the disk is too full.
        """
        if self.has_memory(shape):
            return _InMemory(self, shape)
        if 2 * math.prod(shape) > shutil.disk_usage(self._folder).free:
            raise _full()
        return _OnDisk(tempfile.TemporaryFile(dir=self._folder), shape, self.device)


class Kept:
    """A plane that is written row by row and then read. Rows are [1, channels, rows, width]."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    def write(self, top: int, rows: Tensor) -> None:
        """Puts rows in their place; they are written from the top to the bottom."""
        raise NotImplementedError

    def read(self, top: int, bottom: int) -> Tensor:
        raise NotImplementedError


class _InMemory(Kept):
    def __init__(self, store: Store, shape: tuple[int, int, int]) -> None:
        import torch

        super().__init__(shape)
        self._values = torch.empty((1, *shape), device=store.device)
        self._store = store
        store.left -= self._values.nbytes

    def __del__(self) -> None:
        self._store.left += self._values.nbytes

    def write(self, top: int, rows: Tensor) -> None:
        self._values[:, :, top : top + rows.shape[2]] = rows

    def read(self, top: int, bottom: int) -> Tensor:
        return self._values[:, :, top:bottom]


class _OnDisk(Kept):
    """Row after row, so that neighbouring rows are read at once; without a name, so that nothing is left behind."""

    def __init__(self, file: IO[bytes], shape: tuple[int, int, int], device: str) -> None:
        import torch

        super().__init__(shape)
        self._file = file
        self._device = device
        self._scales = torch.ones(shape[1], device=device)

    def __del__(self) -> None:
        self._file.close()

    def write(self, top: int, rows: Tensor) -> None:
        import torch

        scale = PEAK / max(float(rows.abs().max()), 1e-6)
        self._scales[top : top + rows.shape[2]] = scale
        packed = (rows[0].permute(1, 0, 2) * scale).to("cpu", torch.float16).contiguous().numpy()
        try:
            self._file.seek(top * self._row)
            self._file.write(packed.data)
            self._file.flush()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _full() from error
            raise

    def read(self, top: int, bottom: int) -> Tensor:
        import numpy as np
        import torch

        channels, _, width = self.shape
        packed = np.empty((bottom - top, channels, width), np.float16)
        self._file.seek(top * self._row)
        self._file.readinto(memoryview(packed).cast("B"))  # type: ignore[attr-defined]
        rows = torch.from_numpy(packed).to(self._device).permute(1, 0, 2)[None]
        return rows.to(torch.float32, memory_format=torch.contiguous_format) / self._scales[top:bottom, None]

    @property
    def _row(self) -> int:
        """Bytes of one row."""
        return 2 * self.shape[0] * self.shape[2]


def _full() -> api.BadInput:
    return api.BadInput(
        "The disk is too full to paint a picture of this size.", "Free some space, or paint it smaller."
    )
