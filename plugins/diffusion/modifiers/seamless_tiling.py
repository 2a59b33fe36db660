"""Pictures whose edges meet, so that they can be laid side by side: every convolution sees round the edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..models.latents import autoencoder_of, scale_factor_of
from ..models.model import Model
from ..patching import patched_method

if TYPE_CHECKING:
    from torch import Tensor

SeamlessEdges = Literal["off", "both", "across", "down"]
_MARGIN = 16
"""Latent pixels from beyond the edge that an autoencoder sees when it works in tiles."""


class SeamlessParams(api.Params):
    """Which edges meet."""

    seamless: SeamlessEdges = api.param(
        "off", labels=("Off", "All edges", "Left and right", "Top and bottom"), advanced=True
    )
    """Edges that meet, for patterns that repeat."""


@contextmanager
def apply(_: api.Context, model: Model, pipe: Any, params: Any) -> Iterator[dict[str, Any]]:
    """The pipeline with edges that meet, until the block ends."""
    way: SeamlessEdges = getattr(params, "seamless", "off")
    if way == "off":
        yield {}
        return
    if getattr(pipe, "unet", None) is None:
        raise api.BadInput(
            f"{model.title} knows by position where a picture ends, so its edges cannot be made to meet.",
            "Turn seamless off, or choose a model of Stable Diffusion 1, 2 or XL.",
        )
    around = CircularPadding(across=way in ("both", "across"), down=way in ("both", "down"))
    coder = autoencoder_of(pipe)
    with ExitStack() as laid:
        for part in _parts(pipe):
            around.lay_over(part, laid)
        for name in ("encode", "decode"):
            if hasattr(coder, name):
                laid.enter_context(
                    patched_method(coder, name, around.in_tiles(coder, scale_factor_of(pipe), name == "decode"))
                )
        yield {}


class CircularPadding:
    """What lies beyond an edge is what lies inside of the one across from it."""

    def __init__(self, *, across: bool, down: bool) -> None:
        self._across = across
        self._down = down
        self._on = True

    def lay_over(self, part: Any, laid: ExitStack) -> None:
        """Over each convolution of a part, for as long as `laid` is open. Those that look at one place alone stay."""
        from diffusers.models.downsampling import Downsample2D
        from torch.nn import Conv2d

        for module in part.modules():
            if isinstance(module, Conv2d) and _margins(module) != (0, 0):
                laid.enter_context(patched_method(module, "_conv_forward", self._padded(module)))
            elif isinstance(module, Downsample2D) and module.use_conv and module.padding == 0:
                laid.enter_context(patched_method(module.conv, "_conv_forward", self._filled))

    def in_tiles(self, coder: Any, factor: int, decodes: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """For an autoencoder that works in tiles: round the edge is not round the tile."""

        def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
            def run(values: Tensor, *args: Any, **kwargs: Any) -> Any:
                if not getattr(coder, "use_tiling", False):
                    return method(values, *args, **kwargs)
                self._on = False
                try:
                    if not decodes:
                        return method(values, *args, **kwargs)
                    return self._decoded(method, values, factor, *args, **kwargs)
                finally:
                    self._on = True

            return run

        return wrapped

    def _decoded(self, decode: Callable[..., Any], latents: Tensor, factor: int, *args: Any, **kwargs: Any) -> Any:
        """A little of the beginning is decoded once more beyond the end, and goes over into it."""
        from torch.nn import functional

        height, width = latents.shape[-2:]
        across, down = (min(_MARGIN, side) if on else 0 for side, on in ((width, self._across), (height, self._down)))
        found = decode(functional.pad(latents, (0, across, 0, down), mode="circular"), *args, **kwargs)
        picture = found[0] if isinstance(found, tuple) else found.sample
        closed = _closed(_closed(picture, -1, across * factor), -2, down * factor)
        if isinstance(found, tuple):
            return (closed, *found[1:])
        found.sample = closed
        return found

    def _padded(self, conv: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        from torch.nn import functional

        down, across = _margins(conv)
        round_across, round_down = across * self._across, down * self._down

        def wrapped(forward: Callable[..., Any]) -> Callable[..., Any]:
            def run(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                if not self._on:
                    result: Tensor = forward(values, weight, bias)
                    return result
                return functional.conv2d(
                    _wrapped(values, round_across, round_down),
                    weight,
                    bias,
                    conv.stride,
                    (down - round_down, across - round_across),
                    conv.dilation,
                    conv.groups,
                )

            return run

        return wrapped

    def _filled(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Where a row and a column of zeros were put at the right and below."""

        def run(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            if self._on:
                values = values.clone()
                if self._across:
                    values[..., :, -1] = values[..., :, 0]
                if self._down:
                    values[..., -1, :] = values[..., 0, :]
            result: Tensor = forward(values, weight, bias)
            return result

        return run


def _parts(pipe: Any) -> list[Any]:
    """What works on latents and pictures. Text encoders have no convolutions."""
    from torch.nn import Module

    return [part for part in pipe.components.values() if isinstance(part, Module)]


def _margins(conv: Any) -> tuple[int, int]:
    """Below and beside, in pixels, of what is padded with zeros."""
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return (0, 0)
    down, across = conv.padding
    return down, across


def _closed(picture: Tensor, side: int, over: int) -> Tensor:
    """Without the last `over` pixels along a side, which the first ones come out of."""
    import torch

    if not over:
        return picture
    kept, beyond = picture.split([picture.shape[side] - over, over], dim=side)
    begin, rest = kept.split([over, kept.shape[side] - over], dim=side)
    share = (torch.arange(over, device=picture.device) / over).to(picture)
    return torch.cat([torch.lerp(beyond, begin, share if side == -1 else share[:, None]), rest], dim=side)


def _wrapped(values: Tensor, across: int, down: int) -> Tensor:
    from torch.nn import functional

    return functional.pad(values, (across, across, down, down), mode="circular")
