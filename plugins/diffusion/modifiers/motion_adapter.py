"""Motion adapters, which set a model of pictures in motion (AnimateDiff, arXiv 2307.04725)."""

from __future__ import annotations

import warnings
from pathlib import Path

from studio import api

from ..models import loader
from ..models.model import Model

_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError)


def add_motion_adapter(ctx: api.Context, model: Model, choice: str | None) -> Model:
    """The model with a motion adapter: a folder in diffusers' format, or a name on the hub. Itself without one.

    Raises BadInput where the adapter is missing, damaged, or made for another model.
    """
    if not choice:
        return model
    if model.family.name != "stable-diffusion":
        raise api.BadInput(
            f"Motion adapters go with Stable Diffusion 1, and {model.title} is {model.family.title}.",
            "Leave the motion adapter empty, or choose another model.",
        )
    found = ctx.model(choice)
    if isinstance(found, Path):
        _check(found)
    name = found.name if isinstance(found, Path) else found
    key = f"{model.key}:motion:{found}:{_stamp(found)}"
    return ctx.models.load(key, lambda: _joined(ctx, model, found, name, key))


def _joined(ctx: api.Context, model: Model, found: Path | str, name: str, key: str) -> Model:
    import torch
    from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter

    # The noise that motion adapters were trained with.
    noise = {"beta_schedule": "linear", "clip_sample": False, "timestep_spacing": "linspace", "steps_offset": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            adapter = MotionAdapter.from_pretrained(
                str(found), use_safetensors=True, local_files_only=isinstance(found, Path), torch_dtype=ctx.dtype
            )
            scheduler = DDIMScheduler.from_config(model.scheduler.config, **noise)
            pipe = model.build_pipeline(AnimateDiffPipeline, motion_adapter=adapter, scheduler=scheduler)
        except torch.OutOfMemoryError:
            raise
        except _BROKEN as error:
            raise api.BadInput(
                f"The motion adapter {name} cannot be had, is damaged, or does not fit {model.title}.",
                "Choose one that was made for Stable Diffusion 1.",
            ) from error
    return loader.build_model(pipe, key, f"{model.title} with {name}", ctx)


def _check(path: Path) -> None:
    """Says why a pickle or a cut file is refused."""
    weights = sorted(path.glob("diffusion_pytorch_model*")) if path.is_dir() else []
    if not weights or not (path / "config.json").is_file():
        raise api.BadInput(f"{path.name} is no motion adapter.", "Choose a folder of one in diffusers' format.")
    files = [file for file in weights if file.suffix == ".safetensors"]
    for file in files or [file for file in weights if file.suffix == ".bin"]:
        api.model_files.weight_shapes(file)


def _stamp(found: Path | str) -> int:
    return max((file.stat().st_mtime_ns for file in found.iterdir()), default=0) if isinstance(found, Path) else 0
