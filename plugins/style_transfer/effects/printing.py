"""Print and screen effects: halftone, risograph and pixel art.

The dots repeat every 8 px from the upper left corner of the image, so that a network whose stride divides 8 can learn
their positions.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .drawing import Floats, compute_luminance, draw_outlines, make_noise, simplify, smoothstep

PERIOD = 8
BLOCK = 8
"""Side of a pixel art block in px."""

NEWSPRINT = np.array([0.965, 0.945, 0.890], np.float32)
PROCESS = np.array([[0.04, 0.62, 0.85], [0.90, 0.16, 0.45], [1.0, 0.86, 0.10]], np.float32)
"""Colours of the inks cyan, magenta and yellow."""
KEY = np.array([0.10, 0.09, 0.12], np.float32)

CREAM = np.array([0.970, 0.950, 0.905], np.float32)
CORAL = np.array([1.0, 0.36, 0.34], np.float32)
BLUE = np.array([0.07, 0.34, 0.60], np.float32)
REGISTER = (2, 1)
"""Offset of the blue plate from the coral one in px, across and down."""

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
def build_screen(waves: tuple[tuple[int, int], tuple[int, int]], shift: tuple[int, int] = (0, 0)) -> Floats:
    """Build an 8 × 8 tile of thresholds, uniform over 0..1, that renders round dots.

    `waves` are the frequencies of two directions over 8 px, across and down; `shift` moves the dots, in px.
    """
    fine = 16
    position = (np.arange(PERIOD * fine, dtype=np.float32) + 0.5) / fine
    right, under = np.meshgrid(position - 0.5 - shift[0], position - 0.5 - shift[1])
    spot = np.sum([np.cos(2 * np.pi * (a * right + b * under) / PERIOD) for a, b in waves], axis=0)
    ranks = np.empty(spot.size, np.float32)
    ranks[np.argsort(-spot, axis=None, kind="stable")] = (np.arange(spot.size) + 0.5) / spot.size
    tile = ranks.reshape(PERIOD, fine, PERIOD, fine).mean((1, 3))
    return np.asarray(tile, np.float32)


def render_dots(amount: Floats, tile: Floats, softness: float = 0.22) -> Floats:
    """Return the ink at each pixel, 0..1, for an `amount` [h, w] of ink, 0..1."""
    height, width = amount.shape
    thresholds = np.tile(tile, (-(-height // PERIOD), -(-width // PERIOD)))[:height, :width]
    stretched = amount * (1 + 2 * softness) - softness
    return smoothstep(-softness, softness, stretched - thresholds)


def print_halftone(image: Floats, rng: np.random.Generator) -> Floats:
    """Print an old comic page: dots of cyan, magenta and yellow, and solid black lines and shadows, on newsprint."""
    smooth = simplify(image, rounds=2)
    grey = compute_luminance(smooth)
    vivid = np.clip(grey[..., None] + 1.45 * (smooth - grey[..., None]), 0, 1)
    inks = np.clip(1.08 * (1 - vivid) - 0.04, 0, 1)
    black = np.maximum(draw_outlines(compute_luminance(image), 1.1, 16.0, 0.30, 8.0), smoothstep(0.20, 0.13, grey))
    inks = np.clip(inks - 0.35 * inks.min(2, keepdims=True), 0, 1)
    tiles = (build_screen(((1, 1), (1, -1))), build_screen(((1, 1), (1, -1)), (4, 0)), build_screen(((2, 0), (0, 2))))
    page = np.broadcast_to(NEWSPRINT, image.shape).copy()
    for number, tile in enumerate(tiles):
        coverage = render_dots(inks[..., number], tile)[..., None]
        page *= 1 - coverage * (1 - PROCESS[number])
    page = page + (KEY - page) * black[..., None]
    return page * (1 + 0.012 * make_noise(page.shape[:2], 1.5, rng)[..., None])


def print_risograph(image: Floats, rng: np.random.Generator) -> Floats:
    """Print two inks, coral and blue, as dots slightly out of register, on cream paper."""
    smooth = simplify(image, rounds=1, colours=0.10)
    red, green, blue = (smooth[..., number] for number in range(3))
    coral = np.clip(1 - (0.62 * green + 0.38 * blue), 0, 1) ** 1.05
    blue_ink = np.clip(1 - red, 0, 1) ** 1.15
    blue_ink = np.roll(blue_ink, REGISTER[::-1], (0, 1))
    grain = make_noise(smooth.shape[:2], 1.2, rng)
    page = np.broadcast_to(CREAM, image.shape).copy()
    for amount, tile, ink in (
        (coral, build_screen(((1, 1), (1, -1))), CORAL),
        (blue_ink, build_screen(((2, 1), (-1, 2))), BLUE),
    ):
        coverage = (render_dots(np.clip(amount * 1.05 - 0.06, 0, 1), tile) * (0.93 + 0.05 * grain))[..., None]
        page *= 1 - coverage * (1 - ink)
    return page


def make_pixel_art(image: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    """Make square blocks in the colours of a small palette, with slight ordered dithering."""
    import cv2

    height, width = image.shape[:2]
    across, down = -(-width // BLOCK), -(-height // BLOCK)
    edges = ((0, down * BLOCK - height), (0, across * BLOCK - width), (0, 0))
    padded = np.pad(image, edges, mode="edge")
    blocks = cv2.resize(padded, (across, down), interpolation=cv2.INTER_AREA)
    small = np.asarray(blocks, np.float32).reshape(down, across, 3)
    grey = compute_luminance(small)[..., None]
    small = np.clip(grey + 1.15 * (small - grey), 0, 1)
    small = np.clip(0.5 + 1.12 * (small - 0.5), 0, 1)
    bayer = np.array([[0, 2], [3, 1]], np.float32) / 4 - 0.375
    offset = np.tile(bayer, (-(-down // 2), -(-across // 2)))[:down, :across]
    lab = to_oklab(small)
    lab[..., 0] += 0.045 * offset
    colours = load_palette()
    nearest = ((lab[:, :, None] - to_oklab(colours)) ** 2).sum(-1).argmin(-1)
    enlarged: Floats = colours[nearest].repeat(BLOCK, 0).repeat(BLOCK, 1)
    return enlarged[:height, :width]


@cache
def load_palette() -> Floats:
    """Return the palette, [n, 3] in 0..1: greys, skin tones and browns, and shades of eight hues."""
    colours = [[int(code[start : start + 2], 16) for start in (0, 2, 4)] for code in PALETTE.split()]
    return np.array(colours, np.float32) / np.float32(255)


def to_oklab(colours: Floats) -> Floats:
    """Convert sRGB 0..1 to OKLab: perceptual lightness and two opponent colours (Ottosson 2020)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _SRGB_TO_LMS.T) @ _LMS_TO_LAB.T, np.float32)


def from_oklab(lab: Floats) -> Floats:
    """Convert OKLab to sRGB in 0..1; colours outside the gamut are clipped."""
    linear = np.clip((lab @ np.linalg.inv(_LMS_TO_LAB).T) ** 3 @ np.linalg.inv(_SRGB_TO_LMS).T, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(encoded, np.float32)


_SRGB_TO_LMS: NDArray[np.float64] = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB: NDArray[np.float64] = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
