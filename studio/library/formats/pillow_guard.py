"""Opening a picture for its header: no pixel is decoded, and every kind of damage is one exception."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

_DAMAGE = (ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, OverflowError, MemoryError, RuntimeError)
"""What Pillow raises for garbled files, besides OSError."""


@contextmanager
def opened(path: Path) -> Iterator[Image]:
    """Raises BadInput for what Pillow cannot read, here or in the block. The caller looks at the size first."""
    import PIL.Image

    PIL.Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(path) as image:
                yield image
    except FileNotFoundError:
        raise
    except (OSError, *_DAMAGE) as error:
        raise BadInput(f"{path.name} is not a picture that can be read.") from error
