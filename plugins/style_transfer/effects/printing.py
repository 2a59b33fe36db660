"""What a press or a screen makes of a photo: halftone, risograph, and pixel art.

Dots stand on lattices that repeat every 8 px, counted from the picture's upper left corner, so that a network whose
stride divides 8 can learn where they are.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .drawing import Floats, luminance, noise, outlines, simplified, smoothstep

PERIOD = 8
BLOCK = 8
"""Pixels of the photo for one of pixel art."""

NEWSPRINT = np.array([0.965, 0.945, 0.890], np.float32)
PROCESS = np.array([[0.04, 0.62, 0.85], [0.90, 0.16, 0.45], [1.0, 0.86, 0.10]], np.float32)
"""Cyan, magenta and yellow as they print."""
KEY = np.array([0.10, 0.09, 0.12], np.float32)

CREAM = np.array([0.970, 0.950, 0.905], np.float32)
CORAL = np.array([1.0, 0.36, 0.34], np.float32)
BLUE = np.array([0.07, 0.34, 0.60], np.float32)
REGISTER = (2, 1)
"""Pixels, across and down, by which the blue plate lies beside the coral one."""

PALETTE = """
0e0f14 23252e 3d414d 5c6270 828894 abb0b8 d3d5d8 f6f5f1
2b1a17 4d2b22 74432f 9c6444 c48a62 e3b38c f7dabd
571620 8f1f2b c93238 e8603c f39237 f9c04a fde98a
12301f 1f5a34 3c8a3f 7cb84a bddb7b
0b2b3f 12526b 1f8392 55b8b4 a8e0d1
16204f 24408e 3a6fca 6aa5ec b1d4f7
331a4a 5d2f7d 9450ab c987cf
8f2d5c d2567f f29bab
"""


@cache
def screen(waves: tuple[tuple[int, int], tuple[int, int]], shift: tuple[int, int] = (0, 0)) -> Floats:
    """An 8 × 8 tile of thresholds, even over 0..1, that grows round dots. `waves` are those of two directions
    over 8 px, across and down; `shift` moves the dots by pixels."""
    fine = 16
    at = (np.arange(PERIOD * fine, dtype=np.float32) + 0.5) / fine
    right, under = np.meshgrid(at - 0.5 - shift[0], at - 0.5 - shift[1])
    spot = sum(np.cos(2 * np.pi * (a * right + b * under) / PERIOD) for a, b in waves)
    ranks = np.empty(spot.size, np.float32)
    ranks[np.argsort(-spot, axis=None, kind="stable")] = (np.arange(spot.size) + 0.5) / spot.size
    tile = ranks.reshape(PERIOD, fine, PERIOD, fine).mean((1, 3))
    return tile.astype(np.float32)


def dots(amount: Floats, tile: Floats, softness: float = 0.22) -> Floats:
    """Ink at each pixel, 0..1, for the wanted `amount` of it, 0..1."""
    height, width = amount.shape
    thresholds = np.tile(tile, (-(-height // PERIOD), -(-width // PERIOD)))[:height, :width]
    wide = amount * (1 + 2 * softness) - softness
    return smoothstep(-softness, softness, wide - thresholds)


def halftone(picture: Floats, chance: np.random.Generator) -> Floats:
    """A page of an old comic: dots of cyan, magenta and yellow, and solid black lines and shadows, on newsprint."""
    calm = simplified(picture, rounds=2)
    grey = luminance(calm)
    vivid = np.clip(grey[..., None] + 1.45 * (calm - grey[..., None]), 0, 1)
    inks = np.clip(1.08 * (1 - vivid) - 0.04, 0, 1)
    black = np.maximum(outlines(luminance(picture), 1.1, 16.0, 0.30, 8.0), smoothstep(0.20, 0.13, grey))
    inks = np.clip(inks - 0.35 * inks.min(2, keepdims=True), 0, 1)
    tiles = (screen(((1, 1), (1, -1))), screen(((1, 1), (1, -1)), (4, 0)), screen(((2, 0), (0, 2))))
    page = np.broadcast_to(NEWSPRINT, picture.shape).copy()
    for number, tile in enumerate(tiles):
        laid = dots(inks[..., number], tile)[..., None]
        page *= 1 - laid * (1 - PROCESS[number])
    page = page + (KEY - page) * black[..., None]
    return page * (1 + 0.012 * noise(page.shape[:2], 1.5, chance)[..., None])


def risograph(picture: Floats, chance: np.random.Generator) -> Floats:
    """Two inks, coral and blue, as dots that are a little out of register, on cream paper."""
    calm = simplified(picture, rounds=1, colours=0.10)
    red, green, blue = (calm[..., number] for number in range(3))
    coral = np.clip(1 - (0.62 * green + 0.38 * blue), 0, 1) ** 1.05
    cold = np.clip(1 - red, 0, 1) ** 1.15
    cold = np.roll(cold, REGISTER[::-1], (0, 1))
    grain = noise(calm.shape[:2], 1.2, chance)
    page = np.broadcast_to(CREAM, picture.shape).copy()
    for amount, tile, ink in (
        (coral, screen(((1, 1), (1, -1))), CORAL),
        (cold, screen(((2, 1), (-1, 2))), BLUE),
    ):
        laid = (dots(np.clip(amount * 1.05 - 0.06, 0, 1), tile) * (0.93 + 0.05 * grain))[..., None]
        page *= 1 - laid * (1 - ink)
    return page


def pixel_art(picture: Floats, chance: np.random.Generator) -> Floats:  # noqa: ARG001
    """Square blocks in the colours of one small palette, dithered a little where two of them meet."""
    import cv2

    height, width = picture.shape[:2]
    across, down = -(-width // BLOCK), -(-height // BLOCK)
    edges = ((0, down * BLOCK - height), (0, across * BLOCK - width), (0, 0))
    whole = np.pad(picture, edges, mode="edge")
    small = cv2.resize(whole, (across, down), interpolation=cv2.INTER_AREA).reshape(down, across, 3)
    grey = luminance(small)[..., None]
    small = np.clip(grey + 1.15 * (small - grey), 0, 1)
    small = np.clip(0.5 + 1.12 * (small - 0.5), 0, 1)
    bayer = np.array([[0, 2], [3, 1]], np.float32) / 4 - 0.375
    offset = np.tile(bayer, (-(-down // 2), -(-across // 2)))[:down, :across]
    lab = oklab(small)
    lab[..., 0] += 0.045 * offset
    colours = palette()
    nearest = ((lab[:, :, None] - oklab(colours)) ** 2).sum(-1).argmin(-1)
    blocks = colours[nearest].repeat(BLOCK, 0).repeat(BLOCK, 1)
    return blocks[:height, :width]


@cache
def palette() -> Floats:
    """[n, 3] in 0..1: greys, skins and browns, and dark to light of eight hues."""
    return np.array([[int(name[at : at + 2], 16) for at in (0, 2, 4)] for name in PALETTE.split()], np.float32) / 255


def oklab(colours: Floats) -> Floats:
    """Lightness and two opponent colours of sRGB 0..1, evenly spaced to the eye (Ottosson 2020)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return (np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T).astype(np.float32)


def from_oklab(lab: Floats) -> Floats:
    """sRGB in 0..1 of what `oklab` gives; colours outside are clipped."""
    linear = np.clip((lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


_TO_CONES: NDArray[np.float64] = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: NDArray[np.float64] = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
