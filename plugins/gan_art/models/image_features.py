"""Features of images by the studio's own autoencoder, and what is measured with them: KID, memorisation, diversity.

KID is the unbiased squared maximum mean discrepancy with a cubic kernel (Bińkowski et al., arXiv:1801.01401). Published
values use the features of Inception; these use the encoder of the starter `vae-spatial`, so that values compare only
with each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

ENCODER = "vae-spatial"
ENCODER_SIDE = 64
"""Images are scaled to this shorter side in px before they are encoded."""
BATCH = 32
KID_SUBSET = 256
LAYOUT_SIDE = 4

Features = NDArray[np.float32]


@dataclass(frozen=True)
class ImageFeatures:
    """Features of images: `appearance` for distributions, and `layout` for the likeness of two images."""

    appearance: Features
    """[n, d]: mean and deviation of the channels of each level of the encoder."""
    layout: Features
    """[n, e]: the deepest features at 4 × 4 places."""

    def __len__(self) -> int:
        return len(self.appearance)


@dataclass(frozen=True)
class Quality:
    """Measurements of generated images against training and held-out ones."""

    kid: float
    """Lower is better."""
    memorisation: float
    """Distance to the nearest training image relative to that of held-out images; below 0.8 hints at copies."""
    diversity: float
    """Mean distance of generated images to each other relative to that of training images; 1 is as varied."""
    nearest: NDArray[np.int64]
    """[n], number of the nearest training image of each generated one."""


class FeatureExtractor:
    """Computes features with the encoder of an autoencoder of diffusers."""

    def __init__(self, encoder: Any, device: str) -> None:
        self.encoder, self.device = encoder, device

    def extract(self, images: Tensor) -> ImageFeatures:
        """Return the features of [n, 3 or 4, h, w] in -1..1; transparency is composited over white."""
        import torch

        appearances, layouts = [], []
        with torch.inference_mode():
            for batch in torch.split(images, BATCH):
                appearance, layout = self._encode(composite(batch.to(self.device)))
                appearances.append(appearance.float().cpu().numpy())
                layouts.append(layout.float().cpu().numpy())
        return ImageFeatures(np.concatenate(appearances), np.concatenate(layouts))

    def compute_maps(self, images: Tensor, side: int = ENCODER_SIDE) -> list[Tensor]:
        """Return the feature maps [n, c, h, w] of each level for RGB images in -1..1, scaled to a shorter side."""
        from torch.nn import functional

        scale = side / min(images.shape[2:])
        if scale != 1:
            images = functional.interpolate(images, scale_factor=scale, mode="bilinear", antialias=scale < 1)
        maps = []
        features = self.encoder.conv_in(images)
        for block in self.encoder.down_blocks:
            features = block(features)
            maps.append(features)
        return maps

    def measure_distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the perceptual distance [n] of RGB images in -1..1: of feature maps with channels of length 1.

        Images are compared at a shorter side of 64 to 128 px, as LPIPS does (Zhang et al., arXiv:1801.03924), without
        learned weights.
        """
        import torch

        side = min(2 * ENCODER_SIDE, max(ENCODER_SIDE, *first.shape[2:]))
        levels = []
        for one, other in zip(self.compute_maps(first, side), self.compute_maps(second, side), strict=True):
            difference = _normalize(one) - _normalize(other)
            levels.append(difference.square().sum(dim=1).mean(dim=(1, 2)))
        return torch.stack(levels).mean(dim=0)

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        import torch
        from torch.nn import functional

        maps = self.compute_maps(images)
        levels = [value for features in maps for value in (features.mean(dim=(2, 3)), features.std(dim=(2, 3)))]
        layout = functional.adaptive_avg_pool2d(maps[-1], LAYOUT_SIDE)
        return torch.cat(levels, dim=1), layout.flatten(1)


def load_extractor(ctx: api.Context) -> FeatureExtractor:
    """Load the autoencoder of the starter. Raises BadInput if it is missing."""
    folder = ctx.starter(ENCODER)

    def load() -> FeatureExtractor:
        from diffusers import AutoencoderKL

        with api.model_files.quiet_load(
            api.BadInput(f"The starter {ENCODER} is damaged.", "Install the studio again.")
        ):
            model = AutoencoderKL.from_pretrained(folder, local_files_only=True)
        encoder = model.encoder.float().eval().requires_grad_(False).to(ctx.device)
        return FeatureExtractor(encoder, ctx.device)

    return ctx.models.load(f"gan-features:{folder}:{ctx.device}", load)


def composite(images: Tensor) -> Tensor:
    """Composite [n, 4, h, w], colours multiplied by alpha, over white; RGB stays, grey becomes RGB."""
    if images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    if images.shape[1] == 3:
        return images
    alpha = (images[:, 3:] + 1) / 2
    return images[:, :3] + (1 - alpha)


def measure_quality(generated: ImageFeatures, training: ImageFeatures, holdout: ImageFeatures, seed: int) -> Quality:
    """Compare generated images with the training data; the same seed gives the same subsets."""
    mean, scale = training.appearance.mean(axis=0), training.appearance.std(axis=0) + 1e-4
    kid = compute_kid((generated.appearance - mean) / scale, (training.appearance - mean) / scale, seed)
    layout_scale = float(training.layout.std()) + 1e-6
    distances, nearest = _find_nearest(generated.layout / layout_scale, training.layout / layout_scale)
    reference, _ = _find_nearest(holdout.layout / layout_scale, training.layout / layout_scale)
    spread = _mean_distance(training.layout, seed)
    return Quality(
        kid=kid,
        memorisation=float(np.median(distances) / max(1e-6, float(np.median(reference)))),
        diversity=_mean_distance(generated.layout, seed) / max(1e-6, spread),
        nearest=nearest,
    )


def compute_kid(first: Features, second: Features, seed: int = 0, subsets: int = 8) -> float:
    """Return the kernel inception distance of two sets of features [n, d] and [m, d], averaged over random subsets.

    The estimate is unbiased, so that it can be slightly below 0 for equal distributions.
    """
    random = np.random.default_rng(seed)
    size = min(KID_SUBSET, len(first), len(second))
    if size < 2:
        return 0.0
    values = []
    for _ in range(subsets):
        one = first[random.choice(len(first), size, replace=False)].astype(np.float64)
        other = second[random.choice(len(second), size, replace=False)].astype(np.float64)
        within = _kernel(one, one) + _kernel(other, other)
        np.fill_diagonal(within, 0)
        values.append(within.sum() / (size * (size - 1)) - 2 * _kernel(one, other).mean())
    return float(np.mean(values))


def _normalize(features: Tensor) -> Tensor:
    return features * (features.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt()


def _kernel(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (first @ second.T / first.shape[1] + 1) ** 3
    return kernel


def _find_nearest(queries: Features, references: Features) -> tuple[Features, NDArray[np.int64]]:
    """Return (distance, number) of the nearest reference of each query, by root mean square."""
    squares = (queries**2).sum(1)[:, None] + (references**2).sum(1)[None] - 2 * queries @ references.T
    nearest = squares.argmin(axis=1)
    distances = np.sqrt(np.maximum(squares[np.arange(len(queries)), nearest], 0) / queries.shape[1])
    return distances.astype(np.float32), nearest


def _mean_distance(features: Features, seed: int, pairs: int = 2000) -> float:
    """Return the mean distance of random pairs."""
    if len(features) < 2:
        return 0.0
    random = np.random.default_rng(seed)
    first, second = random.integers(0, len(features), (2, pairs))
    different = first != second
    return float(np.linalg.norm(features[first[different]] - features[second[different]], axis=1).mean())
