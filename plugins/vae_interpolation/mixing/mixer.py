"""Pictures and their latents, mixed in any shares: the heart of every tool here.

A small autoencoder gives back a soft picture. So the model is asked only for what it adds, *the
decoded mix of latents minus the mix of the reconstructions*, and that is laid upon the mix of the
pictures themselves. A mix that is wholly one picture is then that picture, to the last pixel, and
nothing in between is softer than its ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .flow import warped
from .images import frame_size, to_picture, to_tensor
from .saliency_weights import local_shares, prominence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..models.codec import Codec


LEAST = 256
"""No model works on smaller copies than this many pixels on the long side."""


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
    """Encodes each picture once, and renders mixes of them.

    Where all detail is kept, the model works on copies of at most twice the size that it was
    trained on: what it adds between pictures is smooth, and four times cheaper to find there.
    """

    def __init__(self, codec: Codec, pictures: Iterable[NDArray[np.float32]], *, detail: float = 1.0) -> None:
        """`pictures` are [height, width, 3] in 0..1, all of one size that suits the codec (`read_all`).

        `detail`, 0..1, is how much is kept of what the model loses.
        """
        self.codec = codec
        self.detail = detail
        self.images: list[Tensor] = []
        self.latents: list[Tensor] = []
        self.reconstructions: list[Tensor] = []
        for picture in pictures:
            self.height, self.width = picture.shape[:2]
            self.images.append(to_tensor(picture).to(codec.device))
            self.latents.append(self.encoded(self.images[-1]))
            self.reconstructions.append(codec.decode(self.latents[-1]))
        self.prominence = [image.to(codec.device) for image in prominence(self.images)]

    def encoded(self, image: Tensor) -> Tensor:
        """The latent of a picture [1, 3, height, width] in -1..1."""
        width = height = self.codec.size
        if self.codec.spatial:
            size = max(self.height, self.width)
            size = size if self.detail < 1.0 else min(size, max(LEAST, 2 * self.codec.size))
            width, height = frame_size((self.width, self.height), size, self.codec)
        return self.codec.encode(_resized(image, height, width))

    def local(
        self, shares: Mapping[int, float], warps: Mapping[int, Tensor | None], handover: float
    ) -> dict[int, Tensor]:
        """Shares of pictures (of sum 1) as maps; pictures without a share are left out.

        `handover`, 0..1, is how much the pictures take turns place by place.
        """
        maps = {picture: warped(self.prominence[picture], warps.get(picture), "bilinear") for picture in shares}
        return local_shares(shares, maps, handover)

    def mixed(self, shares: Sequence[Share]) -> Tensor:
        """The mix as [1, 3, height, width] in about -1..1."""
        import torch

        latent = torch.zeros_like(self.latents[0])
        pictures, reconstructions = torch.zeros_like(self.images[0]), torch.zeros_like(self.reconstructions[0])
        for share in shares:
            image, code = self._posed(share)
            latent = latent + _weight(share.weight, code) * code
            if share.detail is not None and self.detail > 0.0:
                decoded = self.reconstructions[share.picture] if share.warp is None else self.codec.decode(code)
                pictures = pictures + _weight(share.detail, image) * image
                reconstructions = reconstructions + _weight(share.detail, decoded) * decoded
        return self.finished(latent, reconstructions, pictures)

    def finished(self, latent: Tensor, reconstruction: Tensor, picture: Tensor) -> Tensor:
        """The latent's picture, with so much of what the reconstruction lacks as `detail` says."""
        added = self.codec.decode(latent) - self.detail * reconstruction
        return _resized(added, self.height, self.width) + self.detail * picture

    def render(self, shares: Sequence[Share]) -> NDArray[np.uint8]:
        """The mix as [height, width, 3] in 0..255."""
        return to_picture(self.mixed(shares))

    def _posed(self, share: Share) -> tuple[Tensor, Tensor]:
        """Picture and latent after the warp.

        The warped picture is encoded anew. Warping its latent would be cheaper, but a small
        autoencoder notices shifts by a part of a cell, and edges come back as stairs.
        """
        if share.warp is None:
            return self.images[share.picture], self.latents[share.picture]
        image = warped(self.images[share.picture], share.warp)
        return image, self.encoded(image)


def _weight(weight: Tensor | float, like: Tensor) -> Tensor | float:
    """A map at the resolution of what it weighs. A vector has no places, and takes numbers only."""
    if isinstance(weight, float) or weight.ndim == 0:
        return weight
    return _resized(weight.to(like), like.shape[-2], like.shape[-1], "bilinear")


def _resized(image: Tensor, height: int, width: int, mode: str = "bicubic") -> Tensor:
    from torch.nn import functional

    if image.shape[-2:] == (height, width):
        return image
    return functional.interpolate(image, (height, width), mode=mode, antialias=True)
