"""Ways to compute an image faster, for one job. All are off by default, since each changes the pixels a little."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from . import step_cache

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from ..models.model import Model

Attention = Literal["auto", "flash", "efficient", "cudnn", "math", "flash_package", "sage", "xformers"]
_TORCH_BACKENDS = {
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "math": "MATH",
}
_PACKAGE_BACKENDS = {"flash_package": "flash", "sage": "sage", "xformers": "xformers"}
"""Names in diffusers of the attention backends that are packages of their own."""


class SpeedParams(api.Params):
    """Parameters that save work."""

    skip: step_cache.StepCache = api.param(
        "off", labels=step_cache.LABELS, title="Step cache", advanced=True, group="Speed"
    )
    """Reuses parts of earlier steps. Faster, and the image differs a little."""
    attention: Attention = api.param(
        "auto",
        labels=(
            "Automatic",
            "Flash",
            "Memory-efficient",
            "cuDNN",
            "Plain (math)",
            "FlashAttention package",
            "SageAttention package",
            "xFormers package",
        ),
        advanced=True,
        group="Speed",
    )
    """Attention backend. The packages can be used where they are installed."""
    compiled: bool = api.param(False, title="Compile the model", advanced=True, group="Speed")
    """The first image takes a minute longer, and further ones of the same size take less (torch.compile)."""
    channels_last: bool = api.param(False, title="Channels last", advanced=True, group="Speed")
    """Another memory order, which makes U-Nets faster on some graphics cards."""


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: Any) -> Iterator[dict[str, Any]]:
    """Use the chosen accelerations in the pipeline until the block ends. Raises BadInput for impossible ones."""
    with ExitStack() as accelerations:
        if params.channels_last:
            accelerations.enter_context(_use_channels_last(model, pipe))
        if params.compiled:
            accelerations.enter_context(_compile_blocks(ctx, pipe))
        if params.skip != "off":
            accelerations.enter_context(step_cache.enable_step_cache(model, pipe, params.skip, params.steps))
        if params.attention in _TORCH_BACKENDS:
            accelerations.enter_context(_use_torch_backend(ctx, params.attention))
        elif params.attention in _PACKAGE_BACKENDS:
            accelerations.enter_context(_use_package_backend(model, pipe, _PACKAGE_BACKENDS[params.attention]))
        yield {}


@contextmanager
def _use_channels_last(model: Model, pipe: DiffusionPipeline) -> Iterator[None]:
    import torch

    unet = getattr(pipe, "unet", None)
    if unet is None:
        raise api.BadInput(f"{model.family.title} has no U-Net, so Channels last has no effect.", "Switch it off.")
    unet.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        unet.to(memory_format=torch.contiguous_format)


@contextmanager
def _compile_blocks(ctx: api.Context, pipe: DiffusionPipeline) -> Iterator[None]:
    """Compile the repeated blocks one by one, which takes far less time than the whole. torch caches the result."""
    import torch
    from torch._dynamo.exc import TorchDynamoException

    _require_compiler(ctx.device)
    compiled_blocks: list[tuple[nn.Module, Any]] = []
    for block in _find_repeated_blocks(pipe):
        if "forward" not in vars(block):  # else each layer is offloaded, and the wait for it cannot be compiled
            block.forward = torch.compile(block.forward)
            compiled_blocks.append((block, block.forward))
    try:
        yield
    except TorchDynamoException as error:
        raise api.BadInput("The model could not be compiled.", "Switch off Compile the model.") from error
    finally:
        for block, compiled in compiled_blocks:
            if vars(block).get("forward") is compiled:
                del block.forward


def _find_repeated_blocks(pipe: DiffusionPipeline) -> list[nn.Module]:
    """List the blocks that diffusers names as repeated, or the members of the denoiser's lists where it names none."""
    from torch.nn import ModuleList

    blocks: list[nn.Module] = []
    for denoiser in (getattr(pipe, name, None) for name in ("unet", "transformer")):
        if denoiser is None:
            continue
        names = denoiser._repeated_blocks
        if names:
            blocks += [module for module in denoiser.modules() if type(module).__name__ in names]
        else:
            blocks += [block for child in denoiser.children() if isinstance(child, ModuleList) for block in child]
    return blocks


def _require_compiler(device: str) -> None:
    if device.startswith(("cuda", "xpu")):
        if importlib.util.find_spec("triton") is None:
            raise api.BadInput(
                "Compiling for this device needs the Python package triton, which is not installed.",
                "Install it, or switch off Compile the model.",
            )
    elif device.startswith("cpu"):
        program = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
        if shutil.which(program) is None:
            raise api.BadInput(
                f"Compiling needs the C++ compiler {program}, which is not on this computer.",
                "Install it, or switch off Compile the model.",
            )


@contextmanager
def _use_torch_backend(ctx: api.Context, attention: str) -> Iterator[None]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    try:
        with sdpa_kernel(getattr(SDPBackend, _TORCH_BACKENDS[attention])):
            yield
    except RuntimeError as error:
        if "No viable backend" in str(error) or "No available kernel" in str(error):
            raise api.BadInput(
                f"This attention backend does not work with this model on {ctx.device}.",
                "Choose another one, or Automatic.",
            ) from error
        raise


@contextmanager
def _use_package_backend(model: Model, pipe: DiffusionPipeline, backend: str) -> Iterator[None]:
    import diffusers

    if getattr(pipe, "transformer", None) is None:
        raise api.BadInput(
            f"{model.family.title} is no transformer, and attention packages work with transformers only.",
            "Choose another attention backend.",
        )
    with ExitStack() as used:
        try:
            used.enter_context(diffusers.attention_backend(backend))
        except (RuntimeError, ImportError) as error:
            raise api.BadInput(
                "The package of this attention backend is not installed, or is too old.",
                "Install it, or choose another attention backend.",
            ) from error
        yield
