"""Access to the features inside a generator: read them, or change them while an image is made.

Changing them is known as network bending (Broad et al., arXiv:2005.12420).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel

Operation: TypeAlias = Literal["rotate", "scale", "shift", "mirror", "erode", "dilate", "invert", "amplify"]
LABELS = ("Rotate", "Scale", "Shift", "Mirror", "Erode", "Dilate", "Invert", "Amplify")

GOLDEN_RATIO = 0.618034
"""Its multiples modulo 1 take channels from all over."""


def list_sizes(model: GanModel) -> list[int]:
    """Return the shorter sides in px of the layers whose features can be changed. Raises BadInput if there are none."""
    return [size for size, _ in _list_layers(model)]


@contextmanager
def change_features(model: GanModel, size: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Apply `change` to the features [n, c, h, w] of the layer of a size inside the context.

    Raises BadInput for a model without such a layer.
    """
    layers = dict(_list_layers(model))
    if size not in layers:
        sizes = ", ".join(str(one) for one in layers)
        raise api.BadInput(f"{model.title} has no layer of {size} px.", f"Choose one of {sizes} px.")
    handle = layers[size].register_forward_hook(lambda _module, _inputs, output: change(output))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def record_features(model: GanModel, size: int) -> Iterator[list[Tensor]]:
    """Record the features [n, c, h, w] of the layer of a size inside the context, one entry for each synthesis.

    What a layer has beyond the edges of the image is left out.
    """
    recorded: list[Tensor] = []
    margin: int = getattr(dict(_list_layers(model)).get(size), "margin", 0)

    def record(features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        recorded.append(features[:, :, margin : height - margin, margin : width - margin])
        return features

    with change_features(model, size, record):
        yield recorded


def bend(features: Tensor, operation: Operation, amount: float) -> Tensor:
    """Return changed features. An `amount` of 0 changes nothing; 1 and -1 are strong.

    1 is a quarter turn, twice the size, a shift by a quarter, a window of 5 × 5 places, all channels inverted, or twice
    the contrast.
    """
    import torch
    from torch.nn import functional

    if not amount:
        return features
    if operation in ("rotate", "scale", "shift"):
        return _transform(features, operation, amount)
    if operation == "mirror":
        return torch.lerp(features, features.flip(3), min(1.0, abs(amount)))
    if operation in ("erode", "dilate"):
        sign = -1 if (operation == "erode") == (amount > 0) else 1
        window = 3 if abs(amount) < 0.75 else 5
        pooled = sign * functional.max_pool2d(sign * features, window, 1, window // 2)
        return torch.lerp(features, pooled, min(1.0, abs(amount)))
    if operation == "invert":
        mean = features.mean(dim=(2, 3), keepdim=True)
        return features + 2 * _choose_channels(features.shape[1], amount).to(features) * (mean - features)
    mean = features.mean(dim=(2, 3), keepdim=True)
    return mean + (features - mean) * (1 + amount)


def _choose_channels(count: int, amount: float) -> Tensor:
    """Return how much of each channel is inverted, [1, count, 1, 1].

    An amount below 1 inverts so many of the channels whole, because all of them by a half would be an empty image; the
    next channel is inverted in part. Negative amounts begin with the channels that positive ones take last. Above 1,
    all are inverted with more contrast.
    """
    import torch

    order = torch.arange(count) * GOLDEN_RATIO % 1
    rank = order.argsort(descending=amount < 0).argsort()
    strength = max(1.0, (1 + abs(amount)) / 2)
    return strength * (abs(amount) * count - rank).clamp(0, 1)[None, :, None, None]


def _transform(features: Tensor, operation: Operation, amount: float) -> Tensor:
    """Rotate, scale or shift features about the middle; what comes from outside repeats the edge."""
    import math

    import torch
    from torch.nn import functional

    height, width = features.shape[2:]
    matrix = torch.eye(2, 3)
    if operation == "rotate":
        angle = amount * math.pi / 2
        ratio = height / width
        matrix[0, 0] = matrix[1, 1] = math.cos(angle)
        matrix[0, 1], matrix[1, 0] = -math.sin(angle) * ratio, math.sin(angle) / ratio
    elif operation == "scale":
        matrix[0, 0] = matrix[1, 1] = 2.0**-amount
    else:
        matrix[0, 2] = -amount / 2
    grid = functional.affine_grid(matrix.expand(len(features), 2, 3), [*features.shape], align_corners=False)
    grid = grid.to(features.device, features.dtype)
    return functional.grid_sample(features, grid, padding_mode="border", align_corners=False)


def _list_layers(model: GanModel) -> list[tuple[int, Any]]:
    generator: Any = model.generator
    if not hasattr(generator, "list_feature_layers"):
        raise api.BadInput(
            f"The layers of {model.title} ({model.config.architecture}) cannot be changed.", "Choose a StyleGAN2."
        )
    layers: list[tuple[int, Any]] = generator.list_feature_layers()
    return layers
