"""Drawing effects: ink wash and pencil."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

INK = np.array([0.085, 0.10, 0.135], np.float32)
RICE_PAPER = np.array([0.965, 0.945, 0.895], np.float32)
GRAPHITE = np.array([0.17, 0.17, 0.19], np.float32)
DRAWING_PAPER = np.array([0.975, 0.968, 0.950], np.float32)

WASHES = (0.84, 0.66, 0.48, 0.30)
"""Luminance below which each further wash is laid over the others."""
WASH_DENSITY = (0.11, 0.20, 0.48, 1.05)
HATCHING = (((1, 2), 0.88, 0.55), ((2, -1), 0.60, 0.55), ((2, 2), 0.36, 0.60))
"""Layers of strokes: (waves across and down 8 px), the luminance below which they begin, and their darkness."""


def compute_luminance(image: Floats) -> Floats:
    """Return the luma [h, w] of sRGB values [h, w, 3], both in 0..1 (ITU-R BT.601)."""
    return image @ np.array([0.299, 0.587, 0.114], np.float32)


def smoothstep(low: float | Floats, high: float | Floats, values: Floats) -> Floats:
    """Interpolate smoothly from 0 below `low` to 1 above `high`, which may be the smaller of the two."""
    position = np.clip((values - low) / (high - low), 0, 1)
    steps: Floats = position * position * (3 - 2 * position)
    return steps


def make_noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Floats:
    """Return random values [h, w] with mean 0 and deviation 1, smooth over about `scale` px."""
    import cv2

    height, width = (max(2, int(side / scale) + 2) for side in shape)
    coarse = rng.standard_normal((height, width)).astype(np.float32)
    fine = cv2.resize(coarse, (int(width * scale) + 1, int(height * scale) + 1), interpolation=cv2.INTER_CUBIC)
    values = fine[: shape[0], : shape[1]]
    noise: Floats = (values - values.mean()) / max(float(values.std()), 1e-6)
    return noise


def blur(values: Floats, sigma: float) -> Floats:
    """Apply a Gaussian blur."""
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def simplify(image: Floats, rounds: int = 3, colours: float = 0.14, distance: float = 5.0) -> Floats:
    """Remove fine detail and keep sharp edges, by a bilateral filter applied `rounds` times."""
    import cv2

    for _ in range(rounds):
        filtered = cv2.bilateralFilter(image, 9, colours, distance, borderType=cv2.BORDER_REFLECT)
        image = np.asarray(filtered, np.float32)
    return image


def draw_outlines(grey: Floats, sigma: float, sharpness: float, level: float, slope: float) -> Floats:
    """Return the opacity of brush lines, 0..1, by the extended difference of Gaussians (XDoG).

    Paper: Winnemöller, Kyprianidis, Olsen 2012.
    """
    fine, coarse = blur(grey, sigma), blur(grey, 1.6 * sigma)
    sharpened = fine + sharpness * (fine - coarse)
    return np.where(sharpened >= level, 0.0, -np.tanh(slope * (sharpened - level))).astype(np.float32)


def draw_ink_wash(image: Floats, rng: np.random.Generator) -> Floats:
    """Draw washes of one ink in a few tones, with dark edges and brush lines, on grained paper."""
    shape = (image.shape[0], image.shape[1])
    grey = compute_luminance(simplify(image)) ** 0.68
    grain = 0.6 * make_noise(shape, 1.3, rng) + 0.4 * make_noise(shape, 3.0, rng)
    wander = 0.016 * make_noise(shape, 12.0, rng)
    density = np.zeros(shape, np.float32)
    for level, strength in zip(WASHES, WASH_DENSITY, strict=True):
        wash = smoothstep(level + 0.06, level - 0.06, grey + wander)
        pooled = np.clip(wash - blur(wash, 3.5), 0, 1)
        density += strength * (0.7 * wash + 0.3 * blur(wash, 6.0)) + 0.5 * strength**0.5 * pooled
    line = draw_outlines(compute_luminance(image) ** 0.68, 1.1, 12.0, 0.45, 5.0)
    density += 0.8 * line * smoothstep(0.98, 0.6, grey)
    density *= 1 + 0.09 * grain
    flow = np.exp(-1.5 * density)[..., None]
    tint = np.array([1.05, 1.0, 0.93], np.float32)
    paper = RICE_PAPER * (1 + 0.012 * grain[..., None])
    drawing: Floats = INK + (paper - INK) * flow**tint
    return drawing


def draw_pencil(image: Floats, rng: np.random.Generator) -> Floats:
    """Draw lines by dodging the image with its blurred negative, and hatching that follows tone and form."""
    shape = (image.shape[0], image.shape[1])
    grey = compute_luminance(image) ** 0.85
    smooth = compute_luminance(simplify(image, rounds=2)) ** 0.8
    line = np.ones(shape, np.float32)
    for sigma, weight in ((1.3, 0.95), (4.5, 0.65)):
        dodged = np.clip((grey + 0.05) / (blur(grey, sigma) + 0.05), 0, 1)
        line *= 1 - weight * smoothstep(0.96, 0.66, dodged)
    tooth = np.asarray(0.7 * make_noise(shape, 1.1, rng) + 0.3 * make_noise(shape, 2.5, rng), np.float32)
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    bend = 5.0 * blur(smooth, 4.0) + 0.35 * make_noise(shape, 18.0, rng)
    tone: Floats = np.ones(shape, np.float32)
    for (right, under), level, strength in HATCHING:
        dark = smoothstep(level, level - 0.5, smooth)
        wave: Floats = 0.5 + 0.5 * np.cos(2 * np.pi * (right * across + under * down) / 8 + bend)
        stroke = smoothstep(0.95 - 1.1 * dark, 1.25 - 1.0 * dark, wave + 0.10 * tooth)
        tone *= 1 - strength * stroke * smoothstep(0.0, 0.25, dark)
    shade = 1 - 0.66 * smoothstep(0.78, 0.05, smooth)
    brightness = (tone * line * shade)[..., None]
    paper = DRAWING_PAPER * (1 + 0.010 * tooth[..., None])
    graphite = GRAPHITE * (1 + 0.20 * tooth[..., None])
    drawing: Floats = graphite + (paper - graphite) * brightness
    return drawing
