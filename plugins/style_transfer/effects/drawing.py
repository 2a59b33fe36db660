"""What a hand draws of a photo: an ink wash, and a pencil drawing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

INK = np.array([0.085, 0.10, 0.135], np.float32)
RICE_PAPER = np.array([0.965, 0.945, 0.895], np.float32)
GRAPHITE = np.array([0.17, 0.17, 0.19], np.float32)
DRAWING_PAPER = np.array([0.975, 0.968, 0.950], np.float32)

WASHES = (0.84, 0.66, 0.48, 0.30)
"""Where it is darker than this, one wash more lies over the others."""
WASH_DENSITY = (0.11, 0.20, 0.48, 1.05)
HATCHING = (((1, 2), 0.88, 0.55), ((2, -1), 0.60, 0.55), ((2, 2), 0.36, 0.60))
"""Strokes: their waves across and down 8 px, the tone under which they begin, and how dark they are."""


def luminance(picture: Floats) -> Floats:
    """[h, w] of [h, w, 3], both in 0..1, as sRGB values."""
    return picture @ np.array([0.299, 0.587, 0.114], np.float32)


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """0 below `low`, 1 above `high` (which may be the smaller), and a smooth step between."""
    at = np.clip((values - low) / (high - low), 0, 1)
    return at * at * (3 - 2 * at)


def noise(shape: tuple[int, int], scale: float, chance: np.random.Generator) -> Floats:
    """[h, w] with mean 0 and deviation 1, smooth over about `scale` px."""
    import cv2

    height, width = (max(2, int(side / scale) + 2) for side in shape)
    coarse = chance.standard_normal((height, width)).astype(np.float32)
    fine = cv2.resize(coarse, (int(width * scale) + 1, int(height * scale) + 1), interpolation=cv2.INTER_CUBIC)
    cut = fine[: shape[0], : shape[1]]
    return (cut - cut.mean()) / max(float(cut.std()), 1e-6)


def blurred(values: Floats, sigma: float) -> Floats:
    import cv2

    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def simplified(picture: Floats, rounds: int = 3, colours: float = 0.14, distance: float = 5.0) -> Floats:
    """Without fine detail, and with sharp edges: a bilateral filter, several times."""
    import cv2

    for _ in range(rounds):
        picture = cv2.bilateralFilter(picture, 9, colours, distance, borderType=cv2.BORDER_REFLECT)
    return picture


def outlines(grey: Floats, sigma: float, sharpness: float, level: float, slope: float) -> Floats:
    """How much of a brush's line lies at each pixel, 0..1: the extended difference of Gaussians
    (Winnemöller, Kyprianidis, Olsen 2012)."""
    fine, coarse = blurred(grey, sigma), blurred(grey, 1.6 * sigma)
    found = fine + sharpness * (fine - coarse)
    return np.where(found >= level, 0.0, -np.tanh(slope * (found - level))).astype(np.float32)


def ink_wash(picture: Floats, chance: np.random.Generator) -> Floats:
    """Washes of one ink in a few tones, dark where they dried at their edges, with brush lines, on grained paper."""
    shape = (picture.shape[0], picture.shape[1])
    grey = luminance(simplified(picture)) ** 0.68
    grain = 0.6 * noise(shape, 1.3, chance) + 0.4 * noise(shape, 3.0, chance)
    wander = 0.016 * noise(shape, 12.0, chance)
    density = np.zeros(shape, np.float32)
    for level, strength in zip(WASHES, WASH_DENSITY, strict=True):
        wash = smoothstep(level + 0.06, level - 0.06, grey + wander)
        pooled = np.clip(wash - blurred(wash, 3.5), 0, 1)
        density += strength * (0.7 * wash + 0.3 * blurred(wash, 6.0)) + 0.5 * strength**0.5 * pooled
    line = outlines(luminance(picture) ** 0.68, 1.1, 12.0, 0.45, 5.0)
    density += 0.8 * line * smoothstep(0.98, 0.6, grey)
    density *= 1 + 0.09 * grain
    flow = np.exp(-1.5 * density)[..., None]
    tint = np.array([1.05, 1.0, 0.93], np.float32)
    paper = RICE_PAPER * (1 + 0.012 * grain[..., None])
    return INK + (paper - INK) * flow**tint


def pencil(picture: Floats, chance: np.random.Generator) -> Floats:
    """Lines from dodging a blurred negative over the picture, and hatching that thickens with the dark
    and bends with the form."""
    shape = (picture.shape[0], picture.shape[1])
    grey = luminance(picture) ** 0.85
    calm = luminance(simplified(picture, rounds=2)) ** 0.8
    line = np.ones(shape, np.float32)
    for sigma, weight in ((1.3, 0.95), (4.5, 0.65)):
        dodged = np.clip((grey + 0.05) / (blurred(grey, sigma) + 0.05), 0, 1)
        line *= 1 - weight * smoothstep(0.96, 0.66, dodged)
    tooth = 0.7 * noise(shape, 1.1, chance) + 0.3 * noise(shape, 2.5, chance)
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    bend = 5.0 * blurred(calm, 4.0) + 0.35 * noise(shape, 18.0, chance)
    tone = np.ones(shape, np.float32)
    for (right, under), level, strength in HATCHING:
        dark = smoothstep(level, level - 0.5, calm)
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (right * across + under * down) / 8 + bend)
        stroke = smoothstep(0.95 - 1.1 * dark, 1.25 - 1.0 * dark, wave + 0.10 * tooth)
        tone *= 1 - strength * stroke * smoothstep(0.0, 0.25, dark)
    shade = 1 - 0.66 * smoothstep(0.78, 0.05, calm)
    kept = (tone * line * shade)[..., None]
    paper = DRAWING_PAPER * (1 + 0.010 * tooth[..., None])
    graphite = GRAPHITE * (1 + 0.20 * tooth[..., None])
    return graphite + (paper - graphite) * kept
