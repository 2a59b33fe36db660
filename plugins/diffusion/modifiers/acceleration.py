"""Ways to paint faster, for the time of one job. All are off by default, since each changes the pixels a little."""

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
    from ..models.model import Model

Attention = Literal["auto", "flash", "efficient", "cudnn", "math", "flash_package", "sage", "xformers"]
_OF_TORCH = {
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "math": "MATH",
}
_OF_PACKAGES = {"flash_package": "flash", "sage": "sage", "xformers": "xformers"}
"""diffusers' names for what packages of their own compute."""


class SpeedParams(api.Params):
    """How work is saved."""

    skip: step_cache.StepCache = api.param(
        "off", labels=step_cache.LABELS, title="Skip work", advanced=True, group="Speed"
    )
    """What the model need not compute in each step. Faster, and not quite the same picture."""
    attention: Attention = api.param(
        "auto",
        labels=(
            "As the device likes",
            "Flash",
            "Memory-efficient",
            "cuDNN",
            "Plain",
            "FlashAttention package",
            "SageAttention package",
            "xFormers package",
        ),
        advanced=True,
        group="Speed",
    )
    """How attention is computed. The packages are used where they are installed."""
    compiled: bool = api.param(False, title="Compile the model", advanced=True, group="Speed")
    """The first picture takes a minute longer, and those of the same size that follow take less."""
    channels_last: bool = api.param(False, title="Channels last", advanced=True, group="Speed")
    """Another order in memory, which some graphics cards prefer for models that are no transformers."""


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: Any, params: Any) -> Iterator[dict[str, Any]]:
    """The pipeline with what was chosen, until the block ends. Raises BadInput for what does not go here."""
    with ExitStack() as chosen:
        if params.channels_last:
            chosen.enter_context(_channels_last(model, pipe))
        if params.compiled:
            chosen.enter_context(_compiled(ctx, pipe))
        if params.skip != "off":
            chosen.enter_context(step_cache.enable_step_cache(model, pipe, params.skip, params.steps))
        if params.attention in _OF_TORCH:
            chosen.enter_context(_kernel(ctx, params.attention))
        elif params.attention in _OF_PACKAGES:
            chosen.enter_context(_package(model, pipe, _OF_PACKAGES[params.attention]))
        yield {}


@contextmanager
def _channels_last(model: Model, pipe: Any) -> Iterator[None]:
    import torch

    unet = getattr(pipe, "unet", None)
    if unet is None:
        raise api.BadInput(
            f"Channels last means nothing to {model.family.title}, which has no U-Net.", "Switch it off."
        )
    unet.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        unet.to(memory_format=torch.contiguous_format)


@contextmanager
def _compiled(ctx: api.Context, pipe: Any) -> Iterator[None]:
    """The blocks that repeat, each by itself, which takes far less time than the whole. torch keeps what it made."""
    import torch
    from torch._dynamo.exc import TorchDynamoException

    _need_compiler(ctx.device)
    replaced: list[tuple[Any, Any]] = []
    for block in _blocks(pipe):
        if "forward" not in vars(block):  # else each layer waits in main memory, and that wait is not compiled
            block.forward = torch.compile(block.forward)
            replaced.append((block, block.forward))
    try:
        yield
    except TorchDynamoException as error:
        raise api.BadInput("The model could not be compiled.", "Switch compiling off.") from error
    finally:
        for block, compiled in replaced:
            if vars(block).get("forward") is compiled:
                del block.forward


def _blocks(pipe: Any) -> list[Any]:
    """What diffusers says repeats; where it says nothing, the members of the denoiser's lists."""
    from torch.nn import ModuleList

    found = []
    for denoiser in (getattr(pipe, name, None) for name in ("unet", "transformer")):
        if denoiser is None:
            continue
        names = denoiser._repeated_blocks
        if names:
            found += [module for module in denoiser.modules() if type(module).__name__ in names]
        else:
            found += [block for child in denoiser.children() if isinstance(child, ModuleList) for block in child]
    return found


def _need_compiler(device: str) -> None:
    if device.startswith(("cuda", "xpu")):
        if importlib.util.find_spec("triton") is None:
            raise api.BadInput(
                "Compiling for this device needs the package triton, which is not installed.",
                "Install it, or switch compiling off.",
            )
    elif device.startswith("cpu"):
        program = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
        if shutil.which(program) is None:
            raise api.BadInput(
                f"Compiling needs the C++ compiler {program}, which is not on this computer.",
                "Install it, or switch compiling off.",
            )


@contextmanager
def _kernel(ctx: api.Context, attention: str) -> Iterator[None]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    try:
        with sdpa_kernel(getattr(SDPBackend, _OF_TORCH[attention])):
            yield
    except RuntimeError as error:
        if "No viable backend" in str(error) or "No available kernel" in str(error):
            raise api.BadInput(
                f"This way of attention does not work with this model on {ctx.device}.", "Choose another, or auto."
            ) from error
        raise


@contextmanager
def _package(model: Model, pipe: Any, backend: str) -> Iterator[None]:
    import diffusers

    if getattr(pipe, "transformer", None) is None:
        raise api.BadInput(
            f"{model.family.title} is no transformer, and attention packages are used for those alone.",
            "Choose another way of attention.",
        )
    with ExitStack() as used:
        try:
            used.enter_context(diffusers.attention_backend(backend))
        except (RuntimeError, ImportError) as error:
            raise api.BadInput(
                "The package for this way of attention is not installed, or is too old.",
                "Install it, or choose another way.",
            ) from error
        yield
