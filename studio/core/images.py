"""Open pictures of any kind safely, with one plain sentence for each way it can go wrong."""

from __future__ import annotations

import io
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from studio.core import bare_pixels
from studio.core.errors import BadInput
from studio.core.image_limits import MAX_PIXELS, PILLOW_FORMATS, PILLOW_MAX_PIXELS, check_icon, check_image
from studio.core.untrusted_files import open_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

IMAGE_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp", ".dib"}
    | {".ico", ".jp2", ".j2k", ".jpx", ".qoi", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""File extensions of images, in lower case."""
MAX_STRIPPED_BYTES = 256 * 2**20
"""Larger files are not read a second time without their metadata."""
_CONVERTED_PIXELS = 2**22
"""Pixels that are converted to 8 bits at once."""
_ORIENTATION = 0x0112
_SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|....ftypavi[fs]|\0\0\0\x0cjP  |qoif", re.DOTALL
)


def open_picture(
    path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS, at: float = 0.0, shrink_to: int = 0
) -> Image:
    """Open a picture file as 8-bit sRGB: mode RGB, or RGBA if it has transparency.

    Of an animation it returns the frame at the fraction `at` (0..1), the first by default. CMYK,
    grey, palette and 16-bit pictures are converted; the EXIF orientation is applied; an embedded
    colour profile is converted to sRGB.

    `shrink_to` reads a smaller image, whose longer side has at least so many pixels; of the larger one only one copy
    is ever in memory.

    Raises BadInput if the file is missing, unreadable, not an image, truncated, or has more than
    `max_pixels` pixels or needs more than `image_limits.MAX_DECODED_BYTES`.
    """
    path = Path(path)
    with _open_file(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _set_pillow_limits()
        try:
            return _decode(path.name, file, max_pixels, at, shrink_to)
        except _DamagedPictureError as damage:
            without_metadata = _strip_metadata(file)
            if without_metadata is None:
                raise
            try:
                return _decode(path.name, without_metadata, max_pixels, 0.0, shrink_to)
            except _DamagedPictureError:
                raise damage from damage.__cause__


class _DamagedPictureError(BadInput):
    """Pillow cannot read the file. It may be able to without the metadata."""


def _decode(name: str, file: BinaryIO, max_pixels: int, at: float, shrink_to: int) -> Image:
    import PIL.Image
    from PIL import UnidentifiedImageError

    try:
        check_icon(file, name, max_pixels)
        image = PIL.Image.open(file, formats=PILLOW_FORMATS)
    except BadInput:
        raise
    except MemoryError as error:
        raise BadInput(f"{name} needs more memory than is available.", "Scale it down first.") from error
    except PIL.Image.DecompressionBombError as error:
        hint = f"Scale it to at most {max_pixels / 1e6:,.0f} megapixels."
        raise BadInput(f"{name} is too large: it has more than {MAX_PIXELS / 1e6:,.0f} megapixels.", hint) from error
    except UnidentifiedImageError as error:
        sentence = f"{name} is not an image that can be read."
        raise _DamagedPictureError(sentence, "Use PNG, JPEG, WebP, AVIF, GIF or TIFF.") from error
    except Exception as error:
        sentence = f"{name} is damaged and cannot be opened."
        raise _DamagedPictureError(sentence, "Save or download it again.") from error
    try:
        check_image(image, name, max_pixels)
        if at:
            frames = getattr(image, "n_frames", 1)
            image.seek(min(int(frames * at), frames - 1))
            check_image(image, name, max_pixels)
        if shrink_to:
            image.draft("RGB", (shrink_to, shrink_to))
        image.load()
        orientation = read_orientation(image)
        return _convert_to_srgb(apply_orientation(_shrink(image, shrink_to), orientation))
    except BadInput:
        raise
    except MemoryError as error:
        raise BadInput(f"{name} needs more memory than is available.", "Scale it down first.") from error
    except Exception as error:
        sentence = f"{name} is damaged or incomplete."
        raise _DamagedPictureError(sentence, "Save or download it again.") from error


def is_image_file(path: Path) -> bool:
    """Return whether a file is an image by its extension or, where it has another one, by its first bytes.

    Devices, pipes and files that cannot be read are no images.
    """
    try:
        if not path.is_file():
            return False
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return True
        with open_file(path) as file:
            return _SIGNATURE.match(file.read(16)) is not None
    except OSError:
        return False


def open_undecoded(path: Path) -> ImageFile:
    """Open a picture with Pillow without decoding its pixels, where damaged metadata hinders it without the metadata.

    The caller closes it, and must check its size before decoding. Raises whatever Pillow raises for a file that it
    cannot read.
    """
    import PIL.Image

    with open_file(path) as file:
        check_icon(file, path.name)
    _set_pillow_limits()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return PIL.Image.open(path, formats=PILLOW_FORMATS)
        except FileNotFoundError:
            raise
        except Exception:
            with open_file(path) as file:
                stripped = _strip_metadata(file)
            if stripped is None:
                raise
            return PIL.Image.open(stripped, formats=PILLOW_FORMATS)


def read_orientation(image: Image) -> int:
    """Return the EXIF orientation of an open picture, 1..8; 1 (upright) if it has none or its EXIF is malformed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def apply_orientation(image: Image, orientation: int) -> Image:
    """Return a picture turned and mirrored as its EXIF orientation, 1..8, says."""
    from PIL.Image import Transpose

    method = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)


