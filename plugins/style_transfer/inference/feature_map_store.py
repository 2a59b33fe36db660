"""Stores the feature maps of a network while a large image is stylized: in memory, then on the disk."""

from __future__ import annotations

import errno
import math
import shutil
import tempfile
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

DISK_RESERVE = 2**30
"""Bytes of the disk that are left free."""
FLOAT16_PEAK = 1024.0
"""Value to which the largest of some rows is scaled before they are stored as float16, whose range is 65,504."""


class FeatureMapStore:
    """Stores up to `memory` bytes of feature maps as float32 on `device`, and the others in `folder` as float16.

    Feature maps are computed in bands of about `band_bytes`; on a CPU bands that fit into its cache are fastest.
    """

    def __init__(self, folder: Path, device: str, memory: int, band_bytes: int) -> None:
        self.device = device
        self.band_bytes = band_bytes
        self.free_memory = memory
        self._folder = folder

    def fits_in_memory(self, shape: tuple[int, int, int]) -> bool:
        """Check whether a feature map of (channels, height, width) fits into memory."""
        return 4 * math.prod(shape) <= self.free_memory

    def has_space(self, shape: tuple[int, int, int]) -> bool:
        """Check whether a feature map fits into memory, or into half of what the disk has free."""
        return self.fits_in_memory(shape) or 4 * math.prod(shape) <= shutil.disk_usage(self._folder).free - DISK_RESERVE

    def allocate(self, shape: tuple[int, int, int]) -> RowBuffer:
        """Allocate a buffer of (channels, height, width), which is freed with its last reference.

        Raises BadInput where the disk is too full.
        """
        if self.fits_in_memory(shape):
            return _MemoryBuffer(self, shape)
        if 2 * math.prod(shape) > shutil.disk_usage(self._folder).free:
            raise _disk_full_error()
        return _DiskBuffer(tempfile.TemporaryFile(dir=self._folder), shape, self.device)


class RowBuffer:
    """A feature map that is written from top to bottom and then read. Rows are [1, channels, rows, width]."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    def write(self, top: int, rows: Tensor) -> None:
        """Write rows at their position."""
        raise NotImplementedError

    def read(self, top: int, bottom: int) -> Tensor:
        """Read the rows from `top` up to `bottom`."""
        raise NotImplementedError


class _MemoryBuffer(RowBuffer):
    def __init__(self, store: FeatureMapStore, shape: tuple[int, int, int]) -> None:
        import torch

        super().__init__(shape)
        self._values = torch.empty((1, *shape), device=store.device)
        self._store = store
        store.free_memory -= self._values.nbytes

    def __del__(self) -> None:
        self._store.free_memory += self._values.nbytes

    def write(self, top: int, rows: Tensor) -> None:
        self._values[:, :, top : top + rows.shape[2]] = rows

    def read(self, top: int, bottom: int) -> Tensor:
        return self._values[:, :, top:bottom]


class _DiskBuffer(RowBuffer):
    """Stores row after row, so that neighbouring rows are one read, in a file without a name, so that none is left."""

    def __init__(self, file: BufferedRandom, shape: tuple[int, int, int], device: str) -> None:
        import torch

        super().__init__(shape)
        self._file = file
        self._device = device
        self._scales = torch.ones(shape[1], device=device)

    def __del__(self) -> None:
        self._file.close()

    def write(self, top: int, rows: Tensor) -> None:
        import torch

        scale = FLOAT16_PEAK / max(float(rows.abs().max()), 1e-6)
        self._scales[top : top + rows.shape[2]] = scale
        values = (rows[0].permute(1, 0, 2) * scale).to("cpu", torch.float16).contiguous().numpy()
        try:
            self._file.seek(top * self._row_bytes)
            self._file.write(values.data)
            self._file.flush()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _disk_full_error() from error
            raise

    def read(self, top: int, bottom: int) -> Tensor:
        import numpy as np
        import torch

        channels, _, width = self.shape
        values = np.empty((bottom - top, channels, width), np.float16)
        self._file.seek(top * self._row_bytes)
        self._file.readinto(values.data.cast("B"))
        rows = torch.from_numpy(values).to(self._device).permute(1, 0, 2)[None]
        return rows.to(torch.float32, memory_format=torch.contiguous_format) / self._scales[top:bottom, None]

    @property
    def _row_bytes(self) -> int:
        return 2 * self.shape[0] * self.shape[2]


def _disk_full_error() -> api.BadInput:
    return api.BadInput(
        "The disk is too full to restyle an image of this size.",
        "Free some space, or lower the “Processing resolution”.",
    )
