"""Draws simple shaded faces which the networks recognise, so that tests need no photographs."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter


def draw_face(size: int = 400, skin: str = "#d9a58a", hair: str = "#3b2a20", eyes: str = "#4a6a8a") -> Image.Image:
    """Draw a frontal face that fills about half of a square image."""
    scale = 4
    side = size * scale
    image = Image.new("RGB", (side, side), "#8a9aa0")
    draw = ImageDraw.Draw(image)

    def ellipse(x: float, y: float, w: float, h: float, fill: str) -> None:
        draw.ellipse([(x - w) * side, (y - h) * side, (x + w) * side, (y + h) * side], fill=fill)

    ellipse(0.5, 1.12, 0.42, 0.28, "#405060")
    ellipse(0.5, 0.44, 0.27, 0.36, hair)
    draw.rectangle([0.42 * side, 0.7 * side, 0.58 * side, 0.92 * side], fill=_shade(skin, 0.8))
    ellipse(0.5, 0.52, 0.215, 0.285, skin)
    ellipse(0.5, 0.24, 0.2, 0.07, hair)
    for x in (0.415, 0.585):
        ellipse(x, 0.475, 0.055, 0.03, _shade(skin, 0.8))
        ellipse(x, 0.478, 0.042, 0.019, "#f4efe8")
        ellipse(x, 0.478, 0.02, 0.02, eyes)
        ellipse(x, 0.478, 0.009, 0.009, "#101010")
        ellipse(x - 0.006, 0.472, 0.004, 0.004, "#ffffff")
        brow = [(x - 0.06) * side, 0.405 * side, (x + 0.06) * side, 0.49 * side]
        draw.arc(brow, 200, 340, fill=hair, width=round(0.016 * side))
    ellipse(0.5, 0.545, 0.018, 0.075, _shade(skin, 1.08))
    ellipse(0.5, 0.595, 0.034, 0.024, _shade(skin, 1.05))
    for x in (0.48, 0.52):
        ellipse(x, 0.61, 0.011, 0.007, _shade(skin, 0.5))
    ellipse(0.5, 0.682, 0.07, 0.026, "#b0605c")
    draw.line([0.43 * side, 0.68 * side, 0.57 * side, 0.68 * side], fill="#6a302c", width=round(0.006 * side))
    for x in (0.37, 0.63):
        ellipse(x, 0.6, 0.045, 0.04, _shade(skin, 0.96))
    image = image.filter(ImageFilter.GaussianBlur(0.006 * side))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def draw_group(skins: Sequence[str], size: int = 300) -> Image.Image:
    """Draw several faces side by side."""
    group = Image.new("RGB", (size * len(skins), size))
    for index, skin in enumerate(skins):
        group.paste(draw_face(size, skin), (index * size, 0))
    return group


def _shade(colour: str, factor: float) -> str:
    parts = (min(255, round(int(colour[index : index + 2], 16) * factor)) for index in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts)