def _strip_metadata(file: BinaryIO) -> BinaryIO | None:
    """Return a PNG, JPEG or AVIF without its metadata, or None for another file."""
    try:
        file.seek(0)
        if os.fstat(file.fileno()).st_size > MAX_STRIPPED_BYTES:
            return None
        stripped = bare_pixels.strip_metadata(file.read())
    except OSError:
        return None
    return None if stripped is None else io.BytesIO(stripped)


def _open_file(path: Path) -> io.BufferedReader:
    try:
        file = open_file(path)
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}.", "Check the path.") from error
    except IsADirectoryError as error:
        raise BadInput(f"{path} is a folder, not an image.") from error
    except PermissionError as error:
        raise BadInput(
            f"{path} cannot be read: permission denied.", "Change its permissions or choose another file."
        ) from error
    except OSError as error:
        raise BadInput(f"{path} cannot be opened: {error.strerror or error}.") from error
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise BadInput(f"{path.name} is empty (zero bytes).", "Choose another image.")
    return file


def _set_pillow_limits() -> None:
    """Set Pillow's limits: that of pixels for GIF, whose canvas it makes when it opens one, and those of text chunks.

    Long texts must not hide the pixels.
    """
    import PIL.Image
    from PIL import PngImagePlugin

    PIL.Image.MAX_IMAGE_PIXELS = PILLOW_MAX_PIXELS
    PngImagePlugin.MAX_TEXT_CHUNK = 64 * 2**20
    PngImagePlugin.MAX_TEXT_MEMORY = 128 * 2**20


def _convert_to_srgb(image: Image) -> Image:
    profile = image.info.get("icc_profile")
    transparent = image.has_transparency_data
    if image.mode.startswith(("I", "F")):
        image = _convert_to_8_bit(image)
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        image = _convert_profile_to_srgb(image, profile)
    wanted = "RGBA" if transparent else "RGB"
    image = image if image.mode == wanted else image.convert(wanted)
    image.info = {}
    return image


def _shrink(image: Image, shrink_to: int) -> Image:
    """Return an image reduced by a whole factor, whose longer side still has `shrink_to` pixels or more."""
    factor = max(image.size) // shrink_to if shrink_to else 1
    if factor < 2:
        return image
    if image.mode.startswith("I;16"):
        wanted = "I"
    elif image.has_transparency_data:
        wanted = "RGBA"
    else:
        wanted = "RGB" if image.mode in ("1", "P") else image.mode
    profile = image.info.get("icc_profile")
    converted = image if image.mode == wanted else image.convert(wanted)
    reduced = converted.reduce((min(factor, image.width), min(factor, image.height)))
    reduced.info = {"icc_profile": profile} if profile else {}
    return reduced


def _convert_to_8_bit(image: Image) -> Image:
    """Convert by bands of rows, since the values take several times the memory of the image."""
    import numpy as np
    import PIL.Image

    rows = max(1, _CONVERTED_PIXELS // max(1, image.width))
    bands = [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    top = 65535.0
    if image.mode == "F":
        highest = max(float(_read_values(image, band).max(initial=0.0)) for band in bands)
        top = 1.0 if highest <= 1.0 else 255.0 if highest <= 255.0 else 65535.0
    converted = PIL.Image.new("L", image.size)
    for band in bands:
        values = np.clip(_read_values(image, band) / top, 0, 1) * 255 + 0.5
        converted.paste(PIL.Image.fromarray(values.astype(np.uint8)), band[:2])
    return converted


def _read_values(image: Image, band: tuple[int, int, int, int]) -> NDArray[np.float32]:
    import numpy as np

    return np.nan_to_num(np.asarray(image.crop(band), dtype=np.float32))


def _convert_profile_to_srgb(image: Image, profile: bytes) -> Image:
    """Convert to sRGB. An unusable profile leaves the pixels unchanged."""
    from PIL import ImageCms

    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except Exception:
        return image
    return converted or image
