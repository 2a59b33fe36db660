"""Opens image headers with Pillow without decoding pixels, and raises one exception for all kinds of damage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core import images
from studio.core.errors import BadInput
from studio.core.untrusted_files import damage_as_bad_input, name_for_display

if TYPE_CHECKING:
    from PIL.Image import Image


@contextmanager
def open_header(path: Path) -> Iterator[Image]:
    """Yield an image whose pixels are not decoded yet. The caller must check its size before decoding.

    Raises BadInput for what Pillow cannot read, here or in the block.
    """
    damaged = BadInput(f"{name_for_display(path)} is not an image that can be read.")
    with damage_as_bad_input(path, damaged), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with images.open_undecoded(path) as image:
            yield image
