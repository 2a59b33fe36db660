"""Masks as files: what was painted, with its feather, and what a tool is given.

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
from studio.core.images import open_picture
from studio.core.paths import Home
from studio.state.form.draft_store import Draft

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

NAME = "mask-"
PAINTED = ".painted.png"
FEATHER = "studio_feather"
QUICK = 3
"""How hard PNG tries; masks are simple."""


class Mask(NamedTuple):
    """`feather` in pixels; `scaled_from` is the file's own size where it was not the one asked for."""

    image: QImage
    feather: int = 0
    scaled_from: QSize | None = None


def new_path(home: Home) -> Path:
    return home.masks / f"{NAME}{secrets.token_hex(5)}.png"


def is_painted(path: str) -> bool:
    """Whether it is a file that `new_path` named."""
    file = Path(path)
    return file.name.startswith(NAME) and file.parent.name == "masks"


def write(path: Path, image: QImage, feather: int) -> None:
    """Writes an 8-bit grey image. Off the window's thread: large ones take a second. Raises StudioError."""
    from PIL.PngImagePlugin import PngInfo

    if feather:
        about = PngInfo()
        about.add_text(FEATHER, str(feather))
        with atomic_write(_painted(path)) as part:
            _as_pillow(image).save(part, compress_level=QUICK, pnginfo=about)
        image = blurred(image, feather)
    with atomic_write(path) as part:
        _as_pillow(image).save(part, compress_level=QUICK)


def read(path: Path, size: QSize) -> Mask:
    """The mask in any picture, scaled to `size`; as it was painted, if it was painted here. Raises BadInput."""
    from PIL import Image

    feather, source = 0, path
    if _painted(path).exists():
        source = _painted(path)
        with suppress(OSError, ValueError), Image.open(source) as about:
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


def blurred(image: QImage, feather: float) -> QImage:
    """An edge becomes a slope of about `feather` pixels."""
    from PIL import ImageFilter

    soft = _as_pillow(image).filter(ImageFilter.GaussianBlur(feather / 2))
    return _as_qimage(soft.tobytes(), image.size())


def sweep(home: Home, draft: Draft) -> None:
    """Removes masks of earlier sittings that no tool has any more."""
    kept = set()
    for values in draft.values.values():
        for value in values.values():
            for path in value if isinstance(value, list) else [value]:
                kept |= {str(path), str(_painted(Path(str(path))))} if isinstance(path, str) else set()
    for file in home.masks.glob("*.png"):
        if str(file) not in kept:
            with suppress(OSError):
                file.unlink()


def scaled_sentence(mask: QSize, picture: QSize) -> str:
    return f"The mask is {_words(mask)} and the picture {_words(picture)}. The mask is scaled to fit."


def picture_beside(names: Iterable[tuple[str, bool]]) -> str:
    """Which of these fields, as name and whether it is a list, holds the picture that a mask is for."""
    single = [name for name, many in names if not many]
    return "image" if "image" in single else next(iter(single), "")


def _words(size: QSize) -> str:
    return f"{group_digits(size.width())} × {group_digits(size.height())}"


def _painted(path: Path) -> Path:
    return path.with_name(path.stem + PAINTED)


def _as_pillow(image: QImage) -> PillowImage:
    from PIL import Image

    size = (image.width(), image.height())
    return Image.frombytes("L", size, bytes(image.constBits()), "raw", "L", image.bytesPerLine(), 1)


def _as_qimage(pixels: bytes, size: QSize) -> QImage:
    """With memory of its own."""
    return QImage(pixels, size.width(), size.height(), size.width(), QImage.Format.Format_Grayscale8).copy()
