"""Pictures and their latents, mixed with any weights: the core of every tool of this plugin.

A small autoencoder reconstructs a picture softly. So the model provides only a difference, *the
decoded mix of latents minus the mix of the reconstructions*, which is added to the mix of the
pictures themselves. A mix of one picture alone is then exactly that picture, and nothing in between
is softer than its ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .flow import warp
from .images import compute_frame_size, to_picture, to_tensor
from .saliency_weights import compute_local_weights, compute_saliency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..models.codec import Codec


MIN_SIZE = 256
"""Minimum long side in pixels of the copies that a model works on."""


@dataclass(frozen=True)
class Contribution:
    """The contribution of one picture to a mix: the weights of its latent and of its detail, after `warp`.

    Weights are numbers, or maps [1, 1, any, any]. Those of all details sum to 1; those of the latents
    need not.
    """

    picture: int
    latent_weight: Tensor | float
    detail_weight: Tensor | float | None
    warp: Tensor | None = None


class Mixer:
    """Encodes each picture once, and renders mixes of them.

    If all detail is kept, the model works on copies of at most twice the size that it was trained on:
    the difference that it provides is smooth, and computing it there is four times cheaper.
    """

    def __init__(self, codec: Codec, pictures: Iterable[NDArray[np.float32]], *, detail: float = 1.0) -> None:
        """Encode pictures, [height, width, 3] in 0..1, all of one size that suits the codec (`read_pictures`).

        `detail`, 0..1, is the fraction of the detail lost by the model that is kept.
        """
        self.codec = codec
        self.detail = detail
        self.images: list[Tensor] = []
        self.latents: list[Tensor] = []
        self.reconstructions: list[Tensor] = []
        for picture in pictures:
            self.height, self.width = picture.shape[:2]
            self.images.append(to_tensor(picture).to(codec.device))
            self.latents.append(self.encode(self.images[-1]))
            self.reconstructions.append(codec.decode(self.latents[-1]))
        self._saliency = [saliency.to(codec.device) for saliency in compute_saliency(self.images)]

    def encode(self, image: Tensor) -> Tensor:
        """Return the latent of a picture [1, 3, height, width] in -1..1."""
        width = height = self.codec.size
        if self.codec.is_spatial:
            size = max(self.height, self.width)
            size = size if self.detail < 1.0 else min(size, max(MIN_SIZE, 2 * self.codec.size))
            width, height = compute_frame_size((self.width, self.height), size, self.codec)
        return self.codec.encode(_resize(image, height, width))

    def to_local_weights(
        self, weights: Mapping[int, float], warps: Mapping[int, Tensor | None], handover: float
    ) -> dict[int, Tensor]:
        """Return weights of pictures as maps that sum to 1 everywhere; pictures of weight 0 are left out.

        `handover`, 0..1, is the degree to which pictures replace each other region by region.
        """
        saliency = {picture: warp(self._saliency[picture], warps.get(picture), "bilinear") for picture in weights}
        return compute_local_weights(weights, saliency, handover)

    def mix(self, contributions: Sequence[Contribution]) -> Tensor:
        """Return the mix as [1, 3, height, width] in about -1..1."""
        import torch

        latent = torch.zeros_like(self.latents[0])
        pictures, reconstructions = torch.zeros_like(self.images[0]), torch.zeros_like(self.reconstructions[0])
        for part in contributions:
            image, code = self._warp(part)
            latent = latent + _fit_weight(part.latent_weight, code) * code
            if part.detail_weight is not None and self.detail > 0.0:
                decoded = self.reconstructions[part.picture] if part.warp is None else self.codec.decode(code)
                pictures = pictures + _fit_weight(part.detail_weight, image) * image
                reconstructions = reconstructions + _fit_weight(part.detail_weight, decoded) * decoded
        return self.decode(latent, reconstructions, pictures)

    def decode(self, latent: Tensor, reconstruction: Tensor, picture: Tensor) -> Tensor:
        """Decode a latent and add the fraction `detail` of the detail that the reconstruction of a picture lacks."""
        difference = self.codec.decode(latent) - self.detail * reconstruction
        return _resize(difference, self.height, self.width) + self.detail * picture

    def render(self, contributions: Sequence[Contribution]) -> NDArray[np.uint8]:
        """Return the mix as [height, width, 3] in 0..255."""
        return to_picture(self.mix(contributions))

    def _warp(self, part: Contribution) -> tuple[Tensor, Tensor]:
        """Return picture and latent after the warp.

        The warped picture is encoded again. Warping its latent would be cheaper, but a small
        autoencoder is sensitive to shifts by a part of a cell, and edges would become jagged.
        """
        if part.warp is None:
            return self.images[part.picture], self.latents[part.picture]
        image = warp(self.images[part.picture], part.warp)
        return image, self.encode(image)


def _fit_weight(weight: Tensor | float, like: Tensor) -> Tensor | float:
    """Return a map at the resolution of what it weights. A latent vector takes numbers only."""
    if isinstance(weight, float) or weight.ndim == 0:
        return weight
    return _resize(weight.to(like), like.shape[-2], like.shape[-1], "bilinear")


def _resize(image: Tensor, height: int, width: int, mode: str = "bicubic") -> Tensor:
    from torch.nn import functional

    if image.shape[-2:] == (height, width):
        return image
    return functional.interpolate(image, (height, width), mode=mode, antialias=True)
