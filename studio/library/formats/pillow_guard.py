"""Opens image headers with Pillow without decoding pixels, and raises one exception for all kinds of damage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core import images
from studio.core.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

_PILLOW_ERRORS = (
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    RuntimeError,
)
"""Exceptions that Pillow raises for damaged files, besides OSError."""


@contextmanager
def open_header(path: Path) -> Iterator[Image]:
    """Yield an image whose pixels are not decoded yet. The caller must check its size before decoding.

    Raises BadInput for what Pillow cannot read, here or in the block.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with images.open_undecoded(path) as image:
                yield image
    except FileNotFoundError:
        raise
    except (OSError, *_PILLOW_ERRORS) as error:
        raise BadInput(f"{path.name} is not a picture that can be read.") from error
