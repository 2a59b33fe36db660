"""What a style training wants less of. Pictures are [n, 3, h, w] in -1..1; each loss is one number, a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

PATCH = 7
SCALES = 3
STRUCTURE_SCALES = 3


def lsgan(verdicts: Tensor, real: bool) -> Tensor:
    """Least squares from 1 for real and 0 for made pictures (Mao and others 2017)."""
    return (verdicts.float() - float(real)).square().mean()


def absolute(made: Tensor, wanted: Tensor) -> Tensor:
    """The mean absolute difference."""
    return (made.float() - wanted.float()).abs().mean()


def edges(made: Tensor, wanted: Tensor) -> Tensor:
    """The mean absolute difference of the steps from pixel to pixel."""
    difference = made.float() - wanted.float()
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def patch_nce(queries: Tensor, keys: Tensor, temperature: float = 0.07) -> Tensor:
    """How badly each of [n, patches, features] finds its own place among those of the same picture (Park and others
    2020). Both are of unit length; `keys` are not learnt from."""
    import torch
    from torch.nn import functional

    with torch.autocast(queries.device.type, enabled=False):
        alike = torch.bmm(queries.float(), keys.detach().float().transpose(1, 2)) / temperature
    own = torch.arange(alike.shape[1], device=alike.device).expand(alike.shape[0], -1)
    return functional.cross_entropy(alike.flatten(0, 1), own.flatten())


def patch_filters(count: int, chance: Generator) -> Tensor:
    """[count, 3, 7, 7] random directions of unit length."""
    import torch

    found = torch.randn(count, 3, PATCH, PATCH, generator=chance)
    return found / found.flatten(1).norm(dim=1)[:, None, None, None]


def patch_distance(made: Tensor, wanted: Tensor, filters: Tensor) -> Tensor:
    """How far the patches of some pictures are from those of others, as distributions: the sliced Wasserstein
    distance over `filters`, at three sizes, of the finest every second patch (Elnekave and Weiss 2022). No
    pretrained network is asked."""
    import torch
    from torch.nn import functional

    made, wanted = made.float(), wanted.float()
    total = made.new_zeros(())
    for scale in range(SCALES):
        if scale:
            made, wanted = functional.avg_pool2d(made, 2), functional.avg_pool2d(wanted, 2)
        if min(*made.shape[2:], *wanted.shape[2:]) < PATCH:
            break
        ours, theirs = (
            functional.conv2d(some, filters, stride=1 if scale else 2).transpose(0, 1).flatten(1).sort(dim=1).values
            for some in (made, wanted)
        )
        if ours.shape != theirs.shape:
            count = min(ours.shape[1], theirs.shape[1])
            ours, theirs = (
                some[:, torch.linspace(0, some.shape[1] - 1, count, device=some.device).long()]
                for some in (ours, theirs)
            )
        total = total + (ours - theirs).abs().mean()
    return total


def structure(made: Tensor, photo: Tensor) -> Tensor:
    """How far light and dark of each colour lie elsewhere, at three sizes, whatever the palette and the contrast: the
    absolute difference of red, green and blue, each place less the mean around it and over the deviation there."""
    from torch.nn import functional

    made, photo = made.float(), photo.float()
    total = made.new_zeros(())
    for scale in range(STRUCTURE_SCALES):
        if scale:
            made, photo = functional.avg_pool2d(made, 2), functional.avg_pool2d(photo, 2)
        total = total + (_evened(made) - _evened(photo)).abs().mean()
    return total / STRUCTURE_SCALES


def _evened(images: Tensor, around: int = 9) -> Tensor:
    from torch.nn import functional

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, around, 1, around // 2, count_include_pad=False)

    away = images - mean(images)
    return away / (mean(away.square()) + 0.01).sqrt()
