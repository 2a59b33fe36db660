"""Masks as files: the painted mask with its feather, and the blurred mask that a tool gets.

A mask is an 8-bit grey PNG, white where the picture is to change. Where it has a feather, the file
that a tool gets is blurred, and beside it lies ``NAME.painted.png`` to go on painting from.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QSize
from PySide6.QtGui import QImage

from studio.core.files import atomic_write
from studio.core.humanize import group_digits
from studio.core.images import open_picture, open_undecoded
from studio.core.paths import Home
from studio.state.form.draft_store import Draft

if TYPE_CHECKING:
    from PIL import Image

PREFIX = "mask-"
PAINTED_SUFFIX = ".painted.png"
FEATHER = "studio_feather"
PNG_LEVEL = 3
"""Compression level; masks are simple."""


class Mask(NamedTuple):
    """`feather` in pixels; `scaled_from` is the file's own size where it was not the one asked for."""

    image: QImage
    feather: int = 0
    scaled_from: QSize | None = None


def new_path(home: Home) -> Path:
    return home.masks / f"{PREFIX}{secrets.token_hex(5)}.png"


def is_painted(path: str) -> bool:
    """Check whether `new_path` has named a file."""
    file = Path(path)
    return file.name.startswith(PREFIX) and file.parent.name == "masks"


def write(path: Path, image: QImage, feather: int) -> None:
    """Write an 8-bit grey image. A large one takes a second. Raises StudioError."""
    from PIL.PngImagePlugin import PngInfo

    if feather:
        about = PngInfo()
        about.add_text(FEATHER, str(feather))
        with atomic_write(_path_of_painted(path)) as part:
            _as_pillow(image).save(part, compress_level=PNG_LEVEL, pnginfo=about)
        image = blur(image, feather)
    with atomic_write(path) as part:
        _as_pillow(image).save(part, compress_level=PNG_LEVEL)


def read(path: Path, size: QSize) -> Mask:
    """Read any picture as a mask of `size`; without the blur, if it was painted here. Raises BadInput."""
    from PIL import Image

    feather, source = 0, path
    if _path_of_painted(path).exists():
        source = _path_of_painted(path)
        with suppress(OSError, ValueError), open_undecoded(source) as about:
            feather = int(str(about.info.get(FEATHER, "0")))
    opened = open_picture(source)
    if opened.mode == "RGBA":
        black = Image.new("RGBA", opened.size, (0, 0, 0, 255))
        opened = Image.alpha_composite(black, opened)
    grey = opened.convert("L")
    own = QSize(*grey.size)
    if own != size:
        grey = grey.resize((size.width(), size.height()), Image.Resampling.BILINEAR)
    return Mask(_as_qimage(grey.tobytes(), size), feather, own if own != size else None)


def blur(image: QImage, feather: float) -> QImage:
    """Blur a mask, so that an edge becomes a slope of about `feather` pixels."""
    from PIL import ImageFilter

    soft = _as_pillow(image).filter(ImageFilter.GaussianBlur(feather / 2))
    return _as_qimage(soft.tobytes(), image.size())


def remove_unused(home: Home, draft: Draft) -> None:
    """Remove masks of earlier sessions that no tool uses."""
    used = set()
    for values in draft.values.values():
        for value in values.values():
            for path in value if isinstance(value, list) else [value]:
                used |= {str(path), str(_path_of_painted(Path(str(path))))} if isinstance(path, str) else set()
    for file in home.masks.glob("*.png"):
        if str(file) not in used:
            with suppress(OSError):
                file.unlink()


def describe_scaling(mask: QSize, picture: QSize) -> str:
    """Return a sentence about a mask whose size is not that of its picture."""
    return f"The mask is {_format_size(mask)} and the image {_format_size(picture)}. The mask is scaled to fit."


def find_picture_field(names: Iterable[tuple[str, bool]]) -> str:
    """Return the field with the picture that a mask is for; `names` are (field, whether it is a list)."""
    single = [name for name, many in names if not many]
    return "image" if "image" in single else next(iter(single), "")


def _format_size(size: QSize) -> str:
    return f"{group_digits(size.width())} × {group_digits(size.height())}"


def _path_of_painted(path: Path) -> Path:
    return path.with_name(path.stem + PAINTED_SUFFIX)


def _as_pillow(image: QImage) -> Image.Image:
    from PIL import Image

    size = (image.width(), image.height())
    return Image.frombytes("L", size, bytes(image.constBits()), "raw", "L", image.bytesPerLine(), 1)


def _as_qimage(pixels: bytes, size: QSize) -> QImage:
    """Return an image with its own memory."""
    return QImage(pixels, size.width(), size.height(), size.width(), QImage.Format.Format_Grayscale8).copy()
