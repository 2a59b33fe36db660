"""Seamless tiling: images whose edges meet, made by circular padding in every convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..models.latents import autoencoder_of, scale_factor_of
from ..models.model import Model
from ..patching import patched_method

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

SeamlessEdges = Literal["off", "both", "across", "down"]
_MARGIN = 16
"""Latent pixels from beyond the edge that an autoencoder decodes too when it works in tiles."""


class SeamlessParams(api.Params):
    """Parameter of seamless tiling."""

    seamless: SeamlessEdges = api.param(
        "off",
        title="Seamless tiling",
        labels=("Off", "All edges", "Left and right", "Top and bottom"),
        advanced=True,
    )
    """Makes edges that meet, for patterns that repeat."""


@contextmanager
def apply(_: api.Context, model: Model, pipe: DiffusionPipeline, params: api.Params) -> Iterator[dict[str, Any]]:
    """Make the chosen edges meet in the pipeline's images until the block ends."""
    edges = params.seamless if isinstance(params, SeamlessParams) else "off"
    if edges == "off":
        yield {}
        return
    if getattr(pipe, "unet", None) is None:
        raise api.BadInput(
            f"{model.title} encodes the position of each pixel, so seamless tiling does not work with it.",
            "Switch it off, or choose a model of Stable Diffusion 1, 2 or XL.",
        )
    padding = CircularPadding(across=edges in ("both", "across"), down=edges in ("both", "down"))
    autoencoder = autoencoder_of(pipe)
    with ExitStack() as patches:
        for component in _torch_modules(pipe):
            padding.patch_convolutions(component, patches)
        for name in ("encode", "decode"):
            if hasattr(autoencoder, name):
                wrap = padding.wrap_tiled(autoencoder, scale_factor_of(pipe), is_decoder=name == "decode")
                patches.enter_context(patched_method(autoencoder, name, wrap))
        yield {}


class CircularPadding:
    """Padding with the pixels of the opposite edge, across, down or both."""

    def __init__(self, *, across: bool, down: bool) -> None:
        self._across = across
        self._down = down
        self._is_on = True

    def patch_convolutions(self, component: nn.Module, patches: ExitStack) -> None:
        """Patch each convolution of a component until `patches` closes. Those without padding stay as they are."""
        from diffusers.models.downsampling import Downsample2D
        from torch.nn import Conv2d

        for module in component.modules():
            if isinstance(module, Conv2d) and _zero_padding(module) != (0, 0):
                patches.enter_context(patched_method(module, "_conv_forward", self._wrap_padded(module)))
            elif isinstance(module, Downsample2D) and module.use_conv and module.padding == 0:
                patches.enter_context(patched_method(module.conv, "_conv_forward", self._wrap_downsampling))

    def wrap_tiled(
        self, autoencoder: nn.Module, scale_factor: int, *, is_decoder: bool
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a wrapper for a method of an autoencoder: in tiles, the edges are not those of the image."""

        def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
            def run(values: Tensor, *args: Any, **kwargs: Any) -> Any:
                if not getattr(autoencoder, "use_tiling", False):
                    return method(values, *args, **kwargs)
                self._is_on = False
                try:
                    if not is_decoder:
                        return method(values, *args, **kwargs)
                    return self._decode_with_margin(method, values, scale_factor, *args, **kwargs)
                finally:
                    self._is_on = True

            return run

        return wrap

    def _decode_with_margin(
        self, decode: Callable[..., Any], latents: Tensor, scale_factor: int, *args: Any, **kwargs: Any
    ) -> Any:
        """Decode a margin of the opposite edge beyond each end, and blend it into the beginning."""
        from torch.nn import functional

        height, width = latents.shape[-2:]
        across = min(_MARGIN, width) if self._across else 0
        down = min(_MARGIN, height) if self._down else 0
        output = decode(functional.pad(latents, (0, across, 0, down), mode="circular"), *args, **kwargs)
        image = output[0] if isinstance(output, tuple) else output.sample
        blended = _blend_margin(_blend_margin(image, -1, across * scale_factor), -2, down * scale_factor)
        if isinstance(output, tuple):
            return (blended, *output[1:])
        output.sample = blended
        return output

    def _wrap_padded(self, conv: nn.Conv2d) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
        from torch.nn import functional

        down, across = _zero_padding(conv)
        circular_across, circular_down = across * self._across, down * self._down

        def wrap(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def run(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                if not self._is_on:
                    return forward(values, weight, bias)
                return functional.conv2d(
                    functional.pad(
                        values, (circular_across, circular_across, circular_down, circular_down), mode="circular"
                    ),
                    weight,
                    bias,
                    conv.stride,
                    (down - circular_down, across - circular_across),
                    conv.dilation,
                    conv.groups,
                )

            return run

        return wrap

    def _wrap_downsampling(self, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Replace the row and column of zeros that `Downsample2D` adds below and at the right."""

        def run(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            if self._is_on:
                values = values.clone()
                if self._across:
                    values[..., :, -1] = values[..., :, 0]
                if self._down:
                    values[..., -1, :] = values[..., 0, :]
            return forward(values, weight, bias)

        return run


def _torch_modules(pipe: DiffusionPipeline) -> list[nn.Module]:
    """List the components that are networks. Text encoders have no convolutions, and are not changed."""
    from torch.nn import Module

    return [component for component in pipe.components.values() if isinstance(component, Module)]


def _zero_padding(conv: nn.Conv2d) -> tuple[int, int]:
    """Return the rows and columns of zeros that a convolution adds at each edge."""
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return (0, 0)
    down, across = conv.padding
    return down, across


def _blend_margin(image: Tensor, dim: int, margin: int) -> Tensor:
    """Remove the last `margin` pixels along a dimension, and blend them into the first ones, which they repeat."""
    import torch

    if not margin:
        return image
    size = image.shape[dim] - margin
    repeated = image.narrow(dim, size, margin)
    begin, rest = image.narrow(dim, 0, margin), image.narrow(dim, margin, size - margin)
    fraction = (torch.arange(margin, device=image.device) / margin).to(image)
    blended = torch.lerp(repeated, begin, fraction if dim == -1 else fraction[:, None])
    return torch.cat([blended, rest], dim=dim)
