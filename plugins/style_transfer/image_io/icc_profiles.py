"""Converts ICC profiles at 16 bits per channel, which Pillow's own conversion does not support.

Matrix profiles of displays (ICC.1:2022, sections 8.3, 10.6, 10.18 and 10.31) are read, such as sRGB, Display P3, Adobe
RGB and ProPhoto, and grey profiles with one curve. Profiles with lookup tables are not.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Curve: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]

SRGB_TO_D50 = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))
"""Matrix from linear sRGB to XYZ under D50, as in sRGB's own profile."""
ROWS = 256
MAX_CURVE = 65_536


def to_srgb(rgb: NDArray[np.uint16], profile: bytes) -> NDArray[np.uint16] | None:
    """Convert [h, w, 3] of 0..65535 from a profile to sRGB. Returns None where the profile cannot be read."""
    import numpy as np

    matrix_and_curves = _read_profile(profile)
    if matrix_and_curves is None:
        return None
    matrix, curves = matrix_and_curves
    tables = [(curve(np.arange(65536) / 65535.0)).astype(np.float32) for curve in curves]
    to_linear_srgb = np.linalg.inv(np.asarray(SRGB_TO_D50)) @ matrix
    if (
        np.abs(to_linear_srgb - np.eye(3)).max() < 2e-3
        and max(np.abs(table - _build_srgb_table()).max() for table in tables) < 2e-3
    ):
        return rgb
    converted = np.empty_like(rgb)
    for top in range(0, len(rgb), ROWS):
        part = rgb[top : top + ROWS]
        linear = np.stack([table[part[..., number]] for number, table in enumerate(tables)], -1)
        encoded = _encode_srgb(linear @ to_linear_srgb.T.astype(np.float32))
        converted[top : top + ROWS] = (encoded * 65535 + 0.5).astype(np.uint16)
    return converted


def from_srgb8(rgb: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8] | None:
    """Convert [h, w, 3] of 0..255 from sRGB to a profile. Returns None where Pillow cannot use the profile."""
    import numpy as np
    from PIL import Image, ImageCms

    try:
        target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        source = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(Image.fromarray(rgb), source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if converted is None else np.asarray(converted)


def _build_srgb_table() -> NDArray[np.float64]:
    """Return the linear value of each 16-bit sRGB value."""
    import numpy as np

    values = np.arange(65536) / 65535.0
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encode_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply sRGB's tone curve (IEC 61966-2-1) to linear values, clipped to 0..1."""
    import numpy as np

    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _read_profile(profile: bytes) -> tuple[NDArray[np.float64], list[Curve]] | None:
    """Return the matrix to XYZ under D50 and the curves to linear light. None for a profile that is not supported."""
    import numpy as np

    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        entries = [struct.unpack_from(">4sII", profile, 132 + 12 * number) for number in range(min(count, 100))]
        tags = {name: profile[start : start + size] for name, start, size in entries}
        if b"A2B0" in tags:
            return None
        if profile[16:20] == b"GRAY":
            return np.asarray(SRGB_TO_D50), [_read_curve(tags[b"kTRC"])] * 3
        if profile[16:20] != b"RGB ":
            return None
        columns = [
            [value / 65536 for value in struct.unpack_from(">iii", tags[name], 8)]
            for name in (b"rXYZ", b"gXYZ", b"bXYZ")
        ]
        curves = [_read_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
    except (struct.error, KeyError, ValueError, ZeroDivisionError):
        return None
    return np.asarray(columns).T, curves


def _read_curve(tag: bytes) -> Curve:
    """Read a `curv` or `para` tag. Raises ValueError or struct.error for a damaged one."""
    import numpy as np

    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if not count:
            return lambda values: values
        if count > MAX_CURVE:
            raise ValueError
        points = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
        if count == 1:
            gamma = points[0] / 256
            return lambda values: values**gamma
        return lambda values: np.interp(values, np.linspace(0, 1, count), points / 65535)
    if tag[:4] != b"para":
        raise ValueError
    (function_type,) = struct.unpack_from(">H", tag, 8)
    length = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[function_type]
    g, *rest = (value / 65536 for value in struct.unpack_from(f">{length}i", tag, 12))
    if function_type == 0:
        return lambda values: values**g
    if function_type in (1, 2):
        floor = rest[2] if function_type == 2 else 0.0
        rest = [rest[0], rest[1], 0.0, -rest[1] / rest[0], floor, floor]
    a, b, c, d, e, f = [*rest, 0.0, 0.0][:6]
    return lambda values: np.where(values >= d, np.maximum(a * values + b, 0.0) ** g + e, c * values + f)
