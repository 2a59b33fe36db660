"""The visible label of a changed image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

TEXT = "AI modified"
Corner = Literal["bottom right", "bottom left", "top right", "top left"]


def draw_label(picture: Image, corner: Corner) -> Image:
    """Return a copy of an RGB or RGBA image with the label in a corner."""
    from PIL import Image as PilImage
    from PIL import ImageDraw, ImageFont

    short = min(picture.size)
    font = ImageFont.load_default(max(9.0, short / 32))
    left, top, right, bottom = ImageDraw.Draw(picture).textbbox((0, 0), TEXT, font=font)
    pad = max(2, round(short / 120))
    width, height = int(right - left) + 2 * pad, int(bottom - top) + 2 * pad
    plate = PilImage.new("RGBA", (width, height), (0, 0, 0, 150))
    ImageDraw.Draw(plate).text((pad - left, pad - top), TEXT, fill=(255, 255, 255, 255), font=font)
    x = pad if corner.endswith("left") else picture.width - width - pad
    y = pad if corner.startswith("top") else picture.height - height - pad
    labelled = picture.convert("RGBA")
    labelled.alpha_composite(plate, (max(0, x), max(0, y)), (max(0, -x), max(0, -y)))
    return labelled.convert(picture.mode)
