"""Motion adapters, which make an image model generate videos (AnimateDiff, arXiv:2307.04725)."""

from __future__ import annotations

from pathlib import Path

from studio import api

from ..models import loader
from ..models.model import Model


def add_motion_adapter(ctx: api.Context, model: Model, choice: str | None) -> Model:
    """Return the model with a motion adapter, a diffusers folder or a name on the hub; unchanged without one.

    Raises BadInput where the adapter is missing, damaged, or made for another model.
    """
    if not choice:
        return model
    if model.family.name != "stable-diffusion":
        raise api.BadInput(
            f"Motion adapters work with Stable Diffusion 1, and {model.title} is {model.family.title}.",
            "Leave Motion adapter empty, or choose another model.",
        )
    location = ctx.model(choice)
    if isinstance(location, Path):
        _check_folder(location)
    name = location.name if isinstance(location, Path) else location
    stamp = api.model_files.file_stamp(location) if isinstance(location, Path) else 0
    key = f"{model.key}:motion:{location}:{stamp}"
    return ctx.models.load(key, lambda: _load(ctx, model, location, name, key))


def _load(ctx: api.Context, model: Model, location: Path | str, name: str, key: str) -> Model:
    from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter

    # The noise schedule that motion adapters were trained with.
    schedule = {"beta_schedule": "linear", "clip_sample": False, "timestep_spacing": "linspace", "steps_offset": 1}
    misfit = api.BadInput(
        f"The motion adapter {name} cannot be downloaded, is damaged, or does not fit {model.title}.",
        "Choose one that was made for Stable Diffusion 1.",
    )
    with api.model_files.quiet_load(misfit):
        adapter = MotionAdapter.from_pretrained(
            str(location), use_safetensors=True, local_files_only=isinstance(location, Path), torch_dtype=ctx.dtype
        )
        scheduler = DDIMScheduler.from_config(model.scheduler.config, **schedule)
        pipe = model.build_pipeline(AnimateDiffPipeline, motion_adapter=adapter, scheduler=scheduler)
    return loader.build_model(pipe, key, f"{model.title} with {name}", ctx)


def _check_folder(path: Path) -> None:
    """Raise BadInput for a folder of something else, for a pickle, and for a damaged file."""
    weights = sorted(path.glob("diffusion_pytorch_model*")) if path.is_dir() else []
    if not weights or not (path / "config.json").is_file():
        raise api.BadInput(f"{path.name} is no motion adapter.", "Choose the diffusers folder of one.")
    files = [file for file in weights if file.suffix == ".safetensors"]
    for file in files or [file for file in weights if file.suffix == ".bin"]:
        api.model_files.read_weight_shapes(file)
