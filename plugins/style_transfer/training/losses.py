"""Losses of style trainings. Images are [n, 3, h, w] in -1..1; each loss is one number, a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

PATCH_SIZE = 7
PATCH_SCALES = 3
STRUCTURE_SCALES = 3


def compute_lsgan_loss(logits: Tensor, real: bool) -> Tensor:
    """Compute the squared distance of a discriminator's output from 1 (real) or 0 (Mao and others 2017)."""
    return (logits.float() - float(real)).square().mean()


def compute_l1_loss(images: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean absolute difference."""
    return (images.float() - targets.float()).abs().mean()


def compute_edge_loss(images: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean absolute difference of the gradients between neighbouring pixels."""
    difference = images.float() - targets.float()
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def compute_patch_nce_loss(queries: Tensor, keys: Tensor, temperature: float = 0.07) -> Tensor:
    """Compute the patch-wise contrastive loss of CUT (Park and others 2020).

    `queries` and `keys` are [n, patches, features] of unit length; each query is to match the key of its own position
    among those of the same image. `keys` get no gradient.
    """
    import torch
    from torch.nn import functional

    with torch.autocast(queries.device.type, enabled=False):
        similarity = torch.bmm(queries.float(), keys.detach().float().transpose(1, 2)) / temperature
    own = torch.arange(similarity.shape[1], device=similarity.device).expand(similarity.shape[0], -1)
    loss: Tensor = functional.cross_entropy(similarity.flatten(0, 1), own.flatten())
    return loss


def sample_patch_filters(count: int, rng: Generator) -> Tensor:
    """Return random directions of unit length in the space of patches, [count, 3, 7, 7]."""
    import torch

    filters = torch.randn(count, 3, PATCH_SIZE, PATCH_SIZE, generator=rng)
    directions: Tensor = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
    return directions


def compute_patch_distance(images: Tensor, targets: Tensor, filters: Tensor) -> Tensor:
    """Compute the sliced Wasserstein distance of the patches of two sets of images (Elnekave and Weiss 2022).

    Patches are projected on `filters` at three scales; at the finest every second one counts. It needs no pretrained
    network.
    """
    import torch
    from torch.nn import functional

    images, targets = images.float(), targets.float()
    total = images.new_zeros(())
    for scale in range(PATCH_SCALES):
        if scale:
            images, targets = functional.avg_pool2d(images, 2), functional.avg_pool2d(targets, 2)
        if min(*images.shape[2:], *targets.shape[2:]) < PATCH_SIZE:
            break
        stride = 1 if scale else 2
        first, second = (
            functional.conv2d(batch, filters, stride=stride).transpose(0, 1).flatten(1).sort(dim=1).values
            for batch in (images, targets)
        )
        if first.shape != second.shape:
            count = min(first.shape[1], second.shape[1])
            first, second = (
                values[:, torch.linspace(0, values.shape[1] - 1, count, device=values.device).long()]
                for values in (first, second)
            )
        total = total + (first - second).abs().mean()
    return total


def compute_structure_loss(images: Tensor, photos: Tensor) -> Tensor:
    """Compute the difference of light and dark at three scales, independent of palette and contrast.

    It is the mean absolute difference of the images after local normalisation of each channel.
    """
    from torch.nn import functional

    images, photos = images.float(), photos.float()
    total = images.new_zeros(())
    for scale in range(STRUCTURE_SCALES):
        if scale:
            images, photos = functional.avg_pool2d(images, 2), functional.avg_pool2d(photos, 2)
        total = total + (_normalize_locally(images) - _normalize_locally(photos)).abs().mean()
    return total / STRUCTURE_SCALES


def _normalize_locally(images: Tensor, window: int = 9) -> Tensor:
    """Subtract the mean of the window around each pixel and divide by its deviation."""
    from torch.nn import functional

    def average(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, window, 1, window // 2, count_include_pad=False)

    difference = images - average(images)
    return difference / (average(difference.square()) + 0.01).sqrt()
