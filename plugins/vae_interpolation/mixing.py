"""Pictures held as latents and detail, mixed in any shares: the heart of every tool here.

A small autoencoder gives back a soft picture. What it loses, *original minus reconstruction*, is
kept as detail, moved with the picture's own warp and added in its share. So a mix that is wholly
one picture is that picture, to the last pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .flow import warped
from .pictures import to_picture, to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from .models import Codec


@dataclass(frozen=True)
class Share:
    """One picture's part in a mix: `weight` of its latent, `detail` (0..1) of its detail, after `warp`."""

    picture: int
    weight: float
    detail: float
    warp: Tensor | None = None


class Mixer:
    """Encodes each picture once, and renders mixes of them."""

    def __init__(self, codec: Codec, pictures: Sequence[NDArray[np.float32]], *, detail: float = 1.0) -> None:
        """`pictures` are [height, width, 3] in 0..1, all of one size; `detail` is how much of it is kept, 0..1."""
        self.codec = codec
        self.detail = detail
        self.height, self.width = pictures[0].shape[:2]
        self.images: list[Tensor] = []
        self.latents: list[Tensor] = []
        self.losses: list[Tensor] = []
        for picture in pictures:
            image = to_tensor(picture).to(codec.device)
            latent = codec.encode(self._for_codec(image))
            self.images.append(image)
            self.latents.append(latent)
            self.losses.append(image - self.decoded(latent))

    def decoded(self, latent: Tensor) -> Tensor:
        """A latent's picture alone, [1, 3, height, width] in -1..1."""
        from torch.nn import functional

        image = self.codec.decode(latent).float()
        if self.codec.spatial:
            return image[..., : self.height, : self.width]
        return functional.interpolate(image, (self.height, self.width), mode="bicubic", antialias=True)

    def mixed(self, shares: Sequence[Share]) -> Tensor:
        """The mix as [1, 3, height, width] in about -1..1."""
        import torch

        latent = torch.zeros_like(self.latents[0])
        for share in shares:
            latent += share.weight * self._moved(self.latents[share.picture], share.warp)
        image = self.decoded(latent)
        if self.detail > 0.0:
            for share in shares:
                if share.detail > 0.0:
                    image = image + self.detail * share.detail * warped(self.losses[share.picture], share.warp)
        return image

    def render(self, shares: Sequence[Share]) -> NDArray[np.uint8]:
        """The mix as [height, width, 3] in 0..255."""
        return to_picture(self.mixed(shares))

    def _moved(self, latent: Tensor, warp: Tensor | None) -> Tensor:
        return warped(latent, warp) if self.codec.spatial else latent

    def _for_codec(self, image: Tensor) -> Tensor:
        from torch.nn import functional

        if not self.codec.spatial:
            return functional.interpolate(image, (self.codec.size, self.codec.size), mode="bicubic", antialias=True)
        factor = self.codec.factor
        right, below = -self.width % factor, -self.height % factor
        mode = "reflect" if right < self.width and below < self.height else "replicate"
        return functional.pad(image, (0, right, 0, below), mode=mode) if right or below else image
