"""Pictures held as latents and detail, mixed in any shares: the heart of every tool here.

A small autoencoder gives back a soft picture. What it loses, *original minus reconstruction*, is
kept as detail, moved with the picture's own warp and added in its share. So a mix that is wholly
one picture is that picture, to the last pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .flow import warped
from .handover import local_shares, prominence
from .pictures import to_picture, to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from .models import Codec


@dataclass(frozen=True)
class Share:
    """One picture's part in a mix: so much of its latent and of its detail, after `warp`.

    Numbers, or maps [1, 1, any, any]. Those of all details have sum 1, those of latents need not.
    """

    picture: int
    weight: Tensor | float
    detail: Tensor | float | None
    warp: Tensor | None = None


class Mixer:
    """Encodes each picture once, and renders mixes of them."""

    def __init__(self, codec: Codec, pictures: Iterable[NDArray[np.float32]]) -> None:
        """`pictures` are [height, width, 3] in 0..1, all of one size that suits the codec (`read_all`)."""
        self.codec = codec
        self.images: list[Tensor] = []
        self.latents: list[Tensor] = []
        self.reconstructions: list[Tensor] = []
        for picture in pictures:
            self.height, self.width = picture.shape[:2]
            self.images.append(to_tensor(picture).to(codec.device))
            self.latents.append(self.encoded(self.images[-1]))
            self.reconstructions.append(self.decoded(self.latents[-1]))
        self.prominence = [image.to(codec.device) for image in prominence(self.images)]

    def encoded(self, image: Tensor) -> Tensor:
        """The latent of a picture [1, 3, height, width] in -1..1."""
        from torch.nn import functional

        if not self.codec.spatial:
            square = (self.codec.size, self.codec.size)
            image = functional.interpolate(image, square, mode="bicubic", antialias=True)
        return self.codec.encode(image)

    def local(
        self, shares: Mapping[int, float], warps: Mapping[int, Tensor | None], handover: float
    ) -> dict[int, Tensor]:
        """Shares of pictures (of sum 1) as maps; pictures without a share are left out.

        `handover`, 0..1, is how much the pictures take turns place by place.
        """
        maps = {picture: warped(self.prominence[picture], warps.get(picture), "bilinear") for picture in shares}
        return local_shares(shares, maps, handover)

    def decoded(self, latent: Tensor) -> Tensor:
        """A latent's picture alone, [1, 3, height, width] in about -1..1."""
        from torch.nn import functional

        image = self.codec.decode(latent).float()
        if self.codec.spatial:
            return image
        return functional.interpolate(image, (self.height, self.width), mode="bicubic", antialias=True)

    def mixed(self, shares: Sequence[Share], detail: float = 1.0) -> Tensor:
        """The mix as [1, 3, height, width] in about -1..1, with so much of its lost detail, 0..1."""
        import torch

        latent = torch.zeros_like(self.latents[0])
        for share in shares:
            moved = self.latents[share.picture]
            moved = warped(moved, share.warp) if self.codec.spatial else moved
            latent = latent + _sized(share.weight, moved) * moved
        image = self.decoded(latent)
        for share in shares:
            if detail > 0.0 and share.detail is not None:
                image = image + detail * _sized(share.detail, image) * self._lost(share)
        return image

    def render(self, shares: Sequence[Share], detail: float = 1.0) -> NDArray[np.uint8]:
        """The mix as [height, width, 3] in 0..255."""
        return to_picture(self.mixed(shares, detail))

    def _lost(self, share: Share) -> Tensor:
        """A global latent has no places to move, so its picture stays, and the detail makes up for it."""
        image, reconstruction = self.images[share.picture], self.reconstructions[share.picture]
        if self.codec.spatial:
            return warped(image - reconstruction, share.warp)
        return warped(image, share.warp) - reconstruction


def _sized(weight: Tensor | float, like: Tensor) -> Tensor | float:
    """A map at the resolution of what it weighs; a vector has no places and takes numbers only."""
    from torch.nn import functional

    if isinstance(weight, float) or weight.ndim == 0 or weight.shape[-2:] == like.shape[-2:]:
        return weight
    return functional.interpolate(weight.to(like), like.shape[-2:], mode="bilinear", align_corners=False)
